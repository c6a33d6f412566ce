"""`catchment-edge points`: import, export, test-read and browse."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_runtime.cli.view import (
    Command,
    count,
    home_option,
    json_option,
    print_json,
    print_problems,
    print_table,
)
from protocols.errors import InputError, Problem
from protocols.tomlfile import suggest

if TYPE_CHECKING:
    from edge_runtime.config import GatewayConfig
    from edge_runtime.testread import Reading
    from protocols.field.base import BrowsedNode
    from protocols.points import Point

_LIMIT = click.IntRange(1, 1_000_000)
_FILE = click.Path(path_type=Path, dir_okay=False)


def _timeout_option(default_s: float, meaning: str) -> Callable[[Command], Command]:
    bounds = click.FloatRange(0.1, 3600)
    return click.option(
        "--timeout", "timeout_s", default=default_s, show_default=True, type=bounds, help=meaning
    )


def _delimiter_options(command: Command) -> Command:
    delimiter = click.option("--delimiter", default=",", help="What separates the cells of a CSV file.")
    encoding = click.option(
        "--encoding", default="", help="Its encoding when it is not UTF-8, such as gb18030."
    )
    return delimiter(encoding(command))


@click.command("import", short_help="Check a table and make it the gateway's.")
@home_option
@click.argument("file", type=_FILE)
@_delimiter_options
@click.option("--dry-run", is_flag=True, help="Check only; keep the point table as it is.")
@json_option
def import_points(
    home: Path, file: Path, delimiter: str, encoding: str, dry_run: bool, as_json: bool
) -> None:
    """Check a CSV or XLSX point table, give ids to new points, and make it the gateway's.

    The table replaces points.csv whole. A running gateway takes it at its next start.

    \b
      catchment-edge points import new.xlsx --dry-run
      catchment-edge points import new.xlsx
      catchment-edge points import from-excel.csv --delimiter ';' --encoding gb18030
    """
    from edge_runtime.importing import import_table

    result = import_table(home, file, _delimiter(delimiter), encoding, dry_run=dry_run)
    if as_json:
        print_json(result.fields())
        return
    print_problems(result.warnings, "warning")
    kept = "would be imported" if dry_run else f"imported into {result.target}"
    click.echo(
        f"{count(len(result.points), 'point')} {kept}: {result.new} new, {result.gone} no longer there"
    )


@click.command("export", short_help="Write the point table to a file.")
@home_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--force", is_flag=True, help="Overwrite the file.")
def export_points(home: Path, file: Path, force: bool) -> None:
    """Write the point table with all its ids to a .csv or .xlsx file, or to - as CSV.

    \b
      catchment-edge points export points.xlsx
      catchment-edge points export - | head
    """
    from edge_runtime.configread import load
    from edge_runtime.importing import export_table

    config = load(home, assign_ids=False)
    if str(file) == "-":
        from protocols.pointtable import write_rows
        from protocols.tablefile import write_csv

        click.echo(write_csv(write_rows(config.points)), nl=False)
        return
    if file.exists() and not force:
        raise InputError([Problem(str(file), "file", "a file", "a new name, or --force to overwrite it")])
    export_table(config.points, file)
    click.echo(f"{count(len(config.points), 'point')} exported to {file}")


@click.command("test-read", short_help="Read points once, before or after import.")
@home_option
@click.option("--table", type=_FILE, help="Test this point table before it is imported.")
@_delimiter_options
@click.option("--device", "devices", multiple=True, help="Only points of this device; may be repeated.")
@click.option("--point", "patterns", multiple=True, help="Only points with this name; * and ? match any.")
@_timeout_option(10.0, "Seconds for one device.")
@json_option
def test_read(
    home: Path,
    table: Path | None,
    delimiter: str,
    encoding: str,
    devices: tuple[str, ...],
    patterns: tuple[str, ...],
    timeout_s: float,
    as_json: bool,
) -> None:
    """Connect to the devices, read points once, and show value, unit, quality and time.

    Works beside a running gateway and before a table is imported. Exit code 1 when a value
    is not good, 3 when a device cannot be reached.

    \b
      catchment-edge points test-read --point 'FT-*'
      catchment-edge points test-read --table new.xlsx --device plc1
    """
    import asyncio

    from edge_runtime.importing import candidate
    from edge_runtime.testread import read_once

    config = candidate(home, table, _delimiter(delimiter), encoding)
    chosen = _choose(config, devices, patterns)
    readings = asyncio.run(read_once(config, chosen, lambda: time.time_ns() // 1000, timeout_s, _progress))
    if as_json:
        print_json({"readings": [reading.fields() for reading in readings]})
    else:
        _print_readings(readings)
    if any(reading.error for reading in readings):
        raise SystemExit(3)
    if not all(reading.good for reading in readings):
        raise SystemExit(1)


@click.command("browse", short_help="List what a device offers.")
@home_option
@click.option("--device", "device", required=True, help="The device of gateway.toml to look into.")
@click.option("--contains", default="", help="Only variables with this in their path or address.")
@click.option(
    "--limit",
    default=10_000,
    show_default=True,
    type=_LIMIT,
    help="Most variables to ask for.",
)
@_timeout_option(60.0, "Seconds for all of it.")
@click.option(
    "--csv", "scan_class", metavar="SCAN_CLASS", help="Print a point table of them, in this scan class."
)
@json_option
def browse(
    home: Path,
    device: str,
    contains: str,
    limit: int,
    timeout_s: float,
    scan_class: str | None,
    as_json: bool,
) -> None:
    """List the variables that a device offers (OPC UA), to pick points from.

    \b
      catchment-edge points browse --device dcs --contains Boiler
      catchment-edge points browse --device dcs --csv fast > new.csv
    """
    import asyncio

    from edge_runtime.browsing import browse_device, table_of
    from edge_runtime.importing import devices_of

    config = devices_of(home)
    _known(device, list(config.devices), "--device")
    if scan_class is not None:
        _known(scan_class, list(config.scan), "--csv")
    _progress(f"{device}: browsing")
    nodes = asyncio.run(browse_device(config, device, limit, timeout_s))
    nodes = [node for node in nodes if contains.lower() in f"{node.path} {node.address}".lower()]
    if as_json:
        print_json({"nodes": [_node_fields(node) for node in nodes]})
    elif scan_class is not None:
        click.echo(table_of(nodes, device, scan_class), nl=False)
    else:
        rows = [(node.address, str(node.type or "-"), node.path, node.description) for node in nodes]
        print_table([("address", "type", "path", "description"), *rows])


def _node_fields(node: BrowsedNode) -> dict[str, str | None]:
    type_ = None if node.type is None else str(node.type)
    return {"address": node.address, "path": node.path, "type": type_, "description": node.description}


def _delimiter(text: str) -> str:
    delimiter = "\t" if text in ("\\t", "tab") else text
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise InputError([Problem("command line", "--delimiter", text, "one character such as ';', or tab")])
    return delimiter


def _choose(config: GatewayConfig, devices: Sequence[str], patterns: Sequence[str]) -> list[Point]:
    for device in devices:
        _known(device, list(config.devices), "--device")
    chosen = [
        point
        for point in config.points
        if (not devices or point.device in devices)
        and (not patterns or any(fnmatchcase(point.name, pattern) for pattern in patterns))
    ]
    if not chosen:
        hint = suggest(patterns[0], [point.name for point in config.points]) if patterns else "there is none"
        wanted = ", ".join((*devices, *patterns))
        raise InputError(
            [Problem("command line", "--device, --point", wanted, f"points of the table; {hint}")]
        )
    return chosen


def _known(name: str, names: Sequence[str], option: str) -> None:
    if name not in names:
        raise InputError(
            [Problem("command line", option, name, f"one of gateway.toml; {suggest(name, names)}")]
        )


def _progress(sentence: str) -> None:
    """Say what takes long, to a person at a terminal only."""
    if sys.stderr.isatty():
        click.echo(sentence, err=True)


def _print_readings(readings: Sequence[Reading]) -> None:
    from edge_runtime.testread import quality_name
    from protocols.daemon import iso_time

    rows = [("name", "value", "unit", "quality", "time")]
    for reading in readings:
        stamp = iso_time(reading.time_us / 1e6)
        rows.append(
            (reading.point.name, _shown(reading), reading.point.unit, quality_name(reading.quality), stamp)
        )
    print_table(rows, right=(1,))
    for error in dict.fromkeys(
        f"{reading.point.device}: {reading.error}" for reading in readings if reading.error
    ):
        click.echo(f"error: {error}", err=True)
    good = sum(reading.good for reading in readings)
    click.echo(f"{good:,} of {count(len(readings), 'point')} good")


def _shown(reading: Reading) -> str:
    if reading.value is None:
        return "-"
    if isinstance(reading.value, bool):
        return "true" if reading.value else "false"
    return f"{reading.value:.7g}" if isinstance(reading.value, float) else str(reading.value)


COMMANDS: dict[str, click.Command] = {
    str(command.name): command for command in (import_points, export_points, test_read, browse)
}
