"""Which requests are made, and how answers become columns."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest

from protocols.field._modbus_address import Order, parse
from protocols.field._modbus_plan import Block, Bounds, ModbusGroup, blocks_for, halves
from protocols.field.base import FieldPoint, FieldType
from protocols.samples import BAD_DECODING_ERROR, BAD_NODE_ID_UNKNOWN, BAD_OUT_OF_RANGE, BAD_TIMEOUT
from protocols.wire import modbus as wire

PLAIN = Bounds()


def group(
    addresses: Sequence[tuple[str, FieldType]], bounds: Bounds = PLAIN, encoding: str = "utf-8"
) -> ModbusGroup:
    points = [FieldPoint(i, address, type) for i, (address, type) in enumerate(addresses)]
    spans = [parse(point.address, point.type, 1, 0, Order.ABCD) for point in points]
    return ModbusGroup(points, spans, bounds, encoding)


def ranges(blocks: Sequence[Block]) -> list[tuple[int, int, int]]:
    return [(block.function, block.start, block.count) for block in blocks]


def registers(*numbers: int, type: FieldType = FieldType.UINT16) -> ModbusGroup:
    return group([(f"holding:{n}", type) for n in numbers])


def read(group: ModbusGroup, holding: dict[int, int]) -> dict[int, tuple[object, int]]:
    """Answer each request from a map of registers or coils, then decode."""
    buffer = bytearray(group.buffer_bytes)
    for block, offset in zip(group.blocks, group.offsets, strict=True):
        numbers = [holding.get(block.start + k, 0) for k in range(block.count)]
        if block.function >= wire.READ_HOLDING:
            data = struct.pack(f">{block.count}H", *numbers)
        else:
            data = np.packbits(np.array(numbers, np.uint8), bitorder="little").tobytes()
        buffer[offset : offset + len(data)] = data
    result = {}
    for samples in group.decode(buffer, [0] * len(group.blocks), 1_000_000):
        assert (samples.time == 1_000_000).all()
        for row, point in enumerate(samples.point.tolist()):
            result[point] = (samples.value[row], int(samples.quality[row]))
    return result


def test_neighbours_share_a_request() -> None:
    assert ranges(registers(0, 1, 2, 3, type=FieldType.UINT16).blocks) == [(3, 0, 4)]


def test_a_small_gap_is_read_over_and_a_large_one_is_not() -> None:
    assert ranges(registers(0, 17).blocks) == [(3, 0, 18)]
    assert ranges(registers(0, 18).blocks) == [(3, 0, 1), (3, 18, 1)]


def test_no_request_asks_for_more_than_the_bound() -> None:
    blocks = registers(*range(0, 300, 2), type=FieldType.F32).blocks
    assert ranges(blocks) == [(3, 0, 124), (3, 124, 124), (3, 248, 52)]


def test_a_value_is_never_split_over_two_requests() -> None:
    points = group([(f"holding:{n}", FieldType.F64) for n in range(0, 400, 4)])
    for block in points.blocks:
        assert block.count <= 125 and block.count % 4 == 0


def test_tables_and_units_have_their_own_requests() -> None:
    points = group(
        [
            ("holding:0", FieldType.INT16),
            ("input:0", FieldType.INT16),
            ("coil:0", FieldType.BOOL),
            ("discrete:0", FieldType.BOOL),
        ]
    )
    assert sorted(ranges(points.blocks)) == [(1, 0, 1), (2, 0, 1), (3, 0, 1), (4, 0, 1)]
    spans = [parse(f"{unit}!holding:0", FieldType.INT16, 1, 0, Order.ABCD) for unit in (1, 2)]
    assert len(blocks_for(spans, [0, 1], Bounds())) == 2


def test_points_may_overlap() -> None:
    points = group(
        [("holding:0", FieldType.F64), ("holding:1", FieldType.UINT16), ("holding:1.3", FieldType.BOOL)]
    )
    assert ranges(points.blocks) == [(3, 0, 4)]
    got = read(points, {0: 0x3FF0, 1: 8})
    assert got[1] == (8, 0) and got[2] == (1, 0)


def test_coils_are_packed_from_the_lowest_bit() -> None:
    points = group([(f"coil:{n}", FieldType.BOOL) for n in (3, 4, 11, 200)], Bounds(gap=0))
    assert [value for value, _ in read(points, {3: 1, 11: 1, 200: 1}).values()] == [1, 0, 1, 1]


def test_texts_lie_in_registers_in_four_ways() -> None:
    points = group([(f"holding:0.4{lie}", FieldType.STRING) for lie in ("", "H", "L", "D", "E")])
    image = {0: 0x4142, 1: 0x4344, 2: 0x4500, 3: 0x4600}
    assert [value for value, _ in read(points, image).values()] == ["ABCD", "ABCD", "BADC", "ACEF", "BD"]


def test_a_text_ends_at_a_zero_and_may_be_in_another_encoding() -> None:
    image = dict(enumerate(struct.unpack(">4H", "锅炉".encode("gbk") + b"\x00xyz")))
    assert read(group([("holding:0.8", FieldType.STRING)], encoding="gbk"), image) == {0: ("锅炉", 0)}
    assert read(group([("holding:0.8", FieldType.STRING)]), image) == {0: ("", BAD_DECODING_ERROR)}


def test_floats_keep_every_bit() -> None:
    signalling_nan, minus_zero = 0x7F80_0001, 0x8000_0000
    points = group([("holding:0", FieldType.F32), ("holding:2", FieldType.F32)])
    got = read(points, {0: signalling_nan >> 16, 1: signalling_nan & 0xFFFF, 2: minus_zero >> 16, 3: 0})
    bits = [np.array([value], np.float32).view(np.uint32)[0] for value, _ in got.values()]
    assert bits == [signalling_nan, minus_zero]


def test_an_unsigned_number_that_no_column_holds_is_out_of_range() -> None:
    points = group([("holding:0", FieldType.UINT64), ("holding:4", FieldType.UINT64)])
    got = read(points, dict.fromkeys(range(4), 0xFFFF) | {7: 5})
    assert got == {0: (0, BAD_OUT_OF_RANGE), 1: (5, 0)}


def test_a_failed_request_marks_only_its_own_points() -> None:
    points = registers(0, 1000)
    [block] = points.decode(bytearray(b"\x00\x01\x00\x02"), [0, BAD_TIMEOUT], 5)
    assert block.value.tolist() == [1, 0] and block.quality.tolist() == [0, BAD_TIMEOUT]


def test_other_requests_leave_rows_where_they_were() -> None:
    points = registers(5, 0, 1000, 6)
    before = [samples.point.tolist() for samples in points.decode(bytearray(points.buffer_bytes), [0, 0], 0)]
    points.arrange(
        blocks_for(points.spans, [0, 1], Bounds(gap=0)) + blocks_for(points.spans, [2, 3], Bounds())
    )
    n = len(points.blocks)
    [block] = points.decode(bytearray(points.buffer_bytes), [BAD_NODE_ID_UNKNOWN] * n, 0)
    assert [block.point.tolist()] == before


def test_halving_ends_at_single_places() -> None:
    points = group(
        [("holding:0", FieldType.UINT16), ("holding:0.1", FieldType.BOOL), ("holding:9", FieldType.UINT16)]
    )
    [whole] = points.blocks
    lower, upper = halves(points.spans, whole, Bounds())
    assert (lower.start, lower.count, lower.members) == (0, 1, (0, 1)) and upper.members == (2,)
    assert halves(points.spans, lower, Bounds()) == [lower]


@pytest.mark.parametrize("count", (1, 1000))
def test_a_group_knows_its_points_and_requests(count: int) -> None:
    points = registers(*range(count))
    assert [point.id for point in points.points] == list(range(count))
    assert points.requests == -(-count // 125)
