"""A replay against what the gateway recorded: outputs sample by sample, events one by one.

Rules:
1. Values are compared to the bit, but that every NaN is the same, and that a value that both
   say is bad is not compared: a bad sample may carry none.
2. An output is compared where both have a sample of the same instant; what only one of them
   has is counted. A gateway records an output that did not change less often.
3. Events are the same when time, instance, kind and text are; then value and quality are compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.rules.running.inputs import BAD
from headquarters.replay.align import Series, severity

DIFFERENCES_SHOWN_MAX = 20
"""Differences of one output that are listed; all are counted."""

Cells = npt.NDArray[Any]


class AppEvent(NamedTuple):
    """What a program emitted.

    Args:
        time_us: When.
        instance: Of the app.
        kind: `alarm` or `event`.
        transition: Of an alarm, `raised` or `returned`; empty for an event.
        text: What it says.
        value: Its value.
        quality: 0 to 2.
        source: Where in the program: the path of the block.
    """

    time_us: int
    instance: str
    kind: str
    transition: str
    text: str
    value: float | None
    quality: int
    source: str = ""


class Difference(NamedTuple):
    """One sample that differs: value and quality (0 to 2) of both."""

    time_us: int
    replayed: float
    replayed_quality: int
    recorded: float
    recorded_quality: int


@dataclass(slots=True)
class OutputComparison:
    """One output of one instance.

    Args:
        name: Of the derived point.
        compared: Instants of which both have a sample.
        different: How many of these differ.
        only_replayed: Scans of which the gateway has no sample.
        only_recorded: Samples of the gateway at no scan of the replay.
        largest: Greatest difference of two good values.
        differences: The first ones.
    """

    name: str
    compared: int = 0
    different: int = 0
    only_replayed: int = 0
    only_recorded: int = 0
    largest: float = 0.0
    differences: list[Difference] = field(default_factory=list)

    def add(self, instants_us: Cells, values: Cells, qualities: Cells, recorded: Series) -> None:
        """Compare some scans.

        Args:
            instants_us: Their times.
            values: What the replay gave.
            qualities: The same, 0 to 2.
            recorded: What the gateway recorded from the first to the last of them.
        """
        _, ours, theirs = np.intersect1d(
            instants_us, recorded.times_us, assume_unique=True, return_indices=True
        )
        self.compared += len(ours)
        self.only_replayed += len(instants_us) - len(ours)
        self.only_recorded += len(recorded.times_us) - len(theirs)
        replayed, marks = values[ours].astype(np.float64), qualities[ours]
        known, known_marks = recorded.values[theirs], severity(recorded.codes[theirs])
        same = (replayed == known) | (np.isnan(replayed) & np.isnan(known))
        same |= (marks == BAD) & (known_marks == BAD)
        wrong = np.flatnonzero(~same | (marks != known_marks))
        self.different += len(wrong)
        with np.errstate(invalid="ignore"):
            gaps = np.abs(replayed[wrong] - known[wrong])
        self.largest = max([self.largest, *gaps[np.isfinite(gaps)].tolist()])
        for at in wrong[: DIFFERENCES_SHOWN_MAX - len(self.differences)].tolist():
            ours_at = (float(replayed[at]), int(marks[at]))
            theirs_at = (float(known[at]), int(known_marks[at]))
            self.differences.append(Difference(int(instants_us[ours[at]]), *ours_at, *theirs_at))


class EventDifference(NamedTuple):
    """One event that differs; `None` where one side has none."""

    time_us: int
    replayed: AppEvent | None
    recorded: AppEvent | None


def compare_events(replayed: Iterable[AppEvent], recorded: Iterable[AppEvent]) -> list[EventDifference]:
    """What differs, by time."""
    waiting: dict[tuple[Any, ...], list[AppEvent]] = defaultdict(list)
    for event in recorded:
        waiting[event[:5]].append(event)
    found = []
    for event in replayed:
        partners = waiting[event[:5]]
        partner = next((each for each in partners if _same(event, each)), None) or next(iter(partners), None)
        if partner is not None:
            partners.remove(partner)
        if partner is None or not _same(event, partner):
            found.append(EventDifference(event.time_us, event, partner))
    found += [
        EventDifference(event.time_us, None, event) for partners in waiting.values() for event in partners
    ]
    return sorted(found, key=lambda each: each.time_us)


def _same(ours: AppEvent, theirs: AppEvent) -> bool:
    both_nan = ours.value is not None and ours.value != ours.value
    same_value = ours.value == theirs.value or (both_nan and theirs.value != theirs.value)
    return same_value and ours.quality == theirs.quality


def count_by_text(events: Sequence[AppEvent]) -> dict[str, int]:
    """How often each thing was told."""
    return dict(Counter(f"{event.transition or event.kind}: {event.text}" for event in events).most_common())
