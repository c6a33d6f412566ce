"""What a gateway says of itself: per item how far it has come and why no further, and its health.

One report is the payload of a batch of kind REPORT in the gateway's meta chain, so its signature
is the gateway's own and a hub cannot lie about it. A reader ignores fields that it does not know.

>>> report = Report(5, "unit-1", 7, "00" * 32, (ItemReport("points", "3", ItemState.ACTIVE),), "0.1.0")
>>> Report.parse(report.pack()) == report
True
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from protocols import limits
from protocols.errors import LimitError, MalformedError
from protocols.records.fields import Fields, is_count, pack_map


class ItemState(StrEnum):
    """How far an item has come."""

    DESIRED = "desired"
    """Known, and not here yet."""
    DOWNLOADED = "downloaded"
    """Here and whole; what it needs is not active yet."""
    VERIFIED = "verified"
    """Checked with all that is desired beside it; to be put in place, or on trial."""
    ACTIVE = "active"
    FAILED = "failed"
    """Refused by a check, or it did not run; what was there before is there again."""
    DRIFTED = "drifted"
    """Somebody changed it at the gateway."""


@dataclass(frozen=True, slots=True)
class ItemReport:
    """How far one item has come.

    Args:
        ref: As in the document; or of an item that is no longer in it and still here.
        version: The desired version; empty for what should go.
        state: See `ItemState`.
        why: In words, where it is not active.
        running: The version in place; empty for none.
        digest: Hash of the item as desired (`Item.digest`).
    """

    ref: str
    version: str
    state: ItemState
    why: str = ""
    running: str = ""
    digest: str = ""

    def row(self) -> tuple[str, str, str, str, str, str]:
        """As it travels."""
        return self.ref, self.version, str(self.state), self.why, self.running, self.digest


@dataclass(frozen=True, slots=True)
class SlotReport:
    """Which firmware runs, as the supervisor's state has it.

    Args:
        slot: The slot that runs, `a` or `b`; empty where there are none.
        version: Firmware in it.
        trying: Firmware that is being tried; empty for none.
        last: What became of the last one that was tried: why it was given up, or empty.
    """

    slot: str = ""
    version: str = ""
    trying: str = ""
    last: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """How the data plane did since the report before; all counts are of `window_s`.

    Args:
        window_s: Over how long.
        samples: Samples collected.
        due: Samples that the scan classes asked for.
        dropped: Samples given up by quota, full disks or overflow.
        overruns: Scans that took longer than their period.
        rule_missed: Scans of apps that were given up.
        model_rows: Answers of models.
        model_outside: Of these, such as were bad, uncertain or late: inputs were outside of what
            the model was trained on.
        alarms: Alarms raised.
        backlog_s: Age of the oldest sample that headquarters does not have.
        memory_bytes: Resident memory.
        uptime_s: Since the process began.
    """

    window_s: int = 0
    samples: int = 0
    due: int = 0
    dropped: int = 0
    overruns: int = 0
    rule_missed: int = 0
    model_rows: int = 0
    model_outside: int = 0
    alarms: int = 0
    backlog_s: int = 0
    memory_bytes: int = 0
    uptime_s: int = 0

    def counts(self) -> dict[str, int]:
        """As it travels."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Report:
    """One report.

    Args:
        time_us: Gateway time.
        gateway: Whose it is.
        document: Version of the document that it is about; 0 while there is none.
        sha256: Hash of that document, in hexadecimal; empty while there is none.
        items: Of the document, and what should go.
        program: Version of the program that runs.
        slots: Firmware.
        health: See `Health`.
        why: Why there is no newer document, where that is a fault.
    """

    time_us: int
    gateway: str
    document: int
    sha256: str
    items: tuple[ItemReport, ...]
    program: str
    slots: SlotReport = field(default_factory=SlotReport)
    health: Health = field(default_factory=Health)
    why: str = ""

    @property
    def settled(self) -> bool:
        """Whether all of the document is in place."""
        return all(item.state is ItemState.ACTIVE for item in self.items)

    def fields(self) -> dict[str, Any]:
        """As it travels."""
        slots = self.slots
        return {
            "time": self.time_us,
            "gateway": self.gateway,
            "document": self.document,
            "sha256": self.sha256,
            "items": [item.row() for item in self.items],
            "program": self.program,
            "slots": (slots.slot, slots.version, slots.trying, slots.last),
            "health": self.health.counts(),
            "why": self.why,
        }

    def pack(self) -> bytes:
        """The payload of a batch of kind REPORT: a msgpack map."""
        return pack_map(self.fields())

    @classmethod
    def parse(cls, data: bytes) -> Report:
        """Read a report from a gateway.

        Raises:
            MalformedError, LimitError: Not a report, or larger than one may be.
        """
        return cls.of(Fields(data))

    @classmethod
    def of(cls, fields: Fields) -> Report:
        """Read a report from its map.

        Raises:
            MalformedError, LimitError: Not a report, or larger than one may be.
        """
        rows = fields.array("items")
        if len(rows) > 2 * limits.DESIRED_ITEMS_MAX:
            raise LimitError(f"expected at most {2 * limits.DESIRED_ITEMS_MAX} items, got {len(rows)}")
        document = fields.whole("document")
        if document < 0:
            raise MalformedError(f"expected a count as 'document', got {document}")
        return cls(
            fields.whole("time"),
            fields.text("gateway"),
            document,
            _text(fields.text("sha256")),
            tuple(_item(row) for row in rows),
            _text(fields.text("program")),
            SlotReport(*_texts(fields.array("slots"), 4)),
            _health(fields.counts("health")),
            _text(fields.text("why")),
        )


def _item(row: object) -> ItemReport:
    ref, version, state, why, running, digest = _texts(row, 6)
    try:
        known = ItemState(state)
    except ValueError as error:
        raise MalformedError(f"unknown state {state!r:.40} of {ref!r:.60}") from error
    return ItemReport(ref, version, known, why, running, digest)


def _texts(row: object, count: int) -> tuple[str, ...]:
    if not isinstance(row, tuple) or len(row) != count:
        raise MalformedError(f"expected {count} texts, got {row!r:.60}")
    return tuple(_text(value) for value in row)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise MalformedError(f"expected a text, got {value!r:.60}")
    if len(value) > limits.EVENT_TEXT_CHARS_MAX:
        raise LimitError(f"expected at most {limits.EVENT_TEXT_CHARS_MAX} characters, got {len(value)}")
    return value


def _health(counts: dict[str, int]) -> Health:
    known = {name: count for name, count in counts.items() if name in Health.__slots__}
    assert all(map(is_count, known.values())), "`counts` reads nothing else"
    return Health(**known)
