"""The lake and the archive as they are at one moment, beside the process that writes them.

Rules:
1. A commit writes archive, ledger, series, gaps, events, samples, in this order. They are pinned
   the other way round, and what follows the samples (roll-ups, how far they are) before those: a
   later step of a commit is never here without the earlier ones. A restored lake is then as after
   a crash between two steps, which every start knows how to finish.
2. A table is its log from the last checkpoint on and the files that this log names. Files have
   their content for good; segments of the archive only grow.
3. Pinned is by links, in a folder of the same disk: vacuum and retention may go on meanwhile.

Source: Delta Transaction Log Protocol, "Checkpoints"; `headquarters.ingest.cycle` for the order.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from headquarters.lake import schema
from headquarters.lake.deltalog import LOG, State, replay
from headquarters.lake.rollup import STATE
from protocols.backup.snapshot import fresh, pin
from protocols.backup.writing import Source
from protocols.errors import StoreDamagedError

PINNED = ".pinned"
"""Below the lake, and below the archive: neither looks at it."""

LAKE, ARCHIVE = "lake", "archive"
"""Parts of a run."""

ORDER = (
    schema.SAMPLES_HOUR.name,
    schema.SAMPLES_MINUTE.name,
    schema.SAMPLES.name,
    schema.EVENTS.name,
    schema.GAPS.name,
    schema.SERIES.name,
    schema.LEDGER.name,
)
assert set(ORDER) == {table.name for table in schema.TABLES}

_LAST_CHECKPOINT = "_last_checkpoint"


class PinnedLake:
    """A lake's tables, pinned.

    Args:
        lake: The lake.

    Raises:
        StoreDamagedError: A table names a file that is not there, or its log cannot be read.
        StoreError: The disk refused.
    """

    def __init__(self, lake: Path) -> None:
        self.folder = fresh(lake / PINNED)
        self.tables: dict[str, dict[str, int]] = {}
        self._sources: list[Source] = []
        rolled = -1
        if (lake / STATE).exists():
            content = (lake / STATE).read_bytes()
            (self.folder / STATE).write_bytes(content)
            rolled = int(json.loads(content)["version"])
            self._add(STATE, fixed=False)
        for name in ORDER:
            self._pin_table(lake, name, rolled if name == schema.SAMPLES.name else None)

    def sources(self) -> list[Source]:
        """The files, to be kept."""
        return self._sources

    def _pin_table(self, lake: Path, name: str, since: int | None) -> None:
        log = lake / name / LOG
        if not log.is_dir():
            return
        state = self._pin_log(log, f"{name}/{LOG}", since)
        for path in state.files:
            try:
                pin(lake / name / path, self.folder / name / path)
            except FileNotFoundError as error:
                raise StoreDamagedError(
                    f"expected {lake / name / path}, which the table {name} names; restore it from a backup"
                ) from error
            self._add(f"{name}/{path}", fixed=True)
        files = state.files.values()
        self.tables[name] = {
            "version": state.version,
            "files": len(files),
            "rows": sum(file.rows for file in files),
            "bytes": sum(file.size for file in files),
        }

    def _pin_log(self, log: Path, relative: str, since: int | None) -> State:
        """Pin a log from its last checkpoint on, and from the version `since` where that is older."""
        target = self.folder / relative
        target.mkdir(parents=True)
        version = -1
        if (log / _LAST_CHECKPOINT).exists():
            content = (log / _LAST_CHECKPOINT).read_bytes()
            (target / _LAST_CHECKPOINT).write_bytes(content)
            self._add(f"{relative}/{_LAST_CHECKPOINT}", fixed=False)
            version = int(json.loads(content)["version"])
            for path in sorted(log.glob(f"{version:020d}.checkpoint*.parquet")):
                pin(path, target / path.name)
                self._add(f"{relative}/{path.name}", fixed=False)
        first = version + 1 if since is None else min(version, since) + 1
        for path in _commits(log, first, version):
            pin(path, target / path.name)
            self._add(f"{relative}/{path.name}", fixed=False)
        return replay(target)

    def _add(self, path: str, *, fixed: bool) -> None:
        file = self.folder / path
        self._sources.append(Source(LAKE, path, file, file.stat().st_size, fixed=fixed))


def _commits(log: Path, first: int, checkpoint: int) -> Iterator[Path]:
    """The commits from one on; before the checkpoint some may be gone already, behind it none."""
    number = first
    while True:
        path = log / f"{number:020d}.json"
        if path.exists():
            yield path
        elif number > checkpoint:
            return
        number += 1


def pin_archive(archive: Path) -> list[Source]:
    """Pin what the archive holds now.

    Raises:
        StoreError: The disk refused.
    """
    if not archive.is_dir():
        return []
    folder = fresh(archive / PINNED)
    sources = []
    for path in sorted(archive.glob("*/*.segment")):
        relative = path.relative_to(archive).as_posix()
        try:
            pin(path, folder / relative)
        except FileNotFoundError:
            continue  # its retention ended since the look
        size = (folder / relative).stat().st_size
        sources.append(Source(ARCHIVE, relative, folder / relative, size, fixed=True))
    return sources


def unpin(*folders: Path) -> None:
    """Let go of what was pinned below lake and archive."""
    for folder in folders:
        shutil.rmtree(folder / PINNED, ignore_errors=True)


def rows_of(lake: Path) -> dict[str, int]:
    """Rows of every table of a lake, as its logs say.

    Raises:
        StoreError: A log cannot be read.
    """
    return {
        name: sum(file.rows for file in replay(lake / name / LOG).files.values())
        for name in ORDER
        if (lake / name / LOG).is_dir()
    }
