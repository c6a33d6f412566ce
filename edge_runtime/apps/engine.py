"""Runs the apps of a gateway, scan by scan, on what collecting delivers.

Rules:
1. Scans of an app lie on the grid of its scan class. One begins when every task that it
   reads has come to that instant, or `GRACE_PERIODS` later without those that have not; it
   is said when that begins, and when it is over.
2. Nobody waits for an app: collecting hands over and goes on. An app that cannot keep up
   gives up its oldest scans, which are declared as a gap of its outputs.
3. Instants that the clock was set over never were: no scan is run for them, and they are declared.
4. What a program or model does wrong costs its app, not the others: it is stopped and says so;
   its outputs are bad from then on.

Pure but for the clock that is handed in; one thread calls `advance`.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge_runtime import limits
from edge_runtime.apps.board import Feed, InputBoard, Reads
from edge_runtime.apps.derived import Derived, Recorder
from edge_runtime.apps.installed import InstalledApp
from edge_runtime.clock import Step
from edge_runtime.intake import Delivery
from edge_runtime.rules.apps.app import AppEvent, LiveApp, Scorer
from edge_runtime.rules.models.livemodels import LiveModel
from edge_runtime.scan import Schedule
from protocols.records import AppSight, Gap, GapCause
from protocols.samples import SampleBlock, ValueType

GRACE_PERIODS = 2
"""How many of its periods, and at least `GRACE_US`, a scan waits for what it reads."""

GRACE_US = 1_000_000

ROUNDS_MAX = 16
"""Scans of one app in a row, before what they gave is handed over."""


class Told(NamedTuple):
    """Something to say about an app.

    Args:
        app: Its id.
        kind: `late`, `on-time`, `behind` or `failed`.
        detail: In words.
        trace: Where it went wrong, when it failed.
    """

    app: str
    kind: str
    detail: str
    trace: str = ""


class Emitted(NamedTuple):
    """What a program emitted.

    Args:
        app: The app.
        time_us: Of the scan.
        event: The event.
    """

    app: InstalledApp
    time_us: int
    event: AppEvent


@dataclass(eq=False, slots=True)
class RunningApp:
    """One app at work.

    Args:
        app: What is installed.
        live: Its programs and their state.
        schedule: Its scans.
        board: The samples that it reads.
        derived: Its outputs' points.
        scorers: Its models.
        gaps: What is missing before its next scan.
        scans: How many it has run.
        began_us: The first one.
        scanned_us: The last one.
        busy_us_max: The longest scan.
        late: Whether it last ran without something it reads.
        sight: What it did not see in its last scan: points that were late, models without an answer.
        failed: Why it was stopped, or empty.
    """

    app: InstalledApp
    live: LiveApp
    schedule: Schedule
    board: InputBoard
    derived: tuple[Derived, ...]
    scorers: tuple[Scorer, ...] = ()
    gaps: list[Gap] = field(default_factory=list)
    scans: int = 0
    began_us: int = 0
    scanned_us: int = 0
    busy_us_max: int = 0
    late: bool = False
    sight: tuple[bytes, tuple[str, ...]] | None = None
    failed: str = ""
    recorder: Recorder = field(init=False)
    ids: tuple[int, ...] = field(init=False)
    """The ids of its outputs."""

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.derived)
        self.ids = tuple(id for each in self.derived for id in each.ids)

    @property
    def task(self) -> str:
        """Its name among the tasks of the gateway."""
        return task_name(self.app.id)

    @property
    def feeds(self) -> list[Feed]:
        """The task of each point that it reads, in the order of its bindings."""
        return [self.board.feed_of(id) for id in bound_ids(self.app)]

    def lags(self, time_us: int) -> bytes:
        """For each of these points, by how many instants what a scan was shown is old."""
        feeds = self.board.feeds.values()
        if not any(feed.lag(time_us) for feed in feeds):
            return self.clear[0]
        return bytes(feed.lag(time_us) for feed in self.feeds)

    @property
    def clear(self) -> tuple[bytes, tuple[str, ...]]:
        """The sight of a scan that sees everything."""
        return bytes(len(self.board.index)), ()

    @property
    def silent(self) -> tuple[str, ...]:
        """Its models that gave no answer in the last scan."""
        live = (scorer for scorer in self.scorers if isinstance(scorer, LiveModel))
        return tuple(scorer.model.spec.name for scorer in live if scorer.silent)


class Outcome(NamedTuple):
    """What advancing gave.

    Args:
        deliveries: Outputs to store.
        emitted: What programs emitted, of one app in the order of time.
        told: What there is to say of the apps.
        sights: Where what an app does not see has changed.
    """

    deliveries: list[Delivery]
    emitted: list[Emitted]
    told: list[Told]
    sights: list[AppSight]


class AppEngine:
    """All apps of a gateway.

    Args:
        apps: What runs.
        now_us: Gateway time.
        steps: The latest forward steps of it.
    """

    def __init__(
        self,
        apps: Sequence[RunningApp],
        now_us: Callable[[], int],
        steps: Callable[[], Sequence[Step]] = tuple,
    ) -> None:
        self.apps = tuple(apps)
        self._now_us = now_us
        self._steps = steps
        self._lock = threading.Lock()
        self._reads = Reads()
        self._bindings = [
            [
                (
                    name,
                    running.board.places([point.id for point in points]),
                    all(point.value_type is ValueType.I64 for point in points),
                )
                for name, points in running.app.bindings.items()
            ]
            for running in apps
        ]
        """Of each app its inputs, where they are, and whether their points are all whole numbers: nothing
        is lost of large ones."""

    def show(self, task: str, instant_us: int, blocks: Sequence[SampleBlock]) -> None:
        """Take what a task read; any thread may call it."""
        with self._lock:
            reads = self._reads.of(task, instant_us, blocks)
            for running in self.apps:
                running.board.put(task, instant_us, reads)

    def advance(self) -> Outcome:
        """Run scans that can begin: of every app in turn, so that a slow one delays no other for long.

        At most `ROUNDS_MAX` of each; `is_ready` says whether there are more.
        """
        outcome = Outcome([], [], [], [])
        for _ in range(ROUNDS_MAX):
            for running in self.apps:
                self._step_over(running)
            ready = [at for at, running in enumerate(self.apps) if self._is_ready(running, self._now_us())]
            if not ready:
                break
            for at in ready:
                self._scan(at, outcome)
        return outcome

    @property
    def is_ready(self) -> bool:
        """Whether a scan can begin."""
        return any(self._is_ready(running, self._now_us()) for running in self.apps)

    # -- one scan ------------------------------------------------------------------------------------

    def _is_ready(self, running: RunningApp, now_us: int) -> bool:
        next_us = running.schedule.next_us
        if now_us < next_us:
            return False
        if running.failed:
            return True
        grace_us = max(GRACE_US, GRACE_PERIODS * running.schedule.period_us)
        return now_us >= next_us + grace_us or not self._missing(running, next_us)

    def _missing(self, running: RunningApp, time_us: int) -> list[str]:
        feeds = running.board.feeds
        return [task for task, feed in feeds.items() if feed.reached_us < feed.needed_us(time_us)]

    def _scan(self, at: int, outcome: Outcome) -> None:
        running = self.apps[at]
        self._give_up(running, self._now_us(), outcome)
        turn = running.schedule.take(running.schedule.next_us)
        assert turn is not None, "called when it is due"
        time_us = turn.instant_us
        blocks = () if running.failed else self._run(at, time_us, outcome)
        if running.failed:
            blocks = running.recorder.bad(time_us)
        gaps, running.gaps = tuple(running.gaps), []
        outcome.deliveries.append(Delivery(running.task, time_us, time_us, blocks, 0, gaps, running.ids))

    def _run(self, at: int, time_us: int, outcome: Outcome) -> tuple[SampleBlock, ...]:
        """Have an app see what there is and compute; returns the samples of its outputs."""
        running = self.apps[at]
        with self._lock:
            missing = self._missing(running, time_us)
            running.board.show(time_us)
            lags = running.lags(time_us)
            values, qualities = {}, {}
            for name, places, whole in self._bindings[at]:
                values[name], qualities[name] = running.board.read(
                    places, time_us, running.schedule.period_us, whole=whole
                )
        if bool(missing) != running.late:
            running.late = bool(missing)
            kind = "late" if missing else "on-time"
            outcome.told.append(Told(running.app.id, kind, ", ".join(missing)))
        began_us = self._now_us()
        try:
            found = running.live.scan(time_us // 1000, values, qualities)
        except Exception as error:  # a bug of ours or of a library costs this app only
            running.failed = f"{type(error).__name__}: {error}"
            outcome.told.append(Told(running.app.id, "failed", running.failed, traceback.format_exc()))
            return ()
        running.busy_us_max = max(running.busy_us_max, self._now_us() - began_us)
        running.scans += 1
        running.began_us = running.began_us or time_us
        running.scanned_us = time_us
        sight = lags, running.silent
        if sight != (running.sight or running.clear):
            outcome.sights.append(AppSight(time_us, running.app.id, *sight))
        running.sight = sight
        outcome.emitted.extend(Emitted(running.app, time_us, event) for event in found.events)
        return running.recorder.blocks(time_us, found.outputs, found.qualities)

    def _step_over(self, running: RunningApp) -> None:
        """Leave out the instants that never were, because the clock was set forward."""
        for step in self._steps():
            if step.from_us <= running.schedule.next_us < step.to_us:
                self._leave_out(running, step.to_us, GapCause.CLOCK_STEP, "the clock was set forward")

    def _give_up(self, running: RunningApp, now_us: int, outcome: Outcome) -> None:
        """Leave the oldest of too many scans out."""
        behind = (now_us - running.schedule.next_us) // running.schedule.period_us
        if behind > limits.APP_SCANS_BEHIND_MAX:
            until_us = now_us - limits.APP_SCANS_BEHIND_MAX * running.schedule.period_us
            detail = f"{running.task}: scans could not be caught up with"
            self._leave_out(running, until_us, GapCause.OVERRUN, detail)
            running.schedule.counters.overruns += 1
            outcome.told.append(Told(running.app.id, "behind", detail))

    def _leave_out(self, running: RunningApp, until_us: int, cause: GapCause, detail: str) -> None:
        """Declare the scans before a time as a gap of the app's outputs."""
        missed = running.schedule.skip(until_us)
        if missed is not None:
            samples = missed.instants * len(running.ids)
            gap = Gap(cause, missed.from_us, missed.to_us, running.ids, samples, detail=detail)
            running.gaps.append(gap)


def task_name(app: str) -> str:
    """An app's name among the tasks of the gateway."""
    return f"app/{app}"


def bound_ids(app: InstalledApp) -> list[int]:
    """The points that an app reads, each once, in the order of its bindings."""
    return list(dict.fromkeys(point.id for bound in app.bindings.values() for point in bound))


def make_board(app: InstalledApp, feeds: Mapping[int, tuple[str, Feed]]) -> InputBoard:
    """The board for an app.

    Args:
        app: What runs.
        feeds: For each point of the gateway, the task that reads it.
    """
    points: dict[str, list[int]] = {}
    used: dict[str, Feed] = {}
    for id in bound_ids(app):
        task, feed = feeds[id]
        points.setdefault(task, []).append(id)
        used[task] = Feed(feed.period_us, feed.phase_us)
    return InputBoard(points, used)
