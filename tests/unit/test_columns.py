"""The columnar codec: what goes in comes out bit for bit, small, and nothing hostile gets far."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import zstandard

from protocols import limits
from protocols.columns import decode, encode
from protocols.errors import LimitError, MalformedError
from protocols.samples import (
    BAD_NO_COMMUNICATION,
    NO_SOURCE_TIME,
    SampleBlock,
    ValueType,
)

T0 = 1_790_000_000_000_000
SECOND = 1_000_000


def bits(values: Any) -> Any:
    """What two equal columns have in common even where they hold NaN."""
    return values.tolist() if values.dtype == object else values.view(f"u{values.itemsize}").tolist()


def assert_same(block: SampleBlock, again: SampleBlock) -> None:
    """`again` is `block`, sorted by point, those of one point in their old order."""
    rows = np.argsort(block.point, kind="stable")
    assert again.type is block.type
    for name in ("point", "time", "value", "quality"):
        old, new = getattr(block, name)[rows], getattr(again, name)
        assert new.dtype == old.dtype, name
        assert bits(new) == bits(old), name
    if again.source_time is None:
        assert block.source_time is None or (block.source_time == NO_SOURCE_TIME).all()
    else:
        assert block.source_time is not None
        assert again.source_time.tolist() == block.source_time[rows].tolist()


def round_trip(block: SampleBlock) -> bytes:
    payload = encode([block])
    [again] = decode(payload)
    assert_same(block, again)
    return payload


def scans(values: Any, value_type: ValueType = ValueType.F64) -> SampleBlock:
    """A table of values, one row a second, one column a point, as a gateway collects it."""
    table = np.asarray(values).astype(value_type.dtype)
    count, points = table.shape
    return SampleBlock(
        value_type,
        np.tile(np.arange(1, points + 1, dtype=np.uint32), count),
        np.repeat(T0 + np.arange(count) * SECOND, points),
        np.ascontiguousarray(table).reshape(-1),
        np.zeros(table.size, np.uint32),
    )


def single(value_type: ValueType, values: Iterable[Any]) -> SampleBlock:
    """One point, one sample a second."""
    values = list(values)
    return SampleBlock.make(
        value_type, [7] * len(values), range(T0, T0 + len(values) * SECOND, SECOND), values
    )


F64_BITS = [
    0x0000000000000000, 0x8000000000000000, 0x3FF0000000000000, 0xBFF0000000000000,
    0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0xFFF8000000000000,
    0x7FF0000000000001, 0x7FF8DEADBEEF0001, 0xFFFFFFFFFFFFFFFF, 0x0000000000000001,
    0x800FFFFFFFFFFFFF, 0x7FEFFFFFFFFFFFFF, 0x0010000000000000, 0x400921FB54442D18,
]  # fmt: skip
F32_BITS = [
    0x00000000, 0x80000000, 0x3F800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000,
    0x7F800001, 0x7FC12345, 0xFFFFFFFF, 0x00000001, 0x807FFFFF, 0x7F7FFFFF, 0x00800000, 0x41A4CCCD,
]  # fmt: skip


@pytest.mark.parametrize("pattern", F64_BITS)
def test_every_kind_of_f64_comes_back_alone(pattern: int) -> None:
    round_trip(single(ValueType.F64, np.array([pattern], np.uint64).view(np.float64)))


@pytest.mark.parametrize("pattern", F32_BITS)
def test_every_kind_of_f32_comes_back_alone(pattern: int) -> None:
    round_trip(single(ValueType.F32, np.array([pattern], np.uint32).view(np.float32)))


@pytest.mark.parametrize("place", (0, 1, 13, 39))
@pytest.mark.parametrize("pattern", F64_BITS)
def test_every_kind_of_f64_comes_back_amid_decimals(pattern: int, place: int) -> None:
    values = np.arange(40) * 1.5 / 10
    values[place] = np.array([pattern], np.uint64).view(np.float64)[0]
    block = single(ValueType.F64, np.zeros(40))
    block.value[:] = values
    round_trip(block)


def test_all_kinds_together_come_back() -> None:
    doubles = np.array(F64_BITS * 3, np.uint64).view(np.float64)
    singles = np.array(F32_BITS * 3, np.uint32).view(np.float32)
    blocks = [single(ValueType.F64, np.zeros(len(doubles))), single(ValueType.F32, np.zeros(len(singles)))]
    blocks[0].value[:], blocks[1].value[:] = doubles, singles
    for block, again in zip(blocks, decode(encode(blocks)), strict=True):
        assert_same(block, again)


INT64 = np.iinfo(np.int64)


@pytest.mark.parametrize(
    "values",
    (
        [INT64.min], [INT64.max], [INT64.min, INT64.max] * 20, [INT64.max, INT64.min, -1, 0, 1],
        [0] * 50, list(range(-50, 50)), [2**53, 2**53 + 1, 2**53 + 3], [1 << i for i in range(63)],
        [(-1) ** i * (1 << i) for i in range(63)],
    ),
)  # fmt: skip
def test_the_whole_range_of_int64_comes_back(values: list[int]) -> None:
    round_trip(single(ValueType.I64, values))


@pytest.mark.parametrize(
    "values", ([0], [1], [0, 1] * 30, [1] * 100, [0] * 99 + [1], [0, 0, 1, 1, 1, 0, 1] * 9)
)
def test_booleans_come_back(values: list[int]) -> None:
    round_trip(single(ValueType.BOOL, values))


@pytest.mark.parametrize(
    "values",
    (
        [""], ["", "a", ""], ["运行", "停止", "运行"], ["x" * limits.TEXT_BYTES_MAX], ["\x00", "\U0001f525"],
        [f"tag {i}" for i in range(300)], ["RUN"] * 300,
    ),
)  # fmt: skip
def test_texts_come_back(values: list[str]) -> None:
    round_trip(single(ValueType.TEXT, values))


def test_nothing_comes_back_as_nothing() -> None:
    empty = SampleBlock.make(ValueType.F64, [], [], [])
    assert decode(encode([])) == []
    assert decode(encode([empty, empty])) == []


def test_blocks_of_one_type_are_joined_and_types_come_in_order() -> None:
    text = SampleBlock.make(ValueType.TEXT, [9], [3], ["on"])
    one = SampleBlock.make(ValueType.F64, [2, 1], [1, 2], [0.5, 1.5])
    two = SampleBlock.make(ValueType.F64, [1], [3], [2.5])
    numbers, texts = decode(encode([text, one, two]))
    assert numbers.point.tolist() == [1, 1, 2]
    assert numbers.value.tolist() == [1.5, 2.5, 0.5]
    assert texts.value.tolist() == ["on"]


def test_rows_of_one_point_keep_the_order_in_which_they_came() -> None:
    block = SampleBlock.make(ValueType.I64, [5, 3, 5, 3, 5], [9, 9, 1, 1, 9], [0, 1, 2, 3, 4])
    [again] = decode(encode([block]))
    assert again.value.tolist() == [1, 3, 0, 2, 4]


@pytest.mark.parametrize(
    "ids",
    ([0], [limits.POINT_ID_MAX], [0, limits.POINT_ID_MAX], [70_000, 3, 900_000, 3], [4, 4, 4], [3, 2, 1]),
)
def test_any_point_ids_come_back(ids: list[int]) -> None:
    round_trip(SampleBlock.make(ValueType.F64, ids, range(len(ids)), range(len(ids))))


@pytest.mark.parametrize(
    "times",
    (
        [INT64.min, INT64.max], [INT64.max, INT64.min, 0], [0], [-1, -2, -3], [5, 5, 5],
        [T0, T0 + 250_000, T0 + 499_000, T0 + 751_000], [T0 + 7, T0 + 7 + SECOND, T0 + 8 + 2 * SECOND],
    ),
)  # fmt: skip
def test_any_times_come_back(times: list[int]) -> None:
    round_trip(SampleBlock.make(ValueType.F64, [1] * len(times), times, [0.0] * len(times)))


def test_quality_comes_back_and_is_cheap_when_seldom() -> None:
    values = np.round(np.random.default_rng(1).normal(50, 3, (600, 50)), 1)
    good = scans(values)
    bad = scans(values)
    bad.quality[10_000:10_150] = BAD_NO_COMMUNICATION
    bad.quality[20_001] = 0xFFFF_FFFF
    assert len(round_trip(bad)) < len(round_trip(good)) + 700


def with_source_time(block: SampleBlock, source_time: Any) -> SampleBlock:
    return SampleBlock(block.type, block.point, block.time, block.value, block.quality, source_time)


def test_source_times_at_a_constant_distance_cost_next_to_nothing() -> None:
    block = scans(np.round(np.random.default_rng(2).normal(50, 3, (600, 50)), 1))
    bare = len(round_trip(block))
    assert len(round_trip(with_source_time(block, block.time.copy()))) < bare + 60
    assert len(round_trip(with_source_time(block, block.time - 1_234_567))) < bare + 60


def test_source_times_that_all_points_share_are_sent_once() -> None:
    block = scans(np.round(np.random.default_rng(3).normal(50, 3, (600, 50)), 1))
    jitter = np.random.default_rng(4).integers(0, 50_000, 600)
    payload = round_trip(with_source_time(block, block.time - np.repeat(jitter, 50)))
    assert len(payload) < len(round_trip(block)) + 3 * 600


@pytest.mark.parametrize(
    "source",
    (
        [NO_SOURCE_TIME] * 6, [1, NO_SOURCE_TIME, 2, NO_SOURCE_TIME, NO_SOURCE_TIME, 3],
        [NO_SOURCE_TIME + 1, INT64.max, 0, -1, NO_SOURCE_TIME, INT64.min + 2],
    ),
)  # fmt: skip
def test_missing_and_extreme_source_times_come_back(source: list[int]) -> None:
    points, times = [1, 2, 1, 2, 1, 2], [T0, T0, T0 + 1, T0 + 1, T0 + 2, T0 + 2]
    round_trip(SampleBlock.make(ValueType.F64, points, times, range(6), source_time=source))


def test_two_scan_classes_in_one_batch_send_two_sequences_of_times() -> None:
    fast, slow = scans(np.zeros((60, 40))), scans(np.zeros((6, 40)))
    slow.time[:] = T0 + (slow.time - T0) * 10
    slow.point[:] += 1000
    block = SampleBlock(
        ValueType.F64,
        *(
            np.concatenate([getattr(fast, name), getattr(slow, name)])
            for name in ("point", "time", "value", "quality")
        ),
    )
    assert len(round_trip(block)) < 300


def test_points_with_times_of_their_own_come_back() -> None:
    random = np.random.default_rng(5)
    block = scans(random.normal(0, 1, (100, 20)))
    block.time[:] += random.integers(0, SECOND, len(block))
    round_trip(block)
    round_trip(block.take(random.permutation(len(block))))
    round_trip(block.take(random.random(len(block)) < 0.3))


@pytest.mark.parametrize(
    ("kind", "bytes_max"),
    (
        ("decimal", 0.6),
        ("multiplied", 0.6),
        ("single decimal", 0.6),
        ("held", 0.3),
        ("ramp", 0.01),
        ("constant", 0.02),
    ),
)
def test_what_plants_measure_becomes_small(kind: str, bytes_max: float) -> None:
    random = np.random.default_rng(6)
    counts = np.rint(np.cumsum(random.normal(0, 2, (600, 40)), axis=0) + random.uniform(100, 9000, 40))
    table = {
        "decimal": counts / 10,
        "multiplied": counts * 0.1,
        "single decimal": (counts / 10).astype(np.float32).astype(np.float64),
        "held": np.repeat(counts[::4] / 10, 4, axis=0),
        "ramp": np.arange(600)[:, None] * np.arange(1.0, 41.0),
        "constant": np.tile(counts[:1] / 10, (600, 1)),
    }[kind]
    block = scans(table)
    assert len(round_trip(block)) / len(block) < bytes_max


def test_values_of_no_rule_are_not_larger_than_their_bits() -> None:
    block = scans(np.random.default_rng(7).normal(0, 1, (500, 20)))
    assert len(round_trip(block)) < 8 * len(block)


def test_a_few_values_of_no_rule_do_not_spoil_a_decimal_point() -> None:
    values = np.round(np.cumsum(np.random.default_rng(8).normal(0, 1, 4000)), 2)
    clean = len(round_trip(single(ValueType.F64, values)))
    values[::500] = [np.nan, np.pi, -0.0, np.inf, -np.inf, 1e300, 5e-324, np.e]
    assert len(round_trip(single(ValueType.F64, values))) < clean + 150


def test_a_million_samples_come_back() -> None:
    table = np.round(np.random.default_rng(9).normal(50, 1, (1024, 1024)), 1)
    assert len(round_trip(scans(table))) < 1 << 20


def test_more_samples_than_a_batch_may_have_are_not_encoded() -> None:
    with pytest.raises(LimitError, match="send fewer"):
        encode([scans(np.zeros((1024, 1024))), single(ValueType.BOOL, [0])])


def test_texts_larger_than_a_payload_are_not_encoded() -> None:
    with pytest.raises(LimitError, match="send fewer"):
        encode([single(ValueType.TEXT, ["x" * limits.TEXT_BYTES_MAX] * 1025)])


# -- what a peer may send instead ------------------------------------------------------


def frame(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


def content_of(payload: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(payload)


GOOD_PAYLOAD = encode([scans(np.round(np.random.default_rng(10).normal(50, 3, (30, 4)), 1))])


@pytest.mark.parametrize(
    "payload",
    (
        b"", b"\x28\xb5\x2f\xfd", b"not zstd at all", GOOD_PAYLOAD[:-1], GOOD_PAYLOAD + b"\x00",
        GOOD_PAYLOAD + GOOD_PAYLOAD, zstandard.ZstdCompressor(write_content_size=False).compress(b"\x01\x00"),
        frame(b""), frame(b"\x01"), frame(b"\x02\x00"), frame(b"\x01\x06"), frame(b"\x01\x00\x00"),
        frame(b"\x01\x01\x05\x00"), frame(b"\x01\x01\x00\x08"), frame(content_of(GOOD_PAYLOAD) + b"\x00"),
    ),
)  # fmt: skip
def test_what_is_no_payload_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(payload)


def claim(rows: int, points: int) -> bytes:
    return frame(b"\x01\x01\x00\x00" + rows.to_bytes(4, "little") + points.to_bytes(4, "little") + bytes(80))


def zeros_frame(size: int) -> bytes:
    """A frame of `size` zero bytes as a hostile writer makes one: a few bytes a block."""
    block = ((128 << 10) << 3 | 0b010).to_bytes(3, "little") + b"\x00"
    count = size // (128 << 10)
    last = ((128 << 10) << 3 | 0b011).to_bytes(3, "little") + b"\x00"
    return b"\x28\xb5\x2f\xfd" + b"\xe0" + size.to_bytes(8, "little") + block * (count - 1) + last


def peak_of_refusing(payload: bytes, error: type[Exception]) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(error):
            decode(payload)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_short_frame_that_claims_four_billion_samples_is_refused_before_allocation() -> None:
    payload = claim(2**32 - 1, 1)
    assert len(payload) < 100
    assert peak_of_refusing(payload, LimitError) < 100_000


def test_a_short_frame_that_claims_a_quarter_million_points_is_refused_before_allocation() -> None:
    assert peak_of_refusing(claim(2**20, 2**18 + 1), LimitError) < 100_000


def test_a_frame_that_claims_a_gigabyte_is_refused_before_allocation() -> None:
    bomb = zeros_frame(1 << 30)
    assert len(bomb) < 40_000
    assert peak_of_refusing(bomb, LimitError) < 100_000


def test_a_bomb_within_the_limit_costs_no_more_than_the_limit() -> None:
    bomb = zeros_frame(limits.PAYLOAD_RAW_BYTES_MAX)
    assert len(bomb) < 3_000
    assert peak_of_refusing(bomb, MalformedError) < limits.PAYLOAD_RAW_BYTES_MAX + 100_000


def test_a_frame_longer_than_it_claims_is_malformed() -> None:
    bomb = bytearray(zeros_frame(1 << 24))
    bomb[5:13] = (1 << 10).to_bytes(8, "little")
    assert peak_of_refusing(bytes(bomb), MalformedError) < 1_000_000


def test_the_most_that_a_short_payload_can_claim_stays_within_bounds() -> None:
    payload = encode([scans(np.zeros((1, 1 << 18)))])
    many = encode([single(ValueType.F64, np.zeros(1 << 20))])
    assert max(len(payload), len(many)) < 40_000
    for short in (payload, many):
        tracemalloc.start()
        decode(short)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 200 << 20


def test_one_text_repeated_beyond_what_the_lake_could_hold_is_refused() -> None:
    payload = encode([single(ValueType.TEXT, ["x" * 60] * (1 << 20))])
    content = content_of(payload)
    longer = content.replace(b"\x01" + bytes([60]) + b"x" * 60, b"\x02" + bytes([0, 4]) + b"x" * 1024)
    assert len(longer) > len(content)
    assert peak_of_refusing(frame(longer), LimitError) < 200 << 20


def test_every_truncation_of_the_content_is_malformed() -> None:
    content = content_of(GOOD_PAYLOAD)
    for end in range(len(content)):
        with pytest.raises(MalformedError):
            decode(frame(content[:end]))
