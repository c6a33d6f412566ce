"""The state of apps on disk: what a restart goes on with.

Rules:
1. A snapshot younger than `RESUME_S` is taken over whole: timers go on. An older one gives
   its RETAIN variables only: a cold start.
2. It belongs to a package and its instances, and to the generator that laid the state out;
   with others it gives nothing. Other parameters or points go on with it: whoever tunes a
   limit keeps the totals.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgpack

from edge_runtime.apps.installed import InstalledApp
from edge_runtime.rules.program import GENERATOR
from protocols.durable import write_bytes_durably

RESUME_S = 300
"""A gateway that was away longer has missed too much for a timer to mean what it says."""

FOLDER = Path("app-state")


class Snapshot(NamedTuple):
    """State that was found.

    Args:
        time_us: Of the scan after which it was taken.
        parts: See `LiveApp.snapshot`.
    """

    time_us: int
    parts: tuple[bytes, ...]


def key(app: InstalledApp) -> str:
    """What a snapshot belongs to."""
    words = [str(GENERATOR), app.sha256, *(instance.name for instance in app.instances)]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def save(data: Path, app: InstalledApp, snapshot: Snapshot) -> None:
    """Make a snapshot durable in the place of the one before.

    Raises:
        StoreError: The disk failed.
    """
    path = data / FOLDER / f"{app.id}.state"
    write_bytes_durably(path, msgpack.packb([key(app), snapshot.time_us, list(snapshot.parts)]))


def find(data: Path, app: InstalledApp) -> Snapshot | None:
    """The last snapshot of this very app, or `None`."""
    try:
        found = msgpack.unpackb((data / FOLDER / f"{app.id}.state").read_bytes())
        owner, time_us, parts = found
    except (OSError, ValueError, TypeError, msgpack.UnpackException):
        return None
    sound = isinstance(time_us, int) and isinstance(parts, list) and all(isinstance(p, bytes) for p in parts)
    return Snapshot(time_us, tuple(parts)) if sound and owner == key(app) else None
