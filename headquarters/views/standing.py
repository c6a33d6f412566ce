"""How a gateway or hub stands, in one word.

>>> standing_of("active", 100_000_000, 99_000_000, 101_000_000)
<Standing.LIVE: 'live'>
>>> standing_of("active", 100_000_000, 0, 101_000_000)
<Standing.LATE: 'late'>
>>> standing_of("active", 100_000_000, 100_000_000, 200_000_000)
<Standing.SILENT: 'silent'>
"""

from __future__ import annotations

from enum import StrEnum

SILENT_US = 60_000_000
"""A gateway cuts a batch every ten seconds: a minute without any is a fault."""

LATE_US = 60_000_000
"""Samples that arrive a minute after their time come from a backlog."""


class Standing(StrEnum):
    """How it stands."""

    LIVE = "live"
    """Samples arrive as they are collected."""
    LATE = "late"
    """Samples arrive, and are old: a backlog is being delivered."""
    SILENT = "silent"
    """Nothing has arrived for a minute."""
    NEVER = "never"
    """Nothing has ever arrived."""
    QUARANTINED = "quarantined"
    REVOKED = "revoked"


def standing_of(state: str, received_us: int | None, sample_us: int | None, now_us: int) -> Standing:
    """How a gateway stands.

    Args:
        state: In the register: `active`, `quarantined` or `revoked`.
        received_us: When its last batch came.
        sample_us: The newest time in its batches of samples.
        now_us: Now.
    """
    if state in (Standing.QUARANTINED, Standing.REVOKED):
        return Standing(state)
    if received_us is None:
        return Standing.NEVER
    if now_us - received_us > SILENT_US:
        return Standing.SILENT
    if sample_us is not None and received_us - sample_us > LATE_US:
        return Standing.LATE
    return Standing.LIVE
