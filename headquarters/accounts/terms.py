"""The terms of accounts: what `[accounts]` in headquarters.toml sets, and bounds that nobody sets."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

PASSWORD_CHARS_MAX = 128
"""A longer one is more work for us than secrecy for its owner (OWASP ASVS 2.1.2)."""

LOCK_US_MAX = DAY_US
"""The longest lock: whoever tries passwords must not keep its owner out for ever."""

LINK_US = 3 * DAY_US
"""How long a one-time link is good: a week-end."""

ROTATE_US = 15 * MINUTE_US
"""How old a session's token grows: so long one that leaked is good, unless its owner goes on."""

GRACE_US = MINUTE_US
"""How long the token before is good as well: requests that were under way when it was rotated."""

SEEN_US = MINUTE_US
"""How often it is noted that a session is used: not with each request."""

TOKEN_DAYS_MAX = 366
"""The longest life of an API token."""

TOKENS_MAX = 50
"""API tokens of one user at a time."""

RECOVERY_CODES = 10
"""Recovery codes that are given out at once."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an installation sets.

    Args:
        password_chars_min: Least length of a password.
        password_classes_min: Least kinds of characters in one, of lower case, upper case, digits and others.
        password_history: So many passwords before are not taken again.
        password_days: A password is changed after so many days; 0: when its owner wants.
        lock_failures: Failures in a row that lock an account.
        lock_minutes: How long it is locked first; each further failure doubles it.
        idle_minutes: A session that is not used so long ends.
        session_hours: A session ends after so long, used or not.
        second_factor: Who must have one: `nobody`, `administrators` or `everybody`.
    """

    password_chars_min: int = 12
    password_classes_min: int = 3
    password_history: int = 5
    password_days: int = 0
    lock_failures: int = 5
    lock_minutes: int = 15
    idle_minutes: int = 30
    session_hours: int = 12
    second_factor: str = "nobody"
