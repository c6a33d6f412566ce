"""The apps inside a running gateway: from what was collected to outputs, alarms and events.

One thread runs the scans. Outputs go the way of samples, as derived points; alarms and
events go to the alarm manager, which journals and sends them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from edge_runtime.alarms.manager import AlarmManager
from edge_runtime.alarms.store import AlarmId
from edge_runtime.apps import snapshots
from edge_runtime.apps.board import Feed
from edge_runtime.apps.derived import Derived, definitions, derive
from edge_runtime.apps.engine import AppEngine, Emitted, RunningApp, Told, make_board, task_name
from edge_runtime.apps.installed import Grant, InstalledApp
from edge_runtime.apps.loading import load_apps
from edge_runtime.apps.marks import state_of
from edge_runtime.apps.writing import AppWrites
from edge_runtime.buffer import Progress
from edge_runtime.clock import GatewayClock
from edge_runtime.config import GatewayConfig
from edge_runtime.devicewrites import DeviceWrites, Result
from edge_runtime.intake import Intake
from edge_runtime.rules.apps.app import LiveApp, Scorer
from edge_runtime.rules.lowering.flat import EventSite
from edge_runtime.rules.models.livemodels import LiveModel
from edge_runtime.rules.models.model import Model
from edge_runtime.scan import Schedule
from protocols.daemon import EventLog
from protocols.errors import StoreError
from protocols.records import (
    AppState,
    EventRecord,
    EventType,
    Gap,
    GapCause,
    PointDefinition,
    StateKind,
    sight_records,
    state_records,
)

SNAPSHOT_US = 10_000_000
"""How often an app's state is made durable: what a power cut may cost a timer or a total."""

STATE_US = 600_000_000
"""How often an app's state is recorded, for replays to begin with: at most so much must be replayed
before what is asked for."""

WAIT_S = 0.05
"""How soon a scan begins that nothing wakes: one whose time is up without what it reads."""


class Prepared(NamedTuple):
    """The apps of a gateway before they run.

    Args:
        apps: What is installed.
        derived: The points of each app's outputs, by app id.
        definitions: What headquarters must know of these points.
        samples_per_s: How many samples they make in a second.
    """

    apps: tuple[InstalledApp, ...]
    derived: Mapping[str, tuple[Derived, ...]]
    definitions: tuple[PointDefinition, ...]
    samples_per_s: float

    @property
    def tasks(self) -> tuple[str, ...]:
        """Their names among the tasks of the gateway."""
        return tuple(task_name(app.id) for app in self.apps)


def prepare(config: GatewayConfig) -> Prepared:
    """Load the installed apps and give their outputs point ids.

    Raises:
        InputError: With every problem of all apps.
        StoreError: The ids cannot be written.
    """
    apps = load_apps(config)
    derived = derive(config, apps)
    made = tuple(row for app in apps for row in definitions(app, derived[app.id]))
    samples_per_s = sum(1000 / row.scan_period_ms for row in made)
    return Prepared(apps, derived, made, samples_per_s)


class AppService:
    """The apps of one session of the gateway.

    Args:
        data: The gateway's data directory.
        prepared: What is installed.
        feeds: For each point of the gateway, the task that reads it.
        reached: How far an earlier process came with each app's task.
        clock: Gateway time.
        intake: Takes outputs.
        manager: Takes alarms and events.
        log: For what goes wrong.
        devices: Takes what is written to devices.
    """

    def __init__(
        self,
        data: Path,
        prepared: Prepared,
        feeds: Mapping[int, tuple[str, Feed]],
        reached: Mapping[str, Progress],
        clock: GatewayClock,
        intake: Intake,
        manager: AlarmManager,
        log: EventLog,
        devices: DeviceWrites,
    ) -> None:
        self._data = data
        self._clock = clock
        self._intake = intake
        self._manager = manager
        self._log = log
        self._writes = AppWrites(prepared.apps, prepared.derived, devices, manager, log, clock.now_us)
        self._woken = threading.Event()
        self._saved_us = self._recorded_us = clock.now_us()
        self._reached = reached
        self._unsettled: set[str] = set()
        """Apps that started cold and have not scanned yet."""
        with manager.together():  # one commit for all alarms, of which there may be thousands
            running = [self._start(app, prepared.derived[app.id], feeds) for app in prepared.apps]
            manager.retire([id for app in prepared.apps for id, _ in _alarms(app)], clock.now_us())
        self.engine = AppEngine(running, clock.now_us, clock.steps)

    def begin(self) -> None:
        """Scan from now on: called when the tasks that read have their schedules.

        A scan before their first instants would wait for what nobody reads.
        """
        for running in self.engine.apps:
            scan = running.app.scan
            running.schedule = Schedule(scan.period_us, scan.phase_us, self._clock.now_us())
            missed = running.schedule.missed_since(self._reached[running.task].instant_us)
            if missed is not None:
                cause, detail = GapCause.PROCESS_DOWN, "the gateway was not running"
                samples = missed.instants * len(running.ids)
                gap = Gap(cause, missed.from_us, missed.to_us, running.ids, samples, detail=detail)
                running.gaps.append(gap)

    def show(self, task: str, instant_us: int, blocks: Sequence[Any]) -> None:
        """Take what a task read; any thread may call it."""
        self.engine.show(task, instant_us, blocks)
        self._woken.set()

    def wrote(self, result: Result) -> None:
        """Take what became of a write; any thread may call it."""
        self._writes.wrote(result)
        self._woken.set()

    def step(self) -> None:
        """Run what is due; the thread's step."""
        self._woken.wait(WAIT_S)
        self._woken.clear()
        self._advance()
        if self.engine.is_ready:
            self._woken.set()
        if self._clock.now_us() - self._saved_us >= SNAPSHOT_US:
            self.save()
        if self._clock.now_us() - self._recorded_us >= STATE_US:
            self._record(StateKind.SCAN)

    def stop(self) -> None:
        """Run what can still run, and keep the state."""
        self._advance()
        self.save()
        self._record(StateKind.STOP)
        for running in self.engine.apps:
            for scorer in running.scorers:
                if isinstance(scorer, LiveModel):
                    scorer.close()

    def save(self) -> None:
        """Make the state of all apps durable."""
        self._saved_us = self._clock.now_us()
        for running in self.engine.apps:
            if running.scanned_us and not running.failed:
                state = snapshots.take(running.app, running.live, running.scanned_us)
                with suppress(StoreError):  # the next one is soon
                    snapshots.save(self._data, running.app, state)

    def status(self) -> list[dict[str, Any]]:
        """What there is to know of each app."""
        return [
            {
                "app": running.app.id,
                "version": running.app.version,
                "instances": len(running.app.instances),
                "state": "failed" if running.failed else "running",
                "why": running.failed,
                "scans": running.scans,
                "missed": running.schedule.counters.missed,
                "late": running.late,
                "busy_ms_max": round(running.busy_us_max / 1000, 3),
                "writes": self._writes.status(running.app.id),
                "models": [
                    {
                        "model": scorer.model.spec.name,
                        "overruns": scorer.overruns,
                        "rows": scorer.rows,
                        "outside": scorer.outside,
                        "suspended": scorer.suspended,
                    }
                    for scorer in running.scorers
                    if isinstance(scorer, LiveModel)
                ],
            }
            for running in self.engine.apps
        ]

    # -- starting ------------------------------------------------------------------------------------

    def _start(
        self,
        app: InstalledApp,
        derived: tuple[Derived, ...],
        feeds: Mapping[int, tuple[str, Feed]],
    ) -> RunningApp:
        count = len(app.instances)
        scorers: tuple[Scorer, ...] = tuple(
            LiveModel(Model.load(spec, app.built.package.files[spec.file]), count)
            for spec in app.built.package.manifest.models
        )
        live = LiveApp(app.built.app, count, app.parameters, scorers)
        how, since_us = self._resume(app, live)
        start_us = self._clock.now_us()
        schedule = Schedule(app.scan.period_us, app.scan.phase_us, start_us)
        running = RunningApp(app, live, schedule, make_board(app, feeds), derived, scorers)
        for id, site in _alarms(app):
            self._manager.define(*id, site.text, site.priority)
        self._agree(app, live, how)
        self._tell(app, "started", f"version {app.version}, {how}", {"start": how, "state_us": since_us})
        for grant in app.ungranted:
            self._refuse(app, grant)
        self._keep(state_of(running, StateKind(how), start_us))
        if how == StateKind.COLD:
            self._unsettled.add(app.id)
        return running

    def _agree(self, app: InstalledApp, live: LiveApp, how: str) -> None:
        """Let the app's alarm blocks begin with what the alarms' file knows.

        A killed gateway's state is older than its alarms: an alarm that ended or began in between
        would not be told. At a cold start no alarm counts as told: see `_settle`.
        """
        standing = self._manager.standing(app.id) if how == StateKind.WARM else set()
        for index, instance in enumerate(app.instances):
            live.stand(index, {path for name, path in standing if name == instance.name})

    def _resume(self, app: InstalledApp, live: LiveApp) -> tuple[str, int]:
        """Take over the state on disk. Returns `warm` or `cold`, and the time of the state (0: none)."""
        found = snapshots.find(self._data, app)
        if found is None:
            return "cold", 0
        try:
            warm = snapshots.give(app, live, found, self._clock.now_us())
        except ValueError:
            return "cold", 0
        return ("warm" if warm else "cold"), found.time_us

    # -- what came out -------------------------------------------------------------------------------

    def _advance(self) -> None:
        outcome = self.engine.advance()
        with self._manager.together():
            for sight in outcome.sights:
                for record in sight_records(sight):
                    self._manager.tell(record)
            self._settle(outcome.emitted)
            for emitted in outcome.emitted:
                self._emit(emitted)
        for delivery in outcome.deliveries:
            self._intake.put(delivery)
        with self._manager.together():
            self._writes.take(outcome.deliveries)
            for told in (*outcome.told, *self._notices()):
                self._say(told)

    def _notices(self) -> Iterator[Told]:
        """What models have to tell."""
        for running in self.engine.apps:
            for scorer in running.scorers:
                if isinstance(scorer, LiveModel):
                    for notice in scorer.notices():
                        yield Told(running.app.id, notice.kind, f"{notice.model}: {notice.detail}")

    def _settle(self, emitted: Sequence[Emitted]) -> None:
        """After the first scan of a cold start: take back the alarms that it does not see.

        An alarm with a delay whose condition stands comes again when the delay is over.
        """
        for running in self.engine.apps:
            app = running.app
            if app.id in self._unsettled and running.scans:
                self._unsettled.discard(app.id)
                seen = [
                    (app.instances[each.event.event.instance].name, _site(each).path)
                    for each in emitted
                    if each.app is app and each.time_us == running.began_us and not each.event.event.code % 2
                ]
                self._manager.reconcile(app.id, seen, running.began_us)

    def _record(self, kind: StateKind) -> None:
        """Record the state of all apps as it is after their last scan."""
        self._recorded_us = self._clock.now_us()
        for running in self.engine.apps:
            if running.scanned_us and not running.failed:
                self._keep(state_of(running, kind, running.scanned_us))

    def _keep(self, state: AppState) -> None:
        with self._manager.together():
            for record in state_records(state):
                self._manager.tell(record)

    def _emit(self, emitted: Emitted) -> None:
        app, event = emitted.app, emitted.event.event
        site = _site(emitted)
        instance = app.instances[event.instance].name
        if site.kind == "event":
            self._manager.tell(
                EventRecord(
                    emitted.time_us, EventType.EVENT, app.id, instance, site.path, site.text,
                    value=event.value, quality=event.quality,
                )
            )  # fmt: skip
        elif event.code % 2:
            self._manager.return_(app.id, instance, site.path, event.value, event.quality, emitted.time_us)
        else:
            self._manager.raise_(
                app.id,
                instance,
                site.path,
                site.text,
                site.priority,
                event.value,
                event.quality,
                emitted.time_us,
            )

    def _say(self, told: Told) -> None:
        app = next(running.app for running in self.engine.apps if running.app.id == told.app)
        match told.kind:
            case "failed":
                self._log.error("app-failed", app=told.app, why=told.detail, trace=told.trace)
            case "behind":
                self._log.warning("app-behind", app=told.app, why=told.detail)
            case "model-failed":
                self._log.error("model-failed", app=told.app, why=told.detail)
            case "model-suspended":
                self._log.warning("model-suspended", app=told.app, why=told.detail)
            case "late":
                self._log.warning("app-late", app=told.app, without=told.detail)
            case _:
                self._log.info("app-on-time", app=told.app)
        self._tell(app, told.kind, told.detail, {})

    def _refuse(self, app: InstalledApp, grant: Grant) -> None:
        """A grant that nobody signed."""
        place = f"{grant.instance}.{grant.output}"
        self._log.warning("app-grant-refused", app=app.id, grant=place, point=grant.point.name)
        text = f"grant {place} to {grant.point.name} is not in the desired document"
        detail = {"point": grant.point.name, "low": grant.low, "high": grant.high}
        self._tell(app, "grant-refused", text, detail)

    def _tell(self, app: InstalledApp, transition: str, text: str, detail: Mapping[str, Any]) -> None:
        self._manager.tell(
            EventRecord(
                self._clock.now_us(),
                EventType.APP,
                app.id,
                text=text,
                transition=transition,
                detail=dict(detail),
            )
        )


def _alarms(app: InstalledApp) -> Iterator[tuple[AlarmId, EventSite]]:
    """Every alarm that an app can raise, and where in the program."""
    for wired in app.built.app.programs:
        for site in wired.program.events:
            if site.kind == "alarm":
                for instance in app.instances:
                    yield AlarmId(app.id, instance.name, site.path), site


def _site(emitted: Emitted) -> EventSite:
    """Where in the program an event comes from."""
    program = emitted.app.built.app.programs[emitted.event.program].program
    return program.events[emitted.event.event.code // 2]
