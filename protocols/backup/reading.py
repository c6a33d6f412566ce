"""Getting files out of a backup.

Rules:
1. Every piece is proved as it is read, and every file's hash once more as it is written.
2. A restored tree appears under its name at once and whole: it is built beside, flushed, renamed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from protocols import limits
from protocols.backup.manifest import COMPLETE, Entry, Manifest, object_name
from protocols.backup.meter import Meter
from protocols.backup.repository import Repository, Unreadable
from protocols.backup.sealed import DamagedError
from protocols.durable import flush_filesystem, flush_folder
from protocols.errors import InputError, Problem, StoreError, StoreFullError

PIECES_KEPT = 4
"""Pieces kept in memory for each thread's next file: small ones follow each other in a pack."""


def choose(repository: Repository, id: str = "", at_us: int | None = None) -> tuple[Manifest, Manifest]:
    """Which runs to restore from.

    Args:
        repository: Where they are.
        id: This one alone; empty: by time.
        at_us: Nothing later than that, microseconds since 1970.

    Returns:
        The complete run, and the run for what is neither lake nor archive: that one, or a later
        one of metadata.

    Raises:
        InputError: There is no such run.
        DamagedError: One that would be chosen is damaged: what is older is given by `id` only.
    """
    if id:
        if id not in repository.ids():
            expected = "the name of a run; see: backup list"
            raise InputError([Problem(repository.store.where, "--id", id, expected)])
        chosen = repository.manifest(id)
        return chosen, chosen
    newest: Manifest | None = None
    for each in repository.manifests():
        if isinstance(each, Unreadable):
            raise DamagedError(each.error.name, f"{each.error.text}; an older run is chosen by --id")
        if at_us is not None and each.time_us > at_us:
            continue
        newest = newest or each
        if each.kind == COMPLETE:
            return each, newest
    expected = "a complete run, not later than asked for; see: backup list"
    raise InputError([Problem(repository.store.where, "runs", "none", expected)])


def entries_of(complete: Manifest, newest: Manifest) -> list[Entry]:
    """The files of both: `home` as the newer one has it, all else as the complete one has it."""
    others = [entry for entry in complete.entries if entry.part != "home"] if complete is not newest else []
    return [*newest.entries, *others]


def extract(
    repository: Repository, entries: Sequence[Entry], roots: Mapping[str, Path], meter: Meter
) -> None:
    """Write files, each proved by its hash.

    Args:
        repository: Where they come from.
        entries: Which.
        roots: The folder of each part.
        meter: Told of the bytes that are done.

    Raises:
        DamagedError: Part of the backup is missing or damaged.
        StoreError: The disk refused.
    """
    meter.begin("restore", sum(entry.size for entry in entries))
    for folder in {roots[entry.part] / entry.path for entry in entries}:
        folder.parent.mkdir(parents=True, exist_ok=True)
    # Files that share a piece follow each other, in one thread.
    ordered = sorted(entries, key=lambda entry: (entry.pieces[:1], entry.at))
    groups: dict[str, list[Entry]] = {}
    for entry in ordered:
        groups.setdefault(entry.pieces[0] if entry.pieces else "", []).append(entry)

    def write_group(group: list[Entry]) -> None:
        kept: OrderedDict[str, bytes] = OrderedDict()
        for entry in group:
            _write(repository, entry, roots[entry.part] / entry.path, kept, meter)

    with ThreadPoolExecutor(limits.BACKUP_THREADS, "backup") as pool:
        running = [pool.submit(write_group, group) for group in groups.values()]
        try:
            for each in running:
                each.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def place(building: Mapping[Path, Path]) -> None:
    """Give built trees their names, the last one last.

    Args:
        building: Trees that are whole, and their names.

    Raises:
        StoreError: The disk refused.
    """
    try:
        for built, target in building.items():
            flush_filesystem(built)
            if target.exists():
                target.rmdir()
            built.replace(target)
            flush_folder(target.parent)
    except OSError as error:
        raise StoreError(
            f"{error.filename}: {error.strerror}; expected an empty place on one disk"
        ) from error


def refuse_full(target: Path) -> None:
    """Restore onto nothing that is in use.

    Raises:
        InputError: There is something already.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        expected = "an empty or a new directory; move what is there away"
        raise InputError([Problem(str(target), "--to", "a directory that is not empty", expected)])


def refuse_no_room(folder: Path, entries: Iterable[Entry]) -> None:
    """See that a tree will fit.

    Args:
        folder: The next existing folder above counts.
        entries: What will be there.

    Raises:
        StoreFullError: It will not.
    """
    while not folder.exists():
        folder = folder.parent
    need = sum(entry.size + 4096 for entry in entries)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise StoreFullError(f"{folder}: expected {need:,} bytes of free disk, got {free:,}; choose another")


def remove(folders: Collection[Path]) -> None:
    """Remove trees that were built."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _write(
    repository: Repository, entry: Entry, path: Path, kept: OrderedDict[str, bytes], meter: Meter
) -> None:
    whole = hashlib.sha256()
    skip, left = entry.at, entry.size
    try:
        with path.open("xb") as file:
            os.fchmod(file.fileno(), entry.mode)
            for piece in entry.pieces:
                content = _piece(repository, piece, kept)
                part = content[skip : skip + left]
                skip = max(0, skip - len(content))
                left -= len(part)
                whole.update(part)
                file.write(part)
                meter.add(len(part))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; expected a disk with room") from error
    if left or whole.hexdigest() != entry.sha256:
        name = object_name(entry.pieces[0]) if entry.pieces else entry.place
        raise DamagedError(name, f"{entry.place} has another hash than the list of the run says")


def _piece(repository: Repository, piece: str, kept: OrderedDict[str, bytes]) -> bytes:
    content = kept.get(piece)
    if content is None:
        content = kept[piece] = repository.piece(piece)
        if len(kept) > PIECES_KEPT:
            kept.popitem(last=False)
    return content
