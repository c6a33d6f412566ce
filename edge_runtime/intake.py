"""The hand-over from collecting to storing: bounded, and nobody who puts ever waits.

Events have a queue of their own in it, see `edge_runtime.events`.

The policy at the bound is *drop the newest*: what is already in order stays, and one gap a
task says from when to when nothing could be taken. Collecting goes on meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from edge_runtime.events import EventQueue
from protocols.records import Gap, GapCause
from protocols.samples import SampleBlock


class Delivery(NamedTuple):
    """What one turn of a collecting task gave.

    Args:
        task: `device/scan class`.
        instant_us: Every sample up to it was delivered or declared.
        settled_us: The same for what swinging doors still hold back.
        blocks: Samples to store.
        thinned: Samples left out on purpose.
        gaps: What is missing before these samples.
        points: The task's point ids, to declare a loss with.
    """

    task: str
    instant_us: int
    settled_us: int
    blocks: tuple[SampleBlock, ...]
    thinned: int = 0
    gaps: tuple[Gap, ...] = ()
    points: tuple[int, ...] = ()

    @property
    def samples(self) -> int:
        """Samples to store."""
        return sum(len(block) for block in self.blocks)


@dataclass(slots=True)
class Losses:
    """Deliveries that could not be kept, as gaps and numbers.

    Args:
        gaps: By (task, cause), the gap as wide as needed so far.
        dropped: By cause, samples.
        thinned: Samples of these deliveries that had been left out on purpose.
        declared: Gaps that lost deliveries carried, to be declared all the same.
    """

    gaps: dict[tuple[str, GapCause], Gap]
    dropped: dict[GapCause, int]
    thinned: int = 0
    declared: tuple[Gap, ...] = ()

    @classmethod
    def none(cls) -> Losses:
        """No losses."""
        return cls({}, {})

    def __bool__(self) -> bool:
        return bool(self.gaps or self.declared)

    def add(self, delivery: Delivery, cause: GapCause, detail: str) -> None:
        """One more delivery was lost."""
        times = [int(block.time.min()) for block in delivery.blocks if len(block)]
        lost = delivery.samples
        self.thinned += delivery.thinned
        self.declared += delivery.gaps
        if not lost:
            return
        gap = Gap(
            cause,
            min([delivery.instant_us, *times]),
            delivery.instant_us + 1,
            delivery.points,
            lost,
            detail=detail,
        )
        key = delivery.task, cause
        before = self.gaps.get(key)
        self.gaps[key] = gap if before is None else join(before, gap)
        self.dropped[cause] = self.dropped.get(cause, 0) + lost

    def merge(self, other: Losses) -> None:
        """Take another's losses in."""
        for key, gap in other.gaps.items():
            before = self.gaps.get(key)
            self.gaps[key] = gap if before is None else join(before, gap)
        for cause, samples in other.dropped.items():
            self.dropped[cause] = self.dropped.get(cause, 0) + samples
        self.thinned += other.thinned
        self.declared += other.declared


def join(one: Gap, other: Gap) -> Gap:
    """One gap over both, which are of the same cause and points."""
    samples = None if one.samples is None or other.samples is None else one.samples + other.samples
    return replace(
        one,
        t_from_us=min(one.t_from_us, other.t_from_us),
        t_to_us=max(one.t_to_us, other.t_to_us),
        samples=samples,
    )


def join_adjacent(gaps: Iterable[Gap]) -> list[Gap]:
    """Join gaps of the same cause and points where one begins when the other ends."""
    joined: dict[tuple[GapCause, tuple[int, ...] | None, str], Gap] = {}
    done: list[Gap] = []
    for gap in gaps:
        key = gap.cause, gap.points, gap.detail
        before = joined.get(key)
        if before is not None and before.t_to_us == gap.t_from_us:
            joined[key] = join(before, gap)
        else:
            if before is not None:
                done.append(before)
            joined[key] = gap
    return [*done, *joined.values()]


class Intake:
    """A bounded queue between the collecting loop and the writing thread.

    Args:
        samples_max: Samples it holds at most.
    """

    def __init__(self, samples_max: int) -> None:
        self.samples_max = samples_max
        self._lock = threading.Lock()
        self._waiting: deque[Delivery] = deque()
        self._samples = 0
        self._losses = Losses.none()
        self.events = EventQueue()
        self.overflows = 0
        """Deliveries that found no room."""

    def put(self, delivery: Delivery) -> bool:
        """Hand something over; never waits. Returns whether there was room."""
        with self._lock:
            if self._samples + delivery.samples > self.samples_max and self._waiting:
                self.overflows += 1
                self._losses.add(delivery, GapCause.OVERFLOW, "storing could not keep up with collecting")
                return False
            self._waiting.append(delivery)
            self._samples += delivery.samples
            return True

    def take(self) -> tuple[list[Delivery], Losses]:
        """Everything that waits, and what was lost since the last call."""
        with self._lock:
            taken, losses = list(self._waiting), self._losses
            self._waiting.clear()
            self._samples = 0
            self._losses = Losses.none()
            return taken, losses
