"""The messages of a link: one byte that names the kind, then the parts.

======  =========  ====================================================================
kind    direction  parts
======  =========  ====================================================================
HELLO   up         (versions, node, role, life)
OFFER   up         a list of (gateway, stream, epoch, oldest, next, head)
BATCH   up         header, payload, signature
QUERY   up         (gateway, stream, epoch, seq, hash): is this the header you hold?
ALIVE   up         nothing
WELCOME down       (version, receiver, credit in batches, credit in bytes)
MARKS   down       a list of (gateway, stream, epoch, next, head, oldest): answers offers
ACK     down       (a list of (gateway, stream, epoch, next), credit in batches, in bytes)
REWIND  down       (gateway, stream, epoch, next): send again from there
ANSWER  down       (gateway, stream, epoch, seq, verdict)
RECEIPT down       a signed `records.Receipt`
REFUSAL down       a signed `records.Refusal`
UNKNOWN down       nothing: there is no session, say hello
======  =========  ====================================================================

Batches travel as they are stored; everything else is msgpack. Reading raises only the
peer's errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgpack

from protocols import limits
from protocols.batch import Batch, Chain, Header, is_name
from protocols.errors import LimitError, MalformedError
from protocols.records import parse_chain, unpack

HELLO, OFFER, BATCH, QUERY, ALIVE = b"H", b"O", b"D", b"Q", b"K"
WELCOME, MARKS, ACK, REWIND, ANSWER = b"W", b"M", b"A", b"R", b"E"
RECEIPT, REFUSAL, UNKNOWN = b"C", b"N", b"X"

VERSIONS = (1,)
"""Versions of the link that this code speaks."""

LIFE_BYTES = 16
"""A life is random and long enough to be drawn once only."""

NO_LIFE = bytes(LIFE_BYTES)
"""Of a sender that lives once."""

DIFFERENT, EQUAL, FORGOTTEN, BEYOND = 0, 1, 2, 3
"""Verdicts of an ANSWER; FORGOTTEN: no longer known there; BEYOND: never had, it wants that one next."""

Frames = list[bytes]


class Offer(NamedTuple):
    """What a sender holds of one chain.

    Args:
        chain: Which chain.
        oldest: First sequence that can still be sent.
        next: The sequence that the next batch will get.
        head: SHA-256 of the header of `next - 1`; `ZERO_HASH` when `next` is 0; empty at a hub
            that let go of that header and no longer knows it.
    """

    chain: Chain
    oldest: int
    next: int
    head: bytes


class Mark(NamedTuple):
    """Where a receiver stands with one chain, as the answer to an offer.

    Args:
        chain: Which chain.
        next: The sequence that is wanted.
        head: Hash of the header before it; empty when the receiver cannot know it.
        oldest: As it was offered, so that an answer to an older offer is recognised.
    """

    chain: Chain
    next: int
    head: bytes
    oldest: int


class Accepted(NamedTuple):
    """A batch that a receiver verified and staged.

    Args:
        chain: Its chain.
        header: Its header, parsed.
        batch: As it came.
        hole_from: When the sequences just below were given up: the first of them.
    """

    chain: Chain
    header: Header
    batch: Batch
    hole_from: int | None = None


class Outbox(Protocol):
    """What a sender sends from: a gateway's buffer, a hub's store."""

    @property
    def generation(self) -> int:
        """Grows whenever `offers` would answer differently."""

    def offers(self) -> list[Offer]:
        """Every chain that is not wholly safe, and the current ones."""

    def read(self, chain: Chain, seq: int, batches_max: int, bytes_max: int) -> list[Batch]:
        """Consecutive batches from `seq`, at least one if it is held, tombstones where a payload is gone."""


class Marks(Protocol):
    """What a receiver has made durable."""

    def mark(self, chain: Chain) -> tuple[int, bytes] | None:
        """(next sequence, hash of the header before it), or `None` for a chain never seen."""

    def header_hash(self, chain: Chain, seq: int) -> bytes | None:
        """Hash of a durable header, or `None` when it is no longer known."""


def hello(node: str, role: str, life: bytes = NO_LIFE) -> Frames:
    """Begin a session; `life` is drawn once in each life of the sender's process."""
    assert len(life) == LIFE_BYTES
    return [HELLO, _pack((VERSIONS, node, role, life))]


def parse_hello(frames: Frames) -> tuple[tuple[int, ...], str, str, bytes]:
    """(versions, node, role, life) of a HELLO."""
    versions, node, role, life = _row(frames, 4)
    if not isinstance(life, bytes) or len(life) != LIFE_BYTES:
        raise MalformedError(f"expected a life of {LIFE_BYTES} bytes in a hello")
    if not isinstance(versions, tuple) or not all(isinstance(version, int) for version in versions):
        raise MalformedError("expected versions in a hello")
    if not isinstance(node, str) or not is_name(node) or not isinstance(role, str):
        raise MalformedError(f"expected a node and its role in a hello, got {node!r:.80}")
    return versions, node, role, life


def offers(items: Iterable[Offer]) -> list[Frames]:
    """As many OFFER messages as the limits ask for."""
    rows = [(*_chain(offer.chain), offer.oldest, offer.next, offer.head) for offer in items]
    return [[OFFER, _pack(rows[at : at + _PER_FRAME])] for at in range(0, len(rows), _PER_FRAME)]


def parse_offers(frames: Frames) -> list[Offer]:
    """The offers of an OFFER."""
    parsed = []
    for row in _rows(frames, 6):
        oldest, next_ = _counts(row[3:5])
        if oldest > next_:
            raise MalformedError(f"expected oldest <= next in an offer, got {oldest} and {next_}")
        parsed.append(Offer(parse_chain(row[:3]), oldest, next_, _hash(row[5], empty=True)))
    return parsed


def batch(item: Batch) -> Frames:
    """One batch."""
    return [BATCH, item.header, item.payload, item.signature]


def parse_batch(frames: Frames) -> Batch:
    """The batch of a BATCH; only sizes are checked here."""
    if len(frames) != 4:
        raise MalformedError(f"expected 4 frames in a batch message, got {len(frames)}")
    if len(frames[2]) > limits.PAYLOAD_BYTES_MAX:
        raise LimitError(f"expected at most {limits.PAYLOAD_BYTES_MAX} payload bytes, got {len(frames[2])}")
    return Batch(frames[1], frames[2], frames[3])


def query(chain: Chain, seq: int, head: bytes) -> Frames:
    """Ask whether the receiver holds this very header."""
    return [QUERY, _pack((*_chain(chain), seq, head))]


def parse_query(frames: Frames) -> tuple[Chain, int, bytes]:
    """(chain, sequence, hash) of a QUERY."""
    row = _row(frames, 5)
    return parse_chain(row[:3]), _counts(row[3:4])[0], _hash(row[4])


def answer(chain: Chain, seq: int, verdict: int) -> Frames:
    """Answer a query."""
    return [ANSWER, _pack((*_chain(chain), seq, verdict))]


def parse_answer(frames: Frames) -> tuple[Chain, int, int]:
    """(chain, sequence, verdict) of an ANSWER."""
    row = _row(frames, 5)
    seq, verdict = _counts(row[3:5])
    if verdict not in (DIFFERENT, EQUAL, FORGOTTEN, BEYOND):
        raise MalformedError(f"unknown verdict {verdict}")
    return parse_chain(row[:3]), seq, verdict


def alive() -> Frames:
    """Keep a session that has nothing to send."""
    return [ALIVE]


def welcome(version: int, receiver: str, credit_batches: int, credit_bytes: int) -> Frames:
    """Open the session; version 0 says that there is none in common."""
    return [WELCOME, _pack((version, receiver, credit_batches, credit_bytes))]


def parse_welcome(frames: Frames) -> tuple[int, str, int, int]:
    """(version, receiver, credit in batches, credit in bytes) of a WELCOME."""
    version, receiver, credit_batches, credit_bytes = _row(frames, 4)
    if not isinstance(receiver, str) or not is_name(receiver):
        raise MalformedError("expected the receiver's name in a welcome")
    _counts((version, credit_batches, credit_bytes))
    return version, receiver, credit_batches, credit_bytes


def marks(items: Iterable[Mark]) -> list[Frames]:
    """Answer offers: where to go on with each chain."""
    rows = [(*_chain(mark.chain), mark.next, mark.head, mark.oldest) for mark in items]
    return [[MARKS, _pack(rows[at : at + _PER_FRAME])] for at in range(0, len(rows), _PER_FRAME)]


def parse_marks(frames: Frames) -> list[Mark]:
    """The marks of a MARKS."""
    parsed = []
    for row in _rows(frames, 6):
        next_, oldest = _counts((row[3], row[5]))
        parsed.append(Mark(parse_chain(row[:3]), next_, _hash(row[4], empty=True), oldest))
    return parsed


def ack(items: Iterable[tuple[Chain, int]], credit_batches: int, credit_bytes: int) -> Frames:
    """Everything below these sequences is durable here."""
    return [ACK, _pack(([(*_chain(chain), next_) for chain, next_ in items], credit_batches, credit_bytes))]


def parse_ack(frames: Frames) -> tuple[list[tuple[Chain, int]], int, int]:
    """(marks, credit in batches, credit in bytes) of an ACK."""
    rows, credit_batches, credit_bytes = _row(frames, 3)
    _counts((credit_batches, credit_bytes))
    if not isinstance(rows, tuple):
        raise MalformedError("expected a list of marks in an ack")
    return (
        [(parse_chain(_tuple(row, 4)[:3]), _counts(row[3:])[0]) for row in rows],
        credit_batches,
        credit_bytes,
    )


def rewind(chain: Chain, next_: int) -> Frames:
    """Ask for the chain again from `next_`."""
    return [REWIND, _pack((*_chain(chain), next_))]


def parse_rewind(frames: Frames) -> tuple[Chain, int]:
    """(chain, next sequence) of a REWIND."""
    row = _row(frames, 4)
    return parse_chain(row[:3]), _counts(row[3:])[0]


def receipt(signed: bytes) -> Frames:
    """Pass a receipt down."""
    return [RECEIPT, signed]


def refusal(signed: bytes) -> Frames:
    """Pass a refusal down."""
    return [REFUSAL, signed]


def unknown() -> Frames:
    """Tell a peer that it has no session here."""
    return [UNKNOWN]


def signed_part(frames: Frames) -> bytes:
    """The signed record of a RECEIPT or REFUSAL."""
    return _part(frames)


_PER_FRAME = limits.OFFERS_PER_FRAME_MAX


def _pack(value: object) -> bytes:
    packed = msgpack.packb(value, use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def _chain(chain: Chain) -> tuple[str, int, int]:
    return chain.gateway, int(chain.stream), chain.epoch


def _part(frames: Frames) -> bytes:
    if len(frames) != 2:
        raise MalformedError(f"expected 2 frames in a message of kind {frames[0]!r:.20}, got {len(frames)}")
    if len(frames[1]) > limits.CONTROL_BYTES_MAX:
        raise LimitError(f"expected at most {limits.CONTROL_BYTES_MAX} control bytes, got {len(frames[1])}")
    return frames[1]


def _tuple(value: object, length: int) -> tuple[Any, ...]:
    if not isinstance(value, tuple) or len(value) != length:
        raise MalformedError(f"expected an array of {length}, got {value!r:.80}")
    return value


def _row(frames: Frames, length: int) -> tuple[Any, ...]:
    return _tuple(unpack(_part(frames)), length)


def _rows(frames: Frames, length: int) -> list[tuple[Any, ...]]:
    value = unpack(_part(frames))
    if not isinstance(value, tuple) or len(value) > _PER_FRAME:
        raise MalformedError(f"expected a list of at most {_PER_FRAME}")
    return [_tuple(row, length) for row in value]


def _counts(values: Sequence[Any]) -> list[int]:
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limits.INT63_MAX:
            raise MalformedError(f"expected a count, got {value!r:.40}")
    return list(values)


def _hash(value: object, empty: bool = False) -> bytes:
    if not isinstance(value, bytes) or not (len(value) == 32 or (empty and not value)):
        raise MalformedError("expected a SHA-256")
    return value
