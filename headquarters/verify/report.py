"""What a verification found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from protocols.batch import Chain


class Fault(NamedTuple):
    """One thing that cannot be so.

    Args:
        kind: A stable word for it: `signature`, `chain`, `hole`, `payload`, `rows` ...
        place: Exactly where.
        text: What was expected and what was found.
    """

    kind: str
    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.place}: {self.text}"


def batch_place(chain: Chain, seq: int, batch: int) -> str:
    """How a fault names a batch."""
    return f"{chain} sequence {seq} (batch {batch})"


@dataclass(slots=True)
class Report:
    """All of it.

    Args:
        faults: In the order they were found.
        counts: What was checked, by name.
        waiting: Batches that their sender states and that are not here yet, by chain.
        notes: Sentences for people.
    """

    faults: list[Fault] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def fault(self, kind: str, place: str, text: str) -> None:
        """Note a fault."""
        self.faults.append(Fault(kind, place, text))

    def count(self, name: str, number: int = 1) -> None:
        """Count what was checked."""
        self.counts[name] = self.counts.get(name, 0) + number

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "ok": not self.faults,
            "faults": [fault._asdict() for fault in self.faults],
            "checked": self.counts,
            "waiting": self.waiting,
            "notes": self.notes,
        }

    def lines(self) -> Iterator[str]:
        """As people read it."""
        checked = ", ".join(f"{number:,} {name}" for name, number in self.counts.items())
        yield f"checked {checked or 'nothing: the ledger is empty'}"
        if self.waiting:
            total = sum(self.waiting.values())
            yield f"waiting for {total:,} batches of {len(self.waiting):,} chains that senders still hold"
        yield from self.notes
        yield f"{len(self.faults):,} faults" if self.faults else "everything agrees"
