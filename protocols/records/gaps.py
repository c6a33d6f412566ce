"""Samples that are known to be missing, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from protocols import limits
from protocols.errors import MalformedError
from protocols.records.fields import Fields, pack_map


class GapCause(StrEnum):
    """Why samples that should exist do not."""

    PROCESS_DOWN = "process-down"
    OVERRUN = "overrun"
    CLOCK_STEP = "clock-step"
    QUOTA = "quota"
    STORE_DAMAGED = "store-damaged"
    REFUSED = "refused"
    TRIMMED = "trimmed"
    SUBSCRIPTION = "subscription"
    DISK_FULL = "disk-full"
    OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that are known to be missing.

    Args:
        cause: Why.
        t_from_us: First instant concerned, inclusive.
        t_to_us: End, exclusive.
        points: Local point ids concerned; `None` for all points of the gateway.
        samples: How many samples are missing, or `None` when that cannot be known.
        epoch: When whole batches were dropped: their epoch,
        seq_from: their first sequence
        seq_to: and the end, exclusive.
        detail: One sentence for people.
    """

    cause: GapCause
    t_from_us: int
    t_to_us: int
    points: tuple[int, ...] | None = None
    samples: int | None = None
    epoch: int | None = None
    seq_from: int | None = None
    seq_to: int | None = None
    detail: str = ""

    def fields(self) -> dict[str, Any]:
        """The gap as the map that travels."""
        return {
            "cause": self.cause,
            "from": self.t_from_us,
            "to": self.t_to_us,
            "points": self.points,
            "samples": self.samples,
            "epoch": self.epoch,
            "seq_from": self.seq_from,
            "seq_to": self.seq_to,
            "detail": self.detail,
        }


def pack_gaps(gaps: Sequence[Gap]) -> bytes:
    """The payload of a batch of kind GAP; `n` in its header is 0."""
    return pack_map({"gaps": [gap.fields() for gap in gaps]})


def parse_gaps(data: bytes) -> list[Gap]:
    """Read the payload of a batch of kind GAP.

    Raises:
        MalformedError, LimitError: Not such a payload.
    """
    return [_gap(Fields.of(entry)) for entry in Fields(data).array("gaps")]


def _gap(fields: Fields) -> Gap:
    points = fields.value("points")
    if points is not None:
        points = tuple(fields.array("points"))
        if not all(isinstance(point, int) and 0 <= point <= limits.POINT_ID_MAX for point in points):
            raise MalformedError("expected point ids in a gap")
    return Gap(
        fields.choice("cause", GapCause),
        fields.whole("from"),
        fields.whole("to"),
        points,
        fields.optional("samples"),
        fields.optional("epoch"),
        fields.optional("seq_from"),
        fields.optional("seq_to"),
        fields.text("detail"),
    )
