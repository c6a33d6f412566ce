"""What gas detection must do, from the voting tables of IEC 61511 architectures."""

from __future__ import annotations

from edge_runtime.rules.apps.recording import Recording
from tests.apps.plainly import Alarms, Cell, Event, Expected, Held, numbers, scans

DETECTORS = "abc"

NEEDED = {
    # degrade_to_trip: {sound detectors: votes that a trip needs}
    True: {3: 2, 2: 1, 1: 1},
    False: {3: 2, 2: 2, 1: 1},
}
"""2oo3; with one faulty 1oo2 (towards tripping) or 2oo2 (towards availability); the last decides alone."""


def expect(recording: Recording) -> Expected:
    """Outputs and events of a recording; detectors that are stuck are not looked at."""
    p, expected = numbers(recording), Expected()
    assert p["stuck_after"] == 0
    alarms = Alarms(expected.events)
    over: dict[str, set[str]] = {"pre_level": set(), "trip_level": set()}
    last = dict.fromkeys(DETECTORS, 0.0)
    level: Cell = None
    pre_on, trip_on, blind_on = (Held(p[name]) for name in ("pre_delay", "trip_delay", "fault_delay"))
    fault_on = {each: Held(p["fault_delay"]) for each in DETECTORS}
    test_on, was_testing = Held(p["test_max"]), False
    for now, value in scans(recording):
        sound = []
        for each in DETECTORS:
            seen = value[f"gas_{each}"]
            if seen is not None:
                last[each] = seen
                _hysteresis(over, each, seen, p)
                if p["under_range"] <= seen <= p["over_range"]:
                    sound.append(each)
        if sound:
            found = sorted(last[each] for each in sound)
            level = found[1] if len(found) == 3 else (found[0] + found[-1]) / 2
        votes = sum(each in over["trip_level"] for each in sound)
        needed = NEEDED[bool(p["degrade_to_trip"])].get(len(sound), 4)
        pre = pre_on(now, any(each in over["pre_level"] for each in sound))
        blind = blind_on(now, not sound)
        demand = trip_on(now, votes >= needed) or (blind and bool(p["trip_when_blind"]))
        switched = value["test"] == 1.0
        expired = test_on(now, switched)
        testing = switched and not expired
        alarms.follow("gas: pre-alarm", now, pre, level)
        alarms.follow("gas: the voting demands a trip", now, demand, level)
        alarms.follow("gas: no detector left", now, blind, 0.0)
        for each in DETECTORS:
            faulty = fault_on[each](now, each not in sound)
            alarms.follow(f"gas detector {each.upper()} is faulty", now, faulty, last[each])
        alarms.follow("gas detection: test took too long, trip is armed again", now, expired, 0.0)
        if testing != was_testing:
            text = "gas detection is being tested: no trip" if testing else "gas detection is armed"
            expected.events.append(Event(now, "event", text, 0.0))
        was_testing = testing
        sureness = 0 if len(sound) == 3 else 1 if sound else 2
        expected.row(
            {"level": sureness, "trip_demand": 0, "trip": 0},
            level=level, pre_alarm=pre, trip_demand=demand, trip=demand and not testing,
            trip_quality=sureness, votes=votes, good_detectors=len(sound), degraded=len(sound) < 3,
            blind=blind, testing=testing,
        )  # fmt: skip
    return expected


def _hysteresis(over: dict[str, set[str]], detector: str, seen: float, p: dict[str, float]) -> None:
    for level, detectors in over.items():
        if seen >= p[level]:
            detectors.add(detector)
        elif seen <= p[level] - p["band"]:
            detectors.discard(detector)
