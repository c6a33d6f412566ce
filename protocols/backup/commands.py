"""`backup` for every tier: the same commands, made for the tier that shows them."""

from __future__ import annotations

import inspect
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from protocols.backup.operating import (
    GetTier,
    home_option,
    json_option,
    meter_for,
    open_place,
    open_repository,
    place_options,
    settings_of,
)
from protocols.command import teach
from protocols.daemon import EXIT_FAULT, iso_time
from protocols.errors import InputError, Problem


def backup_group(get: GetTier) -> click.Group:
    """The group `backup` of a tier.

    Args:
        get: The tier, fetched when a command runs.
    """
    group = click.Group(
        "backup",
        help=inspect.cleandoc("""Keep a sealed copy elsewhere, prove it, and come back from it.

        \b
          backup init --place /mnt/backup --key-file backup.key   (once; take the key away)
          backup run                                              (as often as a timer says)
          backup verify                                           (every object, every signature)
          backup restore --to /srv/new                            (on an empty machine)

        What is in it, how long it takes, and what is lost when: docs/backup.md.
        """),
    )
    for make in (_init, _run, _list, _verify, _restore, _prune):
        group.add_command(make(get))
    return group


def _init(get: GetTier) -> click.Command:
    @click.command("init")
    @home_option
    @place_options
    @click.option("--passphrase", is_flag=True, help="No key file: a passphrase from the environment.")
    @json_option
    @teach
    def init(home: Path, passphrase: bool, as_json: bool, **given: Any) -> None:
        """Begin a backup at an empty place, with a key of its own.

        The key file (or the passphrase in CATCHMENT_BACKUP_PASSPHRASE) opens the backup, private
        keys of the node included, and nothing else does. Keep a copy of it where neither this
        machine nor the backup is: without it nobody can restore.
        """
        from protocols.backup.repository import Repository

        tier = get()
        settings = settings_of(tier, home, given)
        if passphrase == (settings.key_file is not None):
            expected = "either --key-file, where the key will be written, or --passphrase"
            raise InputError([Problem("backup init", "key", "both" if passphrase else "", expected)])
        identity = tier.node(home, settings).identity
        made = iso_time(time.time())
        store = open_place(settings)
        repository = Repository.create(store, identity.id, tier.role, made, settings.key_file)
        if as_json:
            key_file = None if settings.key_file is None else str(settings.key_file)
            found = {"id": repository.description.id, "place": store.where, "key_file": key_file}
            click.echo(json.dumps(found))
            return
        click.echo(f"Made the backup {repository.description.id[:8]} of {identity.id} in {store.where}.")
        if settings.key_file is not None:
            click.echo(f"Keep a copy of {settings.key_file} elsewhere: without it nobody can restore.")
        else:
            click.echo("Keep the passphrase elsewhere as well: without it nobody can restore.")
        click.echo(f"Next: {tier.program} backup run --home {home}")

    return init


def _run(get: GetTier) -> click.Command:
    @click.command("run")
    @home_option
    @place_options
    @click.option("--full", is_flag=True, help="Send everything anew; heals a backup that was damaged.")
    @click.option("--metadata", is_flag=True, help="Only what is small: no lake, no archive.")
    @json_option
    @teach
    def run(home: Path, full: bool, metadata: bool, as_json: bool, **given: Any) -> None:
        """Back the node up, beside its running process or without it.

        Only what the backup lacks is sent. A run that is killed is taken up by the next one: what
        was sent stays. Once a complete run of headquarters is safe, hubs and gateways with
        trim = "backed-up" are told that they may let go of what is in it.
        """
        from protocols.backup.run import run as make

        tier = get()
        repository = open_repository(tier, home, given)
        node = tier.node(home, settings_of(tier, home, given))
        done = make(
            repository,
            node.identity,
            node.data,
            node.take,
            full=full,
            metadata_only=metadata,
            meter=meter_for(as_json),
            finished=node.finished,
            clean=node.clean,
        )
        if as_json:
            click.echo(json.dumps(done.to_json(), ensure_ascii=False))
            return
        manifest = done.manifest
        click.echo(
            f"{manifest.kind} run {manifest.id}: {len(manifest.entries):,} files, "
            f"{manifest.size / 1e6:,.1f} MB, of which {manifest.written / 1e6:,.1f} MB were sent "
            f"in {done.seconds:.1f} s"
        )
        for note in done.notes:
            click.echo(note)

    return run


def _list(get: GetTier) -> click.Command:
    @click.command("list")
    @home_option
    @place_options
    @json_option
    @teach
    def list_(home: Path, as_json: bool, **given: Any) -> None:
        """Show the runs, the newest first. Exits with 1 when one cannot be read."""
        from protocols.backup.repository import Unreadable
        from protocols.backup.run import summary

        repository = open_repository(get(), home, given)
        bad = 0
        if not as_json:
            click.echo(_ROW.format("run", "kind", "files", "MB", "sent MB"))
        for each in repository.manifests():
            if isinstance(each, Unreadable):
                bad += 1
                row: dict[str, Any] = {"id": each.id, "fault": each.error.text}
                text = f"{each.id}  CANNOT BE READ: {each.error.text}"
            else:
                row = summary(each)
                sizes = (f"{each.size / 1e6:,.1f}", f"{each.written / 1e6:,.1f}")
                text = _ROW.format(each.id, each.kind, f"{len(each.entries):,}", *sizes)
            click.echo(json.dumps(row, ensure_ascii=False) if as_json else text)
        if bad:
            raise SystemExit(EXIT_FAULT)

    return list_


_ROW = "{:<30} {:<9} {:>9} {:>12} {:>12}"


def _verify(get: GetTier) -> click.Command:
    @click.command("verify")
    @home_option
    @place_options
    @click.option(
        "--identity",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The node's identity.toml: only what it signed counts.",
    )
    @json_option
    @teach
    def verify(home: Path, identity: Path | None, as_json: bool, **given: Any) -> None:
        """Read every object and check it: its seal, its hash, every signature, and that none is missing.

        Exits with 1 and names the object, the bytes and the files it holds when anything differs,
        be it one bit. `backup run --full` writes anew what is still there.
        """
        from protocols.backup.run import last_of
        from protocols.backup.sealed import DamagedError
        from protocols.backup.verifying import Verified
        from protocols.backup.verifying import verify as look_through

        try:
            repository = open_repository(get(), home, given, identity)
            last = last_of(home / "data", repository)
            found = look_through(repository, meter_for(as_json), last)
        except DamagedError as error:
            found = Verified(faults=[(error.name, error.text)])
        if as_json:
            click.echo(json.dumps({"event": "done", **found.to_json()}, ensure_ascii=False))
        else:
            for name, text in found.faults:
                click.echo(f"FAULT {name}: {text}")
            click.echo(
                f"{found.manifests:,} runs, {found.objects:,} objects, "
                f"{found.bytes / 1e6:,.1f} MB are right; {len(found.faults):,} faults, "
                f"{found.unused:,} objects that no run needs"
            )
        if found.faults:
            raise SystemExit(EXIT_FAULT)

    return verify


def _restore(get: GetTier) -> click.Command:
    @click.command("restore")
    @home_option
    @place_options
    @click.option(
        "--to",
        "target",
        required=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="The directory to restore to: new, or empty.",
    )
    @click.option("--id", "id_", default="", help="From this run alone, by its name in the list.")
    @click.option("--at", help="As it was at this time, such as 2026-11-26T21:30:00Z.")
    @click.option(
        "--identity",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The node's identity.toml: only what it signed counts.",
    )
    @json_option
    @teach
    def restore(
        home: Path, target: Path, id_: str, at: str | None, identity: Path | None, as_json: bool, **given: Any
    ) -> None:
        """Restore the node to a directory: all of it, every file proved, or nothing.

        The lake is that of the newest complete run, the rest that of the newest run of any kind;
        with --at neither is later than that. Start the node from the directory like any other.
        """
        from protocols.backup.restore import restore as bring_back

        if id_ and at:
            raise click.UsageError("--id and --at exclude each other")
        at_us = None if at is None else parse_time(at)
        repository = open_repository(get(), home, given, identity)
        found = bring_back(repository, target, meter_for(as_json), id=id_, at_us=at_us)
        if as_json:
            click.echo(json.dumps(found.to_json()))
            return
        click.echo(
            f"Restored {found.files:,} files, {found.bytes / 1e6:,.1f} MB, to {target} "
            f"in {found.seconds:.1f} s, as of {iso_time(found.complete.time_us / 1e6)}."
        )
        if found.newest is not found.complete:
            click.echo(f"What is not lake or archive is as of {iso_time(found.newest.time_us / 1e6)}.")
        click.echo(f"Next: {get().program} run --home {target}")

    return restore


def _prune(get: GetTier) -> click.Command:
    @click.command("prune")
    @home_option
    @place_options
    @click.option("--keep-last", default=7, show_default=True, help="Newest complete runs that stay.")
    @click.option("--keep-daily", default=31, show_default=True, help="Days that keep their newest one.")
    @click.option("--keep-monthly", default=12, show_default=True, help="Months that keep their newest one.")
    @click.option("--keep-metadata-days", default=7, show_default=True, help="Days of runs of metadata.")
    @click.option("--dry-run", is_flag=True, help="Only say what would go.")
    @json_option
    @teach
    def prune(
        home: Path,
        keep_last: int,
        keep_daily: int,
        keep_monthly: int,
        keep_metadata_days: int,
        dry_run: bool,
        as_json: bool,
        **given: Any,
    ) -> None:
        """Remove old runs, and what no run needs. The newest complete run always stays.

        Run it where the backup is made, so that it never meets a run.
        """
        from protocols.backup.retention import Keep
        from protocols.backup.retention import prune as remove
        from protocols.backup.run import working

        tier = get()
        repository = open_repository(tier, home, given)
        keep = Keep(keep_last, keep_daily, keep_monthly, keep_metadata_days)
        with working(tier.node(home, settings_of(tier, home, given)).data):
            found = remove(repository, keep, time.time_ns() // 1000, dry_run)
        if as_json:
            named = {"removed": found.removed, "kept": found.kept, "objects": found.objects}
            click.echo(json.dumps(named))
            return
        verb = "would remove" if dry_run else "removed"
        click.echo(
            f"{verb} {len(found.removed):,} runs and {found.objects:,} objects; {len(found.kept):,} runs stay"
        )

    return prune


def parse_time(text: str) -> int:
    """A point in time, in microseconds since 1970; UTC where no zone is said.

    >>> parse_time("1970-01-01T00:00:01Z")
    1000000

    Raises:
        InputError: Not such a time.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError([Problem("--at", "", text, "a time such as 2026-11-26T21:30:00Z")]) from error
    known = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return round(known.timestamp() * 1_000_000)
