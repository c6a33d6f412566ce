"""An OPC UA server (asyncua's) that shows the plant's points and knows what it showed.

Rules:
1. A value that changed is written, with the tick's time as its source time, and so notified;
   one that did not only gets the new source time, as a server with the usual trigger
   (status or value, Part 4, 7.22.2) would notify nothing.
2. Reads and subscriptions of values are logged by their point.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncua
import numpy as np
from asyncua.common.callback import CallbackType

from scripts.plant.catalogue import Kind, PlantPoint
from scripts.plant.layout import NAMESPACE
from scripts.plant.log import READ, SUBSCRIBED
from scripts.plant.model import UInt32s
from scripts.plant.unit import Array

NAMESPACE_URI = "urn:catchment:plant"
ua: Any = asyncua.ua
"""asyncua declares its own scalar types and takes Python's: its declarations are of no use here."""
_RECORD = struct.Struct("<qIIB")
"""One record of `log.OPCUA_READ`."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TYPES = {
    Kind.BOOL: ua.VariantType.Boolean,
    Kind.INT16: ua.VariantType.Int16,
    Kind.UINT16: ua.VariantType.UInt16,
    Kind.INT32: ua.VariantType.Int32,
    Kind.UINT32: ua.VariantType.UInt32,
    Kind.F32: ua.VariantType.Float,
    Kind.F64: ua.VariantType.Double,
    Kind.STRING: ua.VariantType.String,
}
_PYTHON: dict[Kind, Callable[[float], Any]] = {Kind.BOOL: bool, Kind.F32: float, Kind.F64: float}


class _Shown(ua.DataValue):  # type: ignore[misc]
    """A value that is never changed once it is shown, so that asyncua need not copy it for each
    subscriber: the copy takes 180 us, seven times as long as sending it.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shown:
        return self


class OpcuaServer:
    """Serves points as variables under `Objects/Plant`, a folder a system.

    Args:
        points: Numeric points first, then texts.
        log_reads: Takes records of `log.OPCUA_READ`.
    """

    def __init__(self, points: Sequence[PlantPoint], log_reads: Callable[[bytes], None]) -> None:
        self._points = points
        self._log_reads = log_reads
        self._index = {point.name: index for index, point in enumerate(points)}
        self._server: Any = asyncua.Server()
        self._values: list[Any] = []
        self._tick = 0
        self._held: Array | None = None
        self._status: UInt32s | None = None
        self._texts: list[str] = []

    async def start(self, host: str, port: int) -> None:
        """Build the address space and listen."""
        logging.getLogger("asyncua").setLevel(logging.ERROR)
        await self._server.init()
        self._server.set_endpoint(f"opc.tcp://{host}:{port}/plant")
        self._server.set_server_name("Catchment plant")
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        assert await self._server.register_namespace(NAMESPACE_URI) == NAMESPACE
        await self._build()
        callbacks = self._server.iserver.callback_service
        callbacks.addListener(CallbackType.PostRead, self._on_read)
        callbacks.addListener(CallbackType.ItemSubscriptionCreated, self._on_subscribe)
        await self._server.start()

    async def stop(self) -> None:
        """Stop serving."""
        await self._server.stop()

    async def show(self, held: Array, texts: Sequence[str], status: UInt32s, time_us: int, tick: int) -> None:
        """Serve these values from now on; `tick` is their number in the log."""
        self._tick = tick
        stamp = _EPOCH + timedelta(microseconds=time_us)
        changed = self._changed(held, texts, status)
        space = self._server.iserver.aspace
        for index, (point, attribute) in enumerate(zip(self._points, self._values, strict=True)):
            value = _value(point, index, held, texts)
            variant = ua.Variant(value, _TYPES[point.kind])
            data = _Shown(variant, ua.StatusCode(int(status[index])), stamp, stamp)
            if changed[index]:
                await space.write_attribute_value(_node(point), ua.AttributeIds.Value, data)
            elif status[index] == 0:
                attribute.value = data

    def _changed(self, held: Array, texts: Sequence[str], status: UInt32s) -> list[bool]:
        if self._held is None or self._status is None:
            changed = [True] * len(self._points)
        else:
            numeric = (held != self._held) | np.isnan(held)
            words = np.array([a != b for a, b in zip(texts, self._texts, strict=True)], np.bool_)
            changed = (np.concatenate([numeric, words]) | (status != self._status)).tolist()
        self._held, self._texts, self._status = held.copy(), list(texts), status.copy()
        return changed

    async def _build(self) -> None:
        plant = await self._server.nodes.objects.add_folder(ua.NodeId("Plant", NAMESPACE), "2:Plant")
        folders: dict[str, Any] = {}
        for point in self._points:
            system = point.name[:5]
            if system not in folders:
                folder = ua.NodeId(f"folder/{system}", NAMESPACE)
                folders[system] = await plant.add_folder(folder, f"{NAMESPACE}:{system}")
            empty: Any = "" if point.kind is Kind.STRING else _PYTHON.get(point.kind, int)(0)
            name = f"{NAMESPACE}:{point.name}"
            await folders[system].add_variable(_node(point), name, empty, _TYPES[point.kind])
        nodes = self._server.iserver.aspace._nodes
        self._values = [nodes[_node(point)].attributes[ua.AttributeIds.Value] for point in self._points]

    async def _on_read(self, event: Any, _: Any) -> None:
        if event.is_external:
            reads = event.request_params.NodesToRead
            self._note((r.NodeId for r in reads if r.AttributeId == ua.AttributeIds.Value), READ)

    async def _on_subscribe(self, event: Any, _: Any) -> None:
        if event.is_external:
            self._note((item.ItemToMonitor.NodeId for item in event.request_params.ItemsToCreate), SUBSCRIBED)

    def _note(self, nodes: Iterable[Any], kind: int) -> None:
        now = time.time_ns() // 1000
        indexes = (self._index.get(node.Identifier) for node in nodes)
        records = [_RECORD.pack(now, self._tick, index, kind) for index in indexes if index is not None]
        if records:
            self._log_reads(b"".join(records))


def _node(point: PlantPoint) -> Any:
    return ua.NodeId(point.name, NAMESPACE)


def _value(point: PlantPoint, index: int, held: Array, texts: Sequence[str]) -> Any:
    if point.kind is Kind.STRING:
        return texts[index - len(held)]
    return _PYTHON.get(point.kind, int)(held[index])
