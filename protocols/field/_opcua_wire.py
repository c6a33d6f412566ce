"""Decodes the two OPC UA answers that carry values: Read and Publish. No I/O, no library.

The library's generic decoder costs about 25 us a value; here neighbours of one encoding are
decoded together by numpy. Rules:

1. Whatever the bytes are, only `MalformedError` is raised.
2. No claim of a size is believed before the bytes are there.
3. A value that cannot be collected (an array, a structure) is stepped over, not an error.

Source: OPC UA Part 6 (1.05), clauses 5.1-5.2; Part 4 (1.05), clauses 5.14.5 and 7.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from protocols.errors import MalformedError
from protocols.samples import Int64s, UInt32s

BOOLEAN, SBYTE, BYTE, INT16, UINT16, INT32, UINT32, INT64, UINT64, FLOAT, DOUBLE, STRING = range(1, 13)
DATETIME, GUID, BYTESTRING, XML, NODE_ID, EXPANDED_NODE_ID, STATUS, QUALIFIED_NAME, LOCALIZED_TEXT = range(
    13, 22
)
EXTENSION_OBJECT, DATA_VALUE, VARIANT, DIAGNOSTIC_INFO = range(22, 26)

NOT_COLLECTED = 0
"""The type of a value that is missing, an array or a structure."""

READ_RESPONSE = 634
PUBLISH_RESPONSE = 829
_DATA_CHANGE = 811
_STATUS_CHANGE = 820

DEPTH_MAX = 16
"""Nesting of variants and diagnostics that is followed; Part 6, 5.2.2.12 allows to refuse more."""

_FIXED = {
    BOOLEAN: "u1", SBYTE: "i1", BYTE: "u1", INT16: "<i2", UINT16: "<u2", INT32: "<i4", UINT32: "<u4",
    INT64: "<i8", UINT64: "<u8", FLOAT: "<f4", DOUBLE: "<f8",
}  # fmt: skip
_SIZES = {number: np.dtype(name).itemsize for number, name in _FIXED.items()} | {
    DATETIME: 8,
    GUID: 16,
    STATUS: 4,
}
_TEXTS = (STRING, XML, LOCALIZED_TEXT)

_HAS_VALUE, _HAS_STATUS, _HAS_SOURCE, _HAS_SERVER, _HAS_SOURCE_PICO, _HAS_SERVER_PICO = 1, 2, 4, 8, 16, 32
_WINDOW = 64


class Values(NamedTuple):
    """Neighbouring values of one type.

    Args:
        handles: Who each is: a client handle, or the place in a request to read.
        type: Built-in type (Part 6, 5.1.2), or `NOT_COLLECTED`.
        values: Numbers in the type's own width, or texts.
        status: StatusCodes with their information bits.
        source_ticks: Source times in 100 ns since 1601; 0 where there is none.
    """

    handles: UInt32s
    type: int
    values: npt.NDArray[Any]
    status: UInt32s
    source_ticks: Int64s


class Publication(NamedTuple):
    """One answer to Publish.

    Args:
        subscription: Whose.
        sequence: Its sequence number; the next one's in a keep-alive.
        more: Whether more is waiting at the server.
        empty: A keep-alive.
        values: Data changes.
        status: The subscription's new status, when the server ended it, or `None`.
    """

    subscription: int
    sequence: int
    more: bool
    empty: bool
    values: list[Values]
    status: int | None


def read_response(data: bytes) -> list[Values]:
    """Decode the values of a Read response.

    Args:
        data: The message body, from its type id on.

    Raises:
        MalformedError: It is none.
    """
    reader = _Reader(data)
    reader.response(READ_RESPONSE)
    count = reader.count()
    return reader.data_values(count, with_handles=False)


def publish_response(data: bytes) -> Publication:
    """Decode a Publish response.

    Args:
        data: The message body, from its type id on.

    Raises:
        MalformedError: It is none.
    """
    reader = _Reader(data)
    reader.response(PUBLISH_RESPONSE)
    subscription = reader.number("<I")
    reader.skip(4 * reader.count())
    more = bool(reader.number("<B"))
    sequence = reader.number("<I")
    reader.skip(8)
    values: list[Values] = []
    status = None
    notifications = reader.count()
    for _ in range(notifications):
        kind, end = reader.extension_object()
        if kind == _DATA_CHANGE:
            values += reader.data_values(reader.count(), with_handles=True)
        elif kind == _STATUS_CHANGE:
            status = reader.number("<I")
        if reader.at > end:
            raise MalformedError(f"expected a notification that ends at byte {end}, got {reader.at}")
        reader.at = end
    return Publication(subscription, sequence, more, notifications == 0, values, status)


class _Layout(NamedTuple):
    """Where the parts of an item of fixed size are."""

    dtype: np.dtype[Any]
    head: bytes


@lru_cache(maxsize=256)
def _layout(mask: int, type: int, with_handles: bool) -> _Layout:
    parts: list[tuple[str, str]] = [("handle", "<u4")] if with_handles else []
    parts.append(("mask", "u1"))
    head = bytes([mask])
    if mask & _HAS_VALUE:
        parts += [("type", "u1"), ("value", _FIXED[type])]
        head += bytes([type])
    for bit, name, form in (
        (_HAS_STATUS, "status", "<u4"),
        (_HAS_SOURCE, "source", "<i8"),
        (_HAS_SOURCE_PICO, "source_pico", "<u2"),
        (_HAS_SERVER, "server", "<i8"),
        (_HAS_SERVER_PICO, "server_pico", "<u2"),
    ):
        if mask & bit:
            parts.append((name, form))
    return _Layout(np.dtype(parts), head)


class _Reader:
    """Bytes, and how far they are read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def number(self, form: str) -> int:
        """One integer."""
        try:
            [value] = struct.unpack_from(form, self._data, self.at)
        except struct.error as error:
            raise self._short() from error
        self.at += struct.calcsize(form)
        return int(value)

    def skip(self, size: int) -> None:
        """Step over bytes that must be there."""
        if size < 0 or self.at + size > len(self._data):
            raise self._short()
        self.at += size

    def _short(self) -> MalformedError:
        return MalformedError(f"expected more than the {len(self._data)} bytes there are, at byte {self.at}")

    def count(self) -> int:
        """The length of an array; each entry takes at least one byte."""
        count = self.number("<i")
        if count > len(self._data) - self.at:
            raise MalformedError(
                f"expected at most {len(self._data) - self.at} entries, got {count} at {self.at}"
            )
        return max(count, 0)

    def bytes(self) -> bytes:
        """A length and as many bytes; a length of -1 is none."""
        size = self.number("<i")
        start = self.at
        self.skip(max(size, 0))
        return self._data[start : self.at]

    def node_id(self) -> int:
        """Step over a NodeId; returns a numeric one of namespace 0, otherwise -1."""
        kind = self.number("<B")
        namespace, number = 0, -1
        if kind & 0x3F == 0:
            number = self.number("<B")
        elif kind & 0x3F == 1:
            namespace, number = self.number("<B"), self.number("<H")
        elif kind & 0x3F == 2:
            namespace, number = self.number("<H"), self.number("<I")
        elif kind & 0x3F in (3, 5):
            self.skip(2)
            self.bytes()
        elif kind & 0x3F == 4:
            self.skip(18)
        else:
            raise MalformedError(f"expected a NodeId, got encoding {kind} at byte {self.at}")
        if kind & 0x80:
            self.bytes()
        if kind & 0x40:
            self.skip(4)
        return number if namespace == 0 else -1

    def extension_object(self) -> tuple[int, int]:
        """Enter an ExtensionObject; returns its type and where it ends."""
        kind = self.node_id()
        encoding = self.number("<B")
        if encoding == 0:
            return kind, self.at
        size = self.number("<i")
        end = self.at + max(size, 0)
        if encoding > 2 or end > len(self._data):
            raise self._short()
        return kind, end

    def diagnostics(self, depth: int = 0) -> None:
        """Step over a DiagnosticInfo."""
        if depth > DEPTH_MAX:
            raise MalformedError(f"expected nesting of at most {DEPTH_MAX}, at byte {self.at}")
        mask = self.number("<B")
        self.skip(4 * (mask & 0x0F).bit_count())
        if mask & 0x10:
            self.bytes()
        if mask & 0x20:
            self.skip(4)
        if mask & 0x40:
            self.diagnostics(depth + 1)

    def response(self, expected: int) -> None:
        """Step over the type id and the response header, which the caller's library has checked."""
        kind = self.node_id()
        if kind != expected:
            raise MalformedError(f"expected an answer of type {expected}, got {kind}")
        self.skip(16)
        self.diagnostics()
        for _ in range(self.count()):
            self.bytes()
        _, self.at = self.extension_object()

    def data_values(self, count: int, with_handles: bool) -> list[Values]:
        """Decode `count` DataValues, each with a handle before it or handled by its place."""
        result: list[Values] = []
        done, window = 0, _WINDOW
        while done < count:
            mask_at = self.at + (4 if with_handles else 0)
            head = self._data[mask_at : mask_at + 2]
            if not head:
                raise self._short()
            mask = head[0]
            kind = head[1] if mask & _HAS_VALUE and len(head) == 2 else 0
            if mask & _HAS_VALUE and kind not in _FIXED:
                values = self._one(done, with_handles)
            else:
                values = self._run(_layout(mask, kind, with_handles), done, min(count - done, window))
                window = min(4 * window, 1 << 16) if len(values.handles) == window else _WINDOW
            result.append(values)
            done += len(values.handles)
        return result

    def _run(self, layout: _Layout, done: int, most: int) -> Values:
        """The next items as long as they are encoded alike."""
        fit = (len(self._data) - self.at) // layout.dtype.itemsize
        if fit < 1:
            raise self._short()
        rows = np.frombuffer(self._data, layout.dtype, min(most, fit), self.at)
        alike = rows["mask"] == layout.head[0]
        if len(layout.head) == 2:
            alike &= rows["type"] == layout.head[1]
        n = len(rows) if alike.all() else int(alike.argmin())
        assert n >= 1
        rows = rows[:n]
        self.at += n * layout.dtype.itemsize
        names = layout.dtype.names or ()
        return Values(
            rows["handle"] if "handle" in names else np.arange(done, done + n, dtype=np.uint32),
            layout.head[1] if len(layout.head) == 2 else NOT_COLLECTED,
            rows["value"] if "value" in names else np.zeros(n, np.uint8),
            rows["status"] if "status" in names else np.zeros(n, np.uint32),
            rows["source"] if "source" in names else np.zeros(n, np.int64),
        )

    def _one(self, done: int, with_handles: bool) -> Values:
        """One item whose value has no fixed size."""
        handle = self.number("<I") if with_handles else done
        kind, text, status, source = self._data_value(0)
        value = np.empty(1, object)
        value[0] = text
        return Values(
            np.array([handle], np.uint32),
            kind,
            value,
            np.array([status], np.uint32),
            np.array([source], np.int64),
        )

    def _data_value(self, depth: int) -> tuple[int, str, int, int]:
        mask = self.number("<B")
        kind, text = self._variant(depth) if mask & _HAS_VALUE else (NOT_COLLECTED, "")
        status = self.number("<I") if mask & _HAS_STATUS else 0
        source = self.number("<q") if mask & _HAS_SOURCE else 0
        self.skip(2 * bool(mask & _HAS_SOURCE_PICO))
        self.skip(8 * bool(mask & _HAS_SERVER) + 2 * bool(mask & _HAS_SERVER_PICO))
        return kind, text, status, source

    def _variant(self, depth: int) -> tuple[int, str]:
        """A text, or step over anything else."""
        if depth > DEPTH_MAX:
            raise MalformedError(f"expected nesting of at most {DEPTH_MAX}, at byte {self.at}")
        encoding = self.number("<B")
        kind = encoding & 0x3F
        if encoding & 0x80:
            for _ in range(self.count()):
                self._scalar(kind, depth)
            if encoding & 0x40:
                self.skip(4 * self.count())
            return NOT_COLLECTED, ""
        text = self._scalar(kind, depth)
        return (kind, text) if kind in _TEXTS else (NOT_COLLECTED, "")

    def _scalar(self, type: int, depth: int) -> str:
        """Step over one value of a built-in type; returns what a text says."""
        if type in _SIZES:
            self.skip(_SIZES[type])
        elif type in (STRING, XML):
            return self.bytes().decode("utf-8", "replace")
        elif type == LOCALIZED_TEXT:
            mask = self.number("<B")
            if mask & 1:
                self.bytes()
            return self.bytes().decode("utf-8", "replace") if mask & 2 else ""
        elif type == BYTESTRING:
            self.bytes()
        elif type in (NODE_ID, EXPANDED_NODE_ID):
            self.node_id()
        elif type == QUALIFIED_NAME:
            self.skip(2)
            self.bytes()
        elif type == EXTENSION_OBJECT:
            _, self.at = self.extension_object()
        elif type == DATA_VALUE:
            self._data_value(depth + 1)
        elif type == VARIANT:
            self._variant(depth + 1)
        elif type == DIAGNOSTIC_INFO:
            self.diagnostics(depth + 1)
        elif type != 0:
            raise MalformedError(f"expected a built-in type of 0..25, got {type} at byte {self.at}")
        return ""
