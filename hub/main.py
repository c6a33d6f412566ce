"""The hub's process: the one place that opens sockets, threads, the store and the clocks.

One thread takes batches in, verifies, stores and acknowledges; one thread for each upstream
relays. A store that turns out damaged is set aside and the hub begins anew with an empty one.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Any

import zmq

from hub import limits, schema
from hub.admission import Room
from hub.commands import HubCommands
from hub.config import CONFIG, HubConfig, LandingConfig, load
from hub.forward import Forwarder
from hub.ingest import Ingest, News
from hub.landing import Landing
from hub.ledger import forget_finished
from hub.membership import Membership, with_current_keys
from hub.metrics import METRICS, why_not_ready
from hub.mirror import Mirror
from hub.mirrorstore import MirrorStore
from hub.outbox import Recent
from hub.relay import Relay, drain
from hub.statement import OwnChain
from hub.status import Rates, backlog, describe, report_of
from hub.store import Store
from protocols.batch import Verifier
from protocols.calls import CallThreads, Handler, ServiceAddress, Upward
from protocols.daemon import EventLog, Stop, alone, write_status
from protocols.errors import InputError, Problem, StoreDamagedError, StoreError
from protocols.forecast import USAGE, Usage
from protocols.held import HeldDirectory
from protocols.identity import ALLOW, IDENTITY, AllowList, Identity, PublicIdentity, VerifyKey
from protocols.link import ReceiverLink
from protocols.metrics import machine
from protocols.probe import Probe
from protocols.probeserver import ProbeServer
from protocols.renewal import Renewal
from protocols.session.findings import Noticed
from protocols.session.receiver import KeyBook
from protocols.updates import Pace, file_handler

STEP_S = 0.02
"""Longest wait for a message from a gateway: how late a receipt may be passed down."""

TICK_S = 1.0
"""How often the allow-list, the disk and the status file are looked after."""

NEWS_PER_TURN = 4096
"""Events from upstreams handled in one turn."""

REPORT_S = 600.0
"""How often the hub says of itself what it is and how full: usage is noted by the hour."""

FINDINGS_PER_TICK = 50
"""Lines about findings in one second; the rest is counted, so that a hostile peer fills no disk."""

FINISH_S = 5.0
"""At a clean stop, how long connected upstreams have to take what they are owed."""

DAMAGED_STARTS_MAX = 3
"""A store that is damaged again and again is the disk's fault: then we stop."""


def run(home: Path, stop: Stop | None = None) -> None:
    """Run a hub until it is asked to stop.

    Args:
        home: The directory that `catchment-hub init` made.
        stop: How to ask; by default SIGTERM and SIGINT do.

    Raises:
        InputError: The configuration, the keys or the allow-list are wrong.
        StoreError: The disk failed, or another process runs on this home.
    """
    config = load(home)
    _keys_of(config)
    allow = AllowListFile(home / ALLOW)
    if stop is None:
        stop = Stop()
        stop.on_signals()
    log = EventLog.of(config.log, "hub.log")
    try:
        config.data.mkdir(parents=True, exist_ok=True)
        with alone(config.data):
            _run(config, allow, stop, log)
    except OSError as error:
        where = error.filename or config.data
        raise StoreError(f"cannot use {where}: {error.strerror}; fix its permissions") from error
    finally:
        log.close()


def _keys_of(config: HubConfig) -> Identity:
    identity = Identity.load(config.home)
    if identity.id != config.id or identity.public.role != "hub":
        found = f"{identity.public.role} {identity.id!r}"
        place = f"{config.home / IDENTITY}"
        raise InputError([Problem(place, "id, role", found, f"the keys of hub {config.id!r}")])
    return identity


def _run(config: HubConfig, allow: AllowListFile, stop: Stop, log: EventLog) -> None:
    damaged = 0
    while True:
        try:
            why = Hub(config, _keys_of(config), allow, stop, log).run()
            if not why:
                return
            log.info("hub-anew", why=why)
        except StoreDamagedError as error:
            damaged += 1
            aside = schema.set_aside(config.store, time.strftime("%Y%m%dT%H%M%S", time.gmtime()))
            log.error("store-set-aside", error=str(error), kept_as=str(aside))
            if damaged == DAMAGED_STARTS_MAX:
                raise


class AllowListFile:
    """The allow-list in a file, read again when the file changes.

    Raises:
        InputError: The file is not such a list; only the first reading raises.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()
        self.list = AllowList.load(path)

    def changed(self) -> bool:
        """Read it again if need be; returns whether there is a new list.

        Raises:
            InputError: The file is not such a list; the old one stays in force.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        self.list = AllowList.load(self._path)
        return True

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


class Hub:
    """One run over one store."""

    def __init__(
        self, config: HubConfig, identity: Identity, allow: AllowListFile, stop: Stop, log: EventLog
    ) -> None:
        held = self._held = HeldDirectory(
            config.home,
            config.data,
            time.time(),
            None if config.headquarters is None else config.headquarters[1],
        )
        self._written = config
        config = self._config = with_current_keys(config, held)
        self._allow = allow
        self._stop = stop
        self._log = log
        self._started = time.time()
        self._news: Queue[News] = Queue(limits.NEWS_MAX)
        self._room = Room(config.quota_bytes, config.reserve_bytes)
        self._rates = Rates()
        self._tick_at = self._state_at = self._report_at = 0.0
        self._relay_stop = Stop()
        self._closing = Stop()
        self._membership = self._join_group(identity)
        self._seen_version = self._membership.version
        self._list = self._membership.roster(allow.list.identities)
        self._roster_until = self._list.changes_at
        self._connection = schema.connect(config.store)
        self._store = self._open_store()
        recent = Recent()
        if config.upstreams:
            self._store.listen(recent.add)
        self._link = self._listen(identity)
        copied_in = schema.copied_in(self._connection)
        own = OwnChain(self._store, identity, secrets.token_bytes(16), secrets.randbits(16), copied_in)
        self._ingest = Ingest(self._store, self._link.receiver, self._verifier, own, self._suspect)
        connect: Callable[[], sqlite3.Connection] = partial(schema.connect, config.store, readonly=True)
        self._relays: list[Relay] = []
        if config.headquarters is not None:
            headquarters = VerifyKey(config.headquarters[1])
            self._relays = [
                Relay(
                    upstream,
                    identity,
                    headquarters,
                    self._store,
                    connect,
                    recent,
                    self._news,
                    self._relay_stop,
                    log,
                )
                for upstream in config.upstreams
            ]

        self._landings = [self._land(landing, identity) for landing in config.landings]
        self._commands = self._pass_commands(identity)
        self._mirror = self._open_mirror(identity)
        self._usage = Usage(config.data / USAGE, "the hub's store")
        self._probe = Probe(METRICS, why_not_ready)
        self._probing = self._open_probe()
        self._calls = self._answer_calls(identity)

    def run(self) -> str:
        """Serve until asked to stop, then state the ledger and close.

        Returns:
            Why another run should follow, on what is in the home then; empty when none should.
        """
        self._log.info("hub-started", hub=self._config.id, address=self._link.address, pid=os.getpid())
        for relay in self._relays:
            relay.start()
        if self._mirror is not None:
            self._mirror.start()
        self._membership.start()
        self._calls.start()
        self._commands.start()
        if self._probing is not None:
            self._probing.start()
        try:
            self._serve()
            self._finish()
        finally:
            self._closing.ask()
            if self._probing is not None:
                self._probing.close()
            self._calls.close()
            self._membership.close()
            self._commands.close()
            if self._mirror is not None:
                self._mirror.close()
            self._stop_relays()
            self._link.close()
            self._connection.close()
        self._log.info("hub-stopped", hub=self._config.id, stored=self._ingest.stored)
        return "" if self._stop.asked else self._membership.anew

    def _open_store(self) -> Store:
        keep_for = [upstream.id for upstream in self._config.upstreams if upstream.keep]
        try:
            store = Store(self._connection, trim=self._config.trim, keep_for=keep_for)
            if not schema.ended_cleanly(self._connection):
                schema.check(self._connection)
            schema.note_clean(self._connection, False)
        except StoreError:
            self._connection.close()
            raise
        return store

    def _listen(self, identity: Identity) -> ReceiverLink:
        try:
            return ReceiverLink(
                self._config.bind, identity, self._list, self._store, any_start=True, runs=True
            )
        except zmq.ZMQError as error:
            self._connection.close()
            expected = f"an address that is free on this machine ({error})"
            place = str(self._config.home / CONFIG)
            raise InputError([Problem(place, "[hub] bind", self._config.bind, expected)]) from error

    def _open_mirror(self, identity: Identity) -> Mirror | None:
        addresses = service_addresses(self._config)
        if not addresses:
            return None
        settings = self._config.mirror
        upward = Upward(addresses, identity.link, give_up=self._gives_up)
        return Mirror(
            MirrorStore(self._config.mirrored, settings.quota_bytes),
            upward.call,
            lambda: [peer.id for peer in self._list.identities if peer.role == "gateway"],
            self._log,
            self._closing,
            refresh_s=settings.refresh_s,
            pace=Pace(settings.bytes_per_s, wait=self._closing.wait),
        )

    def _open_probe(self) -> ProbeServer | None:
        bind = self._config.metrics_bind
        if bind is None:
            return None
        try:
            return ProbeServer(bind, self._probe, str(self._config.home / CONFIG), self._log)
        except InputError:
            self._link.close()
            self._commands.close()
            self._connection.close()
            raise

    def _answer_calls(self, identity: Identity) -> CallThreads:
        """Open the call sockets. Here, and nowhere else, verbs get their handlers."""
        place = str(self._config.home / CONFIG)
        former = self._membership.former(self._config.home, identity.public)
        calls = CallThreads(place, "[hub]", identity.link, self._admit, self._log, self._is_limited, former)
        service: dict[str, Handler] = {**self._membership.service_handlers(), **self._commands.handlers}
        if self._mirror is not None:
            service["file"] = file_handler(self._mirror.read)
        enrolment: dict[str, Handler] = {**self._membership.enrolment_handlers()}
        try:
            calls.open_service(self._config.service, service)
            calls.open_enrolment(self._config.enrolment, enrolment)
        except InputError:
            if self._probing is not None:
                self._probing.close()
            self._link.close()
            self._commands.close()
            self._connection.close()
            raise
        self._membership.listening({"data": self._link.address, **calls.addresses()})
        return calls

    def _gives_up(self) -> bool:
        return self._closing.asked

    def _join_group(self, identity: Identity) -> Membership:
        """What the hub knows of the group, with sockets of its own to ask headquarters."""
        config, home = self._config, self._config.home
        upstreams = service_addresses(config)[:1]  # headquarters; what is beside it knows no nodes
        refreshing = forwarder = None
        if upstreams:
            refreshing = Upward(upstreams, identity.link, give_up=self._gives_up)
            forwarder = Forwarder(Upward(upstreams, identity.link, give_up=self._gives_up))
        return Membership(
            config.id,
            self._held,
            Renewal(home),
            config.host,
            config.directory_s,
            refreshing,
            forwarder,
            self._log,
            lambda: with_current_keys(self._written, self._held) == self._config,
        )

    def _pass_commands(self, identity: Identity) -> HubCommands:
        config = self._config
        verifier = None if config.headquarters is None else VerifyKey(config.headquarters[1])
        addresses = service_addresses(config)
        return HubCommands(config.data, addresses, verifier, identity.link, self._log)

    def _admit(self, link: bytes) -> PublicIdentity | None:
        return self._list.by_link(link)

    def _is_limited(self, link: bytes) -> bool:
        return self._list.is_limited(link)

    def _land(self, landing: LandingConfig, identity: Identity) -> LandingWatch:
        watched = Landing(
            landing.directory,
            landing.done,
            identity.id,
            identity.signing,
            self._store,
            KeyBook(self._verifier, self._owner),
            relays=self._is_hub,
            hole_wait_s=landing.hole_wait_s,
            before_append=self._commit_all,
            after_append=self._ingest.receiver.reload,
        )
        return LandingWatch(watched, landing.poll_s)

    def _commit_all(self) -> None:
        while self._ingest.receiver.staged:
            self._ingest.commit(time.monotonic())

    def _serve(self) -> None:
        while not self._stop.asked and not self._membership.anew:
            self._link.step(0.0 if self._ingest.receiver.staged else STEP_S)
            for relay in self._relays:
                if relay.failure is not None:
                    raise relay.failure
            try:
                self._turn(time.monotonic())
            except StoreDamagedError:
                raise
            except StoreError as error:  # no room, most likely: what failed is tried again
                self._ingest.receiver.pause(True)
                self._log.error("store-failed", error=str(error))
                self._stop.wait(TICK_S)

    def _turn(self, now: float) -> None:
        self._ingest.commit(now)
        self._ingest.hear(drain(self._news, NEWS_PER_TURN), now, _now_us())
        self._store.trim()
        if not self._room.why:
            for watch in self._landings:
                watch.turn(now)
        self._link.flush()
        if now >= self._tick_at:
            self._tick_at = self._tick(now)
        if now >= self._state_at:
            self._state_at = now + self._config.statement_s
            self._ingest.remind()
            self._state(now)
            forget_finished(self._store)

    def _state(self, now: float) -> None:
        """State the ledger, and now and then what the hub says of itself."""
        due = now >= self._report_at
        self._ingest.state(now, _now_us(), report=report_of(self._describe(now)) if due else None)
        if due:
            self._report_at = now + REPORT_S

    def _finish(self) -> None:
        """Store what was verified, state the ledger, and give the upstreams a moment to take it."""
        self._commit_all()
        now = time.monotonic()
        self._ingest.state(now, _now_us(), everything=True)
        self._link.flush()
        give_up_at = now + FINISH_S
        while time.monotonic() < give_up_at and any(self._owed(relay) for relay in self._relays):
            time.sleep(STEP_S)
            self._ingest.hear(drain(self._news, NEWS_PER_TURN), time.monotonic(), _now_us())
        self._stop_relays()
        self._ingest.hear(drain(self._news, NEWS_PER_TURN), time.monotonic(), _now_us())
        self._store.trim()
        self._look_after(time.monotonic())
        schema.note_clean(self._connection, True)

    def _owed(self, relay: Relay) -> bool:
        return relay.connected and backlog(self._store, relay.upstream.id) > 0

    def _tick(self, now: float) -> float:
        """Look after everything that is not batches; returns when to do so again.

        With many thousands of chains that takes a while: it may have one part in twenty of
        the time.
        """
        self._look_after(now)
        return now + max(TICK_S, 20 * (time.monotonic() - now))

    def _look_after(self, now: float) -> None:
        self._read_allow_list()
        free = shutil.disk_usage(self._config.data).free
        had = self._room.why
        self._ingest.receiver.pause(not self._room.update(self._store.used_bytes(), free))
        if self._room.why != had:
            self._log.warning("room", why=self._room.why or "there is room again")
        self._report()
        status = self._describe(now)
        self._probe.tell(status)
        write_status(self._config.status, status)

    def _read_allow_list(self) -> None:
        try:
            changed = self._allow.changed()
        except InputError as error:
            self._log.error("allow-list-wrong", error=str(error), remedy="the old list stays in force")
            return
        version = self._membership.version
        if not changed and version == self._seen_version and time.time() < self._roster_until:
            return
        self._seen_version = version
        roster = self._membership.roster(self._allow.list.identities)
        self._list, self._roster_until = roster, roster.changes_at
        self._link.set_allow(roster)
        self._log.info("allow-list-read", nodes=len(roster.identities))
        for watch in self._landings:
            watch.landing.keys_changed()

    def _suspect(self, noticed: Noticed) -> None:
        """Two of a node were seen: bar it, or tell headquarters."""
        node = next((known for known in self._list.identities if known.id == noticed.node), None)
        if node is not None:
            self._membership.bar(node, noticed.finding.value, noticed.detail)

    def _report(self) -> None:
        findings = self._ingest.findings()
        for watch in self._landings:
            findings += watch.landing.findings()
        for finding in findings[:FINDINGS_PER_TICK]:
            self._log.warning(finding.event, **finding.fields)
        if len(findings) > FINDINGS_PER_TICK:
            self._log.warning("findings-not-shown", count=len(findings) - FINDINGS_PER_TICK)

    def _describe(self, now: float) -> dict[str, Any]:
        return {
            "hub": self._config.id,
            "pid": os.getpid(),
            "address": self._link.address,
            "started": self._started,
            "time": time.time(),
            "stopped": self._stop.asked,
            "no_room": self._room.why,
            "used_bytes": self._store.used_bytes(),
            "quota_bytes": self._config.quota_bytes,
            "stored": self._ingest.stored,
            "commits": self._ingest.commits,
            "duplicates": self._ingest.receiver.duplicates,
            "allowed": len(self._list.identities),
            "membership": self._membership.describe(self._list),
            "refused_keys": self._link.refused_keys,
            "calls": self._calls.describe(),
            "commands": self._commands.describe(),
            "mirror": None if self._mirror is None else self._mirror.describe(),
            "landings": [watch.describe() for watch in self._landings],
            "metrics": None if self._probing is None else self._probing.address,
            "capacity": self._usage.describe(self._store.used_bytes(), self._config.quota_bytes, time.time()),
            **machine(self._config.data),
            **describe(self._store, self._ingest.receiver.sessions(), self._relays, self._rates, now),
        }

    def _stop_relays(self) -> None:
        self._relay_stop.ask()
        for relay in self._relays:
            relay.join(5.0)

    def _verifier(self, key_id: bytes) -> Verifier | None:
        return self._list.verifier(key_id)

    def _is_hub(self, node: str) -> bool:
        return any(peer.id == node and peer.role == "hub" for peer in self._list.identities)

    def _owner(self, key_id: bytes) -> str | None:
        identity = self._list.by_key_id(key_id)
        return None if identity is None else identity.id


def service_addresses(config: HubConfig) -> list[ServiceAddress]:
    """Where the hub's own calls go: `Upward` takes them."""
    return [
        ServiceAddress(upstream.id, upstream.service, upstream.link)
        for upstream in config.upstreams
        if upstream.service is not None
    ]


class LandingWatch:
    """Looks at a landing directory now and then; at once again while there is more in it."""

    def __init__(self, landing: Landing, poll_s: float) -> None:
        self.landing = landing
        self._poll_s = poll_s
        self._look_at = 0.0

    def turn(self, now: float) -> None:
        """Look if it is time."""
        if now >= self._look_at and self.landing.look(now) < limits.LANDING_FILES_PER_LOOK:
            self._look_at = now + self._poll_s

    def describe(self) -> dict[str, object]:
        """What the status says of it."""
        landing = self.landing
        return {
            "directory": str(landing.directory),
            "stored": landing.stored,
            "repeats": landing.repeats,
            "files_waiting": landing.waiting,
            "files_missing": landing.missing(),
        }


def _now_us() -> int:
    return time.time_ns() // 1000
