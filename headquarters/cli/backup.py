"""`catchment-hq backup`: what all tiers have, and drills."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from headquarters.cli.view import EXIT_CODES
from protocols.backup.commands import backup_group
from protocols.backup.operating import (
    BackupTier,
    home_option,
    json_option,
    meter_for,
    open_repository,
    place_options,
)
from protocols.command import teach
from protocols.daemon import EXIT_FAULT


def _tier() -> BackupTier:
    from headquarters.backup.tier import HeadquartersTier

    return HeadquartersTier()


backup = backup_group(_tier)


@backup.command(epilog=EXIT_CODES)
@home_option
@place_options
@click.option(
    "--in",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Restore to this empty directory, which is removed; by default below the home's data.",
)
@click.option("--quick", is_flag=True, help="Leave out the comparison of payloads with rows.")
@json_option
@teach
def drill(home: Path, folder: Path | None, quick: bool, as_json: bool, **given: Any) -> None:
    """Restore aside, prove every hash, row and signature, and tell the measured RPO and RTO.

    RPO is how old the backup is; RTO how long it takes from the first byte fetched until the lake
    is open and verified. Nothing is left behind. Exits with 1 when anything differs.
    """
    from headquarters.backup.drill import drill as try_out

    repository = open_repository(_tier(), home, given)
    found = try_out(repository, home, meter_for(as_json), folder=folder, quick=quick)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        for fault in found.faults:
            click.echo(f"FAULT {fault}")
        for line in found.lines():
            click.echo(line)
    if found.faults:
        raise SystemExit(EXIT_FAULT)
