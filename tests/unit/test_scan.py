"""When devices are read: on a grid that all gateways share, and nothing is skipped in silence."""

from __future__ import annotations

import pytest

from edge_runtime.scan import Missed, Schedule, Turn

MS = 1000
S = 1_000_000


@pytest.mark.parametrize(
    ("period", "phase", "start", "first"),
    [
        (S, 0, 10 * S + 400 * MS, 11 * S),
        (S, 0, 10 * S, 11 * S),
        (S, 250 * MS, 10 * S + 400 * MS, 11 * S + 250 * MS),
        (S, 250 * MS, 10 * S + 100 * MS, 10 * S + 250 * MS),
        (60 * S, 0, 10 * S, 60 * S),
        (100 * MS, 0, 10 * S + 1, 10 * S + 100 * MS),
        (S, 0, -(10**15) - 1, -(10**15)),
    ],
)
def test_the_first_instant_is_the_first_on_the_grid_after_the_start(
    period: int, phase: int, start: int, first: int
) -> None:
    assert Schedule(period, phase, start).next_us == first


def test_an_instant_is_not_due_before_its_time_and_is_served_once() -> None:
    schedule = Schedule(S, 0, 0)
    assert schedule.take(S - 1) is None
    assert schedule.take(S) == Turn(S, 0, None)
    assert schedule.take(S) is None
    assert schedule.take(2 * S + 30 * MS) == Turn(2 * S, 30 * MS, None)


def test_a_turn_that_begins_late_is_still_that_instants() -> None:
    schedule = Schedule(S, 0, 0)
    assert schedule.take(2 * S - 1) == Turn(S, S - 1, None)
    assert schedule.counters.late_us_max == S - 1


def test_instants_that_nobody_served_are_named_and_counted() -> None:
    schedule = Schedule(S, 0, 0)
    schedule.take(S)
    turn = schedule.take(5 * S + 100)
    assert turn == Turn(5 * S, 100, Missed(2 * S, 5 * S, 3))
    assert schedule.counters.missed == 3
    assert schedule.counters.served == 2
    assert schedule.take(6 * S) == Turn(6 * S, 0, None)


@pytest.mark.parametrize(
    ("reached", "missed"),
    [
        (10 * S, Missed(11 * S, 15 * S, 4)),
        (13 * S, Missed(14 * S, 15 * S, 1)),
        (14 * S, None),  # the restart lost nothing
        (20 * S, None),  # the clock went back over the restart
        (10 * S + 300 * MS, Missed(11 * S, 15 * S, 4)),  # the phase was another one then
    ],
)
def test_what_an_earlier_process_left_is_known_at_the_start(reached: int, missed: Missed | None) -> None:
    schedule = Schedule(S, 0, 14 * S + 500 * MS)
    assert schedule.next_us == 15 * S
    assert schedule.missed_since(reached) == missed


def test_every_instant_is_served_or_missed_exactly_once() -> None:
    schedule = Schedule(S, 100 * MS, 0)
    now = 0
    seen: list[int] = []
    for step in [300 * MS, 5 * S, 10 * MS, 990 * MS, 2_100 * MS, 1, S] * 30:
        now += step
        turn = schedule.take(now)
        if turn is not None:
            if turn.missed is not None:
                seen += range(turn.missed.from_us, turn.missed.to_us, S)
            seen.append(turn.instant_us)
    assert seen == list(range(100 * MS, seen[-1] + 1, S))
