"""The OPC UA driver: keeps a session and its subscriptions, reads and browses."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from protocols.errors import DeviceError, InputError, MalformedError, Problem
from protocols.field import _opcua_wire as wire
from protocols.field._opcua_address import parse
from protocols.field._opcua_subscription import OpcUaSubscription, SubscriptionSettings
from protocols.field._opcua_values import OpcUaGroup
from protocols.field.backoff import Backoff, CircuitBreaker
from protocols.field.base import (
    BrowsedNode,
    Capabilities,
    DriverContext,
    DriverEvent,
    DriverState,
    DriverStatus,
    FieldPoint,
    Group,
    NotificationSink,
    Subscription,
)
from protocols.field.settings import Settings
from protocols.field.writing import fault
from protocols.samples import (
    BAD_DECODING_ERROR,
    BAD_NO_COMMUNICATION,
    BAD_NOT_CONNECTED,
    BAD_TIMEOUT,
    SampleBlock,
    UInt32s,
)

if TYPE_CHECKING:
    from protocols.field._opcua_certificate import ClientCertificate
    from protocols.field._opcua_session import Resolved, Session, SessionSettings


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
        # The library takes a second or two to load: in a thread, so that no other device waits for it.
        await asyncio.to_thread(importlib.import_module, "protocols.field._opcua_session")
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
        from protocols.field._opcua_certificate import ClientCertificate, existing, make, uri_of

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

    # -- writing -------------------------------------------------------------------------

    async def write(self, point: FieldPoint, value: float) -> None:
        """Write one value, once, in the node's own type.

        Raises:
            DeviceError: The server refused, did not confirm, or there is no session.
            ValueError: Such a value cannot be written.
        """
        expected = fault(point.type, value)
        if expected:
            raise ValueError(f"expected {expected}, got {value!r}")
        try:
            await self._write(point.address, value)
        except DeviceError as error:
            self._status.writes_failed += 1
            raise DeviceError(f"{self._endpoint}: {error}") from error
        self._status.writes += 1

    async def _write(self, address: str, value: float) -> None:
        session = self._session
        if session is None:
            raise DeviceError(f"not sent: {self._status.last_error or 'not connected'}")
        if not self._breaker.allows(self._context.monotonic()):
            self._status.refused_fast += 1
            raise DeviceError("not sent: the server is known to be silent")
        from protocols.field import _opcua_write

        try:
            await _opcua_write.write(session, address, value)
        except OSError as error:
            self._status.timeouts += isinstance(error, TimeoutError)
            self._breaker.failed(self._context.monotonic())
            raise DeviceError(str(error)) from error
        except DeviceError:
            self._status.exceptions += 1
            self._breaker.succeeded()
            raise
        self._breaker.succeeded()

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
        expected = expected_instead(point.address)
        if expected is not None:
            problems.append(Problem("", f"point {point.id}, column address", point.address, expected))
    if problems:
        raise InputError(problems)


def expected_instead(address: str) -> str | None:
    """What was expected instead of this address, or `None` when it is right."""
    try:
        parse(address)
    except ValueError as error:
        return str(error)
    return None


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
