"""Whether there is room to take more in.

A hub without room takes nothing in and so loses nothing: its gateways get no credit and
keep what they have.
"""

from __future__ import annotations

RESUME_AT = 0.97
"""Of the quota: credit comes back below it, so that it does not come and go with each batch."""


class Room:
    """Watches a quota and the free space on the disk.

    Args:
        quota_bytes: What the store may use.
        reserve_bytes: Free space that is always left.

    >>> room = Room(quota_bytes=1000, reserve_bytes=100)
    >>> room.update(used_bytes=1000, free_bytes=500), room.update(990, 500), room.update(960, 500)
    (False, False, True)
    """

    def __init__(self, quota_bytes: int, reserve_bytes: int) -> None:
        self._quota_bytes = quota_bytes
        self._reserve_bytes = reserve_bytes
        self.why = ""
        """Why there is no room; empty when there is."""

    def update(self, used_bytes: int, free_bytes: int) -> bool:
        """Whether there is room now."""
        quota = self._quota_bytes * (RESUME_AT if self.why else 1.0)
        reserve = self._reserve_bytes / (RESUME_AT if self.why else 1.0)
        if used_bytes >= quota:
            self.why = f"the quota of {self._quota_bytes >> 20} MB is used up"
        elif free_bytes <= reserve:
            self.why = f"less than {self._reserve_bytes >> 20} MB are free on the disk"
        else:
            self.why = ""
        return not self.why
