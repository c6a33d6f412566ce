"""Gas detection: every combination of detectors, and a leak of the plant."""

from __future__ import annotations

import itertools

import pytest

from tests.apps.gas_by_hand import NEEDED
from tests.apps.gas_recordings import LEAK, TAGS
from tests.apps.parts import BEGIN_MS, Columns, Order, Run, watch

STATES = {"low": 5.0, "pre": 30.0, "high": 60.0, "bad": None, "broken": -10.0, "over": 110.0}
CASES = list(itertools.product(STATES, STATES, STATES, (False, True)))
"""What each detector shows, and whether it is tested: an instance each."""


@pytest.mark.parametrize("to_trip", [True, False])
@pytest.mark.parametrize("when_blind", [True, False])
def test_every_combination_of_detectors_and_test_gives_its_trip(to_trip: bool, when_blind: bool) -> None:
    run = Run("gas-detection", len(CASES), degrade_to_trip=to_trip, trip_when_blind=when_blind)
    values = {f"gas_{each}": [STATES[case[at]] for case in CASES] for at, each in enumerate("abc")}
    values["test"] = [float(test) for *_, test in CASES]
    for second in range(12):
        scan = run.scan(BEGIN_MS + second * 1000, values)
    for at, (*shown, test) in enumerate(CASES):
        sound = [each for each in shown if each in ("low", "pre", "high")]
        demand = sound.count("high") >= NEEDED[to_trip][len(sound)] if sound else when_blind
        got = {name: cells[at] for name, cells in scan.outputs.items() if name != "level"}
        assert got == {
            "pre_alarm": "pre" in sound or "high" in sound,
            "trip_demand": demand,
            "trip": demand and not test,
            "trip_quality": 0 if len(sound) == 3 else 1 if sound else 2,
            "votes": sound.count("high"),
            "good_detectors": len(sound),
            "degraded": len(sound) < 3,
            "blind": not sound,
            "testing": test,
        }, (shown, test)
        assert scan.qualities["trip"][at] == 0


def test_a_leak_trips_as_soon_as_two_detectors_have_seen_it_for_the_delay() -> None:
    columns = watch(TAGS, 120, [LEAK])
    begun = alarms(columns)
    for text, level, votes in (("gas: pre-alarm", 20.0, 1), ("gas: the voting demands a trip", 40.0, 2)):
        seen = next(
            second
            for second in range(120)
            if sum((columns[f"gas_{each}"][second] or 0.0) >= level for each in "abc") >= votes
        )
        assert begun[text] == seen + 2


def test_a_detector_with_a_broken_wire_is_told_after_the_delay_and_one_vote_is_enough() -> None:
    wire = Order(10, "broken-wire", 100.0, TAGS["gas_c"])
    begun = alarms(watch(TAGS, 60, [wire]))
    assert begun == {"gas detector C is faulty": 20}


def test_a_detector_that_does_not_move_is_faulty_where_that_is_looked_at() -> None:
    run = Run("gas-detection", stuck_after=5000)
    for second in range(30):
        moving = {f"gas_{each}": 1.0 + second % 2 for each in "ab"}
        scan = run.scan(BEGIN_MS + second * 1000, {**moving, "gas_c": 1.0})
        # It has not moved since its second scan.
        assert scan.outputs["good_detectors"][0] == (2 if second >= 6 else 3)


def alarms(columns: Columns) -> dict[str, int]:
    """When each alarm began, in seconds."""
    run = Run("gas-detection")
    begun: dict[str, int] = {}
    for second in range(len(columns["gas_a"])):
        scan = run.scan(BEGIN_MS + second * 1000, {name: cells[second] for name, cells in columns.items()})
        for kind, text in run.told(scan):
            if kind == "alarm":
                begun.setdefault(text, second)
    return begun
