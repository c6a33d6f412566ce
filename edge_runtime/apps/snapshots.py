"""The state of apps on disk: what a restart goes on with.

Rules:
1. A snapshot younger than `RESUME_S` is taken over whole: timers go on. It belongs to a
   package, to instances, and to the generator that laid the state out. Other parameters or
   points go on with it: whoever tunes a limit keeps the totals.
2. An older one, and one of another version or of other instances, gives RETAIN variables
   only, by instance, program, name and type: a cold start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgpack

from edge_runtime.apps.installed import InstalledApp
from edge_runtime.rules.apps.app import LiveApp
from edge_runtime.rules.program import GENERATOR
from protocols.durable import write_bytes_durably

RESUME_S = 300
"""A gateway that was away longer has missed too much for a timer to mean what it says."""

FOLDER = Path("app-state")


class Snapshot(NamedTuple):
    """State that was found.

    Args:
        time_us: Of the scan after which it was taken.
        parts: See `LiveApp.snapshot`; empty when it is of another version or other instances.
        retained: By name of the instance, see `LiveApp.retained`.
    """

    time_us: int
    parts: tuple[bytes, ...]
    retained: Mapping[str, Mapping[str, Mapping[str, bytes]]]


def key(app: InstalledApp) -> str:
    """What a snapshot belongs to."""
    words = [str(GENERATOR), app.sha256, *(instance.name for instance in app.instances)]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def take(app: InstalledApp, live: LiveApp, time_us: int) -> Snapshot:
    """The state of an app after the scan of this time."""
    names = [instance.name for instance in app.instances]
    return Snapshot(time_us, tuple(live.snapshot()), dict(zip(names, live.retained(), strict=True)))


def give(app: InstalledApp, live: LiveApp, found: Snapshot, now_us: int) -> bool:
    """Let an app go on from what was found. Returns whether it goes on with everything: a warm start.

    Raises:
        ValueError: The state is of another size.
    """
    if found.parts and now_us - found.time_us <= RESUME_S * 1_000_000:
        live.restore(found.parts)
        return True
    for index, instance in enumerate(app.instances):
        live.retain(index, found.retained.get(instance.name, {}))
    return False


def save(data: Path, app: InstalledApp, snapshot: Snapshot) -> None:
    """Make a snapshot durable in the place of the one before.

    Raises:
        StoreError: The disk failed.
    """
    path = data / FOLDER / f"{app.id}.state"
    content = [key(app), snapshot.time_us, list(snapshot.parts), snapshot.retained]
    write_bytes_durably(path, msgpack.packb(content))


def find(data: Path, app: InstalledApp) -> Snapshot | None:
    """The last snapshot of this app, or `None`."""
    try:
        found = msgpack.unpackb((data / FOLDER / f"{app.id}.state").read_bytes())
        owner, time_us, parts, retained = found
    except (OSError, ValueError, TypeError, msgpack.UnpackException):
        return None
    sound = isinstance(time_us, int) and isinstance(parts, list) and all(isinstance(p, bytes) for p in parts)
    if not sound or not _is_retained(retained):
        return None
    return Snapshot(time_us, tuple(parts) if owner == key(app) else (), retained)


def _is_retained(found: object) -> bool:
    """Whether this is bytes by variable, by program, by instance."""
    depth: list[object] = [found]
    for _ in range(3):
        if not all(isinstance(each, dict) for each in depth):
            return False
        depth = [inner for each in depth if isinstance(each, dict) for inner in each.values()]
    return all(isinstance(each, bytes) for each in depth)
