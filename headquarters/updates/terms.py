"""For how long roles of the update repository are valid, when they are signed anew, and when to warn.

Rules:
1. While headquarters is dark for the promised window, nothing may expire that a gateway needs.
   So whatever is signed here is valid for longer, and is signed anew before less is left.
2. What must be signed with keys that are not here is warned about a month before the promise
   could no longer be kept, and with an error from then on.

>>> terms = Terms(window_days=90)
>>> terms.valid_days("timestamp"), terms.renew_below_days("timestamp"), terms.renew_below_days("bin-0f")
(104, 103, 97)
>>> terms.valid_days("root"), [terms.alarm("root", days) for days in (300.0, 100.0, 80.0)]
(730, [None, 'warning', 'error'])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocols.updates.names import BIN_PREFIX, DIRECTOR

DAY_S = 86_400

OFFLINE_VALID_DAYS = 730
"""Root, targets, firmware and publishers: holders of keys meet once a year and have a year to spare."""

MARGIN_DAYS = 14
"""What is signed here is valid for so much longer than the window: a week between two signatures,
and a week in which somebody may find out why they fail."""

RENEW_DAYS = 7
"""Director and bins are signed anew weekly: a gateway downloads 5 kB for it."""

TIMESTAMP_RENEW_DAYS = 1
"""The timestamp daily: by its age a gateway sees that its hub is cut off, or keeps something back."""

WARN_DAYS = 30
"""How long before the promise is broken a warning comes."""

Level = Literal["warning", "error"]


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms for one promise.

    Args:
        window_days: How long gateways must do without news from headquarters.
    """

    window_days: int

    def valid_days(self, role: str) -> int:
        """For how long a new signature counts."""
        if _is_online(role):
            return self.window_days + MARGIN_DAYS
        return max(OFFLINE_VALID_DAYS, 2 * self.window_days)

    def renew_below_days(self, role: str) -> int:
        """With fewer days left a role is signed anew, if its keys are here."""
        if role == "timestamp":
            return self.valid_days(role) - TIMESTAMP_RENEW_DAYS
        if _is_online(role):
            return self.valid_days(role) - RENEW_DAYS
        return self.window_days + 2 * WARN_DAYS

    def alarm(self, role: str, days_left: float) -> Level | None:
        """What to say when a role is valid for so many days only."""
        if days_left < self.window_days:
            return "error"
        if not _is_online(role) and days_left < self.window_days + WARN_DAYS:
            return "warning"
        return None


@dataclass(frozen=True, slots=True)
class Alarm:
    """A role that will expire too soon.

    Args:
        role: Its name.
        level: `warning`, or `error` when the promise can no longer be kept.
        days_left: Until it expires; negative when it has.
        remedy: What to do.
    """

    role: str
    level: Level
    days_left: float
    remedy: str


def _is_online(role: str) -> bool:
    return role in ("timestamp", "snapshot", DIRECTOR) or role.startswith(f"{BIN_PREFIX}-")
