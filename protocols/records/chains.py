"""Records about a chain itself: why it was opened, and what its clock turned out to be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from protocols.records.fields import Fields, pack_map


class OpenReason(StrEnum):
    """Why a new epoch was opened."""

    FIRST = "first"
    LIVE_FIRST = "live-first"
    FAILOVER = "failover"
    FORK = "fork"
    BEHIND = "behind"
    STORE_LOST = "store-lost"
    KEYS = "keys"
    """The keys that signed the epoch before are out of force."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Sequence 0 of every chain (kind OPEN).

    Args:
        reason: Why the epoch was opened.
        follows: The epoch before it in the same stream, or `None`.
        follows_next: The next sequence of that epoch if it is complete below it, or `None`
            when the gateway no longer knows (its store was lost).
    """

    reason: OpenReason
    follows: int | None
    follows_next: int | None

    def pack(self) -> bytes:
        """The payload of a batch of this kind: a msgpack map."""
        return pack_map({"reason": self.reason, "follows": self.follows, "next": self.follows_next})

    @classmethod
    def parse(cls, data: bytes) -> Opening:
        """Read an opening from a peer.

        Raises:
            MalformedError, LimitError: Not an opening, or larger than one may be.
        """
        fields = Fields(data)
        return cls(fields.choice("reason", OpenReason), fields.optional("follows"), fields.optional("next"))


@dataclass(frozen=True, slots=True)
class Correction:
    """How far the stamps of one boot were wrong, once that became known (kind CORRECTION).

    Args:
        boot_id: The boot concerned.
        monotonic_from_us: First monotonic instant concerned, inclusive.
        monotonic_to_us: End, exclusive.
        offset_us: True time = stamped time + offset.
    """

    boot_id: bytes
    monotonic_from_us: int
    monotonic_to_us: int
    offset_us: int

    def pack(self) -> bytes:
        """The payload of a batch of this kind: a msgpack map."""
        return pack_map(
            {
                "boot": self.boot_id,
                "from": self.monotonic_from_us,
                "to": self.monotonic_to_us,
                "offset": self.offset_us,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Correction:
        """Read a correction from a peer.

        Raises:
            MalformedError, LimitError: Not a correction, or larger than one may be.
        """
        fields = Fields(data)
        return cls(
            fields.octets("boot", 16), fields.whole("from"), fields.whole("to"), fields.whole("offset")
        )
