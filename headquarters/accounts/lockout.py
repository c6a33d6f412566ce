"""When failures lock an account, and for how long; no I/O.

>>> state = State()
>>> for _ in range(5):
...     state = after_failure(state, 0, Terms())
>>> state.failures, state.locked_until_us // MINUTE_US
(5, 15)
>>> after_failure(state, state.locked_until_us, Terms()).locked_until_us // MINUTE_US
45
"""

from __future__ import annotations

from typing import NamedTuple

from headquarters.accounts.terms import LOCK_US_MAX, MINUTE_US, Terms


class State(NamedTuple):
    """How an account stands: failures in a row, and until when it is locked (us since 1970)."""

    failures: int = 0
    locked_until_us: int = 0


def is_locked(state: State, at_us: int) -> bool:
    """Whether nobody may try now."""
    return at_us < state.locked_until_us


def after_failure(state: State, at_us: int, terms: Terms) -> State:
    """How it stands after one more failure, while it was not locked."""
    failures = state.failures + 1
    beyond = failures - terms.lock_failures
    if beyond < 0:
        return State(failures, 0)
    lock_us = min(terms.lock_minutes * MINUTE_US << min(beyond, 20), LOCK_US_MAX)
    return State(failures, at_us + lock_us)
