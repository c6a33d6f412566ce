"""Whose data a principal sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data is seen.

    Args:
        sites: Whole sites; `None`: the whole group.
        points: Of further sites, patterns of the points that are seen.
    """

    sites: frozenset[str] | None
    points: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def sees_whole(self, site: str) -> bool:
        """Whether everything of a site is seen."""
        return self.sites is None or site in self.sites

    def sees_point(self, site: str, point: str) -> bool:
        """Whether a point of a site is seen, by its name."""
        patterns = self.points.get(site, ())
        return self.sees_whole(site) or any(fnmatchcase(point, pattern) for pattern in patterns)
