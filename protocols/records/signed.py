"""Records signed by themselves, because they travel outside a chain: receipts, refusals, commands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from protocols.batch import Chain, Signer, Verifier
from protocols.errors import IntegrityError, MalformedError
from protocols.records.commands import COMMAND_DOMAIN, TIME_DOMAIN, Command, SignedTime
from protocols.records.fields import chain_fields, is_count, pack_row, parse_chain, parse_row

RECEIPT_DOMAIN = b"catchment/receipt/v1\x00"


REFUSAL_DOMAIN = b"catchment/refusal/v1\x00"


class Mark(IntEnum):
    """How safe a batch is; each mark implies those before it."""

    HUB = 0
    HEADQUARTERS = 1
    BACKED_UP = 2


@dataclass(frozen=True, slots=True)
class Receipt:
    """Headquarters' signed word that a chain is safe below `next` (RECEIPT_DOMAIN).

    Args:
        chain: Which chain.
        next: Every sequence below it is safe.
        head: SHA-256 of the header of `next - 1`, so that a receipt for a fork of the
            chain is worth nothing to the holder of the other.
        mark: HEADQUARTERS or BACKED_UP.
        time_us: When it was given.
    """

    chain: Chain
    next: int
    head: bytes
    mark: Mark
    time_us: int

    def pack(self) -> bytes:
        """The one encoding that is signed: a msgpack array."""
        return pack_row((*chain_fields(self.chain), self.next, self.head, int(self.mark), self.time_us))

    @classmethod
    def parse(cls, data: bytes) -> Receipt:
        """Read a receipt from a peer.

        Raises:
            MalformedError, LimitError: Not a receipt, or larger than one may be.
        """
        row = parse_row(data, 7)
        chain = parse_chain(row[:3])
        next_, head, mark, time_us = row[3:]
        if (
            not is_count(next_)
            or not isinstance(head, bytes)
            or len(head) != 32
            or not isinstance(time_us, int)
        ):
            raise MalformedError("expected (next, head, mark, time) in a receipt")
        if mark not in (Mark.HEADQUARTERS, Mark.BACKED_UP):
            raise MalformedError(f"expected mark 1 or 2 in a receipt, got {mark!r:.40}")
        return cls(chain, next_, head, Mark(mark), time_us)


class RefusalReason(IntEnum):
    """Why a receiver will not take a batch."""

    HEADER = 0
    SIGNATURE = 1
    CHAIN = 2
    HASH = 3
    PAYLOAD = 4
    KEY = 5
    FORK = 6


@dataclass(frozen=True, slots=True)
class Refusal:
    """A receiver's signed word that it will not take one batch, and why (REFUSAL_DOMAIN)."""

    chain: Chain
    seq: int
    head: bytes
    reason: RefusalReason
    text: str
    receiver: str

    def pack(self) -> bytes:
        """The one encoding that is signed: a msgpack array."""
        return pack_row(
            (*chain_fields(self.chain), self.seq, self.head, int(self.reason), self.text, self.receiver)
        )

    @classmethod
    def parse(cls, data: bytes) -> Refusal:
        """Read a refusal from a peer.

        Raises:
            MalformedError, LimitError: Not a refusal, or larger than one may be.
        """
        row = parse_row(data, 8)
        chain = parse_chain(row[:3])
        seq, head, reason, text, receiver = row[3:]
        if not is_count(seq) or not isinstance(head, bytes) or len(head) != 32:
            raise MalformedError("expected (sequence, head) in a refusal")
        if not isinstance(text, str) or not isinstance(receiver, str):
            raise MalformedError("expected texts in a refusal")
        if reason not in list(RefusalReason):
            raise MalformedError(f"unknown reason {reason!r:.40} in a refusal")
        return cls(chain, seq, head, RefusalReason(reason), text, receiver)


Record = Receipt | Refusal | Command | SignedTime
Signable = TypeVar("Signable", Receipt, Refusal, Command, SignedTime)


_DOMAIN_OF: dict[type[Record], bytes] = {
    Receipt: RECEIPT_DOMAIN,
    Refusal: REFUSAL_DOMAIN,
    Command: COMMAND_DOMAIN,
    SignedTime: TIME_DOMAIN,
}


def sign_record(record: Record, signer: Signer) -> bytes:
    """Pack and sign a record that travels outside a chain: signature, then the record.

    Raises:
        LimitError: A command is larger than one may be.
    """
    packed = record.pack()
    return signer.sign(_DOMAIN_OF[type(record)], packed) + packed


def open_record(kind: type[Signable], data: bytes, verifier: Verifier) -> Signable:
    """Check the signature of a record made by `sign_record` and read it.

    Raises:
        IntegrityError: The signature does not hold.
        MalformedError, LimitError: Not such a record.
    """
    domain = _DOMAIN_OF[kind]
    if len(data) <= 64 or not verifier.verify(domain, data[64:], data[:64]):
        raise IntegrityError(f"the signature of a {kind.__name__.lower()} does not hold")
    return kind.parse(data[64:])
