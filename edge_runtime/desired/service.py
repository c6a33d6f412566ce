"""Desired state inside a running gateway: asks for documents, applies them, and reports.

It outlives sessions: after a change it asks the session to end, so that another begins on the
new files, watches that one, and takes the change back when it does not do.

Rules:
1. A change is confirmed when a session has run with it for `CONFIRM_S`, no app that came with it
   has failed, and an upstream is connected if one was before.
2. It goes back when the session does not come up, when such an app fails, or when no upstream
   was reached for `REACH_S`: a configuration that cuts a gateway off undoes itself.
3. A report goes out when something changed, and every `REPORT_S` for the health in it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from edge_runtime.apps.home import FOLDER
from edge_runtime.config import GatewayConfig
from edge_runtime.desired.applier import Applier, Content, Source
from edge_runtime.desired.disk import HomeDisk
from edge_runtime.desired.firmware import Slots
from edge_runtime.desired.health import health
from protocols.daemon import EventLog
from protocols.desired import ItemReport, Report, SlotReport
from protocols.errors import CatchmentError, IntegrityError, PeerError, Problem, StoreDamagedError, StoreError
from protocols.identity import Identity, VerifyKey
from protocols.limits import EVENT_TEXT_CHARS_MAX
from protocols.records import EventRecord, EventType

DISTRIBUTION = "catchment"

CONFIRM_S = 15.0
"""Three looks of the slowest usual scan class; an app that fails does so in its first scans."""

REACH_S = 180.0
"""An upstream that is restarted meanwhile is back by then."""

REPORT_S = 60.0
"""How old the health in the last report may be: what the halt rules of a roll-out see."""

REPORT_ALONE_S = 3600.0
"""And while no upstream is connected: reports wait in the meta chain, which is never thinned."""

REFUSALS_MAX = 100
"""Refusals that are remembered, so that each is told once."""

WATCH_S = 1.0
"""How often a session is looked at."""


MakeSource = Callable[[GatewayConfig, Identity, Callable[[], bool]], Source]


class Running(Protocol):
    """The session that runs, as far as it concerns us."""

    @property
    def status(self) -> dict[str, Any] | None:
        """Its last status document."""

    def begin_anew(self, why: str) -> None:
        """End it in order, so that another begins."""

    def tell(self, record: EventRecord) -> None:
        """Journal and send an event."""


class DesiredService:
    """The desired state of one gateway, through all its sessions.

    Args:
        config: The configuration it starts with.
        identity: The gateway's keys.
        make_source: Makes the source of documents and targets for a configuration; it is used by
            one thread, and gives up when its last argument says so.
        slots: Where firmware goes.
        log: For what is worth it.
        poll_s: How often a newer document is asked for.
        now_us: Microseconds since 1970.

    Raises:
        StoreError: The disk failed, or what is remembered is damaged.
    """

    def __init__(
        self,
        config: GatewayConfig,
        identity: Identity,
        make_source: MakeSource,
        slots: Slots,
        log: EventLog,
        poll_s: float = 60.0,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._log = log
        self._make_source = make_source
        self._slots = slots
        self._poll_s = poll_s
        self._now_us = now_us
        self._began = time.monotonic()
        self._home = config.home
        self._lock = threading.RLock()
        self._applying = threading.RLock()
        """Held by whoever changes what is applied; never wait for `_lock` meanwhile."""
        self._woken = threading.Event()
        self._ended = threading.Event()
        self._running: Running | None = None
        self._since = 0.0
        self._reached = False
        self._due_per_s = 0.0
        self._asked_anew = False
        self._why = ""
        self._refused: set[str] = set()
        self._pending: Report | None = None
        self._told: tuple[object, ...] = ()
        self._told_at = 0.0
        self._window: tuple[float, dict[str, Any]] | None = None
        self._source: Source | None = None
        self._source_of: tuple[GatewayConfig, Identity] | None = None
        self._kept: str | None = None
        self._configure(config, identity)
        self._applier = self._make_applier(config, identity)
        self._thread = threading.Thread(target=self._run, name="desired", daemon=True)

    # -- what the gateway calls --------------------------------------------------------------------

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def close(self) -> None:
        """Ask no more; a transfer under way goes on at the next start."""
        self._ended.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def refresh(self) -> None:
        """Ask for a newer document now."""
        self._woken.set()

    def began(self, running: Running, config: GatewayConfig, identity: Identity) -> None:
        """A session collects."""
        with self._lock:
            self._running = running
            self._since = time.monotonic()
            self._reached = self._asked_anew = False
            self._window = None
            self._told = ()
            self._configure(config, identity)

    def rekey(self, identity: Identity) -> None:
        """The gateway has other keys from now on."""
        try:
            with self._applying:
                self._applier.rekey(identity.signing, VerifyKey(identity.public.signing))
        except StoreError as error:
            self._log.warning("desired-store", why=str(error))

    def ended(self) -> None:
        """It does no more."""
        with self._lock:
            self._running = None

    def give_back(self, why: str, named: Sequence[str] = ()) -> bool:
        """A session did not come up, or ended by a fault: undo what is on trial.

        Args:
            why: What happened.
            named: Paths within the home that it names.

        Returns:
            Whether something was undone; then another session may be tried.
        """
        if self._applier.trial is None:  # the thread may be fetching, which takes long
            return False
        with self._applying:
            undone = self._applier.give_back(why, named)
            self._log.error("desired-returned", items=undone, why=why)
            return True

    def take_report(self) -> Report | None:
        """The report to send, once."""
        with self._lock:
            report, self._pending = self._pending, None
            return report

    def put_back(self, report: Report) -> None:
        """It could not be written; it goes with the next occasion."""
        with self._lock:
            self._pending = self._pending or report

    def status(self) -> dict[str, Any]:
        """For the status file."""
        applier = self._applier
        document = applier.document
        return {
            "document": None if document is None else document.version,
            "trial": applier.trial is not None,
            "why": self._why,
            "items": [_fields(item) for item in applier.items],
        }

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop()
        finally:
            if self._source is not None:
                self._source.close()

    def _loop(self) -> None:
        ask_at = 0.0
        while not self._ended.is_set():
            woken = self._woken.wait(WATCH_S)
            self._woken.clear()
            if self._ended.is_set():
                return
            try:
                self._watch()
                if woken or time.monotonic() >= ask_at:
                    ask_at = time.monotonic() + self._poll_s
                    self._turn()
                self._report()
            except StoreDamagedError as error:
                self._log.error("desired-damaged", why=str(error))
                self._why = str(error)
            except StoreError as error:
                self._log.warning("desired-store", why=str(error))
                self._why = str(error)

    def _turn(self) -> None:
        """Ask, and do what can be done."""
        source, running = self._renew_source(), self._running
        if running is None or self._asked_anew:
            return
        try:
            data = source.desired()  # without the lock: it may take long
            self._why = ""
        except CatchmentError as error:
            self._note(error)
            data = None
        regrants = data is not None and self._accept(data)
        if self._running is not running or self._ended.is_set():
            return
        with self._applying:
            restart = self._applier.step(_connected(running.status)) or regrants
        for text in self._applier.refusals:
            self._tell_refused(text)
        self._clear(source)
        if restart:
            self._asked_anew = True
            running.begin_anew("desired state")

    def _renew_source(self) -> Source:
        """The source for the configuration in force; sockets are made and closed by this thread alone."""
        wanted = self._wanted_source
        if self._source is None or self._source_of is not wanted:
            if self._source is not None:
                self._source.close()
            self._source = self._make_source(*wanted, self._ended.is_set)
            self._source_of = wanted
        return self._source

    def _clear(self, source: Source) -> None:
        """Remove copies of what is no longer desired, once what is desired stands."""
        document = self._applier.document
        if document is None or self._applier.trial is not None or document.sha256 == self._kept:
            return
        self._kept = document.sha256
        source.keep([bytes.fromhex(item.sha256) for item in document.items])

    def _accept(self, data: bytes) -> bool:
        """Take a document; returns whether it lets commands write something else than the one before."""
        before = self._applier.document
        fresh = False
        try:
            with self._applying:
                fresh = self._applier.accept(data)
            if fresh and self._applier.document is not None:
                self._log.info("desired-accepted", version=self._applier.document.version)
        except PeerError as error:
            self._note(error)
        after = self._applier.document
        return fresh and after is not None and (before is None or before.writes != after.writes)

    def _note(self, error: CatchmentError) -> None:
        """Remember why there is nothing newer; what was refused for reasons of trust is told as an event."""
        self._why = str(error)[:EVENT_TEXT_CHARS_MAX]
        if isinstance(error, IntegrityError):
            self._tell_refused(self._why)

    def _tell_refused(self, text: str) -> None:
        """Tell what could not be trusted, once."""
        text = text[:EVENT_TEXT_CHARS_MAX]
        if text not in self._refused:
            if len(self._refused) >= REFUSALS_MAX:
                self._refused.clear()
            self._refused.add(text)
            self._log.warning("desired-refused", why=text)
            if self._running is not None:
                record = EventRecord(
                    self._now_us(), EventType.EVENT, source="desired", text=text, transition="refused"
                )
                self._running.tell(record)

    def _watch(self) -> None:
        """Judge what is on trial."""
        with self._lock:
            trial, running = self._applier.trial, self._running
            if trial is None or running is None or self._asked_anew:
                return
            status = running.status
            failed = _failed_apps(status)
            seconds = time.monotonic() - self._since
            self._reached = self._reached or _connected(status)
            for item in trial.items:
                why = failed.get(item.ref)
                if why is not None:
                    self._undo(running, f"the app failed: {why}", [f"{FOLDER}/{item.ref[4:]}.toml"])
                    return
            if seconds >= CONFIRM_S and status is not None and (self._reached or not trial.connected):
                with self._applying:
                    self._applier.confirm()
                self._log.info("desired-active", items=[item.ref for item in trial.items])
                self._woken.set()
            elif seconds >= REACH_S and trial.connected and not self._reached:
                self._undo(running, f"no upstream was reached within {REACH_S:g} s", ())

    def _undo(self, running: Running, why: str, named: Sequence[str]) -> None:
        self.give_back(why, named)
        self._asked_anew = True
        running.begin_anew("what was desired does not run")

    # -- reports -----------------------------------------------------------------------------------

    def _report(self) -> None:
        with self._lock:
            running = self._running
            if running is None or running.status is None:
                return
            applier, document = self._applier, self._applier.document
            said = (applier.items, document and document.version, self._why)
            now = time.monotonic()
            status = running.status
            every_s = REPORT_S if _connected(status) else REPORT_ALONE_S
            if said == self._told and now - self._told_at < every_s:
                return
            at, before = self._window or (self._since, None)
            self._pending = Report(
                self._now_us(),
                applier.gateway,
                0 if document is None else document.version,
                "" if document is None else document.sha256,
                applier.items,
                program(),
                self._slots_said(),
                health(before, status, now - at, self._due_per_s, now - self._began),
                self._why,
            )
            self._told, self._told_at = said, now
            self._window = (now, status)

    def _slots_said(self) -> SlotReport:
        found = self._slots.state()
        if found is None:
            return SlotReport()
        trying = "" if found.trying is None else found.trying.version
        last = "" if found.given_up is None else f"{found.given_up.version}: {found.why}"
        return SlotReport(found.slot, found.good.version, trying, last[:EVENT_TEXT_CHARS_MAX])

    # -- leaves ------------------------------------------------------------------------------------

    def _configure(self, config: GatewayConfig, identity: Identity) -> None:
        self._wanted_source = (config, identity)
        self._due_per_s = sum(1e6 / config.scan[point.scan_class].period_us for point in config.points)

    def _make_applier(self, config: GatewayConfig, identity: Identity) -> Applier:
        applier = Applier(
            config.id,
            HomeDisk(config.home),
            identity.signing,
            VerifyKey(identity.public.signing),
            _Current(self._renew_source),
            lambda changes: _check(config.home, changes),
            self._slots,
        )
        applier.open()
        return applier


class _Current:
    """The source of the configuration in force, for targets."""

    def __init__(self, source: Callable[[], Source]) -> None:
        self._source = source

    def fetch(self, path: str, sha256: bytes, length: int) -> Path:
        """See `Source`."""
        return self._source().fetch(path, sha256, length)


def _check(home: Path, changes: Content) -> Sequence[Problem]:
    from edge_runtime.desired.candidate import check_home  # only where something changes

    return check_home(home, changes)


def program() -> str:
    """The version of the program that runs, as the installed package's folder is named.

    `importlib.metadata` would say it, too, for 1.4 MB of a small gateway's memory.
    """
    for folder in sys.path:
        for found in Path(folder or ".").glob(f"{DISTRIBUTION}-*.dist-info"):
            return found.name.removeprefix(f"{DISTRIBUTION}-").removesuffix(".dist-info")
    return ""


def _connected(status: dict[str, Any] | None) -> bool:
    uplink = None if status is None else status.get("uplink")
    return bool(uplink and uplink.get("connected"))


def _failed_apps(status: dict[str, Any] | None) -> dict[str, str]:
    """By ref, why an app failed."""
    apps = [] if status is None else status.get("apps", [])
    return {f"app/{app['app']}": str(app["why"]) for app in apps if app["state"] == "failed"}


def _fields(item: ItemReport) -> dict[str, str]:
    return {
        "item": item.ref,
        "version": item.version,
        "state": str(item.state),
        "why": item.why,
        "running": item.running,
    }
