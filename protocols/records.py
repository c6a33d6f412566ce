"""Records that are not samples: openings, gaps, point definitions, statements, receipts.

Each is a msgpack map in a batch payload (compressed or not, by the header's flag), or
signed by itself where it travels outside a chain (receipts and refusals). Reading one
raises only the peer's errors and allocates no more than `limits` allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, TypeVar

import msgpack

from protocols import limits
from protocols.batch import Chain, Signer, Stream, Verifier, is_name
from protocols.compressed import inflate as inflate_frame
from protocols.errors import IntegrityError, LimitError, MalformedError
from protocols.samples import ValueType

RECEIPT_DOMAIN = b"catchment/receipt/v1\x00"
REFUSAL_DOMAIN = b"catchment/refusal/v1\x00"


class OpenReason(StrEnum):
    """Why a new epoch was opened."""

    FIRST = "first"
    LIVE_FIRST = "live-first"
    FAILOVER = "failover"
    FORK = "fork"
    BEHIND = "behind"
    STORE_LOST = "store-lost"


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
        return _pack({"reason": self.reason, "follows": self.follows, "next": self.follows_next})

    @classmethod
    def parse(cls, data: bytes) -> Opening:
        """Read an opening from a peer.

        Raises:
            MalformedError, LimitError: Not an opening, or larger than one may be.
        """
        fields = _Fields(data)
        return cls(fields.choice("reason", OpenReason), fields.optional("follows"), fields.optional("next"))


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
    return _pack({"gaps": [gap.fields() for gap in gaps]})


def parse_gaps(data: bytes) -> list[Gap]:
    """Read the payload of a batch of kind GAP.

    Raises:
        MalformedError, LimitError: Not such a payload.
    """
    return [_gap(_Fields.of(entry)) for entry in _Fields(data).array("gaps")]


def _gap(fields: _Fields) -> Gap:
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


@dataclass(frozen=True, slots=True)
class PointDefinition:
    """What headquarters must know of a point to bind it to a series.

    Args:
        id: Local id, never used again.
        name: The plant's name (tag).
        type: Value type on the wire.
        unit: UCUM code, or empty.
        scan_period_ms: How often a sample is due.
        resolution: Largest error that deadband or swinging door may leave; 0 when every
            scan instant is reported.
        low: Lower end of the engineering range, or `None`.
        high: Upper end, or `None`.
        description: For people.
    """

    id: int
    name: str
    type: ValueType
    unit: str = ""
    scan_period_ms: int = 1000
    resolution: float = 0.0
    low: float | None = None
    high: float | None = None
    description: str = ""


def pack_definitions(definitions: Iterable[PointDefinition]) -> bytes:
    """A point table as it travels (kind META). Its SHA-256 is the table hash of data batches."""
    rows = [
        (d.id, d.name, int(d.type), d.unit, d.scan_period_ms, d.resolution, d.low, d.high, d.description)
        for d in sorted(definitions, key=lambda definition: definition.id)
    ]
    return _pack({"points": rows})


def parse_definitions(data: bytes) -> list[PointDefinition]:
    """Read a point table.

    Raises:
        MalformedError, LimitError: Not such a payload.
    """
    return [_definition(row) for row in _Fields(data).array("points")]


def _definition(row: object) -> PointDefinition:
    kinds: tuple[type | tuple[type, ...], ...] = (
        int, str, int, str, int, (int, float), (int, float, type(None)), (int, float, type(None)), str,
    )  # fmt: skip
    if not isinstance(row, tuple) or len(row) != len(kinds):
        raise MalformedError(f"expected a point definition of {len(kinds)} fields")
    if not all(
        isinstance(value, kind) and not isinstance(value, bool)
        for value, kind in zip(row, kinds, strict=True)
    ):
        raise MalformedError(f"expected the types of a point definition, got {row!r:.120}")
    id_, name, type_, unit, period_ms, resolution, low, high, description = row
    if not 0 <= id_ <= limits.POINT_ID_MAX or not 0 < period_ms <= limits.INT63_MAX:
        raise MalformedError(f"expected a point id and a period, got {id_} and {period_ms}")
    try:
        value_type = ValueType(type_)
    except ValueError as error:
        raise MalformedError(f"unknown value type {type_} of point {id_}") from error
    return PointDefinition(
        id_,
        name,
        value_type,
        unit,
        period_ms,
        float(resolution),
        None if low is None else float(low),
        None if high is None else float(high),
        description,
    )


@dataclass(frozen=True, slots=True)
class Statement:
    """A gateway's own ledger, signed like any batch (kind STATEMENT, stream META).

    Every sample a gateway ever collected is accounted for:
    ``collected = thinned + journalled + sealed + dropped``, where `sealed` are samples in
    batches of any epoch and `dropped` those that never reached one.

    Args:
        time_us: When it was made.
        collected: Samples that drivers delivered, ever.
        thinned: Left out by deadband or swinging door.
        journalled: Durable but not yet in a batch.
        sealed: In batches.
        dropped: Lost before a batch, by cause.
        buried: Of the sealed ones, those whose payload was dropped, by cause.
        chains: For each chain ever opened that is not wholly at headquarters, and the
            current ones: (stream, epoch, next sequence, samples sealed into it).
    """

    time_us: int
    collected: int
    thinned: int
    journalled: int
    sealed: int
    dropped: dict[str, int]
    buried: dict[str, int]
    chains: tuple[tuple[int, int, int, int], ...]

    def pack(self) -> bytes:
        """The payload of a batch of this kind: a msgpack map."""
        return _pack(
            {
                "time": self.time_us,
                "collected": self.collected,
                "thinned": self.thinned,
                "journalled": self.journalled,
                "sealed": self.sealed,
                "dropped": self.dropped,
                "buried": self.buried,
                "chains": self.chains,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Statement:
        """Read a statement from a peer.

        Raises:
            MalformedError, LimitError: Not a statement, or larger than one may be.
        """
        fields = _Fields(data)
        chains = fields.array("chains")
        for row in chains:
            if not isinstance(row, tuple) or len(row) != 4 or not all(isinstance(x, int) for x in row):
                raise MalformedError("expected (stream, epoch, next, samples) in a statement")
        return cls(
            fields.whole("time"),
            fields.whole("collected"),
            fields.whole("thinned"),
            fields.whole("journalled"),
            fields.whole("sealed"),
            fields.counts("dropped"),
            fields.counts("buried"),
            tuple(chains),
        )


@dataclass(frozen=True, slots=True)
class HubStatement:
    """A hub's own ledger, signed like any batch of its own chain (kind STATEMENT, stream META).

    Counts are totals, not differences; a statement names only the chains that changed since
    the one before it, and all of them after a start and at a clean stop.

    Args:
        time_us: When it was made.
        chains: (gateway, stream, epoch, first sequence stored, next, batches stored, samples
            in their payloads, tombstones among them, batches let go).
    """

    time_us: int
    chains: tuple[tuple[str, int, int, int, int, int, int, int, int], ...]

    def pack(self) -> bytes:
        """The payload."""
        return _pack({"time": self.time_us, "hub": self.chains})

    @classmethod
    def parse(cls, data: bytes) -> HubStatement:
        """Read a payload.

        Raises:
            MalformedError, LimitError: Not a hub's statement.
        """
        fields = _Fields(data)
        chains = fields.array("hub")
        for row in chains:
            if not isinstance(row, tuple) or len(row) != 9 or not all(map(_is_count, row[3:])):
                raise MalformedError("expected a chain and 6 counts in a hub's statement")
            parse_chain(row[:3])
        return cls(fields.whole("time"), tuple(chains))


def parse_statement(data: bytes) -> Statement | HubStatement:
    """Read the payload of a batch of kind STATEMENT, whichever tier made it.

    Raises:
        MalformedError, LimitError: Neither kind of statement.
    """
    fields = unpack(data)
    is_hub = isinstance(fields, dict) and "hub" in fields
    return HubStatement.parse(data) if is_hub else Statement.parse(data)


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
        return _pack(
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
        fields = _Fields(data)
        return cls(
            fields.octets("boot", 16), fields.whole("from"), fields.whole("to"), fields.whole("offset")
        )


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
        return _pack_list((*_chain_fields(self.chain), self.next, self.head, int(self.mark), self.time_us))

    @classmethod
    def parse(cls, data: bytes) -> Receipt:
        """Read a receipt from a peer.

        Raises:
            MalformedError, LimitError: Not a receipt, or larger than one may be.
        """
        row = _row(data, 7)
        chain = parse_chain(row[:3])
        next_, head, mark, time_us = row[3:]
        if (
            not _is_count(next_)
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
        return _pack_list(
            (*_chain_fields(self.chain), self.seq, self.head, int(self.reason), self.text, self.receiver)
        )

    @classmethod
    def parse(cls, data: bytes) -> Refusal:
        """Read a refusal from a peer.

        Raises:
            MalformedError, LimitError: Not a refusal, or larger than one may be.
        """
        row = _row(data, 8)
        chain = parse_chain(row[:3])
        seq, head, reason, text, receiver = row[3:]
        if not _is_count(seq) or not isinstance(head, bytes) or len(head) != 32:
            raise MalformedError("expected (sequence, head) in a refusal")
        if not isinstance(text, str) or not isinstance(receiver, str):
            raise MalformedError("expected texts in a refusal")
        if reason not in list(RefusalReason):
            raise MalformedError(f"unknown reason {reason!r:.40} in a refusal")
        return cls(chain, seq, head, RefusalReason(reason), text, receiver)


Signable = TypeVar("Signable", Receipt, Refusal)
_DOMAIN_OF: dict[type[Receipt | Refusal], bytes] = {Receipt: RECEIPT_DOMAIN, Refusal: REFUSAL_DOMAIN}


def sign_record(record: Receipt | Refusal, signer: Signer) -> bytes:
    """Pack and sign a record that travels outside a chain: signature, then the record."""
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


def inflate(payload: bytes, compressed: bool) -> bytes:
    """Undo the header's compression flag for a record payload, in bounded memory.

    Raises:
        MalformedError, LimitError: Not one zstd frame, or larger than a record may be.
    """
    return inflate_frame(payload, limits.RECORD_BYTES_MAX) if compressed else payload


def parse_chain(row: Sequence[Any]) -> Chain:
    """Read (gateway, stream, epoch).

    Raises:
        MalformedError: Anything else.
    """
    if len(row) != 3:
        raise MalformedError("expected (gateway, stream, epoch)")
    gateway, stream, epoch = row
    if not isinstance(gateway, str) or not is_name(gateway) or not _is_count(epoch):
        raise MalformedError(f"expected (gateway, stream, epoch), got {row!r:.120}")
    if stream not in list(Stream):
        raise MalformedError(f"unknown stream {stream!r:.40}")
    return Chain(gateway, Stream(stream), epoch)


def unpack(data: bytes) -> Any:
    """msgpack from a peer, bounded; sequences come back as tuples.

    Raises:
        MalformedError, LimitError: Not msgpack, or larger than a record may be.
    """
    if len(data) > limits.RECORD_BYTES_MAX:
        raise LimitError(f"expected at most {limits.RECORD_BYTES_MAX} bytes, got {len(data)}")
    try:
        return msgpack.unpackb(
            data,
            use_list=False,
            raw=False,
            max_array_len=limits.RECORD_ITEMS_MAX,
            max_map_len=limits.RECORD_ITEMS_MAX,
        )
    except Exception as error:  # msgpack raises many kinds for bad bytes, none of them ours
        raise MalformedError(f"expected msgpack: {error!s:.120}") from error


def _pack(fields: dict[str, Any]) -> bytes:
    packed = msgpack.packb(fields, use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def _pack_list(row: Sequence[Any]) -> bytes:
    packed = msgpack.packb(tuple(row), use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def _chain_fields(chain: Chain) -> tuple[str, int, int]:
    return chain.gateway, int(chain.stream), chain.epoch


def _row(data: bytes, length: int) -> tuple[Any, ...]:
    row = unpack(data)
    if not isinstance(row, tuple) or len(row) != length:
        raise MalformedError(f"expected an array of {length}")
    return row


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limits.INT63_MAX


_Choice = TypeVar("_Choice", bound=StrEnum)


class _Fields:
    """A msgpack map from a peer, read field by field; every misfit is a `MalformedError`."""

    def __init__(self, data: bytes) -> None:
        self._map = self._checked(unpack(data))

    @classmethod
    def of(cls, entry: object) -> _Fields:
        fields = cls.__new__(cls)
        fields._map = cls._checked(entry)
        return fields

    @staticmethod
    def _checked(entry: object) -> dict[str, Any]:
        if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
            raise MalformedError("expected a msgpack map with text keys")
        return entry

    def value(self, name: str) -> Any:
        if name not in self._map:
            raise MalformedError(f"expected field {name!r}")
        return self._map[name]

    def _typed(self, name: str, fits: Callable[[Any], bool], what: str) -> Any:
        value = self.value(name)
        if not fits(value):
            raise MalformedError(f"expected {what} as {name!r}, got {value!r:.80}")
        return value

    def whole(self, name: str) -> int:
        value: int = self._typed(name, _is_int63, "a whole number")
        return value

    def optional(self, name: str) -> int | None:
        return None if self.value(name) is None else self.whole(name)

    def text(self, name: str) -> str:
        value: str = self._typed(name, lambda v: isinstance(v, str), "text")
        return value

    def octets(self, name: str, length: int) -> bytes:
        value: bytes = self._typed(
            name, lambda v: isinstance(v, bytes) and len(v) == length, f"{length} bytes"
        )
        return value

    def array(self, name: str) -> tuple[Any, ...]:
        value: tuple[Any, ...] = self._typed(name, lambda v: isinstance(v, tuple), "an array")
        return value

    def counts(self, name: str) -> dict[str, int]:
        value: dict[str, int] = self._typed(
            name,
            lambda v: isinstance(v, dict) and all(isinstance(k, str) and _is_count(n) for k, n in v.items()),
            "a map of counts",
        )
        return value

    def choice(self, name: str, kind: type[_Choice]) -> _Choice:
        text = self.text(name)
        try:
            return kind(text)
        except ValueError as error:
            raise MalformedError(f"unknown {name} {text!r:.40}") from error


def _is_int63(value: object) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and -limits.INT63_MAX - 1 <= value <= limits.INT63_MAX
    )
