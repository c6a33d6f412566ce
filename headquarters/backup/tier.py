"""Headquarters for the commands of `backup`: what is kept, where it goes, and whom it is told to.

A run pins the lake, then the archive, then copies what else is in the home: whoever signed what is
in the ledger is then surely in the register. When the run is safe, its marks are confirmed, which
gives hubs and gateways their *backed-up* receipts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from headquarters import config
from headquarters.backup import metadata
from headquarters.backup.lake import ARCHIVE, LAKE, PinnedLake, pin_archive, unpin
from headquarters.config import HeadquartersConfig
from headquarters.custody import Position, confirm, snapshot_of
from headquarters.lake.tables import parse_chain
from protocols.backup.manifest import COMPLETE, Manifest
from protocols.backup.operating import Node
from protocols.backup.restore import PLACES
from protocols.backup.run import FOLDER, Snapshot
from protocols.backup.settings import BackupSettings
from protocols.backup.snapshot import HomeSnapshot
from protocols.batch import Chain
from protocols.daemon import iso_time
from protocols.identity import Identity

ROOT_KEY = "root.key"

TABLES, MARKS = "tables", "marks"
"""Facts of a complete run: rows of each table, and how far each chain is in it."""


class HeadquartersTier:
    """See the module's docstring."""

    program = "catchment-hq"
    role = "headquarters"

    def settings(self, home: Path) -> BackupSettings:
        """`[backup]` of `headquarters.toml`."""
        return config.load(home).backup if (home / config.CONFIG).exists() else BackupSettings()

    def node(self, home: Path, backup: BackupSettings) -> Node:
        """The home, to be backed up."""
        settings = replace(config.load(home), backup=backup)
        return Node(
            Identity.load(home),
            settings.data,
            partial(take, settings),
            partial(backed_up, settings),
            lambda: unpin(settings.lake, settings.archive),
        )


def take(settings: HeadquartersConfig, folder: Path, metadata_only: bool) -> Snapshot:
    """Pin and copy the files of headquarters.

    Args:
        settings: Where everything lies.
        folder: An empty folder on the home's disk.
        metadata_only: Leave lake and archive out.

    Raises:
        StoreError: The disk, a table or a store failed.
    """
    taken = Snapshot(time.time_ns() // 1000, [], {PLACES: _places(settings)})
    if not metadata_only and settings.lake.is_dir():
        pinned = PinnedLake(settings.lake)
        taken.sources += pinned.sources()
        taken.sources += pin_archive(settings.archive)
        taken.facts[TABLES] = pinned.tables
        taken.facts[MARKS] = _marks(snapshot_of(pinned.folder)) if pinned.tables else []
    taken.sources += HomeSnapshot(settings.home, folder, _left_out(settings)).take()
    if settings.metadata_url is not None:
        taken.sources += metadata.take(settings.metadata_url, settings.home, folder)
    if (settings.home / ROOT_KEY).exists():
        taken.notes.append(
            f"{settings.home / ROOT_KEY} is in no backup: take it away to a safe place, as `init` said"
        )
    return taken


def backed_up(settings: HeadquartersConfig, manifest: Manifest) -> list[str]:
    """Confirm the marks of a complete run: receipts for them go out at once, or at the next start.

    Args:
        settings: Where everything lies.
        manifest: The run, which is durable.

    Returns:
        What to tell the operator.
    """
    if manifest.kind != COMPLETE or not manifest.facts.get(MARKS):
        return []
    positions = positions_of(manifest.facts)
    confirm(settings.custody, positions, iso_time(manifest.time_us / 1e6))
    return [f"confirmed {len(positions):,} chains as backed up"]


def positions_of(facts: Mapping[str, Any]) -> dict[Chain, Position]:
    """How far each chain is in a run."""
    return {parse_chain(chain): Position(next_, bytes.fromhex(head)) for chain, next_, head in facts[MARKS]}


def _marks(positions: Mapping[Chain, Position]) -> list[list[Any]]:
    return [[str(chain), place.next, place.head.hex()] for chain, place in sorted(positions.items())]


def _places(settings: HeadquartersConfig) -> dict[str, str]:
    """Lake and archive, relative to the home where they are inside."""
    home = settings.home.absolute()
    places = {LAKE: settings.lake.absolute(), ARCHIVE: settings.archive.absolute()}
    return {
        part: str(path.relative_to(home) if path.is_relative_to(home) else path)
        for part, path in places.items()
    }


def _left_out(settings: HeadquartersConfig) -> list[Path]:
    data, logs = settings.data, settings.log.directory
    return [
        *(
            settings.status,
            data / "lock",
            data / FOLDER,
            settings.audit_seal,
            settings.lake,
            settings.archive,
        ),
        *(settings.home / ROOT_KEY, *settings.backup.own, *([] if logs is None else [logs])),
    ]
