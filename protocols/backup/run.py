"""One run of a backup, whatever the node: snapshot, what is new, the signed list, and then the word.

Rules:
1. Order: the node's snapshot, its files, the manifest, then what the node does with a finished
   run. Killed anywhere before the manifest, the run never was, and what it sent is not sent again.
2. One run or prune at a time for a home: a lock sees to that, and ends with its process.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from protocols.backup.manifest import COMPLETE, METADATA, Entry, Manifest
from protocols.backup.meter import Meter
from protocols.backup.repository import Repository, Unreadable
from protocols.backup.sealed import DamagedError
from protocols.backup.snapshot import fresh
from protocols.backup.writing import Source, Writing
from protocols.daemon import alone, iso_time
from protocols.durable import write_durably
from protocols.errors import InputError, Problem, StoreError
from protocols.identity import Identity

FOLDER = "backup"
"""Below `data/`: the lock, the snapshot of a run under way, and which run was the last."""

LAST = "last.json"
SNAPSHOT = "snapshot"


@dataclass(slots=True)
class Snapshot:
    """What a node hands over to be kept.

    Args:
        time_us: Everything durable then is in it.
        sources: The files.
        facts: What the manifest says of them.
        notes: What the operator should know.
    """

    time_us: int
    sources: list[Source]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Done:
    """A run that is finished.

    Args:
        manifest: What it wrote.
        seconds: How long it took.
        notes: What the operator should know.
    """

    manifest: Manifest
    seconds: float
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        manifest = self.manifest
        return {
            "event": "done",
            **summary(manifest),
            "seconds": round(self.seconds, 3),
            "notes": self.notes,
        }


def summary(manifest: Manifest) -> dict[str, Any]:
    """A run as lists show it."""
    tables = manifest.facts.get("tables", {})
    return {
        "id": manifest.id,
        "kind": manifest.kind,
        "full": manifest.full,
        "time": iso_time(manifest.time_us / 1e6),
        "node": manifest.node,
        "files": len(manifest.entries),
        "bytes": manifest.size,
        "written_bytes": manifest.written,
        "rows": {name: table["rows"] for name, table in tables.items()},
        "signer": manifest.signer[:16],
    }


def run(
    repository: Repository,
    identity: Identity,
    data: Path,
    take: Callable[[Path, bool], Snapshot],
    *,
    full: bool,
    metadata_only: bool,
    meter: Meter,
    finished: Callable[[Manifest], list[str]] = lambda manifest: [],
    clean: Callable[[], None] = lambda: None,
) -> Done:
    """Make one run.

    Args:
        repository: Where it goes.
        identity: The node; signs.
        data: The node's data directory.
        take: Makes the snapshot, given an empty folder, and whether of metadata only.
        full: Send everything anew.
        metadata_only: Leave out what is not the home's own.
        meter: Told of progress.
        finished: Told of a run that is durable; returns notes.
        clean: Removes what `take` left outside its folder.

    Raises:
        InputError: It is the backup of another node.
        DamagedError: A run that this one builds on is damaged, and `full` was not asked for.
        StoreError: The disk or the place failed.
    """
    described = repository.description
    if (described.node, described.role) != (identity.id, identity.public.role):
        found = f"the backup of {described.role} {described.node!r}"
        expected = f"that of {identity.public.role} {identity.id!r}; choose another place"
        raise InputError([Problem(repository.store.where, "", found, expected)])
    began = time.monotonic()
    with working(data) as folder:
        try:
            before = [] if full else _before(repository)
            previous = max(repository.ids(), default="")
            snapshot = take(fresh(folder / SNAPSHOT), metadata_only)
            writing = Writing(repository, before, full, meter)
            entries = writing.write(snapshot.sources)
            now_us = time.time_ns() // 1000
            manifest = Manifest(
                id=name_after(previous, now_us),
                kind=METADATA if metadata_only else COMPLETE,
                full=full,
                time_us=snapshot.time_us,
                finished_us=now_us,
                node=identity.id,
                role=identity.public.role,
                previous=previous,
                written=writing.written,
                entries=tuple(entries),
                facts=snapshot.facts,
                signer=identity.signing.public.hex(),
            )
            repository.put_manifest(manifest, identity.signing)
            _note_last(folder, described.id, manifest.id)
            notes = snapshot.notes + finished(manifest)
        finally:
            clean()
            fresh(folder / SNAPSHOT)
    return Done(manifest, time.monotonic() - began, notes)


@contextmanager
def working(data: Path) -> Iterator[Path]:
    """The node's folder for backups, for this process alone.

    Raises:
        StoreError: Another one is at it, or the disk refused.
    """
    folder = data / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}; expected a folder that this user can write") from error
    with alone(folder):
        yield folder


def last_of(data: Path, repository: Repository) -> str:
    """The last run that this node made at a place; empty where none is known."""
    try:
        found: Mapping[str, str] = json.loads((data / FOLDER / LAST).read_text(encoding="utf-8"))
        return found["run"] if found["repository"] == repository.description.id else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _note_last(folder: Path, repository: str, run: str) -> None:
    write_durably(folder / LAST, json.dumps({"repository": repository, "run": run}) + "\n")


def name_after(previous: str, now_us: int) -> str:
    """The name of a run: by its time, and behind those before it, even where the clock was set back.

    >>> name_after("", 1_790_000_000_000_000)[:20], name_after("20991231T235959.999Z-00000000", 0)[:20]
    ('20260921T141320.000Z', '21000101T000000.000Z')
    """
    stamp = datetime.fromtimestamp(now_us / 1e6, UTC)
    if previous:
        before = datetime.strptime(previous.partition("-")[0], "%Y%m%dT%H%M%S.%f%z")
        stamp = max(stamp, before + timedelta(milliseconds=1))
    return f"{stamp:%Y%m%dT%H%M%S}.{stamp.microsecond // 1000:03d}Z-{secrets.token_hex(4)}"


def _before(repository: Repository) -> list[Entry]:
    """The files of the newest run, and beside it those of the newest complete one."""
    entries: list[Entry] = []
    for each in repository.manifests():
        if isinstance(each, Unreadable):
            raise DamagedError(each.error.name, f"{each.error.text}; run it with --full")
        if each.kind == COMPLETE:
            return [*each.entries, *entries]
        entries = entries or list(each.entries)
    return entries
