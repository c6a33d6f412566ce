"""The fuzzer finds what it is for, and every parser stands a short run of it."""

from __future__ import annotations

import random

import pytest

from protocols.errors import MalformedError
from scripts.fuzz import attack, mutated
from scripts.fuzz_targets import TARGETS, Target

RUNS = 400


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_parser_raises_anything_but_the_peers_errors(target: Target) -> None:
    outcome = attack(target, random.Random(1), lambda runs: runs < RUNS)
    assert outcome.failure is None, f"{outcome.failure}"
    assert outcome.runs == RUNS


def test_a_parser_that_lets_another_error_out_is_found() -> None:
    def parse(data: bytes) -> int:
        if data[:2] != b"ok":
            raise MalformedError("expected ok")
        return data[2]

    outcome = attack(Target("careless", parse, (b"ok!",)), random.Random(1), lambda runs: runs < 5000)
    assert outcome.failure is not None
    assert outcome.failure[0] == b"ok" and "IndexError" in outcome.failure[1]


def test_a_seed_that_is_refused_is_a_fault_of_the_targets() -> None:
    def parse(data: bytes) -> None:
        raise MalformedError("expected nothing")

    outcome = attack(Target("strict", parse, (b"good",)), random.Random(1), lambda runs: runs < 10)
    assert outcome.failure == (b"good", "a seed, which is good input, was refused")


def test_equal_seeds_make_equal_inputs() -> None:
    one, other = random.Random(5), random.Random(5)
    assert [mutated(b"abcdef", b"xyz", one) for _ in range(50)] == [
        mutated(b"abcdef", b"xyz", other) for _ in range(50)
    ]
