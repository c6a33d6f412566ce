"""The process of headquarters: the one place that opens sockets, threads and the lake."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import zmq

from headquarters.alertkeeper import AlertThread
from headquarters.auditkeeper import AuditThread
from headquarters.commands.handler import FETCHED, CommandDesk
from headquarters.commands.queue import CommandQueue
from headquarters.config import CONFIG, HeadquartersConfig, load
from headquarters.custody import Confirmed
from headquarters.desired.targets import UpdateRepository
from headquarters.intake import Intake
from headquarters.keeper import LakeKeeper, UpkeepThread, now_us
from headquarters.latest import LatestServer
from headquarters.operations.metrics import METRICS, why_not_ready
from headquarters.rollout.thread import DesiredThread, ReportTaker
from headquarters.security.publisher import SOCKETS
from headquarters.security.service import Security, open_security
from headquarters.security.suspicion import Lives
from headquarters.trust import Trust, TrustSource
from headquarters.updates.repository import FOLDER as UPDATES
from headquarters.updates.terms import Terms
from headquarters.updates.upkeep import UpdatesThread
from headquarters.webkeeper import WebKeeper
from protocols.addresses import reachable
from protocols.batch import Header
from protocols.blobs import Blobs
from protocols.calls import CallThreads, Handler
from protocols.daemon import EventLog, Stop, alone, write_status
from protocols.errors import InputError, Problem, StoreError
from protocols.forecast import USAGE, Usage
from protocols.identity import IDENTITY, Identity, PublicIdentity
from protocols.link import ReceiverLink
from protocols.metrics import machine
from protocols.probe import Probe
from protocols.probeserver import ProbeServer
from protocols.session.findings import SUSPICIOUS
from protocols.updates import Shelf, file_handler

STEP_S = 0.02
"""Longest wait for a message: how late an acknowledgement may go out."""

TICK_S = 1.0
"""How often lists, holes and the status file are looked after."""

FINDINGS_PER_TICK = 50
"""Lines about findings in one second; the rest is counted, so that a hostile peer fills no disk."""


def run(home: Path, stop: Stop | None = None, level: int | None = None) -> None:
    """Run headquarters until it is asked to stop.

    Args:
        home: The directory that `catchment-hq init` made.
        stop: How to ask; by default SIGTERM and SIGINT do.
        level: In the place of the one that is set.

    Raises:
        InputError: The configuration, the keys or the allow-list are wrong.
        StoreError: The disk failed, or another process runs on this home.
    """
    config = load(home)
    if level is not None:
        config = replace(config, level=level)
    identity = Identity.load(home)
    if identity.id != config.id or identity.public.role != "headquarters":
        found = f"{identity.public.role} {identity.id!r}"
        place = f"{home / IDENTITY}"
        raise InputError([Problem(place, "id, role", found, f"the keys of headquarters {config.id!r}")])
    if stop is None:
        stop = Stop()
        stop.on_signals()
    log = EventLog.of(config.log, "headquarters.log")
    try:
        config.data.mkdir(parents=True, exist_ok=True)
        with alone(config.data):
            Headquarters(config, identity, stop, log).run()
    except OSError as error:
        raise StoreError(f"cannot use {config.data}: {error.strerror}") from error
    finally:
        log.close()


class Headquarters:
    """One run over one lake."""

    def __init__(self, config: HeadquartersConfig, identity: Identity, stop: Stop, log: EventLog) -> None:
        self._config = config
        self._stop = stop
        self._log = log
        self._started = time.time()
        self._security: Security | None = open_security(config, identity, log, self._known)
        registry = None if self._security is None else self._security.registry
        self._trust = TrustSource(config.home, registry, config.offline_days)
        self._keeper = LakeKeeper(config, self._trust.site_of, log)
        self._link = self._listen(identity)
        confirmed = Confirmed(config.custody)
        self._lives = Lives()
        self._reports = ReportTaker(config.data, log)
        self._intake = Intake(
            self._link.receiver,
            self._keeper,
            identity.signing,
            config,
            confirmed,
            log,
            None if self._security is None else self._look_at,
            self._reports.take,
        )
        self._desired = DesiredThread(config.data, config.lake, lambda: UpdateRepository(config), stop, log)
        self._upkeep = UpkeepThread(self._keeper, config, stop, log)
        self._latest = LatestServer(config.data, self._intake.directory, self._intake.values)
        self._usage = Usage(config.data / USAGE, "the disk of headquarters' data")
        self._probe = Probe(METRICS, why_not_ready)
        self._probing = self._open_probe()
        self._calls = self._answer_calls(identity)
        self._audit = AuditThread(config, identity.signing, stop, log)
        self._updates = UpdatesThread(config.home, Terms(config.offline_days), stop, log)
        served = config.web.bind is not None
        self._web = WebKeeper(config.home, config.level, stop, log) if served else None
        self._alerts = None if served else AlertThread(config, stop, log)

    def _open_probe(self) -> ProbeServer | None:
        bind = self._config.metrics_bind
        if bind is None:
            return None
        try:
            return ProbeServer(bind, self._probe, str(self._config.home / CONFIG), self._log)
        except InputError:
            self._link.close()
            raise

    def _answer_calls(self, identity: Identity) -> CallThreads:
        """Open the call sockets. Here, and nowhere else, verbs get their handlers."""
        place = str(self._config.home / CONFIG)
        former = None if self._security is None else self._security.former()
        calls = CallThreads(
            place, "[headquarters]", identity.link, self._admit, self._log, self._is_limited, former
        )
        commands = CommandQueue(self._config.data)
        desk = CommandDesk(commands, Blobs(self._config.data / FETCHED), identity.signing)
        shelf = Shelf(self._config.data / UPDATES / "public")
        service: dict[str, Handler] = {**desk.handlers, "file": file_handler(shelf.read)}
        enrolment: dict[str, Handler] = {}
        if self._security is not None:
            service |= self._security.service_handlers()
            enrolment |= self._security.enrolment_handlers()
        try:
            calls.open_service(self._config.service, service)
            calls.open_enrolment(self._config.enrolment, enrolment)
        except InputError:
            if self._probing is not None:
                self._probing.close()
            self._link.close()
            commands.close()
            raise
        if self._security is not None:
            bound = {"data": self._link.address, **calls.addresses()}
            host = self._config.host
            self._security.listening(
                {name: reachable(bound[name], host) if name in bound else "" for name in SOCKETS}
            )
        self._commands = commands
        return calls

    def _known(self) -> Trust:
        return self._trust.trust

    def _admit(self, link: bytes) -> PublicIdentity | None:
        return self._trust.trust.by_link(link)

    def _is_limited(self, link: bytes) -> bool:
        return self._trust.trust.is_limited(link)

    def _look_at(self, header: Header) -> None:
        """See whether a batch that was verified tells of two of its gateway."""
        why = self._lives.note(header)
        if why is not None:
            self._lives.forget(header.gateway)
            self._suspect(header.gateway, "clone", why)

    def _suspect(self, node: str, what: str, detail: str) -> None:
        try:
            if self._security is not None and self._security.suspect(node, what, detail):
                self._read_trust()
        except StoreError as error:  # it is noticed again
            self._log.error("quarantine-failed", node=node, error=str(error))

    def _listen(self, identity: Identity) -> ReceiverLink:
        config, marks = self._config, self._keeper.marks
        try:
            return ReceiverLink(
                config.bind, identity, self._trust.trust, marks, any_start=False, custodian=now_us
            )
        except zmq.ZMQError as error:
            expected = f"an address that is free on this machine ({error})"
            place = str(config.home / CONFIG)
            raise InputError([Problem(place, "[headquarters] bind", config.bind, expected)]) from error

    def run(self) -> None:
        """Serve until asked to stop, then commit what came and close."""
        self._log.info(
            "headquarters-started",
            headquarters=self._config.id,
            platform_level=self._config.level,
            address=self._link.address,
            pid=os.getpid(),
        )
        self._upkeep.start()
        self._desired.start()
        self._latest.start()
        self._calls.start()
        self._updates.start()
        self._audit.start()
        if self._probing is not None:
            self._probing.start()
        if self._web is not None:
            self._web.start()
        if self._alerts is not None:
            self._alerts.start()
        try:
            self._serve()
            self._intake.finish(time.monotonic())
            self._link.flush()
            self._tell()
        finally:
            self._stop.ask()
            if self._probing is not None:
                self._probing.close()
            self._calls.close()
            self._commands.close()
            self._latest.close()
            self._link.close()
            self._upkeep.join(10.0)
            self._updates.join(10.0)
            self._audit.join(10.0)
            self._desired.join(10.0)
            if self._alerts is not None:
                self._alerts.join(10.0)
            if self._web is not None:
                self._web.join(15.0)
            self._reports.close()
            if self._security is not None:
                self._security.close()
        self._log.info("headquarters-stopped", headquarters=self._config.id, **self._intake.counters)

    def _serve(self) -> None:
        tick_at = 0.0
        while not self._stop.asked:
            self._link.step(STEP_S)
            now = time.monotonic()
            self._intake.step(now)
            self._link.flush()
            if now >= tick_at:
                tick_at = now + TICK_S
                self._tick(now)

    def _read_trust(self) -> None:
        try:
            if self._trust.changed():
                self._link.set_allow(self._trust.trust)
                self._log.info("allow-list-read", nodes=len(self._trust.trust.identities))
        except (InputError, StoreError) as error:
            self._log.error("allow-list-wrong", error=str(error), remedy="the old list stays in force")

    def _tick(self, now: float) -> None:
        self._read_trust()
        self._intake.confirm()
        self._intake.close_holes(now)
        noticed = self._link.receiver.noticed()
        for item in noticed:
            if item.finding in SUSPICIOUS and item.proven:
                self._suspect(item.node, item.finding.value, item.detail)
        for item in noticed[:FINDINGS_PER_TICK]:
            chain = None if item.chain is None else str(item.chain)
            self._log.warning(item.finding.value, node=item.node, chain=chain, detail=item.detail)
        if len(noticed) > FINDINGS_PER_TICK:
            self._log.warning("findings-not-shown", count=len(noticed) - FINDINGS_PER_TICK)
        self._tell()

    def _tell(self) -> None:
        status = self._describe()
        self._probe.tell(status)
        write_status(self._config.status, status)

    def _describe(self) -> dict[str, Any]:
        intake, lake, receiver = self._intake, self._keeper.lake, self._link.receiver
        now = time.monotonic()
        return {
            "headquarters": self._config.id,
            "pid": os.getpid(),
            "address": self._link.address,
            "started": self._started,
            "time": time.time(),
            "stopped": self._stop.asked,
            "failing": intake.failing,
            "lake_path": str(self._config.lake),
            **intake.counters,
            **intake.latency.describe(),
            **intake.commits.describe("commit"),
            "duplicates": receiver.duplicates,
            "refused_keys": self._link.refused_keys,
            "calls": self._calls.describe(),
            "updates": self._updates.describe(),
            "sessions": {node: round(now - heard, 1) for node, heard in receiver.sessions().items()},
            "holes": [
                {
                    "chain": str(chain),
                    "seq_from": missing,
                    "seq_to": oldest,
                    "waited_s": round(now - since, 1),
                }
                for chain, (missing, oldest, since) in receiver.holes().items()
            ],
            "upkeep": self._upkeep.describe(),
            "audit": self._audit.describe(),
            "desired": dict(self._desired.counters),
            "web": None if self._web is None else self._web.describe(),
            "metrics": None if self._probing is None else self._probing.address,
            **(told := machine(self._config.data)),
            "capacity": self._usage.describe(
                told["disk_bytes"] - told["disk_free_bytes"], told["disk_bytes"], time.time()
            ),
            "tables": {
                table.table.name: {
                    "version": table.log.version,
                    "files": len(files := table.log.files()),
                    "rows": sum(file.rows for file in files),
                    "bytes": sum(file.size for file in files),
                }
                for table in lake.tables
            },
        }
