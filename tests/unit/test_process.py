"""Scaling and range checks: whole columns, held against one value after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_runtime.process import Processor
from protocols.field.base import FieldType
from protocols.points import Point, Report
from protocols.samples import (
    BAD_TIMEOUT,
    GOOD,
    UNCERTAIN,
    UNCERTAIN_ENGINEERING_UNITS_EXCEEDED,
    SampleBlock,
    ValueType,
)

S = 1_000_000
EXCEEDED = UNCERTAIN_ENGINEERING_UNITS_EXCEEDED


def point(id: int, type: FieldType = FieldType.F64, **fields: object) -> Point:
    return Point(id, f"P{id}", "plc", str(id), type, "fast", **fields)  # type: ignore[arg-type]


def test_what_is_not_scaled_checked_or_thinned_passes_untouched() -> None:
    processor = Processor([point(1), point(2)])
    block = SampleBlock.make(ValueType.F64, [1, 2], [S, S], [-0.0, math.nan])
    processed = processor.process([block])
    assert processed.blocks == [block], "the very same block"
    assert (processed.thinned, processed.held) == (0, 0)


def test_scaled_integers_become_f64_and_the_others_keep_every_digit() -> None:
    points = [
        point(1, FieldType.UINT16, scale=0.1, offset=-5.0),
        point(2, FieldType.INT64),
        point(3, FieldType.INT16, offset=1.0),
    ]
    block = SampleBlock.make(ValueType.I64, [1, 2, 3], [S] * 3, [100, 2**63 - 1, -4])
    blocks = {b.type: b for b in Processor(points).process([block]).blocks}
    assert blocks[ValueType.F64].point.tolist() == [1, 3]
    assert blocks[ValueType.F64].value.tolist() == [100 * 0.1 - 5.0, -3.0]
    assert blocks[ValueType.I64].value.tolist() == [2**63 - 1]


def test_a_scaled_value_that_was_not_read_is_no_number() -> None:
    block = SampleBlock.make(ValueType.I64, [1, 1], [S, 2 * S], [0, 7], [BAD_TIMEOUT, GOOD])
    [scaled] = Processor([point(1, FieldType.UINT16, scale=2.0, offset=40.0)]).process([block]).blocks
    assert math.isnan(scaled.value[0])
    assert scaled.value[1] == 54.0
    assert scaled.quality.tolist() == [BAD_TIMEOUT, GOOD]


@pytest.mark.parametrize(
    ("value", "quality", "expected"),
    [
        (5.0, GOOD, GOOD),
        (0.0, GOOD, GOOD),  # the ends belong to the range
        (10.0, GOOD, GOOD),
        (-0.001, GOOD, EXCEEDED),
        (10.001, GOOD, EXCEEDED),
        (math.inf, GOOD, EXCEEDED),
        (math.nan, GOOD, GOOD),
        (99.0, UNCERTAIN, UNCERTAIN),  # what the device said stays
        (99.0, BAD_TIMEOUT, BAD_TIMEOUT),
    ],
)
def test_a_good_value_outside_its_range_is_marked_and_not_changed(
    value: float, quality: int, expected: int
) -> None:
    block = SampleBlock.make(ValueType.F64, [1], [S], [value], [quality])
    [checked] = Processor([point(1, low=0.0, high=10.0)]).process([block]).blocks
    assert checked.quality.tolist() == [expected]
    assert np.array_equal(checked.value, block.value, equal_nan=True)


def test_the_range_is_in_scaled_units() -> None:
    processor = Processor(
        [point(1, FieldType.UINT16, scale=0.1, low=0.0, high=100.0), point(2, FieldType.UINT16)]
    )
    block = SampleBlock.make(ValueType.I64, [1, 2], [S, S], [1001, 60_000])
    blocks = {b.type: b for b in processor.process([block]).blocks}
    assert blocks[ValueType.F64].quality.tolist() == [EXCEEDED]
    assert blocks[ValueType.I64].quality.tolist() == [GOOD]


def test_rows_may_come_in_any_order_and_number() -> None:
    points = [point(id, scale=float(id), low=0.0, high=1000.0) for id in (7, 3, 11)]
    processor = Processor(points)
    for ids in ([11, 3], [3, 3, 7], [7, 3, 11], [7, 3, 11], [11]):
        block = SampleBlock.make(ValueType.F64, ids, [S] * len(ids), [1.0] * len(ids))
        [scaled] = processor.process([block]).blocks
        assert scaled.value.tolist() == [float(id) for id in ids]


def test_source_times_travel_with_their_samples() -> None:
    points = [point(1, scale=2.0), point(2), point(3, report=Report.CHANGE)]
    block = SampleBlock.make(
        ValueType.F64, [1, 2, 3, 3], [S, S, S, 2 * S], [1.0, 2.0, 3.0, 3.0], source_time=[11, 12, 13, 14]
    )
    processed = Processor(points).process([block])
    times = {
        int(p): int(t)
        for b in processed.blocks
        if b.source_time is not None
        for p, t in zip(b.point, b.source_time, strict=True)
    }
    assert times == {1: 11, 2: 12, 3: 13}
    assert processed.thinned == 1


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (FieldType.STRING, ["run", "run", "stop", "run"]),
        (FieldType.BOOL, [1, 1, 0, 1]),
        (FieldType.INT64, [2**62, 2**62, 2**62 + 1, 2**62]),
    ],
)
def test_texts_booleans_and_integers_are_reported_on_change(kind: FieldType, values: list[object]) -> None:
    processor = Processor([point(1, kind, report=Report.CHANGE)])
    kept = []
    for second, value in enumerate(values):
        block = SampleBlock.make(kind.value_type, [1], [second * S], [value])
        kept += [b.value.tolist()[0] for b in processor.process([block]).blocks]
    assert kept == [values[0], values[2], values[3]]


def test_a_door_that_holds_a_sample_back_says_from_when_on_it_is_undecided() -> None:
    processor = Processor([point(1, report=Report.SWINGING_DOOR, deadband=1.0), point(2)])
    for second in range(5):
        block = SampleBlock.make(ValueType.F64, [1, 2], [second * S] * 2, [float(second)] * 2)
        processed = processor.process([block])
    assert processed.held == 1
    assert processor.settled_us(4 * S) == 0
    [flushed] = processor.flush()
    assert (flushed.time.tolist(), flushed.value.tolist()) == ([4 * S], [4.0])
    assert processor.settled_us(4 * S) == 4 * S
