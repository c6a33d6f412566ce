"""How gateways do, as halt rules see it: from their reports, and from the lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from headquarters.rollout.machine import Vitals
from protocols.desired import Health
from protocols.errors import InputError, StoreError

if TYPE_CHECKING:
    from headquarters.lake.query import Engine

WINDOW_S = 600
"""What is looked at in the lake."""

WINDOW_MIN_S = 20
"""A report over less says little: a session that has just begun."""

LOOK_S = 60.0
"""How often the lake is asked while a roll-out is open."""


@dataclass(frozen=True, slots=True)
class LakeVitals:
    """What the lake says of one gateway in the last ten minutes.

    Args:
        p99_s: Seconds from the end of a batch until it was taken in, 99 of 100.
        alarms: Alarms raised.
    """

    p99_s: float | None = None
    alarms: float = 0.0


def vitals_of(health: Health, lake: LakeVitals | None) -> Vitals:
    """What the rules are held against.

    >>> vitals_of(Health(window_s=60, samples=540, due=600, dropped=0), None).rate
    0.9
    """
    found = Vitals()
    if health.window_s >= WINDOW_MIN_S:
        hours = health.window_s / 3600
        found = Vitals(
            rate=health.samples / health.due if health.due else None,
            loss=health.dropped / max(health.samples, 1),
            rule_missed=health.rule_missed / hours,
            model_outside=health.model_outside / health.model_rows if health.model_rows else None,
            alarms=health.alarms * 600 / health.window_s,
        )
    if lake is None:
        return found
    return replace(found, p99_s=lake.p99_s, alarms=lake.alarms)


class LakeLook:
    """Asks the lake, at most every `LOOK_S`.

    Args:
        lake: The lake's folder.
        monotonic: Seconds that never jump.
    """

    def __init__(self, lake: Path, monotonic: Callable[[], float]) -> None:
        self._lake = lake
        self._monotonic = monotonic
        self._at: float | None = None
        self._engine: Engine | None = None
        self._found: dict[str, LakeVitals] = {}

    def vitals(self, since_s: float = 0.0) -> Mapping[str, LakeVitals]:
        """By gateway; what was known before while the lake cannot be read.

        Args:
            since_s: What gateways collected or raised before is left out, seconds since 1970: it comes
                late and all at once because headquarters was off.
        """
        now = self._monotonic()
        if self._at is None or now - self._at >= LOOK_S:
            self._at = now
            try:
                self._found = self._ask(since_s)
            except (StoreError, InputError):
                self._close()
        return self._found

    def latest_reports(self) -> list[tuple[int, tuple[str, int, int, str]]]:
        """The newest report of each gateway that the lake has of the last two days.

        Returns:
            When it came, in microseconds since 1970, and what `DesiredStore.take_reports` takes.

        Raises:
            StoreError, InputError: The lake cannot be read.
        """
        _, rows = self._open().rows(
            "SELECT epoch_us(e.received), e.gateway, l.epoch, epoch_us(e.time), e.detail "
            "FROM events e JOIN ledger l USING (batch) "
            "WHERE e.kind = 'report' AND e.date >= current_date - 2 AND l.date >= current_date - 2 "
            "QUALIFY row_number() OVER (PARTITION BY e.gateway ORDER BY l.epoch DESC, l.seq DESC) = 1"
        )
        return [
            (int(received_us), (gateway, int(epoch), int(time_us), detail))
            for received_us, gateway, epoch, time_us, detail in rows
        ]

    def close(self) -> None:
        """Let go of the lake."""
        self._close()

    def _ask(self, since_s: float) -> dict[str, LakeVitals]:
        engine = self._open()
        recent = f"received > now() - INTERVAL {WINDOW_S} SECOND AND date >= current_date - 1"
        since_us = round(since_s * 1e6)
        _, late = engine.rows(
            "SELECT gateway, quantile_cont(epoch_us(received) - epoch_us(t_max), 0.99) / 1e6 "
            f"FROM ledger WHERE kind = 'data' AND epoch_us(t_max) >= {since_us} AND {recent} GROUP BY gateway"
        )
        found = {gateway: LakeVitals(p99_s=float(p99_s)) for gateway, p99_s in late}
        _, raised = engine.rows(
            "SELECT gateway, count(*) FROM events "
            f"WHERE type = 'alarm' AND transition = 'raised' AND epoch_us(time) >= {since_us} AND {recent} "
            "GROUP BY gateway"
        )
        for gateway, count in raised:
            found[gateway] = replace(found.get(gateway, LakeVitals()), alarms=float(count))
        return found

    def _open(self) -> Engine:
        from headquarters.lake.query import Engine  # a process without roll-outs needs no DuckDB

        if self._engine is None:
            self._engine = Engine(self._lake)
        else:
            self._engine.refresh()
        return self._engine

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
