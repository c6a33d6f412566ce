"""Backups in memory and on disk, without a node: what tests of them are built from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from headquarters.cli import main as headquarters_cli
from protocols.backup.keys import BackupKey, draw
from protocols.backup.manifest import COMPLETE, Manifest
from protocols.backup.meter import Meter
from protocols.backup.repository import Repository
from protocols.backup.restore import PLACES
from protocols.backup.store import MissingError
from protocols.backup.writing import Source, Writing
from protocols.identity import Identity

NODE = Identity.generate("headquarters", "headquarters")
DAY_US = 86_400_000_000


class MemoryStore:
    """Objects in a dictionary that anybody may damage."""

    where = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts = 0

    def put(self, name: str, data: bytes) -> None:
        self.puts += 1
        self.objects[name] = data

    def get(self, name: str) -> bytes:
        if name not in self.objects:
            raise MissingError(f"{name}: it is not there")
        return self.objects[name]

    def names(self, prefix: str) -> Iterator[str]:
        return iter([name for name in self.objects if name.startswith(prefix + "/")])

    def delete(self, name: str) -> None:
        self.objects.pop(name, None)


def begin(store: MemoryStore, node: Identity = NODE) -> Repository:
    """An empty backup whose key is known to its object alone."""
    description, secret = draw(node.id, node.public.role, "2026-11-26T00:00:00Z", None)
    key = BackupKey.of(secret)
    store.put("repository.json", description.pack(key))
    return Repository(store, description, key)


def sources(folder: Path, files: dict[str, bytes], piece_bytes: int = 1 << 20) -> list[Source]:
    """Files on the disk, to be kept."""
    found = []
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        found.append(Source("home", path, file, len(content), 0o640, piece_bytes))
    return found


def add_run(
    repository: Repository,
    id: str,
    kept: list[Source],
    *,
    time_us: int = 0,
    kind: str = COMPLETE,
    before: Manifest | None = None,
    full: bool = False,
) -> Manifest:
    """One run under a name of the test's choice."""
    writing = Writing(repository, () if before is None else before.entries, full, Meter())
    entries = writing.write(kept)
    manifest = Manifest(
        id=id,
        kind=kind,
        full=full,
        time_us=time_us,
        finished_us=time_us,
        node=NODE.id,
        role="headquarters",
        previous="" if before is None else before.id,
        written=writing.written,
        entries=tuple(entries),
        facts={PLACES: {}},
    )
    repository.put_manifest(manifest, NODE.signing)
    return repository.manifest(id)


def operate(command: str, *arguments: str, code: int = 0, program: Any = headquarters_cli) -> list[Any]:
    """A command of `backup`, in this process; the objects that it prints but for progress."""
    done = CliRunner().invoke(program, ["backup", command, *arguments, "--json"])
    assert done.exit_code == code, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == "done"]
