"""Which requests read a set of Modbus points, and how their answers become columns.

Everything that can be known before a read is worked out once: which bytes of which answer
make which value. A read then only copies answers into one buffer, and a decode is a few
numpy operations a value type, whatever the number of points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from protocols.field._modbus_address import Order, Span
from protocols.field.base import FieldPoint, FieldType
from protocols.samples import (
    BAD,
    BAD_DECODING_ERROR,
    BAD_OUT_OF_RANGE,
    EMPTY_VALUE,
    SampleBlock,
    UInt32s,
    Values,
    ValueType,
)
from protocols.wire import modbus as wire

Indexes = npt.NDArray[np.intp]

_WIRE_DTYPES = {
    FieldType.INT16: ">i2",
    FieldType.UINT16: ">u2",
    FieldType.INT32: ">i4",
    FieldType.UINT32: ">u4",
    FieldType.INT64: ">i8",
    FieldType.UINT64: ">u8",
    FieldType.F32: ">f4",
    FieldType.F64: ">f8",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one request may ask.

    Args:
        registers: Most registers.
        bits: Most coils or discrete inputs.
        gap: Most registers (or sixteenfold bits) that nobody wants between two wanted ones.
    """

    registers: int = wire.REGISTERS_MAX
    bits: int = wire.BITS_MAX
    gap: int = 16


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """One request.

    Args:
        unit: Unit id.
        function: Function code.
        start: First coil or register.
        count: How many.
        members: Indexes of the spans it serves, by start.
    """

    unit: int
    function: int
    start: int
    count: int
    members: tuple[int, ...]

    def pack(self, transaction: int) -> bytes:
        """The request."""
        return wire.read_request(transaction, self.unit, self.function, self.start, self.count)

    def payload(self, frame: bytes) -> bytes:
        """The data of a frame that answers it.

        Raises:
            RefusedError: The device refused.
            FrameError: The frame answers something else.
        """
        return frame[wire.payload_start(frame, self.unit, self.function, self.count) :]


def blocks_for(spans: Sequence[Span], members: Sequence[int], bounds: Bounds) -> list[Block]:
    """The fewest requests that serve these spans within bounds.

    Greedy from the lowest address; with spans of one length no arrangement needs fewer.

    Args:
        spans: All spans of a group.
        members: Indexes of those to serve.
        bounds: What one request may ask.
    """

    def table(index: int) -> tuple[int, int]:
        return spans[index].unit, spans[index].function

    ordered = sorted(members, key=lambda i: (*table(i), spans[i].start, spans[i].count))
    blocks: list[Block] = []
    for (unit, function), same in groupby(ordered, key=table):
        registers = function >= wire.READ_HOLDING
        most, gap = (bounds.registers, bounds.gap) if registers else (bounds.bits, 16 * bounds.gap)
        start, end, served = 0, -1, list[int]()
        for index in same:
            span = spans[index]
            span_end = span.start + span.count
            if served and (span.start - end > gap or max(end, span_end) - start > most):
                blocks.append(Block(unit, function, start, end - start, tuple(served)))
                served = []
            if not served:
                start, end = span.start, span_end
            end = max(end, span_end)
            served.append(index)
        blocks.append(Block(unit, function, start, end - start, tuple(served)))
    return blocks


def halves(spans: Sequence[Span], block: Block, bounds: Bounds) -> list[Block]:
    """Two requests for the two halves of a block's spans; the block itself when it serves one place."""
    places = sorted({(spans[i].start, spans[i].count) for i in block.members})
    if len(places) < 2:
        return [block]
    first = set(places[: len(places) // 2])
    lower = [i for i in block.members if (spans[i].start, spans[i].count) in first]
    upper = [i for i in block.members if (spans[i].start, spans[i].count) not in first]
    return blocks_for(spans, lower, bounds) + blocks_for(spans, upper, bounds)


class _Numbers(NamedTuple):
    """Rows of one type and byte order: the words of each value, most significant first."""

    rows: slice
    words: Indexes
    swap: bool
    dtype: str

    def decode(self, registers: npt.NDArray[np.uint16], value: Values, quality: UInt32s) -> None:
        raw = registers.take(self.words)
        if self.swap:
            raw = raw.byteswap()
        numbers = raw.view(self.dtype)[:, 0]
        if self.dtype != ">u8":
            value[self.rows] = numbers
            return
        value[self.rows] = numbers.astype(np.uint64).view(np.int64)
        quality[self.rows][value[self.rows] < 0] = BAD_OUT_OF_RANGE


class _RegisterBits(NamedTuple):
    """Rows that are single bits of registers."""

    rows: slice
    words: Indexes
    bits: npt.NDArray[np.uint16]

    def decode(self, registers: npt.NDArray[np.uint16], value: Values) -> None:
        value[self.rows] = (registers.take(self.words).byteswap() >> self.bits) & 1


class _Text(NamedTuple):
    """One row of text: its bytes in the buffer, in the order in which they read."""

    row: int
    bytes: Indexes


@dataclass(slots=True)
class _Column:
    """The rows of one value type, in the order in which every read gives them."""

    type: ValueType
    point: UInt32s
    spans: list[int]
    block: Indexes
    numbers: list[_Numbers]
    register_bits: list[_RegisterBits]
    coils: tuple[slice, Indexes] | None
    texts: list[_Text]
    may_fail: bool


class ModbusGroup:
    """Points of one unit, the requests that read them and the decoding of the answers.

    Args:
        points: The points.
        spans: Where each of them lies.
        bounds: What one request may ask.
        encoding: The encoding of texts.
    """

    def __init__(
        self, points: Sequence[FieldPoint], spans: Sequence[Span], bounds: Bounds, encoding: str
    ) -> None:
        self._points = tuple(points)
        self.spans = tuple(spans)
        self.bounds = bounds
        self.split_again_s = 0.0
        self._encoding = encoding
        self.arrange(blocks_for(self.spans, range(len(self.spans)), bounds))

    @property
    def points(self) -> tuple[FieldPoint, ...]:
        """Every point, in the order they were given."""
        return self._points

    @property
    def requests(self) -> int:
        """Requests of one read."""
        return len(self.blocks)

    def arrange(self, blocks: Sequence[Block]) -> None:
        """Read by these requests from now on; rows keep their order."""
        self.blocks = tuple(sorted(blocks))
        registers = sum(b.count for b in self.blocks if b.function >= wire.READ_HOLDING)
        self._registers = registers
        self.offsets: list[int] = []
        at_registers, at_bits = 0, 2 * registers
        for block in self.blocks:
            size = wire.payload_bytes(block.function, block.count)
            if block.function >= wire.READ_HOLDING:
                self.offsets.append(at_registers)
                at_registers += size
            else:
                self.offsets.append(at_bits)
                at_bits += size
        self.buffer_bytes = at_bits
        served = {index: k for k, block in enumerate(self.blocks) for index in block.members}
        self._columns = [
            self._column(value_type, served)
            for value_type in ValueType
            if any(point.value_type is value_type for point in self._points)
        ]

    def _position(self, index: int, served: dict[int, int]) -> int:
        """The first register of a span in the buffer, or its first bit after the registers."""
        k, span = served[index], self.spans[index]
        first = span.start - self.blocks[k].start
        if span.function >= wire.READ_HOLDING:
            return self.offsets[k] // 2 + first
        return (self.offsets[k] - 2 * self._registers) * 8 + first

    def _column(self, value_type: ValueType, served: dict[int, int]) -> _Column:
        def recipe(index: int) -> tuple[str, bool, Order]:
            span = self.spans[index]
            return self._points[index].type, span.function >= wire.READ_HOLDING, span.order

        chosen = [i for i, point in enumerate(self._points) if point.value_type is value_type]
        chosen.sort(key=recipe)
        column = _Column(
            value_type,
            np.array([self._points[i].id for i in chosen], np.uint32),
            chosen,
            np.array([served[i] for i in chosen], np.intp),
            [],
            [],
            None,
            [],
            any(self._points[i].type in (FieldType.UINT64, FieldType.STRING) for i in chosen),
        )
        row = 0
        for (type_name, in_registers, order), same in groupby(chosen, key=recipe):
            members = list(same)
            rows = slice(row, row + len(members))
            row += len(members)
            first = np.array([self._position(i, served) for i in members], np.intp)
            if type_name == FieldType.STRING:
                column.texts += [
                    _Text(rows.start + n, _text_bytes(self.spans[i], int(first[n])))
                    for n, i in enumerate(members)
                ]
            elif not in_registers:
                column.coils = (rows, first)
            elif type_name == FieldType.BOOL:
                bits = [_bit(self.spans[i]) for i in members]
                column.register_bits.append(_RegisterBits(rows, first, np.array(bits, np.uint16)))
            else:
                count = self.spans[members[0]].count
                places = np.arange(count)[::-1] if order.swaps_words else np.arange(count)
                dtype = _WIRE_DTYPES[FieldType(type_name)]
                column.numbers.append(_Numbers(rows, first[:, None] + places, order.swaps_bytes, dtype))
        return column

    def decode(self, buffer: bytearray, statuses: Sequence[int], instant_us: int) -> list[SampleBlock]:
        """Make columns of the answers.

        Args:
            buffer: The data of each request at its offset; anything where it failed.
            statuses: A StatusCode for each request.
            instant_us: The stamp of every sample.
        """
        registers = np.frombuffer(buffer, np.uint16, self._registers)
        failed = np.array(statuses, np.uint32) if any(statuses) else None
        samples = []
        for column in self._columns:
            value, quality = self._decode_column(column, buffer, registers)
            if failed is not None:
                quality = np.maximum(quality, failed.take(column.block))
            if failed is not None or column.may_fail:
                value[quality >= BAD] = EMPTY_VALUE[column.type]
            time = np.full(len(column.point), instant_us, np.int64)
            samples.append(SampleBlock(column.type, column.point, time, value, quality))
        return samples

    def _decode_column(
        self, column: _Column, buffer: bytearray, registers: npt.NDArray[np.uint16]
    ) -> tuple[Values, UInt32s]:
        n = len(column.point)
        value, quality = np.empty(n, column.type.dtype), np.zeros(n, np.uint32)
        for numbers in column.numbers:
            numbers.decode(registers, value, quality)
        for register_bits in column.register_bits:
            register_bits.decode(registers, value)
        if column.coils is not None:
            rows, positions = column.coils
            packed = np.frombuffer(buffer, np.uint8, offset=2 * self._registers)
            value[rows] = np.unpackbits(packed, bitorder="little").take(positions)
        for text in column.texts:
            value[text.row], quality[text.row] = self._text(buffer, text)
        return value, quality

    def _text(self, buffer: bytearray, text: _Text) -> tuple[str, int]:
        raw = np.frombuffer(buffer, np.uint8).take(text.bytes).tobytes()
        try:
            return raw.split(b"\x00", 1)[0].decode(self._encoding), 0
        except UnicodeDecodeError:
            return "", BAD_DECODING_ERROR


def _bit(span: Span) -> int:
    assert span.bit is not None
    return span.bit


def _text_bytes(span: Span, first_register: int) -> Indexes:
    """Where the bytes of a text are, in reading order."""
    at = 2 * first_register
    if span.text in "DE":
        places = np.arange(span.text_bytes) * 2 + (span.text == "E")
    else:
        places = np.arange(span.text_bytes) ^ (span.text == "L")
    result: npt.NDArray[Any] = at + places
    return result.astype(np.intp)
