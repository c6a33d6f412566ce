"""Runs an app over the lake, portion by portion, and compares on the way.

A replay begins with a state that the gateway recorded, or as an app does that is started for
the first time. Samples in memory are bounded by `CELLS_MAX`, not by the time span; the events,
which the report lists, are all kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from edge_runtime.rules.running.inputs import AGE_PERIODS
from headquarters.lake.query import Engine
from headquarters.replay.align import Cells, Series, instants
from headquarters.replay.compare import AppEvent, OutputComparison, compare_events
from headquarters.replay.course import Course, Passed
from headquarters.replay.job import Job
from headquarters.replay.recorded import (
    Point,
    find_points,
    known_gateways,
    read_events,
    read_samples,
    span_of,
)
from headquarters.replay.report import Report, Trust, iso
from headquarters.replay.timeline import Begin, Timeline
from protocols.errors import InputError, Problem
from protocols.tomlfile import suggest

CELLS_MAX = 4_000_000
"""Input values of one portion: about 300 MB with all that is made of them."""

Progress = Callable[[int, int], None]


class Sink(Protocol):
    """Takes what comes out; see `files.Folder`."""

    def add(self, times_us: Cells, columns: Mapping[str, tuple[Cells, Cells]]) -> None:
        """Some scans: their times; by point, values and qualities."""


class Replay:
    """One replay.

    Args:
        engine: The lake.
        job: What is replayed.
        sink: Takes all outputs, if anything wants them.

    Raises:
        InputError: The lake knows no point that the app reads.
    """

    def __init__(self, engine: Engine, job: Job, sink: Sink | None = None) -> None:
        self._engine = engine
        self._job = job
        self._sink = sink
        inputs = set(job.points)
        derived = {name for output in job.outputs for name in job.derived(output)}
        known = find_points(engine, job.gateway, inputs | derived)
        self._inputs = {name: known[name] for name in sorted(inputs) if name in known}
        self._derived = {name: known[name] for name in sorted(derived) if name in known}
        self._missing = sorted(inputs - set(known))
        if not self._inputs:
            raise InputError([_no_points(engine, job)])
        self._period_us = max((point.period_us for point in self._derived.values()), default=job.period_us)
        self._recorded = span_of(engine, self._derived.values())
        self._timeline = Timeline(engine, job.gateway, job.app.id, job.key)
        self._comparisons = {name: OutputComparison(name) for name in self._derived}
        self._events: list[AppEvent] = []
        self._recorded_events: list[AppEvent] = []
        self._lost: list[AppEvent] = []
        """Recorded events of scans whose samples are not in the lake."""
        self._scans = 0

    def run(self, from_us: int, to_us: int, progress: Progress) -> Report:
        """Replay [from, to).

        Args:
            from_us: The first instant.
            to_us: The first that is not wanted.
            progress: Told how many seconds of how many are done.

        Raises:
            InputError: The lake has no scan of the app there.
        """
        job, began = self._job, time.perf_counter()
        begin = self._timeline.begin(from_us)
        course = Course(job, self._period_us, self._timeline, begin)
        first_us = from_us if begin.state is None else begin.state.time_us + 1
        self._recorded_events = read_events(self._engine, job.gateway, job.app.id, first_us, to_us)
        for part_from, part_to in self._portions(first_us, from_us):
            self._portion(course, part_from, part_to, tell=False)
        for part_from, part_to in self._portions(from_us, to_us):
            self._portion(course, part_from, part_to, tell=True)
            progress((part_to - from_us) // 1_000_000, (to_us - from_us) // 1_000_000)
        if not self._scans:
            raise InputError([_no_scans(self._engine, self._inputs.values(), from_us, to_us)])
        lost = set(self._lost)
        events = [each for each in self._recorded_events if each.time_us >= from_us]
        return Report(
            job.app.id,
            job.app.version,
            job.gateway,
            from_us,
            to_us,
            job.instances,
            self._scans,
            tuple(self._missing),
            tuple(self._comparisons.values()),
            tuple(self._events),
            tuple(events),
            tuple(compare_events(self._events, [each for each in events if each not in lost])),
            time.perf_counter() - began,
            self._trust(course, begin, from_us, to_us),
        )

    def _portions(self, from_us: int, to_us: int) -> Iterator[tuple[int, int]]:
        cells = max(1, len(self._job.bindings) * len(self._job.instances))
        step = self._period_us * max(1, CELLS_MAX // cells)
        for begin in range(from_us, to_us, step):
            yield begin, min(begin + step, to_us)

    def _portion(self, course: Course, from_us: int, to_us: int, *, tell: bool) -> None:
        slowest = max((point.period_us for point in self._inputs.values()), default=0)
        samples = self._read(self._inputs, from_us - (AGE_PERIODS + 1) * slowest, to_us)
        recorded = self._read(self._derived, from_us, to_us)
        when = self._instants(samples, recorded, from_us, to_us)
        within = [event for event in self._recorded_events if from_us <= event.time_us < to_us]
        scanned = np.isin(np.array([event.time_us for event in within], np.int64), when)
        lost = [event for event, known in zip(within, scanned.tolist(), strict=True) if not known]
        passed = list(course.run(when, samples, self._timeline.marks(from_us, to_us), lost))
        self._lost += lost
        if tell and passed:
            self._tell(passed, recorded)
        elif tell:
            for name, comparison in self._comparisons.items():
                comparison.only_recorded += len(recorded[name].times_us)

    def _instants(
        self, samples: Mapping[str, Series], recorded: Mapping[str, Series], from_us: int, to_us: int
    ) -> Cells:
        """When the scans were: as recorded from the first to the last of them, else as the inputs say."""
        supposed = instants(list(samples.values()), self._period_us, from_us, to_us)
        if self._recorded is None:
            return supposed
        first_us, last_us = self._recorded
        outside = supposed[(supposed < first_us) | (supposed > last_us)]
        found: Cells = np.unique(
            np.concatenate([outside, *(series.times_us for series in recorded.values())])
        )
        return found

    def _read(self, points: Mapping[str, Point], from_us: int, to_us: int) -> dict[str, Series]:
        return read_samples(self._engine, points.values(), from_us, to_us)

    def _tell(self, passed: Sequence[Passed], recorded: Mapping[str, Series]) -> None:
        """Take what a portion gave: events, outputs, and how they compare."""
        when = np.concatenate([part.when for part in passed])
        self._scans += len(when)
        self._events += [event for part in passed for event in part.events]
        parts = [_columns(part) for part in passed]
        found = {
            name: (values[:, at], qualities[:, at])
            for output in parts[0]
            for values, qualities in [_joined([part[output] for part in parts])]
            for at, name in enumerate(self._job.derived(output))
        }
        for name, comparison in self._comparisons.items():
            comparison.add(when, *found[name], recorded[name])
        if self._sink is not None:
            self._sink.add(when, found)

    def _trust(self, course: Course, begin: Begin, from_us: int, to_us: int) -> Trust:
        reasons = []
        ran_before = self._recorded is not None and self._recorded[0] < from_us
        if begin.state is None and ran_before:
            reasons.append("no state of this app with these settings was recorded before: it begins cold")
        reasons += [
            f"{iso(time_us)}: a start with another version or settings, or a state too large to record"
            for time_us in course.foreign
        ]
        reasons += [f"{iso(time_us)}: the recorded state is another one" for time_us in course.different]
        lost = sum(event.time_us >= from_us for event in self._lost)
        if lost:
            reasons.append(f"{lost:,} recorded events are of scans whose samples did not survive")
        thinned = course.thinned | {name for name, point in self._inputs.items() if point.thinned}
        if thinned:
            reasons.append(f"stored thinned: {', '.join(sorted(thinned))}")
        if self._recorded is None or self._recorded[0] >= to_us or self._recorded[1] < from_us:
            reasons.append(
                "the gateway recorded no outputs: its scans are supposed where its points have samples"
            )
        return Trust(None if begin.state is None else begin.state.time_us, course.states, tuple(reasons))


def _columns(passed: Passed) -> dict[str, tuple[Cells, Cells]]:
    """Values and qualities of every output, (scans, instances)."""
    scans = passed.scans
    return {name: (scans.outputs[name], scans.qualities[name]) for name in scans.outputs} | scans.scored


def _joined(parts: Sequence[tuple[Cells, Cells]]) -> tuple[Cells, Cells]:
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _no_points(engine: Engine, job: Job) -> Problem:
    """Why nothing of what the app reads is known."""
    gateways = known_gateways(engine)
    if job.gateway not in gateways:
        return Problem(
            "--gateway", "", job.gateway, f"a gateway of the lake; {suggest(job.gateway, gateways)}"
        )
    return Problem("--settings", "inputs", ", ".join(job.points)[:80], f"points of the gateway {job.gateway}")


def _no_scans(engine: Engine, inputs: Iterable[Point], from_us: int, to_us: int) -> Problem:
    """Why there was nothing to replay."""
    span = span_of(engine, inputs)
    known = "no sample at all" if span is None else f"samples from {iso(span[0])} to {iso(span[1])}"
    asked = f"{iso(from_us)} to {iso(to_us)}"
    return Problem(
        "--from, --to", "", asked, f"times of which the lake has scans; of what the app reads it has {known}"
    )
