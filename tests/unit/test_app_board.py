"""What apps see of the points they read is the same however a task's points lie in its blocks."""

from __future__ import annotations

import pytest

from edge_runtime.apps.board import Feed, InputBoard, Reads
from edge_runtime.rules.running.inputs import AGE_PERIODS
from protocols.samples import BAD, GOOD, UNCERTAIN, SampleBlock, ValueType

TASK = "plc/normal"
PERIOD_US = 1_000_000
IDS = (3, 4, 5, 9)


def board(period_us: int = PERIOD_US) -> InputBoard:
    return InputBoard({TASK: IDS}, {TASK: Feed(period_us, 0)})


def block(points: list[int], instant_us: int, kind: ValueType = ValueType.F64) -> SampleBlock:
    """Each point has ten times its id."""
    values = [str(point) if kind is ValueType.TEXT else 10 * point for point in points]
    return SampleBlock.make(kind, points, [instant_us] * len(points), values)


def seen(
    shown: InputBoard, ids: tuple[int, ...], time_us: int, period_us: int = PERIOD_US
) -> list[tuple[float, int]]:
    shown.show(time_us)
    values, codes = shown.read(shown.places(ids), time_us, period_us, whole=False)
    return list(zip(values.tolist(), codes.tolist(), strict=True))


@pytest.mark.parametrize(
    "points", [[3, 4, 5, 9], [9, 5, 4, 3], [1, 3, 4, 5, 9, 77], [5, 99, 3, 9, 4], [3, 4, 5, 8, 9]]
)
def test_values_are_those_of_their_points_in_any_order_and_among_others(points: list[int]) -> None:
    shown, reads = board(), Reads()
    for time_us in (PERIOD_US, 2 * PERIOD_US):
        shown.put(TASK, time_us, reads.of(TASK, time_us, [block(points, time_us)]))
        assert seen(shown, (9, 3, 4), time_us) == [(90.0, 0), (30.0, 0), (40.0, 0)]
        assert seen(shown, (3, 4, 5), time_us) == [(30.0, 0), (40.0, 0), (50.0, 0)]


def test_a_task_whose_points_change_places_is_followed() -> None:
    shown, reads = board(), Reads()
    for scan, points in enumerate(([3, 4, 5, 9], [4, 3, 9, 5], [4, 3, 9, 5], [9], [3, 4, 5, 9]), 1):
        time_us = scan * PERIOD_US
        shown.put(TASK, time_us, reads.of(TASK, time_us, [block(points, time_us)]))
        expected = [(10.0 * id, 0 if id in points else 2) for id in IDS]
        assert seen(shown, IDS, time_us) == expected, "what did not come this time is bad"


def test_only_samples_of_the_instant_itself_count() -> None:
    shown = board()
    mixed = SampleBlock.make(ValueType.F64, [3, 4, 5], [1, PERIOD_US, PERIOD_US], [1.0, 2.0, 3.0])
    shown.put(TASK, PERIOD_US, Reads().of(TASK, PERIOD_US, [mixed]))
    assert seen(shown, (3, 4, 5), PERIOD_US) == [(0.0, 2), (2.0, 0), (3.0, 0)]


def test_texts_are_not_for_apps_and_do_not_move_what_is_beside_them() -> None:
    shown, reads = board(), Reads()
    texts = block([3, 4], PERIOD_US, ValueType.TEXT)
    shown.put(TASK, PERIOD_US, reads.of(TASK, PERIOD_US, [texts, block([5, 9], PERIOD_US)]))
    assert seen(shown, IDS, PERIOD_US) == [(0.0, 2), (0.0, 2), (50.0, 0), (90.0, 0)]


def test_qualities_are_told_by_their_severity() -> None:
    shown = board()
    codes = [GOOD | 0x30, UNCERTAIN | 1, BAD | 0x4000, 0xC000_0000]
    given = SampleBlock.make(ValueType.F64, IDS, [PERIOD_US] * 4, [1.0] * 4, codes)
    shown.put(TASK, PERIOD_US, Reads().of(TASK, PERIOD_US, [given]))
    assert [code for _, code in seen(shown, IDS, PERIOD_US)] == [0, 1, 2, 2]


def test_whole_numbers_keep_all_their_bits() -> None:
    shown, large = board(), (1 << 53) + 1
    given = SampleBlock.make(ValueType.I64, IDS, [PERIOD_US] * 4, [large, -large, 0, 1])
    shown.put(TASK, PERIOD_US, Reads().of(TASK, PERIOD_US, [given]))
    shown.show(PERIOD_US)
    values, _ = shown.read(shown.places(IDS), PERIOD_US, PERIOD_US, whole=True)
    assert values.tolist() == [large, -large, 0, 1]


def test_a_slower_points_last_sample_counts_for_some_of_its_periods() -> None:
    shown = board(period_us=10 * PERIOD_US)
    shown.put(TASK, 0, Reads().of(TASK, 0, [block([3], 0)]))
    last_us = AGE_PERIODS * 10 * PERIOD_US
    assert seen(shown, (3,), last_us) == [(30.0, 0)]
    assert seen(shown, (3,), last_us + PERIOD_US) == [(30.0, 2)]


def test_a_scan_does_not_see_what_came_after_its_time() -> None:
    shown, reads = board(), Reads()
    for time_us in (PERIOD_US, 2 * PERIOD_US):
        shown.put(TASK, time_us, reads.of(TASK, time_us, [block([3], time_us)]))
    assert seen(shown, (3,), PERIOD_US) == [(30.0, 0)]
    assert len(shown.feeds[TASK].waiting) == 1
