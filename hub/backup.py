"""What a hub keeps in a backup: keys, configuration, lists, and its store; not what it mirrors.

A hub that comes back from an old copy goes on from there: gateways send again what they still
hold, headquarters says what it has, and the hub begins a new epoch of its own chain, because a
chain that forked would pass for a clone.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from hub import config, schema
from hub.config import HubConfig
from protocols.backup.operating import Node
from protocols.backup.restore import PLACES
from protocols.backup.run import FOLDER, Snapshot
from protocols.backup.settings import BackupSettings
from protocols.backup.snapshot import HomeSnapshot
from protocols.identity import Identity

STORE = "store"
"""The part that is left out of a run of metadata."""


class HubTier:
    """The hub, for the commands of `backup`."""

    program = "catchment-hub"
    role = "hub"

    def settings(self, home: Path) -> BackupSettings:
        """`[backup]` of `hub.toml`."""
        return config.load(home).backup if (home / config.CONFIG).exists() else BackupSettings()

    def node(self, home: Path, backup: BackupSettings) -> Node:
        """The home, to be backed up."""
        settings = replace(config.load(home), backup=backup)
        identity = Identity.load(home)
        return Node(identity, settings.data, partial(take, settings), lambda manifest: [], lambda: None)


def take(settings: HubConfig, folder: Path, metadata_only: bool) -> Snapshot:
    """Pin and copy a hub's files.

    Args:
        settings: The hub's.
        folder: An empty folder on the same disk.
        metadata_only: Leave the store of batches out.

    Raises:
        StoreError: The disk failed.
    """
    data, logs = settings.data, settings.log.directory
    # What is mirrored is fetched again when gateways ask.
    left_out = [settings.status, data / "lock", data / FOLDER, settings.mirrored, *settings.backup.own]
    if logs is not None:
        left_out.append(logs)
    if metadata_only:
        left_out.append(settings.store)
    now_us = time.time_ns() // 1000
    sources = HomeSnapshot(settings.home, folder, left_out).take()
    store = settings.store.relative_to(settings.home).as_posix()
    copy = folder / store
    if copy.exists():
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            schema.note_copy(connection, settings.id)
    named = [
        replace(source, part=STORE, path=settings.store.name) if source.path == store else source
        for source in sources
    ]
    return Snapshot(now_us, named, {PLACES: {STORE: str(data.relative_to(settings.home))}})
