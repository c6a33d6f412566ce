"""What the gateway recorded of an app for replays: its states, and what its scans did not see.

Rules:
1. A replay begins with the last state of the same app, settings and points before it, and
   runs from there without telling. Without one it begins cold, and is approximate there.
2. Whatever the replay's own state is, a start of the gateway sets it to the recorded one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from headquarters.lake.query import Engine, literal
from protocols.records import AppSight, AppState, read_marks

Mark = AppState | AppSight


@dataclass(slots=True)
class Begin:
    """Where a replay begins.

    Args:
        state: What it begins with, or `None`.
        sight: What is not seen by the first scan, or `None` when all is.
        floor_us: When the gateway's process had started: it sees no samples from before.
        standing: Alarms whose condition stands, by (instance, source), with their text.
    """

    state: AppState | None = None
    sight: AppSight | None = None
    floor_us: int | None = None
    standing: dict[tuple[str, str], str] = field(default_factory=dict)


class Timeline:
    """What one gateway recorded of one app.

    Args:
        engine: The lake.
        gateway: Which gateway.
        app: The app's id.
        key: Of the app as it is replayed; states of another are no use.
    """

    def __init__(self, engine: Engine, gateway: str, app: str, key: bytes) -> None:
        self._engine = engine
        self._whose = f"kind = 'event' AND gateway = {literal(gateway)} AND app = {literal(app)}"
        self._key = key

    def is_ours(self, state: AppState) -> bool:
        """Whether a replay can go on with a state."""
        return state.key == self._key and bool(state.parts)

    def begin(self, from_us: int) -> Begin:
        """Where a replay of `from_us` and later begins."""
        before = f"time < {_at(from_us)}"
        newest_us = self._newest(f"transition = 'state' AND {before}")
        if newest_us is None:
            return Begin()
        states = [mark for mark in self.marks(newest_us, newest_us + 1) if isinstance(mark, AppState)]
        state = next((each for each in reversed(states) if self.is_ours(each)), None)
        until_us = from_us if state is None else state.time_us + 1
        started_us = self._newest(f"transition = 'state' AND state IN ('cold', 'warm') AND {before}")
        standing = {} if state is None else self._standing(until_us)
        return Begin(state, self._sight(started_us, until_us), started_us, standing)

    def marks(self, from_us: int, to_us: int) -> list[Mark]:
        """States and sights within [from, to), by time; a sight comes before the state after its scan."""
        _, rows = self._engine.rows(
            f"SELECT epoch_us(time), transition, detail FROM events WHERE {self._whose} AND type = 'app' "
            f"AND transition IN ('state', 'sight') AND time >= {_at(from_us)} AND time < {_at(to_us)}"
        )
        told = [(time_us, json.loads(text), transition) for time_us, transition, text in rows]
        told.sort(key=lambda row: (row[0], row[1].get("no", 0)))
        marks = read_marks((time_us, transition, record["detail"]) for time_us, record, transition in told)
        return sorted(marks, key=lambda mark: (mark.time_us, isinstance(mark, AppState)))

    def _sight(self, from_us: int | None, to_us: int) -> AppSight | None:
        """The last one within [from, to)."""
        since = "" if from_us is None else f"AND time >= {_at(from_us)} "
        newest_us = self._newest(f"transition = 'sight' {since}AND time < {_at(to_us)}")
        if newest_us is None:
            return None
        marks = self.marks(newest_us, newest_us + 1)
        return next((mark for mark in marks if isinstance(mark, AppSight)), None)

    def _newest(self, which: str) -> int | None:
        sql = f"SELECT epoch_us(max(time)) FROM events WHERE {self._whose} AND type = 'app' AND {which}"
        _, [(time_us,)] = self._engine.rows(sql)
        return None if time_us is None else int(time_us)

    def _standing(self, before_us: int) -> dict[tuple[str, str], str]:
        """Alarms that stood before a time, as the journal has them."""
        _, rows = self._engine.rows(
            "SELECT instance, source, arg_max(transition, time), arg_max(text, time) FROM events "
            f"WHERE {self._whose} AND type = 'alarm' AND time < {_at(before_us)} "
            "AND transition IN ('raised', 'returned', 'removed') GROUP BY instance, source"
        )
        return {(row[0], row[1]): row[3] for row in rows if row[2] == "raised"}


def _at(time_us: int) -> str:
    return f"make_timestamptz({time_us})"
