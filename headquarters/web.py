"""The web process: the one place that joins API and portal to their stores, and serves them.

It is a process of its own, so that nothing that people ask delays an acknowledgement. It reaches
the rest as the command line does: the lake's files, `latest.sock`, the register, the queue.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from headquarters.accounts import sealing
from headquarters.accounts.oidc import Oidc, provider_of
from headquarters.accounts.oidcfetch import fetch
from headquarters.accounts.own import OwnAccount
from headquarters.accounts.password import Hasher
from headquarters.accounts.sessions import Sessions
from headquarters.accounts.signin import SignIn
from headquarters.accounts.terms import Terms
from headquarters.api.app import make_app
from headquarters.api.context import Context
from headquarters.api.ratelimit import RateLimiter
from headquarters.config import CONFIG, HeadquartersConfig, load
from headquarters.levels import has
from headquarters.metadata import open_metadata
from headquarters.operations.alerts.channels import channels_of
from headquarters.operations.alerts.service import Alerts, watch
from headquarters.operations.signals import read
from headquarters.operations.usage import UsageThread
from headquarters.patience import PatientProtocol
from headquarters.portal import frame
from headquarters.portal.routes import router
from headquarters.portal.service import NAME as PORTAL
from headquarters.portal.service import PortalService
from headquarters.services.sql.service import QueryService
from headquarters.tenancy.meter import Meter
from headquarters.views.sources import Sources
from protocols.daemon import EventLog, Stop
from protocols.errors import CatchmentError, InputError, Problem
from protocols.identity import Identity

QUERIES = "queries"
"""In the folder of data: results that are kept for a while."""

STOP_S = 5
"""How long requests that are under way may take after a stop was asked for."""

BACKLOG = 512
CONNECTIONS_MAX = 2000
"""Open connections, most of them live streams."""


def serve(home: Path, level: int | None = None, stop: Stop | None = None, until_eof: bool = False) -> None:
    """Serve API and portal until asked to stop.

    Args:
        home: The directory that `catchment-hq init` made.
        level: In the place of the one that is set.
        stop: How to ask; by default SIGTERM and SIGINT do.
        until_eof: Stop as well when standard input ends, as it does with the process that began us.

    Raises:
        InputError: The configuration, the keys or the address are wrong.
        StoreError: A store cannot be used.
    """
    config = load(home)
    if level is not None:
        config = replace(config, level=level)
    if config.web.bind is None:
        expected = "where to listen, such as bind = '127.0.0.1:8600'"
        raise InputError([Problem(str(home / CONFIG), "[web] bind", "", expected)])
    if stop is None:
        stop = Stop()
        stop.on_signals()
    if until_eof:
        threading.Thread(target=_stop_at_eof, args=(stop,), name="stdin", daemon=True).start()
    log = EventLog.of(config.log, "web.log")
    try:
        with (
            _bridged(log),
            opened(config, stop) as app,
            _listening(config) as listener,
            _alerting(config, app, stop, log),
        ):
            _run(config, app, listener, stop, log)
    finally:
        log.close()


@contextmanager
def opened(config: HeadquartersConfig, stop: Stop) -> Iterator[FastAPI]:
    """The application over the stores of a headquarters.

    Args:
        config: Of headquarters.
        stop: Asked, streams end.

    Raises:
        InputError: A file of the home is wrong.
        StoreError: A store cannot be opened.
    """
    identity = Identity.load(config.home)
    metadata = open_metadata(config.data, config.metadata_url)
    sources = Sources(config)
    meter = Meter(metadata)
    terms, sealer, hasher = Terms(**config.accounts), sealing.load(config.home), Hasher()
    queries = QueryService(metadata, config.lake, config.data / QUERIES, meter=meter)
    is_portal = has(config.level, "portal")
    sessions = Sessions(metadata, terms)
    prepared = (sources, sessions, is_portal)
    threading.Thread(target=_prepare, args=prepared, name="prepare", daemon=True).start()
    try:
        per_minute = config.web.requests_per_minute
        portal = PortalService(
            SignIn(metadata, terms, hasher, sealer),
            OwnAccount(metadata, terms, hasher, sealer),
            None if config.oidc is None else Oidc(metadata, provider_of(config.oidc), sealer, fetch),
            config.web.url,
        )
        yield make_app(
            Context(
                sources=sources,
                metadata=metadata,
                sessions=sessions,
                csrf_key=sealer.derive(b"csrf"),
                signer=identity.signing,
                is_tls=config.web.is_tls,
                level=config.level,
                queries=queries,
                meter=meter,
                limiter=RateLimiter(per_minute, max(10, per_minute // 10)),
                stopping=lambda: stop.asked,
                services={PORTAL: portal},
                public_url=config.web.public_url,
            ),
            *([router] if is_portal else []),
        )
    finally:
        queries.close()
        sources.close()
        metadata.dispose()


def server_settings(config: HeadquartersConfig, app: FastAPI) -> uvicorn.Config:
    """How an application is served: without uvicorn's own logs and name, and to nobody for ever.

    Args:
        config: Of headquarters.
        app: The application.
    """
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        http=PatientProtocol,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        backlog=BACKLOG,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=STOP_S,
        ssl_certfile=config.web.certificate,
        ssl_keyfile=config.web.key,
    )


def _prepare(sources: Sources, sessions: Sessions, is_portal: bool) -> None:
    """Read and compile what the first visitor would have to wait for."""
    with suppress(CatchmentError):  # whoever asks for what cannot be read is told so
        sessions.resume("nobody's")
        sources.points()
        sources.fleet()
        sources.alarms()
    if is_portal:
        frame.prepare()


class _Server(uvicorn.Server):
    """uvicorn's, which leaves signals to us."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        """Nothing: `Stop` has them."""
        return nullcontext()


def _run(
    config: HeadquartersConfig, app: FastAPI, listener: socket.socket, stop: Stop, log: EventLog
) -> None:
    settings = server_settings(config, app)
    try:
        settings.load()
    except (OSError, ValueError) as error:
        expected = f"PEM files of a certificate and its key that belong together ({error})"
        raise InputError([Problem(str(config.web.certificate), "[web]", "", expected)]) from error
    server = _Server(settings)
    watcher = threading.Thread(target=_stop_when_asked, args=(stop, server), name="stop", daemon=True)
    watcher.start()
    host, port = listener.getsockname()[:2]
    scheme = "http" if config.web.certificate is None else "https"
    shown = f"[{host}]" if ":" in host else host
    log.info(
        "web-started",
        url=config.web.public_url or f"{scheme}://{shown}:{port}",
        port=port,
        pid=os.getpid(),
        platform_level=config.level,
    )
    asyncio.run(server.serve(sockets=[listener]))
    log.info("web-stopped")


@contextmanager
def _alerting(config: HeadquartersConfig, app: FastAPI, stop: Stop, log: EventLog) -> Iterator[None]:
    """Judge alert rules, and measure what tenants take up, meanwhile."""
    context: Context = app.state.context
    channels = channels_of(config.alerts, config.id)

    def make() -> Alerts:
        return Alerts(context.metadata, lambda: read(context.sources, context.metadata), channels, log)

    arguments = (make, config.data, config.alerts["interval_s"], stop, log)
    threads = (
        threading.Thread(target=watch, args=arguments, name="alerts", daemon=True),
        UsageThread(context.sources, context.metadata, stop, log),
    )
    for each in threads:
        each.start()
    try:
        yield
    finally:
        stop.ask()
        for each in threads:
            each.join(STOP_S)


@contextmanager
def _listening(config: HeadquartersConfig) -> Iterator[socket.socket]:
    assert config.web.bind is not None
    host, _, port = config.web.bind.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP: only then does asyncio turn off what else holds every answer's body back for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, int(port)))
            listener.listen(BACKLOG)
        except OSError as error:
            expected = f"an address that is free on this machine ({error.strerror or error})"
            place = str(config.home / CONFIG)
            raise InputError([Problem(place, "[web] bind", config.web.bind, expected)]) from error
        yield listener


def _stop_when_asked(stop: Stop, server: uvicorn.Server) -> None:
    while not stop.wait(3600.0):
        pass
    server.should_exit = True


def _stop_at_eof(stop: Stop) -> None:
    # Not through sys.stdin, whose lock a thread that waits holds: the interpreter could not end.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.ask()


class _Bridge(logging.Handler):
    """Lines of the libraries and of the API's faults, as events."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log one of them."""
        trace = None if record.exc_info is None else self.format(record).partition("\n")[2]
        self._log.error("web-fault", source=record.name, message=record.getMessage(), trace=trace)


@contextmanager
def _bridged(log: EventLog) -> Iterator[None]:
    bridge = _Bridge(log)
    root = logging.getLogger()
    root.addHandler(bridge)
    try:
        yield
    finally:
        root.removeHandler(bridge)
