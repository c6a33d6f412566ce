"""The figures of an alarm system, on journals whose figures are known."""

from __future__ import annotations

from collections.abc import Iterable

from edge_runtime.alarms.figures import INTERVAL_US, SECOND, STALE_US, Done, Figures, Flood
from edge_runtime.alarms.states import Condition, State
from edge_runtime.alarms.store import Alarm, AlarmId
from protocols.records import EventRecord, EventType

T0 = 1_700_000_400 * SECOND
"""At the begin of an interval."""

assert T0 % INTERVAL_US == 0


def announced(
    time_us: int, name: str = "high", priority: int = 3, state: str = "unacknowledged"
) -> EventRecord:
    return EventRecord(
        time_us, EventType.ALARM, "gas", "hall", name, priority=priority, transition="raised", state=state
    )


def add_up(records: Iterable[EventRecord], intervals: int, alarms: Iterable[Alarm] = ()) -> Done:
    figures = Figures(T0, T0 + intervals * INTERVAL_US)
    for record in records:
        figures.add(record)
    return figures.finish(alarms)


def spread(*counts: int) -> list[EventRecord]:
    """So many alarms, each of another name, in each interval."""
    return [
        announced(T0 + interval * INTERVAL_US + i * SECOND, f"a{interval}-{i}")
        for interval, count in enumerate(counts)
        for i in range(count)
    ]


def test_a_quiet_period_has_figures_too() -> None:
    done = add_up([], 6)
    assert (done.alarms, done.average, done.peak, done.floods, done.flood_share) == (0, 0.0, 0, [], 0.0)
    assert done.fields()["priorities"] == {}


def test_rates_are_of_regular_intervals() -> None:
    done = add_up(spread(1, 0, 7, 4), 4)
    assert (done.alarms, done.average, done.peak) == (12, 3.0, 7)


def test_a_flood_begins_with_ten_and_ends_with_fewer_than_five() -> None:
    done = add_up(spread(9, 10, 5, 12, 4, 9, 10, 0, 10), 10)
    assert done.floods == [
        Flood(T0 + INTERVAL_US, T0 + 4 * INTERVAL_US, 27),
        Flood(T0 + 6 * INTERVAL_US, T0 + 7 * INTERVAL_US, 10),
        Flood(T0 + 8 * INTERVAL_US, T0 + 9 * INTERVAL_US, 10),
    ]
    assert done.flood_share == 0.5


def test_only_what_was_announced_counts() -> None:
    records = [
        announced(T0),
        announced(T0 + 1, state="shelved"),
        announced(T0 + 2, state="acknowledged"),
        EventRecord(T0 + 3, EventType.EVENT, "gas", state="unacknowledged"),
        announced(T0 - 1),
        announced(T0 + INTERVAL_US),
    ]
    assert add_up(records, 1).alarms == 1


def test_three_announcements_within_a_minute_are_chattering() -> None:
    def at(name: str, *seconds: int) -> list[EventRecord]:
        return [announced(T0 + second * SECOND, name) for second in seconds]

    done = add_up(
        [
            *at("twice", 0, 1, 120, 121),
            *at("slow", 0, 31, 62, 93),
            *at("just", 0, 30, 60),
            *at("long", 0, 10, 20, 30, 40),
            *at("overlapping", 0, 50, 60, 115, 118),
        ],
        1,
    )
    assert done.chattering == {"gas/hall/long": 5, "gas/hall/overlapping": 5, "gas/hall/just": 3}


def test_priorities_and_the_most_frequent_alarms_are_counted() -> None:
    records = [announced(T0 + i * 61 * SECOND, f"a{i % 3}", 1 + i % 2) for i in range(9)]
    done = add_up([*records, announced(T0 + 9, "a0", 4)], 1)
    assert done.fields()["priorities"] == {"critical": 5, "high": 4, "low": 1}
    assert next(iter(done.frequent.items())) == ("gas/hall/a0", 4)


def test_what_stands_and_what_is_silenced_is_told_of_the_end() -> None:
    end = T0 + INTERVAL_US

    def alarm(name: str, state: State, raised_us: int) -> Alarm:
        return Alarm(AlarmId("gas", "hall", name), condition=Condition(state), raised_us=raised_us)

    done = add_up(
        [],
        1,
        [
            alarm("fresh", State.UNACKNOWLEDGED, end - STALE_US),
            alarm("old", State.ACKNOWLEDGED, end - STALE_US - 1),
            alarm("normal", State.NORMAL, 0),
            alarm("shelved", State.SHELVED, 0),
            alarm("out", State.OUT_OF_SERVICE, 0),
        ],
    )
    assert (done.standing, done.stale, done.silenced) == (2, ["gas/hall/old"], 2)
