"""What a judge found: counts by kind, and the first few places of each fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

EXAMPLES_MAX = 5
"""Places shown of each fault: enough to find it, few enough to read."""


def _nothing(_: int) -> str:
    return ""


@dataclass(slots=True)
class Verdict:
    """Counts over all judged points and instants.

    Args:
        expected: Pairs of point and scan instant that must have a sample or lie in a gap.
        samples: Rows in the lake.
        lost: Pairs without sample or gap, and notified changes that arrived nowhere.
        duplicated: Rows beyond the first of a point and time.
        wrong: Rows with another value than was served, or a value where none was.
        in_gaps: Pairs without a sample that lie in a declared gap.
        gaps: Declared gaps.
        late: Rows whose value was right one tick before or after: a slow scan or notification.
        bad: Rows that say there is no value.
        bad_though_served: Of those, at instants for which the server did answer.
        examples: The first few places of each fault.
    """

    expected: int = 0
    samples: int = 0
    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    in_gaps: int = 0
    gaps: int = 0
    late: int = 0
    bad: int = 0
    bad_though_served: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Nothing lost, nothing doubled, nothing altered."""
        return self.lost == 0 and self.duplicated == 0 and self.wrong == 0

    def note(
        self, fault: str, places: Iterable[tuple[str, int]], detail: Callable[[int], str] = _nothing
    ) -> None:
        """Remember places of a fault.

        Args:
            fault: Its name.
            places: Point and microseconds.
            detail: Says more about the n-th place.
        """
        for n, (point, time_us) in enumerate(places):
            if n == EXAMPLES_MAX:
                break
            stamp = datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds")
            self.examples.append(f"{fault}: {point} at {stamp} {detail(n)}".rstrip())

    def add(self, other: Verdict) -> None:
        """Add the counts of another part."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def to_json(self) -> dict[str, Any]:
        """All of it, with the conclusion."""
        return {"passed": self.passed, **asdict(self)}
