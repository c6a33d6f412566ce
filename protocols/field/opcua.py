"""OPC UA: collects by subscription, or by reading where a server's subscriptions are not to be used.

Needs the library asyncua (`catchment[edge]`), imported when the first device connects.
Addresses: `protocols.field._opcua_address`.

>>> OPCUA.expect("ns=2;s=Boiler.T1", FieldType.F64) is None
True
>>> OPCUA.expect("Boiler.T1", FieldType.F64)
"a node id such as 'ns=2;s=Boiler.T1', or a path of browse names such as '/2:Boiler/2:T1'"
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from protocols.errors import DeviceError, InputError, MalformedError, Problem
from protocols.field import _opcua_wire as wire
from protocols.field._opcua_address import parse
from protocols.field._opcua_certificate import ClientCertificate, existing, make, uri_of
from protocols.field._opcua_subscription import OpcUaSubscription, SubscriptionSettings
from protocols.field._opcua_values import Columns
from protocols.field.backoff import Backoff, CircuitBreaker
from protocols.field.base import (
    BrowsedNode,
    Capabilities,
    DriverContext,
    DriverEvent,
    DriverState,
    DriverStatus,
    FieldPoint,
    FieldType,
    Group,
    NotificationSink,
    Subscription,
)
from protocols.field.settings import Kind, Setting, Settings
from protocols.samples import (
    BAD_DECODING_ERROR,
    BAD_NO_COMMUNICATION,
    BAD_NOT_CONNECTED,
    BAD_TIMEOUT,
    SampleBlock,
    UInt32s,
)

if TYPE_CHECKING:
    from protocols.field._opcua_session import Resolved, Session, SessionSettings

BATCH_MAX = 10_000

SETTINGS = (
    Setting(
        "endpoint", Kind.TEXT, "Address of the server, such as opc.tcp://plc7:4840/UA.", required=True, low=11
    ),
    Setting(
        "collect",
        Kind.TEXT,
        "Whether the server notifies changes, or is asked at each scan.",
        "subscribe",
        choices=("subscribe", "read"),
    ),
    Setting(
        "security_policy",
        Kind.TEXT,
        "How messages are secured.",
        "None",
        choices=("None", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"),
    ),
    Setting(
        "security_mode",
        Kind.TEXT,
        "Whether messages are signed, or signed and encrypted.",
        "None",
        choices=("None", "Sign", "SignAndEncrypt"),
    ),
    Setting("user", Kind.TEXT, "User name; anonymous without one.", low=1, high=255),
    Setting("password", Kind.SECRET, "The user's password.", high=255),
    Setting(
        "certificate",
        Kind.TEXT,
        "Our certificate (DER or PEM); without one the gateway makes its own and keeps it with its keys.",
    ),
    Setting("private_key", Kind.TEXT, "The key of `certificate` (PEM)."),
    Setting(
        "server_certificate",
        Kind.TEXT,
        "The server's certificate (DER or PEM); no other is accepted. Without it, the one that the "
        "server shows at each connection is believed.",
    ),
    Setting("timeout_s", Kind.NUMBER, "How long to wait for an answer.", 4.0, low=0.05, high=120, unit="s"),
    Setting(
        "connect_timeout_s",
        Kind.NUMBER,
        "How long to wait for a session.",
        10.0,
        low=0.05,
        high=120,
        unit="s",
    ),
    Setting(
        "publishing_ms",
        Kind.NUMBER,
        "How often the server sends changes.",
        500.0,
        low=10,
        high=60_000,
        unit="ms",
    ),
    Setting(
        "sampling_ms",
        Kind.NUMBER,
        "How often the server looks for changes; 0 means once a scan period.",
        0.0,
        low=0,
        high=3_600_000,
        unit="ms",
    ),
    Setting(
        "queue_size",
        Kind.INTEGER,
        "Changes of a point that the server keeps between two sendings.",
        10,
        low=1,
        high=10_000,
    ),
    Setting(
        "keep_alive_s",
        Kind.NUMBER,
        "How often an idle server shows that it lives.",
        5.0,
        low=0.05,
        high=600,
        unit="s",
    ),
    Setting("batch_size", Kind.INTEGER, "Most nodes in one request.", 1000, low=1, high=BATCH_MAX),
    Setting(
        "degrade_failures",
        Kind.INTEGER,
        "Failed reads in a row after which a server counts as silent.",
        3,
        low=1,
        high=100,
    ),
    Setting(
        "degrade_s", Kind.NUMBER, "How often a silent server is read again.", 5.0, low=0, high=3600, unit="s"
    ),
    Setting(
        "reconnect_first_s",
        Kind.NUMBER,
        "Longest first wait before a new session.",
        1.0,
        low=0.01,
        high=60,
        unit="s",
    ),
    Setting(
        "reconnect_longest_s",
        Kind.NUMBER,
        "Longest wait before a new session.",
        30.0,
        low=0.01,
        high=3600,
        unit="s",
    ),
)


class OpcUaGroup:
    """Points that are read together."""

    def __init__(self, points: Sequence[FieldPoint], batch: int) -> None:
        self.columns = Columns(points)
        self.addresses = [point.address for point in points]
        self._batch = batch

    @property
    def points(self) -> tuple[FieldPoint, ...]:
        """Every point, in the order they were given."""
        return self.columns.points

    @property
    def requests(self) -> int:
        """Requests of one read."""
        return -(-len(self.points) // self._batch)


class OpcUaDriver:
    """One OPC UA server; `protocols.field.base.Driver`.

    Args:
        settings: Complete settings.
        context: Names, keys, clocks, randomness and the taker of events.
    """

    def __init__(self, settings: Settings, context: DriverContext) -> None:
        self._settings = settings
        self._context = context
        self._status = DriverStatus()
        self._session: Session | None = None
        self._subscriptions: list[OpcUaSubscription] = []
        self._keeper: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self._breaker = CircuitBreaker(settings.integer("degrade_failures"), settings.number("degrade_s"))

    @property
    def status(self) -> DriverStatus:
        """State and counters."""
        return self._status

    @property
    def capabilities(self) -> Capabilities:
        """Subscribed, unless the settings say to read."""
        return Capabilities(subscribe=self._settings.text("collect") == "subscribe", browse=True)

    # -- sessions ------------------------------------------------------------------------

    async def connect(self) -> None:
        """Begin, and wait for the first attempt.

        Raises:
            DeviceError: It failed; the driver goes on trying.
        """
        if self._is_closed():
            raise DeviceError(f"{self._endpoint}: the driver is closed")
        if self._first is None:
            self._status.state = DriverState.CONNECTING
            self._first = asyncio.get_running_loop().create_future()
            self._keeper = asyncio.create_task(self._keep(), name=f"opcua {self._context.device}")
        await asyncio.wait([self._first])
        if self._session is None:
            raise DeviceError(f"{self._endpoint}: {self._status.last_error or 'not connected'}")

    @property
    def _endpoint(self) -> str:
        return self._settings.text("endpoint")

    async def _keep(self) -> None:
        """Keep a session up."""
        settings = self._settings
        backoff = Backoff(
            settings.number("reconnect_first_s"), settings.number("reconnect_longest_s"), self._context.random
        )
        # The flag counts, too: inside the library a cancellation may be swallowed.
        while not self._is_closed():
            try:
                session = await self._open()
            except Exception as error:  # the library raises anything for a server that is none
                self._status.last_error = f"no session: {str(error) or type(error).__name__}"
                self._attempted()
            else:
                backoff.reset()
                await self._serve(session)
            await asyncio.sleep(backoff.next_s())

    def _is_closed(self) -> bool:
        return self._status.state is DriverState.CLOSED

    def _attempted(self) -> None:
        if self._first is not None and not self._first.done():
            self._first.set_result(None)

    async def _open(self) -> Session:
        from protocols.field import _opcua_session

        certificate = await self._certificate()
        settings = _session_settings(self._settings, _opcua_session.SessionSettings)
        name = f"Catchment {self._context.gateway}"
        return await _opcua_session.Session.open(settings, certificate, name, self._status)

    async def _serve(self, session: Session) -> None:
        """Use a session until it is lost."""
        status = self._status
        if self._is_closed():
            await session.close()
            return
        self._session = session
        status.state = DriverState.CONNECTED
        status.connects += 1
        status.connected_since_us = self._context.now_us()
        fields: dict[str, object] = {"device": self._context.device, "peer": self._endpoint}
        self._context.events(DriverEvent("device-connected", fields))
        self._attempted()
        why = "closed"
        try:
            for subscription in list(self._subscriptions):
                await self._start(subscription, session)
            await asyncio.wait([session.lost])
            why = session.lost.result()
        finally:
            self._session = None
            for subscription in self._subscriptions:
                subscription.stop(why)
            await session.close()
        if self._is_closed():
            return
        status.disconnects += 1
        status.last_error = why
        status.state = DriverState.LOST
        status.connected_since_us = None
        self._context.events(DriverEvent("device-lost", fields | {"why": why}))

    async def _start(self, subscription: OpcUaSubscription, session: Session) -> None:
        try:
            await subscription.start(session)
        except Exception as error:  # the library raises anything; the session is of no more use
            session.give_up(f"subscribing: {str(error) or type(error).__name__}")

    async def _certificate(self) -> ClientCertificate | None:
        settings, context = self._settings, self._context
        if settings.text("security_policy") == "None":
            return None
        if settings.text("certificate"):
            path = Path(settings.text("certificate"))
            return ClientCertificate(path, Path(settings.text("private_key")), uri_of(path))
        if context.keys is None:
            expected = "a certificate and private_key, or a gateway with a keys directory"
            raise InputError([Problem("", f"[device.{context.device}] certificate", "", expected)])
        found = existing(context.keys)
        if found is None:
            found = await asyncio.to_thread(make, context.keys, context.gateway, context.now_us())
            self._context.events(DriverEvent("device-certificate-made", {"file": str(found.certificate)}))
        return found

    async def close(self) -> None:
        """End subscriptions and session."""
        if self._is_closed():
            return
        self._status.state = DriverState.CLOSED
        self._status.connected_since_us = None
        for subscription in list(self._subscriptions):
            await subscription.close()
        if self._session is not None:
            self._session.give_up("closed")
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._attempted()

    # -- reading -------------------------------------------------------------------------

    def plan(self, points: Sequence[FieldPoint]) -> list[Group]:
        """One group, read in requests of `batch_size` nodes.

        Raises:
            InputError: Addresses that make no sense, all of them.
        """
        _check(points)
        return [OpcUaGroup(points, self._settings.integer("batch_size"))] if points else []

    async def read(self, group: Group, instant_us: int) -> list[SampleBlock]:
        """Read a planned group: every point once, stamped `instant_us`."""
        assert isinstance(group, OpcUaGroup)
        n = len(group.points)
        missing = np.full(n, BAD_NO_COMMUNICATION, np.uint32)
        session, values = self._session, list[wire.Values]()
        if session is None:
            self._status.refused_fast += group.requests
            if self._keeper is None or self._is_closed():
                missing[:] = BAD_NOT_CONNECTED
        elif self._breaker.allows(self._context.monotonic()):
            values = await self._values(session, group, missing)
        else:
            self._status.refused_fast += group.requests
        return group.columns.rows(values, missing, instant_us)

    async def _values(self, session: Session, group: OpcUaGroup, missing: UInt32s) -> list[wire.Values]:
        """What the server answers; the quality of what it does not goes to `missing`."""
        values: list[wire.Values] = []
        try:
            nodes = await session.resolve(group.addresses)
            for start in range(0, len(nodes), session.batch):
                chunk = nodes[start : start + session.batch]
                values += await self._chunk(session, chunk, start, missing)
        except TimeoutError:
            self._status.timeouts += 1
            self._status.last_error = f"no answer within {session.settings.timeout_s:g} s"
            missing[missing == BAD_NO_COMMUNICATION] = BAD_TIMEOUT
            self._breaker.failed(self._context.monotonic())
        except Exception as error:  # the library raises anything; what is not read is bad
            self._status.last_error = f"reading: {str(error) or type(error).__name__}"
            self._breaker.failed(self._context.monotonic())
        else:
            self._breaker.succeeded()
        return values

    async def _chunk(
        self, session: Session, nodes: Sequence[Resolved], start: int, missing: UInt32s
    ) -> list[wire.Values]:
        """One request; an answer that makes no sense, or a refusal, marks only its own points."""
        from asyncua.ua import UaStatusCodeError

        known = np.array([i for i, node in enumerate(nodes) if not isinstance(node, int)], np.uint32)
        for i, node in enumerate(nodes):
            if isinstance(node, int):
                missing[start + i] = node
        if not len(known):
            return []
        try:
            runs = await session.read([nodes[i] for i in known.tolist()])
        except MalformedError as error:
            self._status.malformed += 1
            self._status.last_error = f"reading: {error}"
            missing[start + known] = BAD_DECODING_ERROR
            return []
        except UaStatusCodeError as error:
            self._status.exceptions += 1
            self._status.last_error = f"reading: {error}"
            missing[start + known] = int(error.code)
            return []
        return [run._replace(handles=(known[run.handles] + start).astype(np.uint32)) for run in runs]

    # -- subscriptions and browsing --------------------------------------------------------

    async def subscribe(
        self, points: Sequence[FieldPoint], sink: NotificationSink, period_s: float = 1.0
    ) -> Subscription:
        """Have changes delivered to `sink`, now and in every later session.

        Raises:
            InputError: Addresses that make no sense, all of them.
            DeviceError: The settings say to read.
        """
        _check(points)
        if not self.capabilities.subscribe:
            raise DeviceError(f"{self._endpoint}: expected collect = 'subscribe', got 'read' in the settings")
        settings = self._settings
        how = SubscriptionSettings(
            settings.number("publishing_ms"),
            settings.number("sampling_ms") or period_s * 1000,
            settings.integer("queue_size"),
            settings.number("keep_alive_s") * 1000,
        )
        subscription = OpcUaSubscription(
            points, sink, how, self._status, self._context, self._subscriptions.remove
        )
        self._subscriptions.append(subscription)
        if self._session is None:
            sink.down(self._context.now_us(), BAD_NO_COMMUNICATION)
        else:
            await self._start(subscription, self._session)
        return subscription

    async def browse(self, limit: int = 10_000) -> list[BrowsedNode]:
        """List the server's variables.

        Raises:
            DeviceError: There is no session, or the server does not answer.
        """
        if self._session is None:
            raise DeviceError(f"{self._endpoint}: {self._status.last_error or 'not connected'}")
        from protocols.field._opcua_browse import browse

        try:
            return await browse(self._session, limit)
        except Exception as error:  # the library raises anything
            raise DeviceError(f"{self._endpoint}: browsing: {str(error) or type(error).__name__}") from error


def _check(points: Sequence[FieldPoint]) -> None:
    problems = []
    for point in points:
        expected = OPCUA.expect(point.address, point.type)
        if expected is not None:
            problems.append(Problem("", f"point {point.id}, column address", point.address, expected))
    if problems:
        raise InputError(problems)


def _session_settings(settings: Settings, made: type[SessionSettings]) -> SessionSettings:
    return made(
        endpoint=settings.text("endpoint"),
        policy=settings.text("security_policy"),
        mode=settings.text("security_mode"),
        user=settings.text("user"),
        password=settings.text("password"),
        server_certificate=settings.text("server_certificate"),
        timeout_s=settings.number("timeout_s"),
        connect_timeout_s=settings.number("connect_timeout_s"),
        keep_alive_s=settings.number("keep_alive_s"),
        batch=settings.integer("batch_size"),
    )


class OpcUa:
    """The kind of driver; `protocols.field.base.DriverType`."""

    name = "opcua"
    title = "OPC UA"
    maturity = "peer-tested"
    settings = SETTINGS

    def expect(self, address: str, type: FieldType) -> str | None:
        """What was expected instead of this address, or `None` when it is right."""
        try:
            parse(address)
        except ValueError as error:
            return str(error)
        return None

    def check(self, settings: Settings) -> list[tuple[str, str]]:
        """Settings that are right alone and wrong together: name, and what was expected."""
        wrong = []
        try:
            url = urllib.parse.urlsplit(settings.text("endpoint"))
            right = url.scheme == "opc.tcp" and bool(url.hostname) and (url.port or 4840) > 0
        except ValueError:
            right = False
        if not right:
            wrong.append(("endpoint", "an address such as opc.tcp://plc7:4840/UA"))
        if (settings.text("security_policy") == "None") != (settings.text("security_mode") == "None"):
            wrong.append(("security_mode", "None with policy None, Sign or SignAndEncrypt with any other"))
        if bool(settings.text("certificate")) != bool(settings.text("private_key")):
            wrong.append(("private_key", "certificate and private_key together"))
        if settings.text("password") and not settings.text("user"):
            wrong.append(("user", "a user for the password"))
        if settings.number("reconnect_longest_s") < settings.number("reconnect_first_s"):
            wrong.append(("reconnect_longest_s", "at least reconnect_first_s"))
        return wrong

    def create(self, settings: Settings, context: DriverContext) -> OpcUaDriver:
        """Make a driver."""
        return OpcUaDriver(settings, context)


OPCUA = OpcUa()
