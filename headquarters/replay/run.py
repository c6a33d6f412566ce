"""Runs an app over the lake, portion by portion, and compares on the way.

A replay begins as an app does that is started for the first time, or from an `Anchor`: state
that the gateway recorded. What is in memory is bounded by `CELLS_MAX`, not by the time span.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from edge_runtime.rules.app import CompiledApp, Scorer
from edge_runtime.rules.columnapp import ColumnApp, Scans
from headquarters.lake.query import Engine
from headquarters.replay.align import AGE_PERIODS, Cells, Series, align, instants
from headquarters.replay.compare import AppEvent, OutputComparison, compare_events
from headquarters.replay.recorded import Point, find_points, read_events, read_samples, span_of
from headquarters.replay.report import Report

CELLS_MAX = 4_000_000
"""Input values of one portion: about 300 MB with all that is made of them."""

Progress = Callable[[int, int], None]


class Anchor(NamedTuple):
    """Where a replay begins with the gateway's own state.

    Args:
        time_us: Of the scan after which it was taken; the replay begins with the next.
        state: `LiveApp.snapshot` of the same app with the same instances.
    """

    time_us: int
    state: Sequence[bytes]


class Sink(Protocol):
    """Takes what comes out; see `files.Folder`."""

    def add(self, times_us: Cells, columns: Mapping[str, tuple[Cells, Cells]]) -> None:
        """Some scans: their times; by point, values and qualities."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is replayed.

    Args:
        app: The app.
        gateway: Where it ran.
        period_us: Of its scans.
        instances: Names of its instances.
        bindings: For each of the app's inputs the point of each instance.
        parameters: By name, a value for each instance; left out: the declared one.
        scorers: Its models, loaded.
        recorded: For each output the derived point of each instance; left out: `<app>.<instance>.<output>`.
    """

    app: CompiledApp
    gateway: str
    period_us: int
    instances: tuple[str, ...]
    bindings: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    scorers: Sequence[Scorer] = ()
    recorded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The app's outputs and its models', as they are recorded."""
        models = [name for scorer in self.scorers for name in scorer.outputs]
        return (*self.app.outputs, *models)

    def derived(self, output: str) -> tuple[str, ...]:
        """The points that an output is recorded as, one an instance."""
        usual = tuple(f"{self.app.id}.{instance}.{output}" for instance in self.instances)
        return self.recorded.get(output, usual)


class Replay:
    """One replay.

    Args:
        engine: The lake.
        job: What is replayed.
        sink: Takes all outputs, if anything wants them.
    """

    def __init__(self, engine: Engine, job: Job, sink: Sink | None = None) -> None:
        self._sink = sink
        self._engine = engine
        self._job = job
        inputs = {name for names in job.bindings.values() for name in names}
        derived = {name for output in job.outputs for name in job.derived(output)}
        known = find_points(engine, job.gateway, inputs | derived)
        self._inputs = {name: known[name] for name in sorted(inputs) if name in known}
        self._derived = {name: known[name] for name in sorted(derived) if name in known}
        self._missing = sorted(inputs - set(known))
        self._period_us = max((point.period_us for point in self._derived.values()), default=job.period_us)
        self._recorded = span_of(engine, self._derived.values())
        self._comparisons = {name: OutputComparison(name) for name in self._derived}
        self._events: list[AppEvent] = []
        self._scans = 0

    def run(self, from_us: int, to_us: int, progress: Progress, anchor: Anchor | None = None) -> Report:
        """Replay [from, to).

        Args:
            from_us: The first instant.
            to_us: The first that is not wanted.
            progress: Told how many seconds of how many are done.
            anchor: State to begin with; the replay then begins after it.

        Raises:
            ValueError: The anchor is of another app.
        """
        job, began = self._job, time.perf_counter()
        app = ColumnApp(job.app, len(job.instances), job.parameters, job.scorers)
        if anchor is not None:
            app.restore(anchor.state)
            from_us = anchor.time_us + 1
        for part_from, part_to in self._portions(from_us, to_us):
            self._portion(app, part_from, part_to)
            progress((part_to - from_us) // 1_000_000, (to_us - from_us) // 1_000_000)
        recorded = read_events(self._engine, job.gateway, job.app.id, from_us, to_us)
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
            tuple(recorded),
            tuple(compare_events(self._events, recorded)),
            time.perf_counter() - began,
        )

    def _portions(self, from_us: int, to_us: int) -> Iterator[tuple[int, int]]:
        cells = max(1, len(self._job.bindings) * len(self._job.instances))
        step = self._period_us * max(1, CELLS_MAX // cells)
        for begin in range(from_us, to_us, step):
            yield begin, min(begin + step, to_us)

    def _portion(self, app: ColumnApp, from_us: int, to_us: int) -> None:
        slowest = max((point.period_us for point in self._inputs.values()), default=0)
        samples = self._read(self._inputs, from_us - AGE_PERIODS * slowest, to_us)
        recorded = self._read(self._derived, from_us, to_us)
        when = self._instants(samples, recorded, from_us, to_us)
        if len(when):
            values, qualities = self._seen(samples, when)
            scans = app.run(when // 1000, values, qualities)
            self._scans += len(when)
            self._events += _events(self._job, scans)
            self._compare(scans, when, recorded)
        else:
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

    def _seen(self, samples: Mapping[str, Series], when: Cells) -> tuple[dict[str, Cells], dict[str, Cells]]:
        """Values and qualities of the app's inputs, (scans, instances) each."""
        nothing = Series(when[:0], np.zeros(0), when[:0], 0)
        values, qualities = {}, {}
        for name in self._job.app.inputs:
            pairs = [
                align(samples.get(point, nothing), when, self._period_us)
                for point in self._job.bindings[name]
            ]
            values[name] = np.column_stack([pair[0] for pair in pairs])
            qualities[name] = np.column_stack([pair[1] for pair in pairs])
        return values, qualities

    def _compare(self, scans: Scans, when: Cells, recorded: Mapping[str, Series]) -> None:
        columns = {
            name: (scans.outputs[name], scans.qualities[name]) for name in scans.outputs
        } | scans.scored
        found = {
            name: (values[:, at], qualities[:, at])
            for output, (values, qualities) in columns.items()
            for at, name in enumerate(self._job.derived(output))
        }
        for name, comparison in self._comparisons.items():
            comparison.add(when, *found[name], recorded[name])
        if self._sink is not None:
            self._sink.add(when, found)


def _events(job: Job, scans: Scans) -> Iterator[AppEvent]:
    """The events of some scans as the gateway would record them."""
    for event in scans.events:
        site = job.app.programs[event["program"]].program.events[event["code"] // 2]
        transition = "" if site.kind == "event" else ("returned" if event["code"] % 2 else "raised")
        yield AppEvent(
            1000 * int(event["time_ms"]),
            job.instances[event["instance"]],
            site.kind,
            transition,
            site.text,
            float(event["value"]),
            int(event["quality"]),
        )
