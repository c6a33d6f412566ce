"""Whose data a principal sees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data is seen.

    Args:
        sites: Of these sites; `None` for the whole group.
    """

    sites: frozenset[str] | None
