"""A batch: header, payload and signature, linked to the batch before it.

Rules:
1. The header names everything the payload means and the SHA-256 of the payload.
2. The signature is Ed25519 (RFC 8032) over a domain tag and the header's bytes, so
   what is signed for one purpose is never valid for another.
3. A header carries the SHA-256 of the header before it in the same chain. A chain
   is (gateway, stream, epoch) and counts from sequence 0 without holes.
4. A header has one encoding. Bytes that parse but would pack differently are refused,
   so that equal headers have equal hashes.
5. A payload dropped on purpose leaves a *tombstone*: the same header, no payload and a
   second signature by the same key under another domain tag. The chain goes on over it,
   and nobody but the gateway can make one.

Layout, byte by byte, with test vectors: `docs/wire.md`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from enum import IntEnum
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import msgpack

from protocols import limits
from protocols.errors import IntegrityError, LimitError, MalformedError

VERSION = 1
ZERO_HASH = bytes(32)
"""`previous` of a chain's first header, and the table hash of streams that name none."""

SIGNATURE_BYTES = 64
BATCH_DOMAIN = b"catchment/batch/v1\x00"
TOMBSTONE_DOMAIN = b"catchment/tombstone/v1\x00"

FLAG_ZSTD = 0x01
"""The payload is one zstd frame (RFC 8878). All other flag bits are reserved and zero."""


class Stream(IntEnum):
    """The separate chains of a gateway, in the order a sender prefers."""

    EVENT = 0
    META = 1
    DATA = 2


class Kind(IntEnum):
    """What a payload holds."""

    DATA = 0
    GAP = 1
    META = 2
    EVENT = 3
    CORRECTION = 4
    OPEN = 5
    """First of every chain: why the epoch was opened and which one it follows."""
    STATEMENT = 6
    """A tier's own ledger, for reconciliation."""
    REPORT = 7
    """What a gateway says of itself: which of its desired state is in place, and its health."""


class ClockState(IntEnum):
    """What the gateway knew about its clock when it cut the batch."""

    SYNCHRONISED = 0
    HOLDOVER = 1
    UNSYNCHRONISED = 2


class Chain(NamedTuple):
    """One hash chain of batches. Sorts by gateway, then stream, then age of the epoch."""

    gateway: str
    stream: Stream
    epoch: int

    def __str__(self) -> str:
        return f"{self.gateway}/{self.stream.name.lower()}/{self.epoch}"


class Clock(NamedTuple):
    """The clock as a batch states it.

    Args:
        boot_id: 16 random bytes drawn at each start of the gateway's process.
        monotonic_us: The monotonic clock when the batch was cut.
        state: How far gateway time can be trusted.
        offset_us: Known error of gateway time (true = stamped + offset); 0 when unknown.
    """

    boot_id: bytes
    monotonic_us: int
    state: ClockState
    offset_us: int


class Signer(Protocol):
    """Whoever can sign: a key in memory, or one behind a device."""

    @property
    def key_id(self) -> bytes:
        """First 8 bytes of the SHA-256 of the public key."""

    def sign(self, domain: bytes, message: bytes) -> bytes:
        """Ed25519 over `domain + message`; 64 bytes."""


class Verifier(Protocol):
    """The public half of a `Signer`."""

    def verify(self, domain: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the signature holds; never raises for wrong bytes."""


class Header(NamedTuple):
    """A batch header; the order of fields is the order on the wire."""

    version: int
    flags: int
    gateway: str
    stream: Stream
    epoch: int
    seq: int
    kind: Kind
    n: int
    t_min_us: int
    t_max_us: int
    boot_id: bytes
    monotonic_us: int
    clock_state: ClockState
    clock_offset_us: int
    table_hash: bytes
    key_id: bytes
    previous: bytes
    payload_hash: bytes
    payload_bytes: int

    @property
    def chain(self) -> Chain:
        """The chain this header belongs to."""
        return Chain(self.gateway, self.stream, self.epoch)

    def pack(self) -> bytes:
        """The one encoding of this header: a msgpack array of 19."""
        packed = msgpack.packb(tuple(self), use_bin_type=True)
        assert isinstance(packed, bytes)
        return packed

    @classmethod
    def parse(cls, data: bytes) -> Header:
        """Read a header from a peer.

        Raises:
            MalformedError: Not a header, or not in the canonical encoding.
            LimitError: A header that claims more than the limits allow.
        """
        if len(data) > limits.HEADER_BYTES_MAX:
            raise LimitError(f"expected a header of at most {limits.HEADER_BYTES_MAX} bytes, got {len(data)}")
        try:
            fields = msgpack.unpackb(data, use_list=False, raw=False, strict_map_key=True)
        except Exception as error:  # msgpack raises many kinds for bad bytes, none of them ours
            raise MalformedError(
                f"expected a msgpack array as header, got {len(data)} other bytes"
            ) from error
        header = cls._from_fields(fields)
        if msgpack.packb(fields, use_bin_type=True) != data:
            raise MalformedError("expected the canonical encoding of the header, got another")
        return header

    @classmethod
    def _from_fields(cls, fields: object) -> Header:
        if not isinstance(fields, tuple) or len(fields) != len(cls._fields):
            raise MalformedError(f"expected an array of {len(cls._fields)} header fields")
        if not _are_fields(fields):
            for name, value in zip(cls._fields, fields, strict=True):
                _check_field(name, value)
        version, flags, _, stream, _, _, kind, n, _, _, _, _, clock_state, *_, payload_bytes = fields
        if version != VERSION:
            raise MalformedError(f"expected header version {VERSION}, got {version}")
        if flags & ~FLAG_ZSTD:
            raise MalformedError(f"expected no reserved flag, got {flags:#x}")
        if n > limits.BATCH_SAMPLES_MAX:
            raise LimitError(f"expected at most {limits.BATCH_SAMPLES_MAX} samples, header claims {n}")
        if payload_bytes > limits.PAYLOAD_BYTES_MAX:
            raise LimitError(
                f"expected at most {limits.PAYLOAD_BYTES_MAX} payload bytes, got {payload_bytes}"
            )
        try:
            known = _STREAMS[stream], _KINDS[kind], _CLOCK_STATES[clock_state]
        except KeyError as error:
            raise MalformedError(f"unknown stream, kind or clock state {error} in the header") from error
        return cls._make(
            (*fields[:3], known[0], *fields[4:6], known[1], *fields[7:12], known[2], *fields[13:])
        )


_BYTES_OF = {"boot_id": 16, "table_hash": 32, "key_id": 8, "previous": 32, "payload_hash": 32}
_SIGNED = {"t_min_us", "t_max_us", "clock_offset_us"}
_BYTES, _TEXT = set(_BYTES_OF), {"gateway"}
_TYPES = tuple(bytes if name in _BYTES else str if name in _TEXT else int for name in Header._fields)
_STREAMS = {int(stream): stream for stream in Stream}
_KINDS = {int(kind): kind for kind in Kind}
_CLOCK_STATES = {int(state): state for state in ClockState}


def _are_fields(fields: tuple[Any, ...]) -> bool:
    """What `_check_field` says of all fields at once: a hub reads thousands of headers a second."""
    if tuple(map(type, fields)) != _TYPES:
        return False
    counts, signed = _COUNTS(fields), _TIMES(fields)
    return (
        min(counts) >= 0
        and max(*counts, *signed) <= limits.INT63_MAX
        and min(signed) >= -limits.INT63_MAX - 1
        and tuple(map(len, _HASHES(fields))) == _LENGTHS
        and is_name(fields[2])
    )


def _picker(names: Iterable[str]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    return itemgetter(*(Header._fields.index(name) for name in names))


_COUNTS = _picker(name for name in Header._fields if name not in _BYTES | _TEXT | _SIGNED)
_TIMES = _picker(_SIGNED)
_HASHES = _picker(_BYTES_OF)
_LENGTHS = tuple(_BYTES_OF.values())


def _check_field(name: str, value: object) -> None:
    if name == "gateway":
        if not isinstance(value, str) or not is_name(value):
            raise MalformedError(f"expected a gateway name in the header, got {value!r:.80}")
    elif name in _BYTES_OF:
        if not isinstance(value, bytes) or len(value) != _BYTES_OF[name]:
            raise MalformedError(f"expected {_BYTES_OF[name]} bytes as {name}")
    else:
        low = -limits.INT63_MAX - 1 if name in _SIGNED else 0
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= limits.INT63_MAX:
            raise MalformedError(f"expected a whole number as {name}, got {value!r:.80}")


def is_name(text: str) -> bool:
    """Whether `text` may name a node: lower-case letters, digits, `-`, `_`, `.`; not empty.

    >>> is_name("unit-1.boiler"), is_name("Unit 1"), is_name(".."), is_name("")
    (True, False, False, False)
    """
    return _NAME.fullmatch(text) is not None


_NAME = re.compile(rf"[a-z0-9][a-z0-9_.-]{{0,{limits.NAME_CHARS_MAX - 1}}}", re.ASCII)


def header_hash(header: bytes) -> bytes:
    """The SHA-256 that the next header of the chain must carry."""
    return hashlib.sha256(header).digest()


def opened_us(epoch: int) -> int:
    """When an epoch was opened by its gateway's clock, as its number says; microseconds since 1970.

    >>> opened_us(1_700_000_000_000 << 16 | 7)
    1700000000000000
    """
    return (epoch >> 16) * 1000


class Batch(NamedTuple):
    """Header, payload and signature as they travel and as they are stored.

    A tombstone has an empty payload and two signatures, 128 bytes.
    """

    header: bytes
    payload: bytes
    signature: bytes

    @property
    def is_tombstone(self) -> bool:
        """Whether the payload was dropped on purpose by the gateway."""
        return len(self.signature) == 2 * SIGNATURE_BYTES

    @property
    def size(self) -> int:
        """Bytes that count against credit and quota."""
        return len(self.header) + len(self.payload) + len(self.signature)


def seal(header: Header, payload: bytes, signer: Signer) -> Batch:
    """Sign a header over its payload.

    Args:
        header: Complete but for `key_id`, `payload_hash` and `payload_bytes`, which are set here.
        payload: What the header describes, already encoded.
        signer: The gateway's key.
    """
    complete = header._replace(
        key_id=signer.key_id, payload_hash=hashlib.sha256(payload).digest(), payload_bytes=len(payload)
    )
    packed = complete.pack()
    return Batch(packed, payload, signer.sign(BATCH_DOMAIN, packed))


def bury(header: bytes, signature: bytes, signer: Signer) -> Batch:
    """Make the tombstone of a batch whose payload was dropped."""
    assert len(signature) == SIGNATURE_BYTES
    return Batch(header, b"", signature + signer.sign(TOMBSTONE_DOMAIN, header))


def check_payload(header: Header, batch: Batch) -> None:
    """Hold a payload against its header; a tombstone has none to hold.

    Raises:
        IntegrityError: Length or hash differ.
    """
    if batch.is_tombstone:
        if batch.payload:
            raise IntegrityError("expected no payload under a tombstone")
        return
    if len(batch.payload) != header.payload_bytes:
        raise IntegrityError(f"expected {header.payload_bytes} payload bytes, got {len(batch.payload)}")
    if hashlib.sha256(batch.payload).digest() != header.payload_hash:
        raise IntegrityError("the payload's hash differs from the one in the signed header")


def check_signature(batch: Batch, verifier: Verifier) -> None:
    """Hold the signature, or both of a tombstone, against the header.

    Raises:
        IntegrityError: A signature is missing, has the wrong length or does not hold.
    """
    if len(batch.signature) not in (SIGNATURE_BYTES, 2 * SIGNATURE_BYTES):
        raise IntegrityError(f"expected 64 or 128 signature bytes, got {len(batch.signature)}")
    if not verifier.verify(BATCH_DOMAIN, batch.header, batch.signature[:SIGNATURE_BYTES]):
        raise IntegrityError("the header's signature does not hold")
    if batch.is_tombstone and not verifier.verify(
        TOMBSTONE_DOMAIN, batch.header, batch.signature[SIGNATURE_BYTES:]
    ):
        raise IntegrityError("the tombstone's signature does not hold")
