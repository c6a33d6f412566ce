"""When to try again."""

from __future__ import annotations

from protocols.field.backoff import Backoff, CircuitBreaker


def test_waits_grow_to_the_longest_and_begin_anew_after_success() -> None:
    backoff = Backoff(0.5, 3.0, random=lambda: 1.0)
    assert [backoff.next_s() for _ in range(4)] == [0.5, 1.0, 2.0, 3.0]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_chance_never_shortens_a_wait_below_half() -> None:
    assert Backoff(2.0, 2.0, random=lambda: 0.0).next_s() == 1.0


def test_a_breaker_opens_after_failures_in_a_row_only() -> None:
    breaker = CircuitBreaker(3, 5.0)
    for _ in range(5):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.is_closed and breaker.allows(0.0)


def test_an_open_breaker_lets_one_attempt_pass_in_each_interval() -> None:
    breaker = CircuitBreaker(1, 5.0)
    breaker.failed(10.0)
    assert [breaker.allows(t) for t in (10.0, 14.9, 15.0, 15.1, 19.9, 20.0)] == [
        False,
        False,
        True,
        False,
        False,
        True,
    ]


def test_success_closes_and_failure_opens_it_again() -> None:
    breaker = CircuitBreaker(1, 5.0)
    breaker.failed(0.0)
    assert breaker.allows(5.0)
    breaker.failed(6.0)
    assert not breaker.allows(10.9) and breaker.allows(11.0)
    breaker.succeeded()
    assert breaker.allows(11.0) and breaker.allows(11.0)
