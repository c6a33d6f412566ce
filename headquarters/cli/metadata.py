"""`catchment-hq db` and `audit`, and what all commands over the metadata store share."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headquarters import config
from headquarters.cli.view import EXIT_CODES, home_option, json_option, print_json, print_table
from protocols.command import teach
from protocols.daemon import EXIT_FAULT, iso_time
from protocols.durations import seconds_of
from protocols.errors import InputError, Problem

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from headquarters.config import HeadquartersConfig
    from headquarters.tenancy.principal import Principal


@contextmanager
def metadata(home: Path) -> Iterator[tuple[HeadquartersConfig, Engine]]:
    """The configuration of a home and its metadata store, up to date.

    Raises:
        InputError: The configuration is wrong.
        StoreError: The database failed.
    """
    from headquarters.metadata import open_metadata

    settings = config.load(home)
    engine = open_metadata(settings.data, settings.metadata_url)
    try:
        yield settings, engine
    finally:
        engine.dispose()


def operator() -> Principal:
    """Who sits at this machine."""
    from headquarters.tenancy.principal import machine

    return machine(getpass.getuser())


def time_of(us: int | None) -> str:
    """An instant of the metadata store for people, UTC; empty for none."""
    return "" if us is None else iso_time(us / 1e6)


def span_us(option: str, text: str) -> int:
    """A duration on the command line, in microseconds.

    Raises:
        InputError: It is none.
    """
    seconds = seconds_of(text)
    if seconds is None:
        raise InputError([Problem("command line", option, text, "a duration such as 30min, 72h or 14d")])
    return round(seconds * 1e6)


@click.group(epilog=EXIT_CODES)
def db() -> None:
    """Look after the metadata store: accounts, the audit, and what else people make.

    Every process brings it up to date at its start; `upgrade` does so beforehand.
    """


@db.command(epilog=EXIT_CODES)
@home_option
@json_option
@teach
def upgrade(home: Path, as_json: bool) -> None:
    """Bring the metadata store up to date; nothing happens when it is."""
    from headquarters.db.engine import open_database
    from headquarters.db.migrate import current as at
    from headquarters.db.migrate import upgrade as bring_up
    from headquarters.metadata import url_of

    settings = config.load(home)
    engine = open_database(url_of(settings.data, settings.metadata_url))
    try:
        before, after = at(engine), bring_up(engine)
    finally:
        engine.dispose()
    if as_json:
        print_json({"before": before, "after": after})
        return
    came = ", ".join(before) or "nothing"
    click.echo(f"At {', '.join(after)}" + ("." if before == after else f", from {came}."))


@db.command(epilog=EXIT_CODES)
@home_option
@json_option
@teach
def current(home: Path, as_json: bool) -> None:
    """Show which version the metadata store is of; exits with 1 when it is not this program's."""
    from headquarters.db.engine import open_database
    from headquarters.db.migrate import current as at
    from headquarters.db.migrate import heads
    from headquarters.metadata import url_of

    settings = config.load(home)
    engine = open_database(url_of(settings.data, settings.metadata_url))
    try:
        found = at(engine)
    finally:
        engine.dispose()
    if as_json:
        print_json({"current": found, "needed": heads(), "database": engine.dialect.name})
    else:
        click.echo(f"{engine.dialect.name}: at {', '.join(found) or 'nothing'}, needed {', '.join(heads())}")
    if found != heads():
        raise SystemExit(EXIT_FAULT)


@click.group(epilog=EXIT_CODES)
def audit() -> None:
    """Read, check and hand out the audit: who did what, and what was denied to whom."""


@audit.command("list", epilog=EXIT_CODES)
@home_option
@click.option("--tenant", help="Of this tenant's affairs only.")
@click.option("--actor", default="", help="By this login or id only.")
@click.option("--action", default="", help="This action only; 'users.' for all that begin so.")
@click.option("--target", default="", help="To this target only.")
@click.option("--outcome", default="", help="done, denied or failed only.")
@click.option("--since", default="", help="Not older than this: 12h, 30d.")
@click.option("--lines", default=50, show_default=True, help="The newest so many.")
@json_option
@teach
def list_(
    home: Path,
    tenant: str | None,
    actor: str,
    action: str,
    target: str,
    outcome: str,
    since: str,
    lines: int,
    as_json: bool,
) -> None:
    """List entries, the newest first."""
    from headquarters.audit.export import row_of
    from headquarters.audit.store import Audit, Filter
    from headquarters.db.engine import reading

    from_us = time.time_ns() // 1000 - span_us("--since", since) if since else None
    wanted = Filter(tenant, from_us, None, actor, action, target, outcome)
    with metadata(home) as (_, engine), reading(engine) as session:
        rows = [row_of(entry) for entry in Audit(session).page(wanted, rows_max=lines)]
    if as_json:
        print_json(rows)
        return
    names = ("seq", "time", "tenant", "actor", "action", "target", "outcome", "detail")
    shown = [
        [row[name] for name in names[:-1]] + [json.dumps(row["detail"], ensure_ascii=False)] for row in rows
    ]
    print_table(names, shown)


@audit.command(epilog=EXIT_CODES)
@home_option
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check what `audit export` wrote, instead of the store.",
)
@json_option
@teach
def verify(home: Path, file: Path | None, as_json: bool) -> None:
    """Check every entry, its chain and every seal; exits with 1 and says where when anything differs."""
    from headquarters.audit import witness
    from headquarters.audit.export import verify_file
    from headquarters.audit.trail import verify as check
    from headquarters.db.engine import reading
    from protocols.identity import Identity

    keys = [Identity.load(home).public.signing]
    if file is not None:
        report = verify_file(file, keys)
    else:
        with metadata(home) as (settings, engine), reading(engine) as session:
            report = check(session, keys, witness.missing(session, settings.audit_seal))
    if as_json:
        print_json({"entries": report.entries, "seals": report.seals, "faults": report.faults})
    else:
        for fault in report.faults:
            click.echo(f"FAULT {fault}")
        state = "FAULTS FOUND" if report.faults else "all as they were written"
        click.echo(f"{report.entries:,} entries, {report.seals:,} seals: {state}")
    if report.faults:
        raise SystemExit(EXIT_FAULT)


@audit.command(epilog=EXIT_CODES)
@home_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@teach
def export(home: Path, file: Path) -> None:
    """Write the whole audit to FILE, one JSON object a line, sealed now; `verify --file` checks it."""
    from headquarters.audit import record, witness
    from headquarters.audit.export import write
    from headquarters.audit.trail import seal_head
    from headquarters.db.engine import reading, writing
    from protocols.identity import Identity

    identity = Identity.load(home)
    with metadata(home) as (settings, engine):
        with writing(engine) as session:
            record(session, operator(), "audit.export", file.name)
            seal_head(session, identity.signing)
        witness.renew(engine, settings.audit_seal)
        with reading(engine) as session:
            count = write(session, file)
    click.echo(f"wrote {count:,} entries to {file}")


@audit.command(epilog=EXIT_CODES)
@home_option
@teach
def prune(home: Path) -> None:
    """Remove what is older than [metadata] audit_retention_days; a running headquarters does so daily."""
    from headquarters.audit import witness
    from headquarters.audit.trail import prune as remove
    from headquarters.db.engine import writing
    from protocols.identity import Identity

    identity = Identity.load(home)
    with metadata(home) as (settings, engine):
        with writing(engine) as session:
            count = remove(session, identity.signing, settings.audit_retention_days)
        witness.renew(engine, settings.audit_seal)
    click.echo(f"removed {count:,} entries older than {settings.audit_retention_days} days")
