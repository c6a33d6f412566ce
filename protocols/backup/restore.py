"""Putting a node back onto an empty machine, at once and whole.

Rules:
1. Everything is built beside its place (`.NAME.restoring`), every file proved; then folders that
   lie outside the home get their names, and the home last. A cut leaves no home.
2. What is in use is never touched: every place must be new or empty.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocols.backup import reading
from protocols.backup.manifest import Entry, Manifest
from protocols.backup.meter import Meter
from protocols.backup.repository import Repository
from protocols.backup.snapshot import fresh
from protocols.daemon import iso_time

PLACES = "places"
"""Of a manifest's facts: where the parts beside `home` lie, as the configuration says it."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored.

    Args:
        complete: The run that everything but the home's own is from.
        newest: The run that the home's own files are from.
        files: How many.
        bytes: Their bytes.
        seconds: How long it took.
        places: Where each part is now.
    """

    complete: Manifest
    newest: Manifest
    files: int
    bytes: int
    seconds: float
    places: Mapping[str, Path]

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "event": "done",
            "run": self.complete.id,
            "metadata_run": self.newest.id,
            "time": iso_time(self.complete.time_us / 1e6),
            "metadata_time": iso_time(self.newest.time_us / 1e6),
            "files": self.files,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "places": {part: str(path) for part, path in self.places.items()},
        }


def restore(
    repository: Repository, target: Path, meter: Meter, *, id: str = "", at_us: int | None = None
) -> Restored:
    """Restore a node's home, and the folders outside it.

    Args:
        repository: Where from.
        target: The home; new or empty.
        meter: Told of progress.
        id: See `reading.choose`.
        at_us: See `reading.choose`.

    Raises:
        InputError: There is no such run, or a place is in use.
        DamagedError: Part of the backup is missing or damaged; nothing was restored.
        StoreError: The disk or the place failed; nothing was restored.
    """
    began = time.monotonic()
    target = target.absolute()
    complete, newest = reading.choose(repository, id, at_us)
    entries = reading.entries_of(complete, newest)
    places = places_of(newest, target)
    building = _beside(target)
    roots = {part: _built(path, target, building) for part, path in places.items()}
    outside = {built: places[part] for part, built in roots.items() if not built.is_relative_to(building)}
    for path in (target, *outside.values()):
        reading.refuse_full(path)
    reading.refuse_no_room(target.parent, entries)
    trees = {**outside, building: target}
    try:
        for built in trees:
            fresh(built)
        reading.extract(repository, entries, roots, meter)
        reading.place(trees)
    finally:
        reading.remove(trees.keys())
    size = sum(entry.size for entry in entries)
    return Restored(complete, newest, len(entries), size, time.monotonic() - began, places)


def restore_aside(
    repository: Repository, complete: Manifest, newest: Manifest, folder: Path, meter: Meter
) -> tuple[Sequence[Entry], dict[str, Path]]:
    """Restore everything below one folder, wherever it lies otherwise.

    Args:
        repository: Where from.
        complete: See `reading.choose`.
        newest: See `reading.choose`.
        folder: An empty folder.
        meter: Told of progress.

    Returns:
        The files, and the folder of each part.

    Raises:
        DamagedError: Part of the backup is missing or damaged.
        StoreError: The disk or the place failed.
    """
    entries = reading.entries_of(complete, newest)
    home = folder / "home"
    inside = places_of(newest, home)
    roots = {
        part: path if path.is_relative_to(home) else folder / "outside" / part
        for part, path in inside.items()
    }
    reading.refuse_no_room(folder, entries)
    reading.extract(repository, entries, roots, meter)
    return entries, roots


def places_of(manifest: Manifest, home: Path) -> dict[str, Path]:
    """Where each part of a run belongs.

    Args:
        manifest: The run.
        home: The home directory.
    """
    places = {part: Path(os.path.normpath(home / path)) for part, path in manifest.facts[PLACES].items()}
    return {"home": home, **places}


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.restoring")


def _built(path: Path, target: Path, building: Path) -> Path:
    if path.is_relative_to(target):
        return building / path.relative_to(target)
    return _beside(path)
