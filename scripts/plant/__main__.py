"""`python -m scripts.plant`: serve a plant, write its point tables, give it orders."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from scripts.plant.layout import Protocol, write_point_table
from scripts.plant.model import SENSOR_ORDERS
from scripts.plant.orders import FILE
from scripts.plant.sources import source_of
from scripts.plant.unit import ORDERS

PROTOCOLS = click.Choice([str(protocol) for protocol in Protocol])


def _source_options(command: click.decorators.FC) -> click.decorators.FC:
    for option in (
        click.option("--points", default=1000, show_default=True, help="Points of the simulated plant."),
        click.option("--seed", default=1, show_default=True, help="Seed of the simulated plant."),
        click.option("--half", is_flag=True, help="Every second point; the other server has the others."),
        click.option(
            "--replay",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Replay this table instead.",
        ),
        click.option("--transpose", is_flag=True, help="The table's rows are columns (TEP d00.dat)."),
    ):
        command = option(command)
    return command


@click.group()
def main() -> None:
    """A simulated coal unit, or a replayed table, behind real Modbus and OPC UA servers."""


@main.command("serve")
@click.argument("protocol", type=PROTOCOLS)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--period", default=1.0, show_default=True, help="Seconds between ticks.")
@click.option("--pace", default=1.0, show_default=True, help="Seconds of the unit's life in one second.")
@click.option("--port", default=0, help="TCP port; one is chosen when it is left out.")
@_source_options
def serve_command(
    protocol: str,
    directory: Path,
    period: float,
    pace: float,
    port: int,
    points: int,
    seed: int,
    half: bool,
    replay: Path | None,
    transpose: bool,
) -> None:
    """Serve on 127.0.0.1 until SIGTERM; DIRECTORY gets the log and address.json."""
    from scripts.plant.serve import serve  # loads the OPC UA library, which takes its time

    kind = Protocol(protocol)
    try:
        source = source_of(kind, points, seed, half, replay, transpose)
        asyncio.run(serve(source, kind, directory, period, pace, port))
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@main.command("points")
@click.argument("protocol", type=PROTOCOLS)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--device", default="plant", show_default=True, help="The gateway's name for the server.")
@click.option("--scan-class", default="normal", show_default=True, help="Scan class of all points.")
@_source_options
def points_command(
    protocol: str,
    file: Path,
    device: str,
    scan_class: str,
    points: int,
    seed: int,
    half: bool,
    replay: Path | None,
    transpose: bool,
) -> None:
    """Write the point table that makes a gateway collect what `serve` serves."""
    kind = Protocol(protocol)
    try:
        source = source_of(kind, points, seed, half, replay, transpose)
        write_point_table(file, source.points, kind, device, scan_class)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@main.command("order")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("name", type=click.Choice([*ORDERS, *SENSOR_ORDERS, "silent", "drop"]))
@click.option("--unit", default=1, show_default=True, help="Which unit, from 1.")
@click.option(
    "--point", default="", help="Which instrument; for gas and bearings the KKS code of the place, as CYQ10."
)
@click.option("--seconds", default=60.0, show_default=True, help="For how long.")
def order_command(directory: Path, name: str, unit: int, point: str, seconds: float) -> None:
    """Start, stop, trip, foul, leak or break something; silent and drop are for the Modbus server itself."""
    order = {"name": name, "block": unit - 1, "seconds": seconds, "point": point}
    with (directory / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(order) + "\n")


if __name__ == "__main__":
    main()
