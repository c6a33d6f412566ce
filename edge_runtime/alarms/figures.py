"""How well an alarm system serves its operator: rates, floods, chattering, standing and stale alarms.

Rules:
1. What counts is what was announced: transitions into `unacknowledged`. Alarms that are
   shelved, suppressed or out of service are not announced.
2. Rates are of regular intervals of ten minutes (by the clock). A flood begins with an
   interval of ten alarms or more and ends with the first one of fewer than five.
3. An alarm chatters when it is announced three times within a minute; it is stale when it
   has stood for more than a day.
4. Memory does not grow with the journal: a few numbers an alarm.

Source: EEMUA Publication 191 (3rd edition), performance metrics; ANSI/ISA-18.2-2016,
monitoring and assessment (alarm rate, floods, frequently occurring, chattering, stale).

>>> from protocols.records import EventType
>>> figures = Figures(0, 1200 * SECOND)
>>> for second in range(12):
...     alarm = EventRecord(second * SECOND, EventType.ALARM, "gas", "h", "high", state="unacknowledged")
...     figures.add(alarm)
>>> done = figures.finish([])
>>> done.alarms, done.peak, done.average, len(done.floods), done.chattering
(12, 12, 6.0, 1, {'gas/h/high': 12})
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edge_runtime.alarms.states import ANNOUNCED, Priority, State
from edge_runtime.alarms.store import Alarm, AlarmId
from protocols.records import EventRecord, EventType

SECOND = 1_000_000
INTERVAL_US = 600 * SECOND
FLOOD_BEGINS = 10
FLOOD_ENDS = 5
CHATTER_COUNT = 3
CHATTER_US = 60 * SECOND
STALE_US = 86_400 * SECOND

FREQUENT_SHOWN = 10
"""EEMUA 191 and ISA-18.2 ask for the ten most frequent alarms."""

FLOODS_KEPT = 1000
"""Floods listed one by one; further ones are only counted."""


class Flood(NamedTuple):
    """One flood: from the begin of its first interval to the end of its last one."""

    t_from_us: int
    t_to_us: int
    alarms: int


@dataclass(slots=True)
class Done:
    """The figures of a period.

    Args:
        t_from_us: Begin of the period.
        t_to_us: Its end.
        alarms: Announced in it.
        average: Alarms in ten minutes.
        peak: Most alarms of one interval.
        floods: Each flood.
        flood_share: Share of the period that is in floods, 0 to 1.
        priorities: Alarms announced, by priority.
        frequent: The alarms announced most often, with how often.
        chattering: Alarms that chattered, with how many announcements were among three in a minute.
        standing: Alarms on the operator's list now.
        stale: Of those, the ones that have stood for more than a day.
        silenced: Alarms that are shelved, suppressed or out of service now.
    """

    t_from_us: int
    t_to_us: int
    alarms: int = 0
    average: float = 0.0
    peak: int = 0
    floods: list[Flood] = field(default_factory=list)
    flood_share: float = 0.0
    priorities: dict[int, int] = field(default_factory=dict)
    frequent: dict[str, int] = field(default_factory=dict)
    chattering: dict[str, int] = field(default_factory=dict)
    standing: int = 0
    stale: list[str] = field(default_factory=list)
    silenced: int = 0

    def fields(self) -> dict[str, Any]:
        """For a machine."""
        return {
            "from_us": self.t_from_us,
            "to_us": self.t_to_us,
            "alarms": self.alarms,
            "average_per_10_min": round(self.average, 3),
            "peak_per_10_min": self.peak,
            "floods": [flood._asdict() for flood in self.floods],
            "flood_share": round(self.flood_share, 6),
            "priorities": {Priority(p).name.lower(): n for p, n in sorted(self.priorities.items())},
            "most_frequent": self.frequent,
            "chattering": self.chattering,
            "standing": self.standing,
            "stale": self.stale,
            "silenced": self.silenced,
        }


class Figures:
    """Adds up a journal; give it the records of a period, then `finish`.

    Args:
        t_from_us: Begin of the period.
        t_to_us: Its end, exclusive; later than the begin.
    """

    def __init__(self, t_from_us: int, t_to_us: int) -> None:
        assert t_from_us < t_to_us, "a period has a length"
        self._from, self._to = t_from_us, t_to_us
        self._intervals: Counter[int] = Counter()
        self._counts: Counter[str] = Counter()
        self._priorities: Counter[int] = Counter()
        self._recent: dict[str, deque[list[int]]] = {}
        """Of each alarm its last announcements: (time, whether it counts as chattering)."""
        self._chattering: Counter[str] = Counter()

    def add(self, record: EventRecord) -> None:
        """One journal record; others than announced alarms of the period are passed over."""
        announced = record.type is EventType.ALARM and record.state == State.UNACKNOWLEDGED
        if not announced or not self._from <= record.time_us < self._to:
            return
        name = str(AlarmId(record.app, record.instance, record.source))
        self._intervals[record.time_us // INTERVAL_US] += 1
        self._counts[name] += 1
        self._priorities[record.priority or Priority.LOW] += 1
        self._watch_chatter(name, record.time_us)

    def finish(self, alarms: Iterable[Alarm]) -> Done:
        """The figures.

        Args:
            alarms: Every alarm as it stands at the end of the period.
        """
        total = sum(self._intervals.values())
        floods = list(self._floods())
        flooded = sum(min(f.t_to_us, self._to) - max(f.t_from_us, self._from) for f in floods)
        done = Done(
            self._from,
            self._to,
            alarms=total,
            average=total * INTERVAL_US / (self._to - self._from),
            peak=max(self._intervals.values(), default=0),
            floods=floods[:FLOODS_KEPT],
            flood_share=flooded / (self._to - self._from),
            priorities=dict(self._priorities),
            frequent=dict(self._counts.most_common(FREQUENT_SHOWN)),
            chattering=dict(self._chattering.most_common()),
        )
        for alarm in alarms:
            if alarm.condition.state in ANNOUNCED:
                done.standing += 1
                since = alarm.raised_us if alarm.raised_us is not None else alarm.changed_us
                if self._to - since > STALE_US:
                    done.stale.append(str(alarm.id))
            elif alarm.condition.state is not State.NORMAL:
                done.silenced += 1
        return done

    def _watch_chatter(self, name: str, time_us: int) -> None:
        """Count announcements that are among three within a minute, each once."""
        recent = self._recent.setdefault(name, deque(maxlen=CHATTER_COUNT))
        recent.append([time_us, 0])
        if len(recent) == CHATTER_COUNT and recent[-1][0] - recent[0][0] <= CHATTER_US:
            for announced in recent:
                self._chattering[name] += 1 - announced[1]
                announced[1] = 1

    def _floods(self) -> Iterable[Flood]:
        """Floods, from the counts of intervals; those without alarms are not in there and end a flood."""
        first = before = None
        alarms = 0
        for interval, count in sorted(self._intervals.items()):
            if first is not None and before is not None and (count < FLOOD_ENDS or interval > before + 1):
                yield Flood(first * INTERVAL_US, (before + 1) * INTERVAL_US, alarms)
                first = None
            if first is None and count >= FLOOD_BEGINS:
                first, alarms = interval, 0
            alarms += count
            before = interval
        if first is not None and before is not None:
            yield Flood(first * INTERVAL_US, (before + 1) * INTERVAL_US, alarms)
