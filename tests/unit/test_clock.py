"""Gateway time: it follows the wall clock, and never goes back."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge_runtime.clock import (
    HOLD_MAX_US,
    SLEW,
    STEP_US,
    TOLERANCE_US,
    GatewayClock,
    Scale,
    Step,
    kernel_synchronised,
    new_boot_id,
)
from protocols.batch import ClockState
from protocols.records import Correction

S = 1_000_000
T0 = 1_700_000_000 * S
BOOT = b"b" * 16


@pytest.mark.parametrize(
    ("step_us", "seconds", "ahead_us", "offset_us"),
    [
        (0, 10, 0, 0),
        (TOLERANCE_US, 10, 0, 0),  # reading two clocks takes a moment
        (-TOLERANCE_US, 10, 0, 0),
        (50_000, 10, 50_000, 0),  # forward: followed at once
        (3600 * S, 10, 3600 * S, 0),
        (-1 * S, 10, -10 * S // SLEW, -1 * S + 10 * S // SLEW),  # back: held, let back slowly
        (-1 * S, 40, -1 * S, 0),  # and reached after a while
        (-3600 * S, 20, -20 * S // SLEW, -3600 * S + 20 * S // SLEW),
    ],
)
def test_a_step_of_the_wall_clock_changes_gateway_time_by(
    step_us: int, seconds: int, ahead_us: int, offset_us: int
) -> None:
    scale = Scale(T0, 0)
    now = 0
    for second in range(1, seconds + 1):
        now = scale.at(T0 + second * S + step_us, second * S)
    assert now == T0 + seconds * S + ahead_us
    assert scale.offset_us == offset_us


def test_time_never_goes_back_whatever_the_wall_clock_does() -> None:
    scale = Scale(T0, 0)
    walls = [1, 2, -500, -499, 8, 9, 9, 9, 100_000, 3, 4, 5, -(10**6)]
    last = 0
    for second, wall in enumerate(walls):
        now = scale.at(T0 + wall * S, second * S)
        assert now >= last
        last = now


def test_a_held_step_that_is_taken_back_leaves_no_offset() -> None:
    scale = Scale(T0, 0)
    scale.at(T0 - 5 * S, S)
    assert scale.offset_us < 0
    now = scale.at(T0 + 2 * S, 2 * S)
    assert (now, scale.offset_us) == (T0 + 2 * S, 0)


@pytest.mark.parametrize(
    ("wall_us", "start_us", "offset_us"),
    [
        (T0 + 5 * S, T0 + 5 * S, 0),  # time went on while the gateway was down
        (T0 - 5 * S, T0, -5 * S),  # it went back: the last stamp is held
        (T0 - HOLD_MAX_US - 1, T0 - HOLD_MAX_US - 1, 0),  # by more than can be held
    ],
)
def test_a_restart_does_not_go_back_behind_the_last_durable_stamp(
    wall_us: int, start_us: int, offset_us: int
) -> None:
    scale = Scale(wall_us, 0, floor_us=T0)
    assert (scale.last_us, scale.offset_us) == (start_us, offset_us)


# -- the clock as the gateway has it -------------------------------------------------------------------


@dataclass
class Hands:
    """Clocks that go where they are told."""

    wall: int = T0
    monotonic: int = 0
    synchronised: bool | None = True

    def go(self, seconds: float) -> None:
        self.wall += round(seconds * S)
        self.monotonic += round(seconds * S)

    def clock(self, floor_us: int | None = None) -> GatewayClock:
        return GatewayClock(
            BOOT,
            floor_us=floor_us,
            wall=lambda: self.wall,
            monotonic=lambda: self.monotonic,
            synchronised=lambda: self.synchronised,
        )


def test_a_forward_step_is_reported_once_with_what_it_skipped() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.go(1)
    clock.now_us()
    hands.go(0.5)
    hands.wall += 10 * S
    clock.now_us()
    clock.now_us()
    assert clock.steps() == (Step(T0 + 1_500_000, T0 + 11_500_000),)


def test_a_small_forward_step_is_not_worth_a_report() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall += STEP_US
    assert clock.now_us() == T0 + STEP_US
    assert clock.steps() == ()


@pytest.mark.parametrize(
    ("history", "state"),
    [
        ([True], ClockState.SYNCHRONISED),
        ([None], ClockState.UNSYNCHRONISED),
        ([False], ClockState.UNSYNCHRONISED),
        ([True, False], ClockState.HOLDOVER),
        ([False, True], ClockState.SYNCHRONISED),
    ],
)
def test_a_batch_says_how_far_the_clock_can_be_trusted(history: list[bool | None], state: ClockState) -> None:
    hands = Hands()
    clock = hands.clock()
    for hands.synchronised in history:
        hands.go(1)
        stamp = clock.stamp()
    assert (stamp.state, stamp.boot_id, stamp.monotonic_us) == (state, BOOT, len(history) * S)


def test_while_a_backward_step_is_held_batches_say_how_far_off_they_are() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall -= 60 * S
    clock.now_us()
    hands.go(SLEW)
    stamp = clock.stamp()
    assert (stamp.state, stamp.offset_us) == (ClockState.HOLDOVER, -59 * S)
    assert clock.now_us() + stamp.offset_us == hands.wall


def test_when_the_clock_becomes_right_earlier_stamps_are_corrected() -> None:
    hands = Hands(synchronised=False)
    clock = hands.clock()
    clock.stamp()
    hands.go(100)
    clock.stamp()
    hands.wall += 7 * S
    clock.now_us()
    hands.go(50)
    hands.wall += 30 * S
    clock.now_us()
    assert clock.take_corrections() == []
    hands.synchronised = True
    hands.go(1)
    assert clock.take_corrections() == [
        Correction(BOOT, 0, 100 * S, 37 * S),
        Correction(BOOT, 100 * S, 150 * S, 30 * S),
    ]
    hands.go(1)
    assert clock.take_corrections() == []


def test_a_clock_that_was_right_all_along_needs_no_correction() -> None:
    hands = Hands(synchronised=False)
    clock = hands.clock()
    clock.stamp()
    hands.synchronised = True
    hands.go(10)
    assert clock.take_corrections() == []
    assert clock.stamp().state is ClockState.SYNCHRONISED


def test_an_interruption_between_two_readings_is_not_taken_for_a_step() -> None:
    """The monotonic clock jumps while the wall clock is read: another attempt is made."""
    readings = iter([0, 5 * S, 5 * S, 5 * S] + [6 * S] * 10)
    clock = GatewayClock(
        BOOT, wall=lambda: T0 + 5 * S, monotonic=lambda: next(readings), synchronised=lambda: True
    )
    assert clock.stamp().monotonic_us == 6 * S


def test_the_real_clocks_can_be_read() -> None:
    clock = GatewayClock(new_boot_id())
    one, other = clock.now_us(), clock.now_us()
    assert T0 < one <= other
    assert kernel_synchronised() in (True, False, None)
    assert len(clock.boot_id) == 16
