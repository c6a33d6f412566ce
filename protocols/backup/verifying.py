"""Proving a backup whole, byte by byte.

Rules:
1. Every object there is gets read: its seal, and its content's hash against its name. Those of runs
   that were cut are among them, because the next run relies on them.
2. Every run's list gets read: its seal, its signature, and that all it names is there and long enough.
3. A fault is told with the object, the bytes, and the files that need it.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from protocols import limits
from protocols.backup.manifest import Manifest, holders, manifest_name
from protocols.backup.meter import Meter
from protocols.backup.repository import Repository, Unreadable
from protocols.backup.sealed import DamagedError


@dataclass(slots=True)
class Verified:
    """What `verify` found.

    Args:
        manifests: Runs that are signed and readable.
        objects: Objects that were opened.
        bytes: Content in them.
        unused: Objects that no run names; `prune` removes them.
        faults: Name of the object and what is wrong.
    """

    manifests: int = 0
    objects: int = 0
    bytes: int = 0
    unused: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        faults = [{"object": name, "fault": text} for name, text in self.faults]
        return {
            "manifests": self.manifests,
            "objects": self.objects,
            "bytes": self.bytes,
            "unused": self.unused,
            "faults": faults,
        }


def verify(repository: Repository, meter: Meter, last: str = "") -> Verified:
    """Read everything and hold it against its names, hashes and signatures.

    Args:
        repository: What to read.
        meter: Told of the objects that are done.
        last: The run that must be among them; empty: none is known.

    Raises:
        StoreError: The place cannot be read.
    """
    found = Verified()
    manifests = []
    for each in repository.manifests():
        if isinstance(each, Unreadable):
            found.faults.append((each.error.name, each.error.text))
        else:
            manifests.append(each)
    found.manifests = len(manifests)
    if last and last not in repository.ids():
        text = "it is not there, and this node made it; somebody removed it, or went back to an older state"
        found.faults.append((manifest_name(last), text))
    used = {piece for manifest in manifests for piece in manifest.pieces()}
    held = repository.held()
    found.unused = len(held - used)
    lengths, broken = _read_all(repository, held | used, meter)
    for piece in sorted(broken):
        error, needed = broken[piece], holders(piece, manifests)
        found.faults.append(
            (error.name, f"{error.text}; it holds {', '.join(needed)}" if needed else error.text)
        )
    found.objects, found.bytes = len(lengths), sum(lengths.values())
    found.faults += _too_short(manifests, lengths)
    return found


def _read_all(
    repository: Repository, pieces: Collection[str], meter: Meter
) -> tuple[dict[str, int], dict[str, DamagedError]]:
    """The length of each piece that is right, and what is wrong with each other one."""
    lengths: dict[str, int] = {}
    broken: dict[str, DamagedError] = {}
    lock = threading.Lock()
    meter.begin("verify", len(pieces))

    def look(piece: str) -> None:
        try:
            length = len(repository.piece(piece))
        except DamagedError as error:
            with lock:
                broken[piece] = error
        else:
            with lock:
                lengths[piece] = length
        meter.add(1)

    with ThreadPoolExecutor(limits.BACKUP_THREADS, "backup") as pool:
        for _ in pool.map(look, sorted(pieces)):
            pass
    return lengths, broken


def _too_short(manifests: Sequence[Manifest], lengths: dict[str, int]) -> list[tuple[str, str]]:
    """Files that are longer than the pieces that hold them."""
    faults = []
    for manifest in manifests:
        for entry in manifest.entries:
            if all(piece in lengths for piece in entry.pieces):
                have = sum(lengths[piece] for piece in entry.pieces)
                if have < entry.at + entry.size:
                    text = f"{entry.place} has {entry.at + entry.size:,} bytes, its pieces {have:,}"
                    faults.append((manifest.name, text))
    return faults
