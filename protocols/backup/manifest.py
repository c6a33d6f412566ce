"""What one run of a backup holds: every file with its hash and its pieces, signed by the node.

Rules:
1. A manifest is written last, when everything it names is stored: a run that was cut left none.
2. It is sealed like any object, under its own name, and signed with the node's key (Ed25519); so
   it comes from that node, and is the one of that name.
3. A file is a slice of its pieces put together: whole pieces of a large one, a part of one piece
   that small files share.
4. A *complete* run has everything, a *metadata* run what is not lake and not archive.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from protocols.backup.sealed import DamagedError
from protocols.identity import SigningKey, VerifyKey

FORMAT = "catchment-backup-manifest-1"
COMPLETE, METADATA = "complete", "metadata"
FOLDER = "manifests"
OBJECTS = "objects"

_NAMES = "surrogateescape"
"""Names of files are bytes; those that are no UTF-8 pass through, too."""

_DOMAIN = b"catchment-backup-manifest-1\0"


class Entry(NamedTuple):
    """One file.

    Args:
        part: What it belongs to: `home`, or a folder that may lie elsewhere, such as `lake`.
        path: Relative to that, with `/`.
        mode: Permissions.
        size: Bytes.
        sha256: Of its content, hexadecimal.
        pieces: Names of its pieces, in order.
        at: Where in them it begins.
    """

    part: str
    path: str
    mode: int
    size: int
    sha256: str
    pieces: tuple[str, ...]
    at: int = 0

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.part}/{self.path}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One run.

    Args:
        id: Its name, which sorts by time: `20261126T120000.000Z-1a2b3c4d`.
        kind: `complete` or `metadata`.
        full: Whether everything was written anew.
        time_us: Everything that was durable then is in it; microseconds since 1970.
        finished_us: When it was done.
        node: Whose.
        role: Its role.
        previous: The run before it; empty for the first.
        written: Bytes that it sent.
        entries: Every file.
        facts: What only the node knows of it, such as the rows of tables.
        signer: Who signed it: an Ed25519 public key, hexadecimal.
    """

    id: str
    kind: str
    full: bool
    time_us: int
    finished_us: int
    node: str
    role: str
    previous: str
    written: int
    entries: tuple[Entry, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    signer: str = ""

    @property
    def name(self) -> str:
        """Its object's name."""
        return manifest_name(self.id)

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(entry.size for entry in self.entries)

    def pieces(self) -> Iterator[str]:
        """Names of all pieces, some of them more than once."""
        for entry in self.entries:
            yield from entry.pieces

    def parts(self) -> set[str]:
        """The parts that it has files of."""
        return {entry.part for entry in self.entries}

    def pack(self, signer: SigningKey) -> bytes:
        """As it is sealed: a line with the signature, then the document."""
        numbers: dict[str, int] = {}
        rows = [
            [*entry[:5], [numbers.setdefault(piece, len(numbers)) for piece in entry.pieces], entry.at]
            for entry in self.entries
        ]
        document = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in _PLAIN},
            "pieces": list(numbers),
            "entries": rows,
        }
        body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", _NAMES)
        signature = signer.sign(_DOMAIN, body)
        return f"{signer.public.hex()} {signature.hex()}\n".encode("ascii") + body


_PLAIN = ("id", "kind", "full", "time_us", "finished_us", "node", "role", "previous", "written", "facts")


def parse(id: str, content: bytes, signers: Sequence[bytes] = ()) -> Manifest:
    """Read what `Manifest.pack` wrote.

    Args:
        id: Under which name it was stored.
        content: The opened object.
        signers: Whose signature counts, Ed25519 public keys; none: that of whoever it names.

    Raises:
        DamagedError: It is no manifest, not the one of this name, or not signed so.
    """
    name = manifest_name(id)
    head, _, body = content.partition(b"\n")
    try:
        signer, signature = (bytes.fromhex(part) for part in head.decode("ascii").split(" "))
        if not VerifyKey(signer).verify(_DOMAIN, body, signature):
            raise ValueError("its signature does not hold")
        document = json.loads(body.decode("utf-8", _NAMES))
        if document["format"] != FORMAT or document["id"] != id:
            raise ValueError(f"it is {document['format']!r} {document['id']!r}")
        names = document["pieces"]
        entries = tuple(
            Entry(part, path, mode, size, sha256, tuple(names[number] for number in numbers), at)
            for part, path, mode, size, sha256, numbers, at in document["entries"]
        )
        found = Manifest(**{plain: document[plain] for plain in _PLAIN}, entries=entries, signer=signer.hex())
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DamagedError(name, f"expected the signed list of a run: {error}", 0, len(content)) from error
    if signers and signer not in signers:
        raise DamagedError(name, f"it is signed by {signer.hex()[:16]}, which is no key of this node")
    for entry in found.entries:
        _refuse_escape(name, entry)
    return found


def manifest_name(id: str) -> str:
    """The object of a run."""
    return f"{FOLDER}/{id}"


def object_name(piece: str) -> str:
    """The object of a piece."""
    return f"{OBJECTS}/{piece[:2]}/{piece}"


def holders(piece: str, manifests: Iterable[Manifest]) -> list[str]:
    """Which files need a piece, the newest run's first, at most three."""
    places: dict[str, None] = {}
    for manifest in manifests:
        for entry in manifest.entries:
            if piece in entry.pieces:
                places.setdefault(entry.place)
                if len(places) == 3:
                    return list(places)
    return list(places)


def _refuse_escape(name: str, entry: Entry) -> None:
    """A path that leaves its folder is never written, whoever signed it."""
    path = PurePosixPath(entry.path)
    if path.is_absolute() or ".." in path.parts or not path.parts or "/" in entry.part:
        raise DamagedError(name, f"expected a path inside its folder, got {entry.place!r}")
