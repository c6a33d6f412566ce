"""When two lives of a gateway overlap, and when they only seem to."""

from __future__ import annotations

import random

from headquarters.security.suspicion import LIVES_KEPT, OVERLAP_US, Lives
from protocols.batch import ClockState, Header, Kind, Stream

SECOND = 1_000_000
T0 = 1_800_000_000 * SECOND


def header(boot: str, from_s: float, to_s: float, **others: object) -> Header:
    made = Header(
        1, 0, "gw", Stream.DATA, 1, 0, Kind.DATA, 1, T0 + int(from_s * SECOND), T0 + int(to_s * SECOND),
        boot.encode().ljust(16, b"\x00"), 0, ClockState.SYNCHRONISED, 0, b"", b"", b"", b"", 0,
    )  # fmt: skip
    return made._replace(**others)  # type: ignore[arg-type]


def findings(headers: list[Header]) -> list[str]:
    lives = Lives()
    return [why for header in headers if (why := lives.note(header)) is not None]


def test_restarts_follow_each_other_in_whatever_order_their_batches_come() -> None:
    headers = [header(str(at // 100), at, at + 9) for at in range(0, 1000, 10)]
    assert findings(headers) == []
    random.Random(1).shuffle(headers)
    assert findings(headers) == []


def test_two_processes_that_collect_at_the_same_time_are_found() -> None:
    headers = [header(boot, at, at + 9) for at in range(0, 1000, 10) for boot in "ab"]
    assert findings(headers)[0] == "two processes collected at the same time, for 129 s at least"


def test_a_clock_that_is_set_a_little_at_the_start_is_no_clone() -> None:
    overlap_s = OVERLAP_US / SECOND
    assert findings([header("a", 0, 1000), header("b", 1000 - overlap_s, 2000)]) == []
    assert findings([header("a", 0, 1000), header("b", 999 - overlap_s, 2000)]) != []


def test_a_clock_that_is_not_synchronised_says_nothing() -> None:
    unknown = ClockState.UNSYNCHRONISED
    assert findings([header("a", 0, 1000), header("b", 0, 1000, clock_state=unknown)]) == []


def test_what_is_not_data_says_nothing() -> None:
    assert findings([header("a", 0, 1000), header("b", 0, 1000, kind=Kind.META)]) == []


def test_gateways_are_looked_at_one_by_one() -> None:
    assert findings([header("a", 0, 1000), header("b", 0, 1000, gateway="other")]) == []


def test_lives_are_forgotten_in_time() -> None:
    lives = Lives()
    for number in range(10 * LIVES_KEPT):
        assert lives.note(header(str(number), number * 100, number * 100 + 99)) is None
    assert len(lives._lives["gw"]) == LIVES_KEPT
