"""What the commands of `backup` share: the tier that they work on, their options, and how progress looks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from protocols.errors import InputError, Problem

if TYPE_CHECKING:
    from protocols.backup.manifest import Manifest
    from protocols.backup.meter import Meter, Progress
    from protocols.backup.repository import Repository
    from protocols.backup.run import Snapshot
    from protocols.backup.settings import BackupSettings
    from protocols.backup.store import ObjectStore
    from protocols.identity import Identity


@dataclass(frozen=True, slots=True)
class Node:
    """A node's home as a backup sees it.

    Args:
        identity: Signs the runs.
        data: Its data directory.
        take: Makes the snapshot, given an empty folder, and whether of metadata only.
        finished: Told of a run that is durable; returns notes.
        clean: Removes what `take` left elsewhere.
    """

    identity: Identity
    data: Path
    take: Callable[[Path, bool], Snapshot]
    finished: Callable[[Manifest], list[str]]
    clean: Callable[[], None]


class BackupTier(Protocol):
    """What the commands need of a tier."""

    program: str
    role: str

    def settings(self, home: Path) -> BackupSettings:
        """`[backup]` of a home; that of nothing where there is no configuration."""

    def node(self, home: Path, backup: BackupSettings) -> Node:
        """The home, to be backed up to what is meant."""


GetTier = Callable[[], BackupTier]

home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="the current directory",
    help="The node's directory, whose [backup] says where backups are; it need not be there.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say where the backup is, beside or instead of `[backup]`; handed over as one."""
    options = [
        click.option(
            "--place",
            help="Where the backup is: A folder, or s3://BUCKET/PREFIX; by default as [backup] says.",
        ),
        click.option(
            "--key-file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="The backup's key file; by default as [backup] says, or else a passphrase.",
        ),
        click.option("--endpoint", help="URL of an object store that is not AWS's."),
        click.option("--region", help="Region of the object store."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def settings_of(tier: BackupTier, home: Path, given: dict[str, Any]) -> BackupSettings:
    """`[backup]` of a home, and what the command line says instead.

    Raises:
        InputError: Nothing says where the backup is.
    """
    said = {name: value for name, value in given.items() if value is not None}
    found = replace(tier.settings(home), **said)
    if not found.place:
        expected = "where the backup is: --place, or place in [backup] of the configuration"
        raise InputError([Problem("backup", "place", "", expected)])
    return found


def open_place(settings: BackupSettings) -> ObjectStore:
    """The folder or the object store that is meant.

    Raises:
        InputError: It is none, or the client of object stores is not installed.
    """
    from protocols.backup.store import FolderStore

    if "://" not in settings.place:
        return FolderStore(Path(settings.place))
    try:
        from protocols.backup.objectstore import S3Store
    except ImportError as error:
        expected = f"the package that object stores need ({error}); install catchment[s3], or name a folder"
        raise InputError(
            [Problem("backup", "place", settings.place.partition("://")[0], expected)]
        ) from error
    return S3Store(settings.place, settings.endpoint, settings.region)


def open_repository(
    tier: BackupTier, home: Path, given: dict[str, Any], signer: Path | None = None
) -> Repository:
    """Open the backup that is meant.

    Args:
        tier: Which tier.
        home: The node's directory.
        given: What the command line says of the place.
        signer: The node's identity.toml, whose signature counts alone.

    Raises:
        InputError: There is none, or the key is not its key.
        StoreError: The place cannot be read.
    """
    from protocols.backup.repository import Repository
    from protocols.identity import read_peers

    settings = settings_of(tier, home, given)
    signers = [] if signer is None else [node.signing for node in read_peers(signer)]
    return Repository.open(open_place(settings), settings.key_file, signers)


def meter_for(as_json: bool) -> Meter:
    """Progress as JSON lines, or as a line on standard error if anybody watches."""
    from protocols.backup.meter import Meter

    def tell(progress: Progress) -> None:
        if as_json:
            click.echo(json.dumps(progress_json(progress)))
        elif sys.stderr.isatty():
            click.echo(f"\r\033[K{progress_text(progress)}", err=True, nl=progress.done >= progress.total)

    return Meter(tell)


def progress_json(progress: Progress) -> dict[str, Any]:
    """Progress as a machine reads it."""
    return {
        "event": "progress",
        "what": progress.what,
        "done": progress.done,
        "total": progress.total,
        "rate": round(progress.rate),
        "remaining_s": None if progress.remaining_s is None else round(progress.remaining_s, 1),
    }


def progress_text(progress: Progress) -> str:
    """Progress as people read it.

    >>> from protocols.backup.meter import Progress
    >>> progress_text(Progress("copy", 250_000_000, 1_000_000_000, 50e6, 15.0))
    'copy: 250.0 of 1,000.0 MB (25 %), 50.0 MB/s, 15 s left'
    """
    part = 100.0 * progress.done / max(1, progress.total)
    left = "" if progress.remaining_s is None else f", {progress.remaining_s:,.0f} s left"
    if progress.what == "verify":
        return f"verify: {progress.done:,} of {progress.total:,} objects ({part:.0f} %){left}"
    megabytes = f"{progress.done / 1e6:,.1f} of {progress.total / 1e6:,.1f} MB ({part:.0f} %)"
    return f"{progress.what}: {megabytes}, {progress.rate / 1e6:,.1f} MB/s{left}"
