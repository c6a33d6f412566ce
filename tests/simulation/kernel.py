"""Time, chance, crashes and a bad network for a world that one seed decides.

Nothing here sleeps or reads a clock. A world is a heap of things to do, each at its time;
equal times go in the order they were asked for, so that a seed replays exactly.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from protocols import crash
from protocols.identity import key_id_of
from protocols.session import Frames

EPOCH_US = 1_790_000_000_000_000
"""Wall time at the start of every world."""


class SimulatedCrash(BaseException):
    """The process of the node that is running dies here."""


class Key:
    """Signs and verifies with a keyed hash: for an honest world as strict as Ed25519, and far faster."""

    def __init__(self, name: str) -> None:
        self.public = hashlib.sha256(name.encode()).digest()
        self.key_id = key_id_of(self.public)

    def sign(self, domain: bytes, message: bytes) -> bytes:
        return hashlib.blake2b(domain + message, key=self.public).digest()

    def verify(self, domain: bytes, message: bytes, signature: bytes) -> bool:
        return signature == self.sign(domain, message)


@dataclass(slots=True)
class Trouble:
    """How bad a world is.

    Args:
        crash: Chance of dying at each crash point.
        lose: Chance of losing each message.
        repeat: Chance of delivering a message twice.
        reorder: Chance of a message overtaking others.
        latency_s: Largest usual delay of a message.
        outage_every_s: Mean time between cuts of a link; 0 for none.
        outage_s: Longest cut.
    """

    crash: float = 0.0
    lose: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    latency_s: float = 0.05
    outage_every_s: float = 0.0
    outage_s: float = 10.0


@dataclass(order=True, slots=True)
class _Due:
    at: float
    number: int
    action: Callable[[], None] = field(compare=False)


class Kernel:
    """The clock, the dice and the calendar of one world."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.calm = False
        """Set for the end of a world: no more trouble, so that everything can settle."""
        self.trouble = Trouble()
        self._calendar: list[_Due] = []
        self._count = 0
        self.crashes = 0

    @property
    def wall_us(self) -> int:
        """Wall time, microseconds since 1970."""
        return EPOCH_US + int(self.now * 1_000_000)

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later."""
        self._count += 1
        heapq.heappush(self._calendar, _Due(self.now + delay_s, self._count, action))

    def run_until(self, end: float) -> None:
        """Do everything that is due before `end`."""
        previous = crash.install(self._crash_point)
        try:
            while self._calendar and self._calendar[0].at <= end:
                due = heapq.heappop(self._calendar)
                self.now = due.at
                due.action()
            self.now = end
        finally:
            crash.install(previous)

    def happens(self, chance: float) -> bool:
        """Throw the dice; nothing bad happens in calm times."""
        return not self.calm and chance > 0 and self.random.random() < chance

    def _crash_point(self, name: str) -> None:
        if self.happens(self.trouble.crash):
            self.crashes += 1
            raise SimulatedCrash(name)


class Node:
    """A process that may die and comes back; subclasses keep in `self` only what a disk would."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.up = False
        self.generation = 0

    def start(self) -> None:
        """Boot now."""
        self.guarded(self._boot)

    def guarded(self, action: Callable[[], None]) -> None:
        """Run a piece of this node's work; a crash in it kills the node, which boots again later."""
        try:
            action()
        except SimulatedCrash:
            self.die()

    def die(self) -> None:
        """Lose everything that is not on the disk, and come back after a while."""
        if self.up:
            self.lost_memory()
        self.up = False
        self.generation += 1
        self.kernel.after(self.kernel.random.uniform(0.1, 4.0), self._boot_again(self.generation))

    def every(self, period_s: float, action: Callable[[], None]) -> None:
        """Repeat a piece of work for as long as this life of the node lasts."""
        generation = self.generation

        def again() -> None:
            if self.up and self.generation == generation:
                self.kernel.after(period_s, again)
                self.guarded(action)

        self.kernel.after(self.kernel.random.uniform(0, period_s), again)

    def boot(self) -> None:
        """Come to life from what the disk holds."""
        raise NotImplementedError

    def lost_memory(self) -> None:
        """Told of the death, to drop connections and roll back what was open."""

    def _boot(self) -> None:
        self.up = True
        self.boot()

    def _boot_again(self, generation: int) -> Callable[[], None]:
        def action() -> None:
            if not self.up and self.generation == generation:
                self.start()

        return action


class Connection:
    """One connection from a sender to a receiver, as unreliable as the world's trouble says.

    Args:
        kernel: The world.
        up: Delivers to the receiver; down delivers to the sender.
        cut: Whether the link between the two nodes is cut at the moment.
    """

    def __init__(
        self,
        kernel: Kernel,
        up: Callable[[Frames], None],
        down: Callable[[Frames], None],
        cut: Callable[[], bool],
    ) -> None:
        self._kernel = kernel
        self._deliver = {"up": up, "down": down}
        self._cut = cut
        self._last = {"up": 0.0, "down": 0.0}
        self.closed = False

    def send(self, way: str, frames: Frames) -> None:
        """Put a message on its way; `way` is "up" or "down"."""
        kernel, trouble = self._kernel, self._kernel.trouble
        for _ in range(2 if kernel.happens(trouble.repeat) else 1):
            if self._cut() or kernel.happens(trouble.lose):
                continue
            delay = kernel.random.uniform(0.001, 0.01 if kernel.calm else trouble.latency_s)
            at = kernel.now + delay
            if not kernel.happens(trouble.reorder):
                at = max(at, self._last[way])
                self._last[way] = at
            kernel.after(at - kernel.now, lambda: self._arrive(way, frames))

    def _arrive(self, way: str, frames: Frames) -> None:
        if not self.closed and not self._cut():
            self._deliver[way](frames)
