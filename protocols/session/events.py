"""What a sender tells its owner, and what it asks of it."""

from __future__ import annotations

from typing import NamedTuple

from protocols.batch import Chain
from protocols.records import Receipt, Refusal


class Ready(NamedTuple):
    """The session is open."""

    receiver: str


class Stored(NamedTuple):
    """The receiver holds the chain durably below `next`."""

    chain: Chain
    next: int


class Receipted(NamedTuple):
    """Headquarters signed for the chain; the signature was checked."""

    receipt: Receipt
    signed: bytes


class Refused(NamedTuple):
    """A batch was refused; the signature was checked."""

    refusal: Refusal
    signed: bytes


class Forked(NamedTuple):
    """From `seq` on, the receiver holds other headers than we do."""

    chain: Chain
    seq: int


class Behind(NamedTuple):
    """The receiver wants `wanted`, but we hold nothing before `oldest`."""

    chain: Chain
    wanted: int
    oldest: int


class Disconnected(NamedTuple):
    """The connection is of no more use; make a new one and call `start`."""

    why: str


SenderEvent = Ready | Stored | Receipted | Refused | Forked | Behind | Disconnected


class Wanted(NamedTuple):
    """What to read from the outbox next and hand to `supply`."""

    chain: Chain
    seq: int
    batches_max: int
    bytes_max: int
