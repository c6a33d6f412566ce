"""One session with an OPC UA server, over the asyncua library.

The library opens the channel, signs, encrypts and encodes requests; answers that carry
values are decoded by `_opcua_wire`. A session that is lost stays lost: its owner makes a
new one. The library is imported here, in `_opcua_browse` and in `_opcua_write`, and only
when the first OPC UA device is opened.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncua import Client
from asyncua import ua as library_ua
from asyncua.crypto import security_policies, uacrypto
from asyncua.ua.ua_binary import struct_from_binary

from protocols.errors import MalformedError
from protocols.field import _opcua_wire as wire
from protocols.field._opcua_address import BrowsePath, NodeName, parse
from protocols.field._opcua_certificate import ClientCertificate
from protocols.field.base import DriverStatus
from protocols.samples import BAD_NODE_ID_UNKNOWN

ua: Any = library_ua
"""Untyped: the library's annotations ask for its own integer classes, its code does not."""

logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
# The library logs a traceback for whatever a hostile or a dying server sends; the driver
# reports all of it through its status and its events.

SESSION_TIMEOUT_MS = 60_000
"""How long a server keeps what a vanished gateway left behind."""

PUBLISH_REQUESTS = 3
"""Publish requests that wait at the server, so that it need not wait for us (Part 4, 5.14.1.1)."""

BATCH = 1000
"""Nodes in one request where the server names no lower limit."""

Resolved = Any
"""A NodeId of the library, or the StatusCode (int) that says why there is none."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How to reach a server; times in seconds."""

    endpoint: str
    policy: str
    mode: str
    user: str
    password: str = field(repr=False)
    server_certificate: str
    timeout_s: float
    connect_timeout_s: float
    keep_alive_s: float
    batch: int


class Session:
    """One session; `lost` is done, with the reason, when it is of no more use."""

    def __init__(self, client: Client, settings: SessionSettings, status: DriverStatus) -> None:
        self.client = client
        self.settings = settings
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._status = status
        self._rpc = client.uaclient.session
        self.targets: dict[str, Any] = {}
        """By address, what `_opcua_write` knows of nodes that were written."""
        self._nodes: dict[str, Resolved] = {}
        self._namespaces: list[str] = []
        self._listeners: dict[int, Callable[[wire.Publication], None]] = {}
        self._publisher: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, settings: SessionSettings, certificate: ClientCertificate | None, name: str, status: DriverStatus
    ) -> Session:
        """Connect, secure and log in.

        Raises:
            Exception: Whatever the library raises for a server that is not there, refuses, or
                is none.
        """
        client = Client(settings.endpoint, settings.timeout_s, watchdog_intervall=settings.keep_alive_s)
        client.name = client.description = name
        client.session_timeout = SESSION_TIMEOUT_MS
        session = cls(client, settings, status)
        client.connection_lost_callback = session._library_lost
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                await session._secure(certificate)
                await client.connect()
                await session._learn()
        except BaseException:
            await session.close()
            raise
        return session

    async def _secure(self, certificate: ClientCertificate | None) -> None:
        settings = self.settings
        if settings.user:
            self.client.set_user(settings.user)
            self.client.set_password(settings.password)
        if certificate is None:
            return
        self.client.application_uri = certificate.uri
        server = settings.server_certificate
        await self.client.set_security(
            getattr(security_policies, f"SecurityPolicy{settings.policy}"),
            _in_its_form(certificate.certificate),
            _in_its_form(certificate.key),
            server_certificate=_in_its_form(Path(server)) if server else None,
            mode=ua.MessageSecurityMode[settings.mode],
        )

    async def _learn(self) -> None:
        """Learn the server's namespaces and its limit of nodes in a request."""
        ids = [
            ua.ObjectIds.Server_NamespaceArray,
            ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
        ]
        array, limit = await self._rpc.read_attributes([ua.NodeId(i) for i in ids], ua.AttributeIds.Value)
        self._namespaces = [
            str(uri) for uri in (array.Value.Value if array.Value is not None else None) or []
        ]
        most = limit.Value.Value if limit.Value is not None else None
        self.batch = (
            min(self.settings.batch, most) if isinstance(most, int) and most > 0 else self.settings.batch
        )

    async def _library_lost(self, error: Exception) -> None:
        self.give_up(str(error) or type(error).__name__)

    def give_up(self, why: str) -> None:
        """Say that the session is of no more use."""
        if not self.lost.done():
            self.lost.set_result(why)

    async def close(self) -> None:
        """Log out if the server still listens; never raises, never waits long."""
        self.give_up("closed")
        await self._end_publishing()
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                await self.client.disconnect()
        except Exception as error:  # the library raises anything for a server that has gone
            self._status.last_error = self._status.last_error or f"logging out: {error!r}"
        self.client.disconnect_socket()

    async def call(self, request: Any) -> Any:
        """Send a request; returns the body of the answer, to be decoded.

        Raises:
            Exception: Whatever the library raises: a ServiceFault, a time-out, a lost connection.
        """
        self._status.requests += 1
        body = await self._rpc._send_request(request)
        self._status.responses += 1
        self._status.bytes_received += len(body)
        return body

    # -- nodes ---------------------------------------------------------------------------

    async def resolve(self, addresses: Sequence[str]) -> list[Resolved]:
        """The node of each address, or the StatusCode that says why there is none."""
        unknown = [a for a in dict.fromkeys(addresses) if a not in self._nodes]
        paths: list[tuple[str, BrowsePath]] = []
        for address in unknown:
            parsed = parse(address)
            if isinstance(parsed, NodeName):
                self._nodes[address] = self._node(parsed)
            else:
                paths.append((address, parsed))
        for start in range(0, len(paths), self.batch):
            chunk = paths[start : start + self.batch]
            results = await self._rpc.translate_browsepaths_to_nodeids(
                [_browse_path(path) for _, path in chunk]
            )
            for (address, _), result in zip(chunk, results, strict=True):
                good = result.StatusCode.is_good() and result.Targets
                self._nodes[address] = (
                    _local(result.Targets[0].TargetId) if good else _code(result.StatusCode)
                )
        return [self._nodes[address] for address in addresses]

    def _node(self, name: NodeName) -> Resolved:
        namespace = name.namespace
        if name.uri:
            if name.uri not in self._namespaces:
                return BAD_NODE_ID_UNKNOWN
            namespace = self._namespaces.index(name.uri)
        if name.kind == "i":
            return ua.NodeId(int(name.identifier), namespace)
        if name.kind == "g":
            return ua.NodeId(uuid.UUID(name.identifier), namespace)
        if name.kind == "b":
            return ua.NodeId(base64.b64decode(name.identifier), namespace)
        return ua.NodeId(name.identifier, namespace)

    async def read(
        self, nodes: Sequence[Resolved], attribute: int = ua.AttributeIds.Value
    ) -> list[wire.Values]:
        """The values (or another attribute) of at most `batch` nodes, handled by their place.

        Raises:
            MalformedError: The answer makes no sense.
            Exception: As `call`.
        """
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
        request.Parameters.NodesToRead = [
            ua.ReadValueId(NodeId=node, AttributeId=attribute) for node in nodes
        ]
        values = wire.read_response(bytes(await self.call(request)))
        if sum(len(run.handles) for run in values) != len(nodes):
            raise MalformedError(f"expected {len(nodes)} values")
        return values

    # -- subscriptions -------------------------------------------------------------------

    async def subscribe(
        self, publishing_ms: float, keep_alive_count: int, listener: Callable[[wire.Publication], None]
    ) -> tuple[int, float]:
        """Make a subscription.

        Returns:
            Its id, and how often at least something comes, seconds.
        """
        request = ua.CreateSubscriptionRequest()
        wanted = request.Parameters
        wanted.RequestedPublishingInterval = publishing_ms
        wanted.RequestedMaxKeepAliveCount = keep_alive_count
        wanted.RequestedLifetimeCount = max(3 * keep_alive_count, int(SESSION_TIMEOUT_MS / publishing_ms))
        wanted.PublishingEnabled = True
        response = struct_from_binary(ua.CreateSubscriptionResponse, await self.call(request))
        response.ResponseHeader.ServiceResult.check()
        given = response.Parameters
        self._listeners[given.SubscriptionId] = listener
        if self._publisher is None:
            self._publisher = asyncio.create_task(self._publish(), name="opcua publish")
        alive_s = given.RevisedPublishingInterval * given.RevisedMaxKeepAliveCount / 1000
        return int(given.SubscriptionId), float(alive_s)

    async def monitor(
        self, subscription: int, nodes: Sequence[tuple[int, Resolved]], sampling_ms: float, queue: int
    ) -> list[tuple[int, int]]:
        """Monitor at most `batch` nodes by client handle.

        Returns:
            The StatusCode of each, and how many changes the server will keep for it.
        """
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters.SubscriptionId = subscription
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
        for handle, node in nodes:
            item = ua.MonitoredItemCreateRequest()
            item.ItemToMonitor = ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)
            item.MonitoringMode = ua.MonitoringMode.Reporting
            item.RequestedParameters.ClientHandle = handle
            item.RequestedParameters.SamplingInterval = sampling_ms
            item.RequestedParameters.QueueSize = queue
            item.RequestedParameters.DiscardOldest = True
            request.Parameters.ItemsToCreate.append(item)
        response = struct_from_binary(ua.CreateMonitoredItemsResponse, await self.call(request))
        response.ResponseHeader.ServiceResult.check()
        if len(response.Results) != len(nodes):
            raise MalformedError(f"expected {len(nodes)} results, got {len(response.Results)}")
        return [(_code(result.StatusCode), int(result.RevisedQueueSize)) for result in response.Results]

    async def unsubscribe(self, subscription: int) -> None:
        """End a subscription; with the last one, the Publish requests that would have nothing to say."""
        self._listeners.pop(subscription, None)
        if not self._listeners:
            await self._end_publishing()
        await self._rpc.delete_subscriptions([subscription])

    async def _end_publishing(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.cancel()
            await asyncio.gather(publisher, return_exceptions=True)

    async def _publish(self) -> None:
        """Keep Publish requests at the server and hand out what they bring, in order."""
        acks: list[Any] = []
        waiting = deque(asyncio.create_task(self._ask([])) for _ in range(PUBLISH_REQUESTS))
        try:
            while True:
                body = await waiting[0]
                waiting.popleft()
                publication = wire.publish_response(body)
                if not publication.empty:
                    acks.append(_acknowledgement(publication))
                waiting.append(asyncio.create_task(self._ask(acks)))
                acks = []
                listener = self._listeners.get(publication.subscription)
                if listener is not None:
                    listener(publication)
        except Exception as error:  # whatever the library raises ends the session
            self.give_up(f"publishing: {str(error) or type(error).__name__}")
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _ask(self, acks: list[Any]) -> bytes:
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = acks
        body = await self._rpc._send_request(request, timeout=0)
        self._status.bytes_received += len(body)
        return bytes(body)


def _in_its_form(path: Path) -> uacrypto.CertProperties:
    """A certificate or key file, told to be PEM or DER by its contents, not by its name."""
    form = "pem" if path.read_bytes().startswith(b"-----") else "der"
    return uacrypto.CertProperties(path, form)


def _local(target: Any) -> Any:
    """The NodeId in an ExpandedNodeId."""
    return ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)


def _code(status: Any) -> int:
    return int(status.value)


def _acknowledgement(publication: wire.Publication) -> Any:
    return ua.SubscriptionAcknowledgement(
        SubscriptionId=publication.subscription, SequenceNumber=publication.sequence
    )


def _browse_path(path: BrowsePath) -> Any:
    elements = []
    for namespace, name in path.names:
        element = ua.RelativePathElement()
        element.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
        element.IncludeSubtypes = True
        element.IsInverse = False
        element.TargetName = ua.QualifiedName(name, namespace)
        elements.append(element)
    result = ua.BrowsePath()
    result.StartingNode = ua.NodeId(ua.ObjectIds.ObjectsFolder)
    result.RelativePath = ua.RelativePath(Elements=elements)
    return result
