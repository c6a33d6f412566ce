"""Which commands a gateway carries out: who signed, for whom, when, and only once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_runtime.commands.judge import PROOF_LIFE_US, Proof, Span, Why, judge, time_known
from protocols.batch import Clock, ClockState
from protocols.identity import SigningKey, VerifyKey
from protocols.records import Command, sign_record

KEY = SigningKey(b"q" * 32)
S = 1_000_000
COMMAND = Command(7, b"7" * 16, "unit-1", 1000 * S, 2000 * S, "li@hq", "read", {"points": ("A",)})
NOW = Span(1500 * S, 1500 * S)


def verdict(
    command: Command = COMMAND,
    now: Span | None = NOW,
    *,
    key: SigningKey = KEY,
    floor_us: int = 0,
    before: str | None = None,
) -> Why | None:
    signed = sign_record(command, key)
    return judge(signed, "unit-1", VerifyKey(KEY.public), now, floor_us, lambda nonce: before).why


@pytest.mark.parametrize(
    ("why", "found"),
    [
        (None, verdict()),
        (Why.SIGNATURE, verdict(key=SigningKey(b"x" * 32))),
        (Why.TARGET, verdict(replace(COMMAND, target="unit-2"))),
        (Why.REPLAYED, verdict(before="done")),
        (Why.EXPIRED, verdict(now=Span(2000 * S, 2000 * S))),
        (None, verdict(now=Span(2000 * S - 1, 2000 * S - 1))),
        # of two times that it may be, the later one judges expiry and the earlier one what is yet to come
        (Why.EXPIRED, verdict(now=Span(1990 * S, 2000 * S))),
        (Why.CLOCK_WRONG, verdict(now=Span(699 * S, 1500 * S))),
        (None, verdict(now=Span(700 * S, 1500 * S))),
        (Why.CLOCK_UNKNOWN, verdict(now=None)),
        (Why.FORGOTTEN, verdict(floor_us=1000 * S)),
        (None, verdict(floor_us=1000 * S - 1)),
    ],
)
def test_each_rule_refuses_for_its_own_reason(why: Why | None, found: Why | None) -> None:
    assert found is why


def test_another_gateways_command_that_expired_tells_of_the_target_first() -> None:
    assert verdict(replace(COMMAND, target="unit-2"), now=None) is Why.TARGET


def test_bytes_that_headquarters_signed_and_that_are_no_command_are_malformed() -> None:
    signed = KEY.sign(b"catchment/command/v1\x00", b"\xc0") + b"\xc0"
    found = judge(signed, "unit-1", VerifyKey(KEY.public), NOW, 0, lambda nonce: None)
    assert (found.command, found.why) == (None, Why.MALFORMED)


def clock(state: ClockState, offset_us: int = 0) -> Clock:
    return Clock(bytes(16), 0, state, offset_us)


class TestTime:
    def test_a_clock_that_somebody_keeps_counts_with_what_is_known_of_its_error(self) -> None:
        held = clock(ClockState.HOLDOVER, -3 * S)
        assert time_known(held, 100 * S, 0, None) == Span(97 * S, 97 * S)

    def test_without_one_only_what_headquarters_signed_counts(self) -> None:
        alone = clock(ClockState.UNSYNCHRONISED)
        assert time_known(alone, 100 * S, 0, None) is None
        proof = Proof(asked_us=10 * S, answered_us=14 * S, time_us=5000 * S)
        assert time_known(alone, 100 * S, 20 * S, proof) == Span(5006 * S, 5010 * S)

    def test_it_counts_for_an_hour(self) -> None:
        proof = Proof(asked_us=0, answered_us=S, time_us=5000 * S)
        assert proof.at(PROOF_LIFE_US + S) is not None
        assert proof.at(PROOF_LIFE_US + S + 1) is None
        assert proof.at(0) is None, "a monotonic clock of another start"

    def test_a_hub_that_keeps_the_answer_back_makes_commands_expire_earlier_and_never_later(self) -> None:
        slow = Proof(asked_us=0, answered_us=60 * S, time_us=1999 * S)
        now = slow.at(60 * S)
        assert now is not None
        assert verdict(now=now) is Why.EXPIRED
