"""An app on its way through history, with what the gateway recorded on that way.

Rules:
1. A start of the gateway sets the app's state to the recorded one. A state recorded between is
   compared; where it is another one, the recorded one counts from there on.
2. Points that came too late for a scan, and models that did not answer in time, are bad in
   the replay as they were at the gateway.
3. Only samples of a point's own scan instants count: a subscription brings others between.
   Of a point that is kept on change, the value last kept holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from edge_runtime.rules.apps.columnapp import ColumnApp, Scans
from edge_runtime.rules.models.model import ReplayedModel
from headquarters.replay.alarms import Alarms
from headquarters.replay.align import Cells, Series, align
from headquarters.replay.compare import AppEvent
from headquarters.replay.job import Job
from headquarters.replay.timeline import Begin, Mark, Timeline
from protocols.points import Report
from protocols.records import AppSight, AppState, StateKind

EXACT = (Report.ALWAYS, Report.CHANGE)
"""What a scan saw can be told: of `change`, the value last kept holds until the next one."""

NOTHING = Series(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), 0)


class Passed(NamedTuple):
    """Some scans of a replay.

    Args:
        when: Their instants.
        scans: What they gave.
        events: What a gateway journals of it.
    """

    when: Cells
    scans: Scans
    events: list[AppEvent]


class Grid(NamedTuple):
    """Which samples of a point a gateway's scans see, and which it keeps.

    Args:
        period_us: Of its scan class.
        phase_us: Of its scan class.
        report: See `points.Report`.
    """

    period_us: int
    phase_us: int
    report: str


class Course:
    """One app, from its begin on.

    Args:
        job: What is replayed.
        period_us: Of its scans.
        timeline: What the gateway recorded.
        begin: Where it begins.

    Raises:
        ValueError: The state is not one of this app.
    """

    def __init__(self, job: Job, period_us: int, timeline: Timeline, begin: Begin) -> None:
        self._job = job
        self._period_us = period_us
        self._timeline = timeline
        self._app = ColumnApp(job.app, len(job.instances), job.parameters, job.scorers)
        self._lags = dict.fromkeys(job.points, 0)
        self._grids: dict[str, Grid] = {}
        self._since_us = begin.floor_us
        self._alarms = Alarms(begin.standing)
        self._is_cold = False
        self.states = 0
        """Recorded states that were compared."""
        self.different: list[int] = []
        """Times of those that were not the replay's."""
        self.foreign: list[int] = []
        """Times of starts with another version, settings or points, or without a state."""
        self.thinned: set[str] = set()
        """Points of which not every value that a scan saw can be told."""
        if begin.state is not None:
            self._take(begin.state)
        if begin.sight is not None:
            self._look(begin.sight)

    def run(
        self, when: Cells, samples: Mapping[str, Series], marks: Sequence[Mark], lost: Sequence[AppEvent] = ()
    ) -> Iterator[Passed]:
        """Scan at some instants, and take what was recorded between them.

        Args:
            when: The instants.
            samples: Of the points that the app reads.
            marks: In the order of time.
            lost: Events of scans at other instants, whose samples did not survive.
        """
        at = 0
        for mark in sorted([*marks, *lost], key=lambda each: each.time_us):
            before_us = mark.time_us - 1 if isinstance(mark, AppSight) else mark.time_us
            end = int(np.searchsorted(when, before_us, side="right"))
            if end > at:
                yield self._scan(when[at:end], samples)
            at = max(at, end)
            self._pass(mark)
        if at < len(when):
            yield self._scan(when[at:], samples)

    def _scan(self, when: Cells, samples: Mapping[str, Series]) -> Passed:
        values, qualities = {}, {}
        for name in self._job.app.inputs:
            pairs = [self._seen(point, when, samples) for point in self._job.bindings[name]]
            values[name] = np.column_stack([pair[0] for pair in pairs])
            qualities[name] = np.column_stack([pair[1] for pair in pairs])
        scans = self._app.run(when // 1000, values, qualities)
        cold_us = int(when[0]) if self._is_cold else None
        self._is_cold = False
        return Passed(when, scans, self._alarms.journal(list(_events(self._job, scans)), cold_us))

    def _seen(self, point: str, when: Cells, samples: Mapping[str, Series]) -> tuple[Cells, Cells]:
        series = samples.get(point, NOTHING)
        grid = self._grids.get(point)
        if grid is None:
            return align(series, when, self._period_us, self._lags[point], self._since_us)
        own = series.times_us % grid.period_us == grid.phase_us
        series = Series(series.times_us[own], series.values[own], series.codes[own], grid.period_us)
        held = None if grid.report == Report.ALWAYS else grid.phase_us
        return align(series, when, self._period_us, self._lags[point], self._since_us, held)

    # -- what the gateway recorded -------------------------------------------------------------------

    def _pass(self, mark: Mark | AppEvent) -> None:
        if isinstance(mark, AppEvent):
            self._alarms.note(mark)
        elif isinstance(mark, AppSight):
            self._look(mark)
        elif mark.kind.is_start:
            self._start(mark)
        elif self._timeline.is_ours(mark):
            self.states += 1
            if tuple(self._app.snapshot()) != mark.parts:
                self.different.append(mark.time_us)
                self._take(mark)

    def _start(self, mark: AppState) -> None:
        self._since_us = mark.time_us
        self._is_cold = mark.kind is StateKind.COLD
        self._lags = dict.fromkeys(self._lags, 0)
        self._silence(())
        if self._timeline.is_ours(mark):
            self._take(mark)
        else:
            self.foreign.append(mark.time_us)

    def _take(self, state: AppState) -> None:
        self._app.restore(state.parts)
        grids = map(Grid, state.periods_us, state.phases_us, state.reports)
        self._grids = dict(zip(self._job.points, grids, strict=True))
        self.thinned |= {point for point, grid in self._grids.items() if grid.report not in EXACT}
        self._is_cold = state.kind is StateKind.COLD

    def _look(self, sight: AppSight) -> None:
        if len(sight.lags) == len(self._lags):
            self._lags = dict(zip(self._lags, sight.lags, strict=True))
            self._silence(sight.silent)

    def _silence(self, models: Sequence[str]) -> None:
        for scorer in self._job.scorers:
            if isinstance(scorer, ReplayedModel):
                scorer.silent = scorer.model.spec.name in models


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
            site.path,
        )
