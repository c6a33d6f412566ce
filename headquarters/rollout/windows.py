"""Maintenance windows: when gateways may be changed, in the plant's own time.

>>> from datetime import datetime, UTC
>>> window = Window("Asia/Shanghai", ("sat", "sun"), 60, 300)
>>> friday_evening = datetime(2026, 11, 27, 18, 30, tzinfo=UTC).timestamp()
>>> window.is_open(friday_evening), window.is_open(friday_evening - 3 * 3600)
(True, False)
>>> Window("Europe/Berlin", (), 22 * 60, 2 * 60).is_open(datetime(2026, 7, 1, 23, 30, tzinfo=UTC).timestamp())
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytz

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """One window; the clocks of its zone decide, so that it stays at the same hour in summer.

    Args:
        zone: Such as `Asia/Shanghai`.
        days: On which it begins, of `DAYS`; empty for every day.
        from_minute: When it begins, in minutes after midnight.
        to_minute: When it ends; at or below `from_minute`: on the next day.
    """

    zone: str
    days: tuple[str, ...]
    from_minute: int
    to_minute: int

    def is_open(self, now_s: float) -> bool:
        """Whether it is open.

        Args:
            now_s: Seconds since 1970.
        """
        local = datetime.fromtimestamp(now_s, UTC).astimezone(pytz.timezone(self.zone))
        minute = local.hour * 60 + local.minute
        overnight = self.to_minute <= self.from_minute
        if self._begins(local) and minute >= self.from_minute and (overnight or minute < self.to_minute):
            return True
        return overnight and minute < self.to_minute and self._begins(local - timedelta(days=1))

    def _begins(self, local: datetime) -> bool:
        return not self.days or DAYS[local.weekday()] in self.days


def is_open(windows: Sequence[Window], now_s: float) -> bool:
    """Whether one of some windows is open; without any it always is."""
    return not windows or any(window.is_open(now_s) for window in windows)


def is_zone(name: str) -> bool:
    """Whether there is such a zone.

    >>> is_zone("Asia/Shanghai"), is_zone("Shanghai")
    (True, False)
    """
    return name in pytz.all_timezones_set
