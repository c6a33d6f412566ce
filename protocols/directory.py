"""The directory: who is who in the group, signed by headquarters' authority.

Rules:
1. It has two parts of the same form: `stations` (headquarters and hubs), which every gateway
   holds, and `gateways`, which hubs hold beside. A gateway need not fetch a thousand others.
2. An entry says what the node's certificate says; the authority that signs the directory is the
   one that signs certificates. So a gateway reads it without an X.509 parser, and a thousand nodes
   cost half of the bytes.
3. Each part has a version that only grows. Whoever holds one takes none that is lower, and none by
   an authority of a lower generation.
4. A directory that expired is not thrown away: its nodes may deliver and renew, nothing else, until
   the offline window is over as well. The same holds for a node whose certificate expired.
5. What is revoked is named, so that a list written by hand does not let it in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import msgpack
import zmq.utils.z85 as z85
import zstandard

from protocols.batch import Signer, is_name
from protocols.compressed import inflate
from protocols.errors import IntegrityError, LimitError, MalformedError
from protocols.identity import ROLES, AllowList, PublicIdentity, VerifyKey
from protocols.records.fields import Fields

DOMAIN = b"catchment/directory/v1\x00"

DIRECTORY_BYTES_MAX = 8 << 20
"""A directory once decompressed: 60,000 nodes at 130 bytes."""

PIECE_BYTES = 512 << 10
"""What one answer carries of it."""

OFFLINE_WINDOW_DAYS = 90.0
"""How long a node whose certificate expired may still deliver and renew: a laid-up plant's season."""


class Part(IntEnum):
    """Which half of the directory."""

    STATIONS = 0
    GATEWAYS = 1


class NodeState(IntEnum):
    """How a node stands with headquarters."""

    ACTIVE = 0
    QUARANTINED = 1
    """There seem to be two of it: it gets no answer, what it signed counts."""


class Standing(IntEnum):
    """What a node may do."""

    NOTHING = 0
    DELIVER = 1
    """Deliver and renew."""
    ALL = 2


class Entry(NamedTuple):
    """One set of keys of one node.

    Args:
        node: Name, role, site and keys.
        serial: Of its certificate.
        not_before: Of its certificate, seconds since 1970.
        not_after: Of its certificate.
        state: How it stands.
        retired: Ed25519 keys that it had before and whose signatures count.
    """

    node: PublicIdentity
    serial: int
    not_before: int
    not_after: int
    state: NodeState = NodeState.ACTIVE
    retired: tuple[bytes, ...] = ()

    def standing(self, now: float, window_s: float) -> Standing:
        """What it may do at a time."""
        if self.state is not NodeState.ACTIVE:
            return Standing.NOTHING
        if now <= self.not_after:
            return Standing.ALL
        return Standing.DELIVER if now <= self.not_after + window_s else Standing.NOTHING


@dataclass(frozen=True, slots=True)
class Directory:
    """One part of the directory.

    Args:
        part: Which one.
        version: Grows with each change.
        issued: Seconds since 1970.
        expires: When it should have been replaced.
        window_s: The offline window of this group.
        entries: Keys in force; during a rotation a node has two entries.
        revoked: (Ed25519 key, CURVE key of 32 bytes) of what may never connect again.
        rotate: Nodes that should make new keys.
    """

    part: Part
    version: int
    issued: float
    expires: float
    window_s: float
    entries: tuple[Entry, ...]
    revoked: tuple[tuple[bytes, bytes], ...] = ()
    rotate: tuple[str, ...] = ()

    def pack(self) -> bytes:
        """The encoding that is signed."""
        packed: bytes = msgpack.packb(
            {
                "v": 1,
                "part": int(self.part),
                "version": self.version,
                "issued": round(self.issued),
                "expires": round(self.expires),
                "window": round(self.window_s),
                "entries": [_entry_row(entry) for entry in self.entries],
                "revoked": self.revoked,
                "rotate": self.rotate,
            },
            use_bin_type=True,
        )
        return packed

    @classmethod
    def parse(cls, data: bytes) -> Directory:
        """Read one part.

        Raises:
            MalformedError, LimitError: Not a directory, or larger than one may be.
        """
        fields = Fields(data)
        if fields.value("v") != 1 or fields.value("part") not in list(Part):
            raise MalformedError("expected a directory of version 1")
        rotate, revoked = fields.array("rotate"), fields.array("revoked")
        if not all(isinstance(name, str) and is_name(name) for name in rotate):
            raise MalformedError("expected names of nodes that should rotate")
        return cls(
            Part(fields.value("part")),
            fields.whole("version"),
            float(fields.whole("issued")),
            float(fields.whole("expires")),
            float(fields.whole("window")),
            tuple(_parse_entry(row) for row in fields.array("entries")),
            tuple(_parse_revoked(row) for row in revoked),
            rotate,
        )


def seal(directory: Directory, authority: bytes, signer: Signer) -> bytes:
    """A directory as it travels: one zstd frame of certificate, signature and content.

    Args:
        directory: What it says.
        authority: The certificate of whoever signs, DER.
        signer: The authority's key.
    """
    packed = directory.pack()
    whole: bytes = msgpack.packb((authority, signer.sign(DOMAIN, packed), packed), use_bin_type=True)
    return zstandard.ZstdCompressor(level=9).compress(whole)


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whom a directory is believed from.

    Args:
        authority: The Ed25519 key of the authority that is known; empty if none is yet.
        generation: Its generation.
        root: The root certificate, DER: asked when another authority signs.
    """

    authority: bytes
    generation: int
    root: bytes = field(repr=False)


def open_sealed(data: bytes, trusted: Trusted, now: float) -> tuple[Directory, Trusted]:
    """Read and verify a directory.

    The certificate of an authority that is known already is not looked at again.

    Args:
        data: From a peer.
        trusted: Whom it is believed from.
        now: Seconds since 1970.

    Returns:
        The directory, and whom the next one is believed from.

    Raises:
        MalformedError, LimitError: Not a directory.
        IntegrityError: It is not signed by an authority of the root, or by one out of force.
    """
    row = _unpack(inflate(data, DIRECTORY_BYTES_MAX))
    if not isinstance(row, tuple) or len(row) != 3 or not all(isinstance(part, bytes) for part in row):
        raise MalformedError("expected (certificate, signature, content) in a directory")
    certificate, signature, packed = row
    if trusted.authority and VerifyKey(trusted.authority).verify(DOMAIN, packed, signature):
        return Directory.parse(packed), trusted
    from protocols import certificates

    authority = certificates.parse(certificate)
    directory = Directory.parse(packed)
    certificates.verify_authority(authority, certificates.parse(trusted.root), max(now, authority.not_before))
    assert authority.generation is not None, "an authority's certificate was verified"
    if authority.generation < trusted.generation:
        raise IntegrityError(
            f"the directory is signed by authority {authority.generation}, replaced by {trusted.generation}"
        )
    if not VerifyKey(authority.key).verify(DOMAIN, packed, signature):
        raise IntegrityError("the signature of a directory does not hold")
    return directory, Trusted(authority.key, authority.generation, trusted.root)


class Roster(AllowList):
    """The allow-list that directories make, with a list written by hand beside it.

    A node that a directory names, or whose keys are revoked, is not taken from the list by hand.

    Args:
        directories: The parts that are held.
        by_hand: Of `allow.toml`.
        now: Seconds since 1970.
    """

    def __init__(
        self, directories: Iterable[Directory], by_hand: Iterable[PublicIdentity], now: float
    ) -> None:
        held = tuple(directories)
        active: list[PublicIdentity] = []
        retired: list[PublicIdentity] = []
        limited: set[bytes] = set()
        unlimited: set[bytes] = set()
        named: set[str] = set()
        revoked = {keys for directory in held for keys in directory.revoked}
        gone = {key for keys in revoked for key in keys}
        self.changes_at = math.inf
        """When a certificate expires next, or an offline window ends: make another roster then."""
        for directory in held:
            for entry in directory.entries:
                named.add(entry.node.id)
                # An expired directory is that of a tier cut off: what it says counts as expired, too.
                end = min(entry.not_after, directory.expires)
                standing = entry._replace(not_after=int(end)).standing(now, directory.window_s)
                (active if standing is not Standing.NOTHING else retired).append(entry.node)
                if standing is not Standing.NOTHING:  # with two certificates, the better one counts
                    (unlimited if standing is Standing.ALL else limited).add(entry.node.link)
                retired += [_with_key(entry.node, key) for key in entry.retired]
                for change in (end, end + directory.window_s):
                    if change >= now:
                        self.changes_at = min(self.changes_at, change + 1)
        active += [
            node
            for node in by_hand
            if node.id not in named and not {node.signing, z85.decode(node.link)} & gone
        ]
        super().__init__(active, [node for node in retired if node.signing not in gone], limited - unlimited)
        self.quarantined: tuple[str, ...] = tuple(
            entry.node.id
            for directory in held
            for entry in directory.entries
            if entry.state is NodeState.QUARANTINED
        )

    def bar(self, links: Iterable[bytes]) -> None:
        """Let no connection in with these link keys (Z85); what they signed counts."""
        for link in links:
            self._by_link.pop(link, None)


def part_of(role: str) -> Part:
    """Where a node of this role is listed."""
    return Part.GATEWAYS if role == "gateway" else Part.STATIONS


def pieces(sealed: bytes, held_version: int, version: int, offset: int) -> Mapping[str, object]:
    """The answer to a `directory` call.

    Args:
        sealed: The whole, as it travels.
        held_version: What the caller has.
        version: What this is.
        offset: Where the piece begins.
    """
    if held_version >= version:
        return {"version": version, "total": 0, "piece": b""}
    return {"version": version, "total": len(sealed), "piece": sealed[offset : offset + PIECE_BYTES]}


class Assembly:
    """Puts the pieces of a directory together; pure.

    Args:
        held_version: What is held: nothing else is wanted.
    """

    def __init__(self, held_version: int) -> None:
        self._held_version = held_version
        self._version = -1
        self._pieces = b""
        self._total = -1

    def wanted(self, part: Part) -> dict[str, Any]:
        """The argument of the next call."""
        return {"part": int(part), "held": self._held_version, "offset": len(self._pieces)}

    def take(self, answer: object) -> bytes | None:
        """Take an answer; gives the whole when it is complete, and nothing when there is no newer.

        Raises:
            MalformedError, LimitError: Not such an answer.
        """
        fields = Fields.of(answer)
        version, total, piece = fields.whole("version"), fields.whole("total"), fields.value("piece")
        if not isinstance(piece, bytes):
            raise MalformedError("expected a piece's bytes")
        if total > DIRECTORY_BYTES_MAX:
            raise LimitError(f"expected at most {DIRECTORY_BYTES_MAX} bytes of directory, got {total}")
        if total <= 0:
            self._total = 0
            return None
        if version != self._version:  # another one was issued meanwhile
            fresh = self._version < 0
            self._version, self._total, self._pieces = version, total, b""
            if not fresh:
                return None
        if not piece or len(self._pieces) + len(piece) > total or total != self._total:
            raise MalformedError("the pieces of a directory do not fit together")
        self._pieces += piece
        return self._pieces if len(self._pieces) == total else None

    @property
    def done(self) -> bool:
        """Whether nothing more is wanted."""
        return self._total == 0 or 0 < self._total == len(self._pieces)


def _unpack(data: bytes) -> Any:
    try:
        return msgpack.unpackb(data, use_list=False, raw=False, max_array_len=3)
    except Exception as error:  # msgpack raises many kinds for bad bytes, none of them ours
        raise MalformedError(f"expected msgpack: {error!s:.120}") from error


def _entry_row(entry: Entry) -> tuple[Any, ...]:
    node = entry.node
    return (
        node.id,
        ROLES.index(node.role),
        node.site,
        node.signing,
        z85.decode(node.link),
        entry.serial.to_bytes(20).lstrip(b"\x00"),
        entry.not_before,
        entry.not_after,
        int(entry.state),
        entry.retired,
    )


def _parse_entry(row: object) -> Entry:
    if not isinstance(row, tuple) or len(row) != 10:
        raise MalformedError("expected an entry of 10 fields")
    id_, role, site, signing, link, serial, not_before, not_after, state, retired = row
    if not isinstance(id_, str) or not is_name(id_) or not isinstance(site, str):
        raise MalformedError(f"expected a node in an entry, got {id_!r:.80}")
    if (site and not is_name(site)) or role not in range(len(ROLES)) or isinstance(role, bool):
        raise MalformedError(f"expected role and site in the entry of {id_}")
    if not isinstance(retired, tuple) or not isinstance(serial, bytes) or len(serial) > 20:
        raise MalformedError(f"expected a serial and retired keys in the entry of {id_}")
    for key in (signing, link, *retired):
        if not isinstance(key, bytes) or len(key) != 32:
            raise MalformedError(f"expected keys of 32 bytes in the entry of {id_}")
    if not all(type(value) is int and 0 <= value < 1 << 40 for value in (not_before, not_after)):
        raise MalformedError(f"expected times in the entry of {id_}")
    if state not in list(NodeState):
        raise MalformedError(f"unknown state {state!r:.40} in the entry of {id_}")
    node = PublicIdentity(id_, ROLES[role], signing, z85.encode(link), site)
    return Entry(node, int.from_bytes(serial), not_before, not_after, NodeState(state), retired)


def _parse_revoked(row: object) -> tuple[bytes, bytes]:
    if (
        not isinstance(row, tuple)
        or len(row) != 2
        or not all(isinstance(k, bytes) and len(k) == 32 for k in row)
    ):
        raise MalformedError("expected two keys of 32 bytes in a revocation")
    return row[0], row[1]


def _with_key(node: PublicIdentity, signing: bytes) -> PublicIdentity:
    return PublicIdentity(node.id, node.role, signing, node.link, node.site)
