"""The life of one alarm as a table of transitions: pure, the time is handed in.

Rules:
1. The process raises an alarm and takes it back; the operator acknowledges, resets and
   silences it. `TRANSITIONS` says what each trigger does in each state, and what is not in
   it is refused.
2. An alarm that *latches* stays after its condition is gone until it is reset: `LATCHING`
   replaces those entries of the table.
3. A silenced alarm (shelved, suppressed by design, out of service) is not announced, but
   its condition is followed. When the silence ends it is `NORMAL`, or `UNACKNOWLEDGED` when
   the condition stands.
4. Out of service outranks suppression by design, which outranks shelving: the stronger
   silence replaces the weaker one, never the other way round.

Source: ANSI/ISA-18.2-2016, alarm state transition diagram; IEC 62682:2022.
Style of the table: h11.

>>> alarm = Condition()
>>> alarm = advance(alarm, Trigger.RAISE)
>>> alarm.state, alarm.active
(<State.UNACKNOWLEDGED: 'unacknowledged'>, True)
>>> advance(advance(alarm, Trigger.ACKNOWLEDGE), Trigger.RETURN).state
<State.NORMAL: 'normal'>
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from protocols.errors import CatchmentError


class State(StrEnum):
    """States of an alarm, as in the standard's diagram."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned-unacknowledged"
    LATCHED_UNACKNOWLEDGED = "latched-unacknowledged"
    LATCHED = "latched"
    SHELVED = "shelved"
    SUPPRESSED = "suppressed"
    OUT_OF_SERVICE = "out-of-service"


SILENT = frozenset({State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE})
"""States in which an alarm is not announced."""

ANNOUNCED = frozenset(State) - SILENT - {State.NORMAL}
"""States in which an alarm is on the operator's list."""


class Trigger(StrEnum):
    """What moves an alarm. The value is the transition's name in journal and lake."""

    RAISE = "raised"
    RETURN = "returned"
    ACKNOWLEDGE = "acknowledged"
    RESET = "reset"
    SHELVE = "shelved"
    UNSHELVE = "unshelved"
    EXPIRE = "shelving-expired"
    SUPPRESS = "suppressed"
    UNSUPPRESS = "unsuppressed"
    REMOVE = "out-of-service"
    RESTORE = "in-service"


class Priority(IntEnum):
    """How fast an operator must act (ISA-18.2 and EEMUA 191: few priorities, the highest rare)."""

    CRITICAL = 1
    HIGH = 2
    MEDIUM = 3
    LOW = 4


@dataclass(frozen=True, slots=True)
class Condition:
    """Where one alarm stands.

    Args:
        state: Its state.
        active: Whether the condition stands, announced or not.
        latching: Whether it must be reset after its condition is gone.
        shelved_until_us: When its shelving ends; `None` unless it is shelved.
    """

    state: State = State.NORMAL
    active: bool = False
    latching: bool = False
    shelved_until_us: int | None = None


class RefusedError(CatchmentError):
    """A trigger that the alarm's state does not allow; the message says what would be."""


_RESUME = None
"""In place of a state: the silence ends, and the condition decides (rule 3)."""

_SILENCE = {
    Trigger.SHELVE: State.SHELVED,
    Trigger.SUPPRESS: State.SUPPRESSED,
    Trigger.REMOVE: State.OUT_OF_SERVICE,
}

TRANSITIONS: dict[State, dict[Trigger, State | None]] = {
    State.NORMAL: {Trigger.RAISE: State.UNACKNOWLEDGED, **_SILENCE},
    State.UNACKNOWLEDGED: {
        Trigger.RETURN: State.RETURNED,
        Trigger.ACKNOWLEDGE: State.ACKNOWLEDGED,
        **_SILENCE,
    },
    State.ACKNOWLEDGED: {Trigger.RETURN: State.NORMAL, **_SILENCE},
    State.RETURNED: {
        Trigger.RAISE: State.UNACKNOWLEDGED,
        Trigger.ACKNOWLEDGE: State.NORMAL,
        **_SILENCE,
    },
    State.LATCHED_UNACKNOWLEDGED: {
        Trigger.RAISE: State.UNACKNOWLEDGED,
        Trigger.ACKNOWLEDGE: State.LATCHED,
        **_SILENCE,
    },
    State.LATCHED: {Trigger.RAISE: State.UNACKNOWLEDGED, Trigger.RESET: State.NORMAL, **_SILENCE},
    State.SHELVED: {
        Trigger.RAISE: State.SHELVED,
        Trigger.RETURN: State.SHELVED,
        Trigger.SHELVE: State.SHELVED,
        Trigger.UNSHELVE: _RESUME,
        Trigger.EXPIRE: _RESUME,
        Trigger.SUPPRESS: State.SUPPRESSED,
        Trigger.REMOVE: State.OUT_OF_SERVICE,
    },
    State.SUPPRESSED: {
        Trigger.RAISE: State.SUPPRESSED,
        Trigger.RETURN: State.SUPPRESSED,
        Trigger.UNSUPPRESS: _RESUME,
        Trigger.REMOVE: State.OUT_OF_SERVICE,
    },
    State.OUT_OF_SERVICE: {
        Trigger.RAISE: State.OUT_OF_SERVICE,
        Trigger.RETURN: State.OUT_OF_SERVICE,
        Trigger.RESTORE: _RESUME,
    },
}

LATCHING: dict[State, dict[Trigger, State]] = {
    State.UNACKNOWLEDGED: {Trigger.RETURN: State.LATCHED_UNACKNOWLEDGED},
    State.ACKNOWLEDGED: {Trigger.RETURN: State.LATCHED},
}


def advance(condition: Condition, trigger: Trigger, shelved_until_us: int | None = None) -> Condition:
    """What becomes of an alarm; the same object when the process says what is known already.

    Args:
        condition: Where it stands.
        trigger: What happens.
        shelved_until_us: With SHELVE: when the shelving ends.

    Raises:
        RefusedError: The state does not allow it.
    """
    if trigger in (Trigger.RAISE, Trigger.RETURN) and condition.active is (trigger is Trigger.RAISE):
        return condition
    active = {Trigger.RAISE: True, Trigger.RETURN: False}.get(trigger, condition.active)
    allowed = TRANSITIONS[condition.state]
    if trigger not in allowed:
        raise RefusedError(_refusal(condition.state, trigger))
    state = allowed[trigger]
    if condition.latching:
        state = LATCHING.get(condition.state, {}).get(trigger, state)
    if state is None:
        state = State.UNACKNOWLEDGED if active else State.NORMAL
    until = condition.shelved_until_us if trigger in (Trigger.RAISE, Trigger.RETURN) else shelved_until_us
    return replace(
        condition, state=state, active=active, shelved_until_us=until if state is State.SHELVED else None
    )


def is_expired(condition: Condition, now_us: int) -> bool:
    """Whether its shelving is over."""
    return condition.shelved_until_us is not None and condition.shelved_until_us <= now_us


def _refusal(state: State, trigger: Trigger) -> str:
    possible = ", ".join(t for t in TRANSITIONS[state] if t not in _BY_ITSELF)
    return f"it is {state}: it cannot become {trigger}; from there an operator can make it {possible}"


_BY_ITSELF = (Trigger.RAISE, Trigger.RETURN, Trigger.EXPIRE)
"""What no operator does."""
