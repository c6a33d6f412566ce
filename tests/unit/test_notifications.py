"""What is notified, brought to instants."""

from __future__ import annotations

import pytest

from protocols.field.base import FieldPoint, FieldType, Lost
from protocols.field.notifications import NotificationCache, Served
from protocols.samples import (
    BAD_NO_COMMUNICATION,
    BAD_SENSOR_FAILURE,
    BAD_WAITING_FOR_INITIAL_DATA,
    NO_SOURCE_TIME,
    SampleBlock,
    ValueType,
)

S = 1_000_000
POINTS = (
    FieldPoint(9, "a", FieldType.F64),
    FieldPoint(3, "b", FieldType.F64),
    FieldPoint(5, "c", FieldType.STRING),
)


def floats(at_us: int, values: dict[int, float], source: int | None = None) -> SampleBlock:
    times = [at_us] * len(values)
    sources = None if source is None else [source] * len(values)
    return SampleBlock.make(ValueType.F64, values, times, values.values(), source_time=sources)


def extras(served: Served) -> list[tuple[int, int, object]]:
    return [
        row
        for block in served.extras
        for row in zip(block.point.tolist(), block.time.tolist(), block.value.tolist(), strict=True)
    ]


def at_instant(served: Served) -> dict[int, tuple[object, int]]:
    return {
        point: (value, quality)
        for block in served.samples
        for point, value, quality in zip(
            block.point.tolist(), block.value.tolist(), block.quality.tolist(), strict=True
        )
    }


def test_before_anything_is_notified_every_point_says_that_it_waits() -> None:
    served = NotificationCache(POINTS).serve(S)
    assert [block.type for block in served.samples] == [ValueType.F64, ValueType.TEXT]
    assert {quality for _, quality in at_instant(served).values()} == {BAD_WAITING_FOR_INITIAL_DATA}
    assert (served.extras, served.lost) == ([], [])


def test_the_latest_value_is_given_at_every_instant_with_its_source_time() -> None:
    cache = NotificationCache(POINTS)
    cache.put([floats(S // 2, {3: 1.5}, source=42)])
    for instant_us in (S, 2 * S):
        [block, _] = cache.serve(instant_us).samples
        assert block.point.tolist() == [9, 3] and block.value.tolist()[1] == 1.5
        assert block.time.tolist() == [instant_us] * 2
        assert block.source_time is not None and block.source_time.tolist() == [NO_SOURCE_TIME, 42]


def test_overtaken_values_come_at_their_arrival() -> None:
    cache = NotificationCache(POINTS)
    cache.serve(S)
    cache.put([floats(S + 100_400, {9: 1, 3: 10})])
    cache.put([floats(S + 200_000, {9: 2})])
    cache.put([floats(S + 300_000, {9: 3})])
    served = cache.serve(2 * S)
    assert extras(served) == [(9, S + 100_000, 1.0), (9, S + 200_000, 2.0)]
    assert at_instant(served)[9] == (3.0, 0) and at_instant(served)[3] == (10.0, 0)


def test_values_that_arrive_together_get_times_of_their_own_in_order() -> None:
    cache = NotificationCache(POINTS)
    cache.serve(S)
    many = SampleBlock.make(ValueType.F64, [9, 3, 9, 9, 9], [2 * S - 1500] * 5, [1, 7, 2, 3, 4])
    cache.put([many])
    served = cache.serve(2 * S)
    assert [(point, value) for point, _, value in extras(served)] == [(9, 1), (9, 2), (9, 3)]
    times = [time for _, time, _ in extras(served)]
    assert times == [2 * S - 3000, 2 * S - 2000, 2 * S - 1000]


def test_where_milliseconds_do_not_suffice_microseconds_do() -> None:
    cache = NotificationCache(POINTS)
    cache.serve(S)
    cache.put([SampleBlock.make(ValueType.F64, [9] * 40, [S + 5] * 40, range(40))])
    served = cache.serve(S + 10_000)
    times = [time for _, time, _ in extras(served)]
    assert times == list(range(S + 5, S + 44))


def test_a_value_that_arrives_after_the_instant_waits_for_the_next() -> None:
    cache = NotificationCache(POINTS)
    cache.put([floats(S - 1, {9: 1}), floats(S + 1, {9: 2})])
    served = cache.serve(S)
    assert at_instant(served)[9] == (1.0, 0) and extras(served) == []
    assert at_instant(cache.serve(2 * S))[9] == (2.0, 0)


def test_a_value_at_the_very_instant_belongs_to_it() -> None:
    cache = NotificationCache(POINTS)
    cache.put([floats(S, {9: 1})])
    assert at_instant(cache.serve(S))[9] == (1.0, 0)


def test_after_a_loss_points_are_bad_until_notified_anew_and_nothing_is_thrown_away() -> None:
    cache = NotificationCache(POINTS)
    cache.serve(S)
    cache.put([floats(S + 1000, {9: 1, 3: 2})])
    cache.down(S + 2000, BAD_NO_COMMUNICATION)
    cache.put([floats(S + 3000, {3: 5})])
    served = cache.serve(2 * S)
    assert at_instant(served)[9][1] == BAD_NO_COMMUNICATION
    assert at_instant(served)[3] == (5.0, 0)
    assert sorted(extras(served)) == [(3, S + 1000, 2.0), (9, S + 1000, 1.0)]


def test_a_loss_after_the_instant_does_not_touch_it() -> None:
    cache = NotificationCache(POINTS)
    cache.put([floats(S - 1, {9: 1})])
    cache.down(S + 1, BAD_NO_COMMUNICATION)
    assert at_instant(cache.serve(S))[9] == (1.0, 0)
    assert at_instant(cache.serve(2 * S))[9][1] == BAD_NO_COMMUNICATION


def test_a_bad_notification_is_a_sample_like_any_other() -> None:
    cache = NotificationCache(POINTS)
    cache.put([SampleBlock.make(ValueType.F64, [9], [5], [float("nan")], quality=[BAD_SENSOR_FAILURE])])
    assert at_instant(cache.serve(S))[9][1] == BAD_SENSOR_FAILURE


def test_a_value_without_a_source_time_does_not_inherit_an_older_one() -> None:
    cache = NotificationCache(POINTS)
    cache.put([floats(10, {9: 1}, source=7)])
    cache.serve(S)
    cache.put([floats(S + 10, {9: 2})])
    [block, _] = cache.serve(2 * S).samples
    assert block.source_time is None


def test_losses_are_told_once() -> None:
    cache = NotificationCache(POINTS)
    lost = Lost((9,), 1, 2, "test")
    cache.lost(lost)
    assert cache.serve(S).lost == [lost] and cache.serve(2 * S).lost == []


def test_beyond_its_bound_the_oldest_go_and_are_declared() -> None:
    cache = NotificationCache(POINTS, pending_max=3)
    for k in range(3):
        cache.put([floats(100 + k, {9: k, 3: k})])
    served = cache.serve(S)
    assert at_instant(served)[9] == (2.0, 0) and extras(served) == []
    assert [(lost.points, lost.from_us, lost.to_us) for lost in served.lost] == [
        ((3, 9), 100, 101),
        ((3, 9), 101, 102),
    ]


def test_more_values_than_there_are_moments_are_declared() -> None:
    cache = NotificationCache(POINTS)
    cache.serve(S)
    cache.put([SampleBlock.make(ValueType.F64, [9] * 20, [S + 5] * 20, range(20))])
    served = cache.serve(S + 10)
    assert [value for _, _, value in extras(served)] == list(range(10, 19))
    assert [time for _, time, _ in extras(served)] == list(range(S + 1, S + 10))
    assert [lost.points for lost in served.lost] == [(9,)]


def test_a_notification_for_a_stranger_is_a_bug() -> None:
    cache = NotificationCache(POINTS)
    cache.put([floats(1, {4: 1})])
    with pytest.raises(AssertionError):
        cache.serve(S)
