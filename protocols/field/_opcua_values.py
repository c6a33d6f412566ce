"""From OPC UA values to sample columns. Pure.

Widening is allowed and exact: any integer that fits, single into double precision, and
integers into floating point. What would lose something is a bad sample that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from protocols import limits
from protocols.field import _opcua_wire as wire
from protocols.field.base import FieldPoint, FieldType
from protocols.field.writing import INTEGER_RANGES
from protocols.samples import (
    BAD,
    BAD_NO_DATA,
    BAD_OUT_OF_RANGE,
    BAD_TYPE_MISMATCH,
    EMPTY_VALUE,
    NO_SOURCE_TIME,
    UNCERTAIN,
    Int64s,
    SampleBlock,
    UInt32s,
    Values,
    ValueType,
)

_INTEGERS = range(wire.SBYTE, wire.UINT64 + 1)
_EXACT_IN_F32 = (wire.FLOAT, wire.SBYTE, wire.BYTE, wire.INT16, wire.UINT16)
_TYPES = tuple(FieldType)

_TICKS_1970 = 116_444_736_000_000_000
"""100 ns from 1601, where OPC UA begins to count (Part 6, 5.2.2.5), to 1970."""

_INFO_DATA_VALUE = np.uint32(0x0400)
_INFO_OVERFLOW = np.uint32(0x0480)
_INFO_MASK = np.uint32(0x0C80)
_LIMITS = np.uint32(0x0300)
_CODE = np.uint32(0xFFFF_0000)


def overflowed(status: UInt32s) -> npt.NDArray[np.bool_]:
    """Where the server says that its queue lost older values (Part 4, 7.39.1: InfoType and Overflow)."""
    result: npt.NDArray[np.bool_] = (status & _INFO_MASK) == _INFO_OVERFLOW
    return result


def source_times(ticks: Int64s) -> Int64s:
    """Microseconds since 1970 of times in 100 ns since 1601; none where the server gave none."""
    known = (ticks > 0) & (ticks < np.iinfo(np.int64).max)
    return np.where(known, (ticks - _TICKS_1970) // 10, NO_SOURCE_TIME)


def field_type(variant: int) -> FieldType | None:
    """The point type that takes a built-in type without loss, or `None`."""
    return {
        wire.BOOLEAN: FieldType.BOOL,
        wire.SBYTE: FieldType.INT16,
        wire.BYTE: FieldType.UINT16,
        wire.INT16: FieldType.INT16,
        wire.UINT16: FieldType.UINT16,
        wire.INT32: FieldType.INT32,
        wire.UINT32: FieldType.UINT32,
        wire.INT64: FieldType.INT64,
        wire.UINT64: FieldType.UINT64,
        wire.FLOAT: FieldType.F32,
        wire.DOUBLE: FieldType.F64,
        wire.STRING: FieldType.STRING,
        wire.XML: FieldType.STRING,
        wire.LOCALIZED_TEXT: FieldType.STRING,
    }.get(variant)


class Columns:
    """Turns values that name points by handle (their index) into sample blocks.

    Args:
        points: The points; a handle is an index into them.
    """

    def __init__(self, points: Sequence[FieldPoint]) -> None:
        self.points = tuple(points)
        self._ids: UInt32s = np.array([point.id for point in points], np.uint32)
        self._types = np.array([_TYPES.index(point.type) for point in points], np.uint8)
        self._members: dict[ValueType, npt.NDArray[np.intp]] = {}
        self._row = np.zeros(len(self.points), np.intp)
        for value_type in ValueType:
            members = [i for i, point in enumerate(points) if point.value_type is value_type]
            if members:
                self._members[value_type] = np.array(members, np.intp)
                self._row[members] = np.arange(len(members))

    def blocks(self, values: Iterable[wire.Values], time_us: int) -> list[SampleBlock]:
        """Blocks of what was notified, in order.

        Args:
            values: Decoded values; handles that nobody has are left out.
            time_us: When they arrived.
        """
        return [
            SampleBlock(
                part.value_type,
                self._ids[part.handles],
                np.full(len(part.handles), time_us, np.int64),
                part.value,
                part.quality,
                part.source,
            )
            for part in self._parts(values)
        ]

    def rows(self, values: Iterable[wire.Values], missing: UInt32s, time_us: int) -> list[SampleBlock]:
        """One sample a point, always in the same blocks and rows.

        Args:
            values: Decoded values; at most one a point.
            missing: The quality of each point that has none.
            time_us: The stamp.
        """
        whole: dict[ValueType, SampleBlock] = {}
        for value_type, members in self._members.items():
            bad = SampleBlock.bad(value_type, self._ids[members], time_us, BAD)
            source = np.full(len(members), NO_SOURCE_TIME, np.int64)
            whole[value_type] = replace(bad, quality=missing[members], source_time=source)
        for part in self._parts(values):
            block, at = whole[part.value_type], self._row[part.handles]
            block.value[at] = part.value
            block.quality[at] = part.quality
            assert block.source_time is not None
            block.source_time[at] = part.source
        return list(whole.values())

    def _parts(self, values: Iterable[wire.Values]) -> Iterator[_Part]:
        for run in values:
            known = run.handles < len(self.points)
            if not known.all():
                run = _select(run, known)
            types = self._types[run.handles]
            for number in np.unique(types):
                chosen = run if (types == number).all() else _select(run, types == number)
                yield _part(chosen, _TYPES[number])


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


class _Part(NamedTuple):
    """Values of one field type, converted."""

    handles: UInt32s
    value_type: ValueType
    value: Values
    quality: UInt32s
    source: Int64s


def _part(run: wire.Values, type: FieldType) -> _Part:
    value, wrong = _convert(run, type)
    quality = _quality(run.status)
    quality = np.where(quality >= BAD, quality, np.maximum(quality, wrong)).astype(np.uint32)
    value[quality >= BAD] = EMPTY_VALUE[type.value_type]
    return _Part(run.handles, type.value_type, value, quality, source_times(run.source_ticks))


def _select(run: wire.Values, rows: npt.NDArray[np.bool_]) -> wire.Values:
    return wire.Values(
        run.handles[rows], run.type, run.values[rows], run.status[rows], run.source_ticks[rows]
    )


def _quality(status: UInt32s) -> UInt32s:
    """StatusCodes without the bits that speak of the transport; limit bits stay."""
    limited = (status & _LIMITS) != 0
    kept = status & (_CODE | _LIMITS)
    result: UInt32s = np.where(limited, kept | _INFO_DATA_VALUE, kept).astype(np.uint32)
    return result


def _convert(run: wire.Values, type: FieldType) -> tuple[npt.NDArray[Any], UInt32s]:
    """Values in the column's type, and what is wrong with each (0 for nothing)."""
    n = len(run.handles)
    value = np.empty(n, type.value_type.dtype)
    wrong = np.zeros(n, np.uint32)
    if type in INTEGER_RANGES and run.type in _INTEGERS:
        low, high = INTEGER_RANGES[type]
        outside = run.values > high
        if np.iinfo(run.values.dtype).min < low:
            outside |= run.values < low
        value[:] = run.values.astype(np.int64)
        wrong[outside] = BAD_OUT_OF_RANGE
    elif (type is FieldType.F64 and (run.type in _INTEGERS or run.type in (wire.FLOAT, wire.DOUBLE))) or (
        type is FieldType.F32 and run.type in _EXACT_IN_F32
    ):
        value[:] = run.values
    elif type is FieldType.BOOL and run.type == wire.BOOLEAN:
        value[:] = run.values != 0
    elif type is FieldType.STRING and run.type in (wire.STRING, wire.XML, wire.LOCALIZED_TEXT):
        for row, text in enumerate(run.values):
            value[row], wrong[row] = _bounded(text)
    else:
        value[:] = EMPTY_VALUE[type.value_type]
        wrong[:] = BAD_NO_DATA if run.type == wire.NOT_COLLECTED else BAD_TYPE_MISMATCH
    return value, wrong


def _bounded(text: str) -> tuple[str, int]:
    """A text that fits a sample, and `UNCERTAIN` when it had to be cut."""
    if len(text) * 4 <= limits.TEXT_BYTES_MAX:
        return text, 0
    raw = text.encode()
    if len(raw) <= limits.TEXT_BYTES_MAX:
        return text, 0
    return raw[: limits.TEXT_BYTES_MAX].decode("utf-8", "ignore"), UNCERTAIN
