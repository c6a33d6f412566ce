"""The life of an alarm: every state with every trigger, and what holds whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.alarms.states import (
    ANNOUNCED,
    LATCHING,
    SILENT,
    TRANSITIONS,
    Condition,
    RefusedError,
    State,
    Trigger,
    advance,
    is_expired,
)

N, U, A, R = State.NORMAL, State.UNACKNOWLEDGED, State.ACKNOWLEDGED, State.RETURNED
LU, L = State.LATCHED_UNACKNOWLEDGED, State.LATCHED
SH, SU, OOS = State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE
UNTIL = 1000


def condition(state: State, active: bool, latching: bool = False) -> Condition:
    return Condition(state, active, latching, UNTIL if state is SH else None)


COURSES: list[tuple[State, bool, Trigger, State | None]] = [
    (N, False, Trigger.RAISE, U),
    (N, False, Trigger.ACKNOWLEDGE, None),
    (N, False, Trigger.RESET, None),
    (N, False, Trigger.SHELVE, SH),
    (N, False, Trigger.UNSHELVE, None),
    (U, True, Trigger.ACKNOWLEDGE, A),
    (U, True, Trigger.RETURN, R),
    (U, True, Trigger.RESET, None),
    (U, True, Trigger.SUPPRESS, SU),
    (A, True, Trigger.RETURN, N),
    (A, True, Trigger.ACKNOWLEDGE, None),
    (A, True, Trigger.REMOVE, OOS),
    (R, False, Trigger.ACKNOWLEDGE, N),
    (R, False, Trigger.RAISE, U),
    (LU, False, Trigger.ACKNOWLEDGE, L),
    (LU, False, Trigger.RESET, None),
    (LU, False, Trigger.RAISE, U),
    (L, False, Trigger.RESET, N),
    (L, False, Trigger.ACKNOWLEDGE, None),
    (L, False, Trigger.RAISE, U),
    (SH, True, Trigger.UNSHELVE, U),
    (SH, False, Trigger.UNSHELVE, N),
    (SH, True, Trigger.EXPIRE, U),
    (SH, False, Trigger.RAISE, SH),
    (SH, True, Trigger.RETURN, SH),
    (SH, True, Trigger.ACKNOWLEDGE, None),
    (SH, True, Trigger.SUPPRESS, SU),
    (SH, True, Trigger.REMOVE, OOS),
    (SU, True, Trigger.UNSUPPRESS, U),
    (SU, False, Trigger.UNSUPPRESS, N),
    (SU, True, Trigger.SHELVE, None),
    (SU, True, Trigger.REMOVE, OOS),
    (OOS, True, Trigger.RESTORE, U),
    (OOS, False, Trigger.RESTORE, N),
    (OOS, False, Trigger.RAISE, OOS),
    (OOS, False, Trigger.SUPPRESS, None),
    (OOS, False, Trigger.UNSUPPRESS, None),
]


@pytest.mark.parametrize(("state", "active", "trigger", "expected"), COURSES)
def test_each_trigger_does_what_the_standard_says(
    state: State, active: bool, trigger: Trigger, expected: State | None
) -> None:
    before = condition(state, active)
    if expected is None:
        with pytest.raises(RefusedError, match=f"it is {state}"):
            advance(before, trigger)
    else:
        assert advance(before, trigger, UNTIL).state is expected


@pytest.mark.parametrize(("state", "expected"), [(U, LU), (A, L)])
def test_a_latching_alarm_stays_when_its_condition_is_gone(state: State, expected: State) -> None:
    after = advance(condition(state, True, latching=True), Trigger.RETURN)
    assert (after.state, after.active) == (expected, False)


@pytest.mark.parametrize("state", list(State))
def test_what_is_known_already_changes_nothing(state: State) -> None:
    standing, gone = condition(state, True), condition(state, False)
    assert advance(standing, Trigger.RAISE) is standing
    assert advance(gone, Trigger.RETURN) is gone


def test_a_shelved_alarm_keeps_its_time_while_its_condition_comes_and_goes() -> None:
    shelved = advance(Condition(), Trigger.SHELVE, 500)
    for trigger in (Trigger.RAISE, Trigger.RETURN, Trigger.RAISE):
        shelved = advance(shelved, trigger)
        assert (shelved.state, shelved.shelved_until_us) == (SH, 500)
    assert not is_expired(shelved, 499)
    assert is_expired(shelved, 500)
    assert advance(shelved, Trigger.SHELVE, 900).shelved_until_us == 900, "shelved for longer"
    assert advance(shelved, Trigger.EXPIRE).shelved_until_us is None


def test_the_table_has_every_state_and_an_end_of_every_silence() -> None:
    assert set(TRANSITIONS) == set(State)
    assert set(LATCHING) <= ANNOUNCED
    for state in SILENT:
        assert None in TRANSITIONS[state].values()


@given(st.lists(st.sampled_from(list(Trigger)), max_size=40), st.booleans())
def test_whatever_happens_the_condition_is_followed(triggers: list[Trigger], latching: bool) -> None:
    alarm, active = Condition(latching=latching), False
    for trigger in triggers:
        active = {Trigger.RAISE: True, Trigger.RETURN: False}.get(trigger, active)
        try:
            alarm = advance(alarm, trigger, UNTIL)
        except RefusedError:
            assert trigger not in (Trigger.RAISE, Trigger.RETURN), "the process is never refused"
        assert alarm.active == active
        assert (alarm.shelved_until_us is not None) == (alarm.state is SH)
        assert active or alarm.state not in (U, A)
        assert not active or alarm.state in {U, A} | SILENT
        assert latching or alarm.state not in (L, LU)
