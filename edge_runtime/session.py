"""One life of the gateway on one buffer file: what opens its files and sockets and starts threads.

One asyncio loop collects (the main thread), one thread stores, one sends, one tells how
it goes. They meet in the intake, the buffer's file and a few counters, nowhere else.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.alarms.service import AlarmService
from edge_runtime.apps.home import settings_files
from edge_runtime.buffer import Buffer, Limits, Progress, Shared, Store
from edge_runtime.buffer.opening import Opened, open_store, set_aside
from edge_runtime.clock import GatewayClock, new_boot_id
from edge_runtime.collect import Collector, CollectTask
from edge_runtime.commands.fieldwork import WHO
from edge_runtime.commands.service import CommandService, Surroundings
from edge_runtime.config import GatewayConfig, ScanClass
from edge_runtime.devicewrites import DeviceWrites, Result
from edge_runtime.export import Export
from edge_runtime.intake import Intake
from edge_runtime.status import StatusBoard
from edge_runtime.uplink import Uplink
from edge_runtime.worker import Worker
from edge_runtime.writer import Rules, Writer
from protocols.calls import ServiceAddress, Upward
from protocols.daemon import EXIT_FAULT, EXIT_OK, EventLog, Stop, write_status
from protocols.errors import InputError, StoreDamagedError, StoreError, StoreFullError
from protocols.field import registry
from protocols.field.base import Driver, DriverContext, DriverEvent
from protocols.identity import Identity, VerifyKey
from protocols.points import Point, to_definition
from protocols.records import EventRecord, EventType, Gap, GapCause, OpenReason, clean_event, pack_definitions
from protocols.standing import read_standing

if TYPE_CHECKING:
    from edge_runtime.apps.service import AppService, Prepared
    from edge_runtime.desired.service import DesiredService
    from edge_runtime.page.server import PageServer
    from edge_runtime.provision.membership import Member
    from edge_runtime.slots.spool import SlotEvent
    from protocols.probe import Probe

Parts = Mapping[str, tuple[str, ScanClass, Sequence[Point]]]
"""For each collecting task its device, its scan class and its points."""

BUFFER = "buffer.db"
STATUS = "status.json"
FIRMWARE_EVENTS = "firmware-events"
"""Where in the home the supervisor leaves what happened to firmware."""

STATUS_S = 1.0
"""How often the status file is rewritten."""

STATEMENT_S = 30.0
"""How often the ledger is stated while an upstream listens."""

STATEMENT_ALONE_S = 600.0
"""And while none does: statements are never given up under quota."""

DEFINE_EVERY_S = 86_400.0
"""How often the point table is sent though it is the same: about 2 MB for 100,000 points, of a day's 7 GB."""

DRAIN_S = 10.0
"""At a clean stop, how long to wait for headquarters' receipt for the last batch."""

ALONE_S = 20.0
"""While no upstream listens, the directory is asked for so often: it may name other keys of theirs."""

INTAKE_SECONDS = 30
"""What the intake holds, in seconds of full collection; a disk that halts for longer costs samples."""

POLL_S = 0.1
"""How soon the loop notices that it should stop."""


def service_addresses(config: GatewayConfig) -> list[ServiceAddress]:
    """Where the gateway's calls go: `Upward` takes them."""
    return [
        ServiceAddress(upstream.id, upstream.service, upstream.link)
        for upstream in config.upstreams
        if upstream.service is not None
    ]


def _member_of(config: GatewayConfig, log: EventLog) -> Member | None:
    """The gateway's place in its group; one that never enrolled has none, and saves 0.3 MB."""
    if read_standing(config.home) is None:
        return None
    from edge_runtime.provision.membership import Member

    return Member(config, log)


def give_back_memory() -> None:
    """Hand back to the system what starting up has freed: about 1 MB that glibc would keep for ever."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


class Session:
    """One life of the gateway on one buffer file.

    Args:
        config: The configuration.
        identity: The gateway's keys.
        log: For events.
        stop: Asked for by a signal.
        damaged: The file that the session before this one had to give up, or `None`.
        desired: Told of this session's life, and asked for reports; or `None`.
    """

    def __init__(
        self,
        config: GatewayConfig,
        identity: Identity,
        log: EventLog,
        stop: Stop,
        damaged: Path | None = None,
        desired: DesiredService | None = None,
    ) -> None:
        self._desired = desired
        self._member = _member_of(config, log)
        self._config = config if self._member is None else self._member.current()
        self._identity = identity
        self._log = log
        self._stop = stop
        self._damaged = damaged
        self._failed = threading.Event()
        self._anew = threading.Event()
        self._asking_over = threading.Event()
        """Nothing waits for an upstream's answer any longer."""
        self._began = time.monotonic()
        self._path = config.data / BUFFER
        self._stores: list[Store] = []
        self._workers: list[Worker] = []
        self._shared = Shared()
        self._alarms: AlarmService | None = None
        self._apps: AppService | None = None
        self._joining: Worker | None = None
        self._commands: CommandService | None = None
        self._page: PageServer | None = None
        self._told: dict[str, Any] = {}
        """What was last said of the gateway."""
        self._probe: Probe | None = None

    @property
    def anew(self) -> bool:
        """Whether another session should follow, on what is in the home directory then."""
        return self._anew.is_set()

    @property
    def status(self) -> dict[str, Any] | None:
        """The last status document; `None` before the first."""
        return self._told or None

    def tell(self, record: EventRecord) -> None:
        """Journal and send an event; from any thread."""
        if self._alarms is not None:
            self._alarms.manager.tell(clean_event(record))

    def begin_anew(self, why: str) -> None:
        """End this session in order, so that another begins on new files of the home; from any thread."""
        self._log.info("session-anew", why=why)
        self._anew.set()

    def run(self) -> int:
        """Collect, store and send until the end.

        Returns:
            The exit code.

        Raises:
            StoreDamagedError: The file cannot be read any more; `give_up_file` sets it aside.
        """
        opened = self._open()
        try:
            self._build(opened)
            asyncio.run(self._live())
        finally:
            self._asking_over.set()
            if self._desired is not None:
                self._desired.ended()
            for worker in self._workers:
                worker.end()
            if self._page is not None:
                self._page.close()
            if self._alarms is not None:
                self._alarms.close()
            if self._commands is not None:
                self._commands.close()
            for store in self._stores:
                store.close()
        for worker in self._workers:
            if isinstance(worker.error, StoreDamagedError):
                raise worker.error
            if worker.error is not None:
                lines = "".join(traceback.format_exception(worker.error))
                self._log.error("gateway-bug", thread=worker.name, error=lines)
                return EXIT_FAULT
        self._log.info("gateway-stopped", unaccounted=self._left_over)
        return EXIT_OK

    # -- building ------------------------------------------------------------------------------

    def _open(self) -> Opened:
        opened = open_store(self._path, self._shared.gate, time.time_ns() // 1000)
        self._stores.append(opened.store)
        (floor_us,) = opened.store.row("select max(instant) from progress")
        self._clock = GatewayClock(new_boot_id(), floor_us=floor_us)
        if opened.set_aside is not None:
            self._log.error("buffer-set-aside", file=str(opened.set_aside), why=opened.why)
        return opened

    def _buffer(self, store: Store) -> Buffer:
        config = self._config
        return Buffer(
            store,
            config.id,
            self._identity.signing,
            headquarters=None if config.headquarters is None else VerifyKey(config.headquarters.signing),
            clock=self._clock,
            limits=Limits(config.buffer.quota_bytes, config.buffer.policy),
            trim=config.buffer.trim,
            shared=self._shared,
        )

    def _another_buffer(self) -> Buffer:
        store = Store.open(self._path, self._shared.gate)
        self._stores.append(store)
        return self._buffer(store)

    def _build(self, opened: Opened) -> None:
        config, clock = self._config, self._clock
        self._started_us = clock.now_us()
        buffer, was_damaged = self._begin_buffer(opened)
        buffer.release(upstream.id for upstream in config.upstreams)
        apps = self._prepare_apps()
        own = [to_definition(point, config.scan[point.scan_class].period_ms) for point in config.points]
        definitions = pack_definitions([*own, *(apps.definitions if apps else ())])
        buffer.define(definitions)
        rules = Rules(config.buffer.flush_s, config.buffer.batch_samples_max)
        per_s = sum(1e6 / config.scan[point.scan_class].period_us for point in config.points)
        per_s += apps.samples_per_s if apps else 0.0
        intake = Intake(round(max(4 * rules.batch_samples_max, INTAKE_SECONDS * per_s)))
        self._alarms = AlarmService(config.data, buffer, intake.events, clock.now_us, self._log)
        self._writer_buffer = buffer
        self._writer = Writer(
            buffer, intake, clock, hashlib.sha256(definitions).digest(), rules, time.monotonic
        )
        with suppress(StoreFullError):
            recovered = self._writer.recover()
            if recovered:
                self._log.info("journal-recovered", samples=recovered)
        # After damage the gap declared above ends at the start: nothing may lie between.
        begin_us = self._started_us if was_damaged else clock.now_us()
        parts = {
            f"{device}/{scan.name}": (device, scan, points)
            for device in config.devices
            for scan in config.scan.values()
            if (points := config.points_of(device, scan.name))
        }
        reached = buffer.resume([*parts, *(apps.tasks if apps else ())], begin_us)
        self._drivers = self._make_drivers()
        self._device_writes = DeviceWrites(self._drivers, self._log)
        if apps is None:
            self._alarms.manager.retire((), clock.now_us())
        else:
            self._build_apps(apps, parts, reached, intake)
        self._collector = self._build_collector(parts, reached, intake)
        if self._apps is not None:
            self._apps.begin()
        self._uplink: Uplink | Export | None = None
        if config.export is not None:
            sent = self._another_buffer()
            self._uplink = Export(config.export, self._identity, sent, self._log, clock.now_us)
        elif config.upstreams:
            self._uplink = Uplink(config, self._identity, self._another_buffer(), self._log)
        self._board = StatusBoard(
            config,
            self._another_buffer(),
            clock,
            self._collector.tasks,
            self._drivers,
            self._writer,
            None if self._uplink is None else self._uplink.status,
            self._started_us,
            list if self._apps is None else self._apps.status,
            self._alarms_raised,
            None if self._desired is None else self._desired.status,
        )
        self._build_commands(apps)
        self._build_page()
        self._build_workers(rules)
        give_back_memory()

    def _begin_buffer(self, opened: Opened) -> tuple[Buffer, bool]:
        """The buffer, and whether the one before was damaged: what was saved is in it, the rest declared."""
        buffer = self._buffer(opened.store)
        damaged = self._damaged or opened.set_aside
        salvaged = None if damaged is None else buffer.salvage(damaged)
        buffer.begin(OpenReason.FIRST if salvaged is None else OpenReason.STORE_LOST)
        if salvaged is not None:
            detail = f"the buffer was damaged and set aside; {salvaged.batches} batches could be saved"
            lost_from_us = min(salvaged.lost_from_us, self._started_us)
            buffer.declare([Gap(GapCause.STORE_DAMAGED, lost_from_us, self._started_us, detail=detail)])
            self._log.warning("buffer-salvaged", file=str(damaged), batches=salvaged.batches)
        return buffer, salvaged is not None

    def _prepare_apps(self) -> Prepared | None:
        """The installed apps. Their compiler takes 6 MB: a gateway without apps does not load it."""
        if not settings_files(self._config.home):
            return None
        from edge_runtime.apps.service import prepare

        return prepare(self._config)

    def _build_apps(
        self, apps: Prepared, parts: Parts, reached: Mapping[str, Progress], intake: Intake
    ) -> None:
        from edge_runtime.apps.board import Feed
        from edge_runtime.apps.service import AppService

        feeds = {
            point.id: (name, Feed(scan.period_us, scan.phase_us))
            for name, (_, scan, points) in parts.items()
            for point in points
        }
        assert self._alarms is not None
        manager = self._alarms.manager
        self._apps = AppService(
            self._config.data,
            apps,
            feeds,
            reached,
            self._clock,
            intake,
            manager,
            self._log,
            self._device_writes,
        )

    def _build_commands(self, apps: Prepared | None) -> None:
        assert self._alarms is not None
        owners = {grant.point.id: app.id for app in (apps.apps if apps else ()) for grant in app.grants}
        around = Surroundings(
            self._drivers,
            self._device_writes,
            owners,
            self._alarms.manager,
            lambda: self._told,
            self.begin_anew,
            None if self._desired is None else self._desired.refresh,
        )
        self._commands = CommandService(self._config, around, self._clock, self._log)
        self._alarms.add(self._commands.door)

    def _build_page(self) -> None:
        """The status page, where one is wanted: its server takes 2 MB. One that cannot open ends nothing."""
        page = self._config.page
        if page is None:
            return
        from edge_runtime.metrics import METRICS, why_not_ready
        from edge_runtime.page.firmware import describe_slots
        from edge_runtime.page.service import make_page
        from protocols.probe import Probe

        self._probe = Probe(METRICS, why_not_ready, metrics_shown=page.metrics)
        assert self._alarms is not None
        manager, now_us = self._alarms.manager, self._clock.now_us
        try:
            self._page = make_page(
                self._config,
                page,
                self._identity.public,
                manager,
                now_us,
                lambda: self._told,
                self._probe.answer,
                partial(describe_slots, self._config.home),
                self._log,
            )
        except InputError as error:
            self._log.error("page-closed", why=str(error))

    def _make_drivers(self) -> dict[str, Driver]:
        config = self._config
        return {
            name: registry.create(
                device.driver,
                device.settings,
                DriverContext(
                    device=name,
                    gateway=config.id,
                    keys=config.home / "keys",
                    events=self._driver_event,
                    now_us=self._clock.now_us,
                ),
            )
            for name, device in config.devices.items()
        }

    def _build_collector(self, parts: Parts, reached: Mapping[str, Progress], intake: Intake) -> Collector:
        show = None if self._apps is None else self._apps.show
        tasks = [
            CollectTask(
                device,
                scan,
                points,
                self._drivers[device],
                self._clock,
                intake,
                self._log,
                reached[name],
                show,
            )
            for name, (device, scan, points) in parts.items()
        ]
        return Collector(self._drivers, tasks, self._log)

    def _build_workers(self, rules: Rules) -> None:
        self._writing = Worker("writer", self._write, self._failed.set)
        self._sending = None
        if self._uplink is not None:
            self._sending = Worker("uplink", self._uplink.step, self._failed.set)
        self._telling = Worker("status", self._tell, self._failed.set)
        self._ruling = None if self._apps is None else Worker("apps", self._apps.step, self._failed.set)
        self._joining = self._build_joining()
        assert self._commands is not None
        self._commanding = Worker("commands", self._commands.executor.step, self._failed.set)
        self._asking = self._build_asking()
        self._workers = [
            worker
            for worker in (
                *(self._ruling, self._commanding, self._asking, self._joining),
                *(self._writing, self._sending, self._telling),
            )
            if worker is not None
        ]
        self._state = "running"
        self._write_at = time.monotonic() + rules.step_s
        self._step_s = rules.step_s
        self._state_at = time.monotonic() + STATEMENT_S
        self._left_over = 0
        self._warm = False

    def _build_joining(self) -> Worker | None:
        """The thread that keeps the gateway's place in its group, where it has one."""
        services = [] if self._member is None else self._member.addresses()
        if not services:
            return None
        self._upward = Upward(services, self._identity.link, give_up=self._asking_over.is_set)
        return Worker("membership", self._keep_membership, self._failed.set, self._upward.close)

    def _pause_asking(self, seconds: float) -> None:
        """Wait, also when nothing is asked any more: until the thread ends."""
        assert self._asking is not None
        self._asking.wait(seconds)

    def _build_asking(self) -> Worker | None:
        """The thread that asks the upstream for commands, where there is one that answers calls."""
        addresses = service_addresses(self._config)
        if not addresses or self._config.headquarters is None:
            return None
        assert self._commands is not None
        upward = Upward(addresses, self._identity.link, give_up=self._asking_over.is_set)
        link = self._commands.make_link(upward, self._pause_asking)
        return Worker("command-link", link.step, self._failed.set, upward.close)

    # -- the threads' steps ------------------------------------------------------------------------

    def _write(self) -> None:
        if not self._warm:
            self._warm = True
            with suppress(StoreFullError):
                self._stores[0].warm(self._path)
        self._writing.wait(self._write_at - time.monotonic())
        now = time.monotonic()
        self._write_at = max(self._write_at + self._step_s, now)
        before = self._writer.trouble
        self._writer.step()
        if self._writer.trouble and not before:
            self._log.error("store-full", why=self._writer.trouble)
        elif before and not self._writer.trouble:
            self._log.info("store-has-room")
        if now >= self._state_at:
            self._make_statement()
        self._send_report()

    def _send_report(self) -> None:
        report = None if self._desired is None else self._desired.take_report()
        if report is None or self._desired is None:
            return
        try:
            self._writer_buffer.report(report.pack())
        except StoreFullError:
            self._desired.put_back(report)

    def _make_statement(self) -> None:
        listening = self._uplink is not None and self._uplink.status.connected
        self._state_at = time.monotonic() + (STATEMENT_S if listening else STATEMENT_ALONE_S)
        with suppress(StoreFullError):  # the next one says more
            self._writer_buffer.state()
            if listening:
                self._writer_buffer.define_again(round(1e6 * DEFINE_EVERY_S))
            self._left_over = self._writer_buffer.counts().unaccounted

    def _tell(self) -> None:
        self._telling.wait(STATUS_S)
        if self._alarms is not None:
            self._alarms.step()
            self._tell_of_firmware(self._alarms)
        self._write_status()

    def _tell_of_firmware(self, alarms: AlarmService) -> None:
        """Make events of what the supervisor left; a gateway without one does not load its code."""
        folder = self._config.home / FIRMWARE_EVENTS
        if not folder.is_dir():
            return
        from edge_runtime.slots import spool

        with suppress(StoreError):  # what cannot be removed now is told again: a repeat, not a loss
            spool.take(folder, lambda event: alarms.manager.tell(firmware_event(event)))

    def _write_status(self) -> None:
        with suppress(StoreError):  # no room for a status is no reason to stop
            status = self._board.status(self._state, time.monotonic())
            if self._commands is not None:
                status["commands"] = self._commands.status()
            if self._member is not None:
                status["renewals_waiting"] = self._member.renewals_waiting
            self._told = status
            if self._probe is not None:
                self._probe.tell(status)
            write_status(self._config.data / STATUS, status)

    def _is_ending(self) -> bool:
        return self._stop.asked or self._failed.is_set() or self.anew

    def _keep_membership(self) -> None:
        assert self._joining is not None and self._member is not None
        pause_s = self._member.turn(self._upward, self.begin_anew)
        waited_s = 0.0
        while waited_s < pause_s and not self._joining.wait(min(ALONE_S, pause_s - waited_s)):
            waited_s += ALONE_S
            if self._uplink is None or not self._uplink.status.connected:
                return  # it may be that its upstream has other keys

    def _alarms_raised(self) -> int:
        return 0 if self._alarms is None else self._alarms.manager.raised

    def _wrote(self, result: Result) -> None:
        """Hand what became of an order to whoever gave it."""
        if result.order.who == WHO and self._commands is not None:
            self._commands.wrote(result)
        elif self._apps is not None:
            self._apps.wrote(result)

    def _driver_event(self, event: DriverEvent) -> None:
        self._log.info(event.name, **event.fields)

    # -- life ----------------------------------------------------------------------------------------

    async def _live(self) -> None:
        self._collector.start()
        assert self._commands is not None
        self._device_writes.start(self._wrote)
        self._commands.start()
        for worker in self._workers:
            worker.start()
        if self._alarms is not None:
            self._alarms.start()
        if self._page is not None:
            self._page.start()
            self._log.info("page-open", address=self._page.address)
        self._log.info(
            "gateway-ready",
            gateway=self._config.id,
            points=len(self._config.points),
            tasks=len(self._collector.tasks),
            seconds=round(time.monotonic() - self._began, 3),
        )
        self._write_status()
        if self._desired is not None:
            self._desired.began(self, self._config, self._identity)
        while not self._is_ending():
            await asyncio.sleep(POLL_S)
            failure = self._collector.failure()
            if failure is not None:
                raise failure
        self._state = "stopping"
        self._log.info("gateway-stopping")
        self._end_commands()
        await self._device_writes.stop()
        await self._collector.stop()
        if self._ruling is not None and self._apps is not None:
            self._ruling.end()
            self._apps.stop()
        if self._alarms is not None:
            self._alarms.stop()
        self._writing.end()
        if not self._failed.is_set():
            self._writer.step(last=True)
            self._make_statement()
            self._drain()
        for worker in self._workers:
            worker.end()
        if self._uplink is not None:
            self._uplink.close()
        if not self._failed.is_set():
            self._writer_buffer.end()
            self._state = "stopped"
            self._write_status()

    def _end_commands(self) -> None:
        """Begin no further command; the one under way ends soon, because nothing waits any longer."""
        assert self._commands is not None
        self._asking_over.set()
        self._commands.stop()
        self._commanding.end()

    def _drain(self) -> None:
        """Wait for headquarters' receipt for everything, if there is a chance to get it."""
        if self._config.export is not None:
            return
        end = time.monotonic() + DRAIN_S
        while time.monotonic() < end and not (self._failed.is_set() or self.anew):
            if self._uplink is None or not self._uplink.status.connected or self._writer_buffer.settled:
                return
            time.sleep(POLL_S)

    def give_up_file(self, why: str) -> Path:
        """Set the file aside. Returns its new name."""
        aside = set_aside(self._path, time.time_ns() // 1000)
        self._log.error("buffer-set-aside", file=str(aside), why=why)
        return aside


def firmware_event(event: SlotEvent) -> EventRecord:
    """What happened to a firmware, as it is journalled and sent."""
    text = f"firmware {event.firmware} {event.what}: {event.why}"
    detail = {"firmware": event.firmware, "why": event.why}
    return clean_event(
        EventRecord(
            event.time_us, EventType.EVENT, source="firmware", text=text, transition=event.what, detail=detail
        )
    )
