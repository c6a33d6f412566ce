"""`catchment-flash`: what an engineer does with bare gateways and boards.

Exit codes as those of `catchment-edge`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from edge_runtime.cli import CONTEXT, EPILOG, invoked
from edge_runtime.flash.cli_fleet import fleet
from edge_runtime.flash.cli_node import node
from edge_runtime.flash.cli_serial import serial


@click.group(epilog=EPILOG, context_settings=CONTEXT)
@click.version_option(package_name="catchment", prog_name="catchment-flash")
def cli() -> None:
    """Bring gateways and boards into service from your own machine.

    \b
      catchment-flash serial --port /dev/ttyUSB0 info
      catchment-flash node flash --port /dev/ttyACM0 --program mill.st
      catchment-flash fleet gateways.csv --to prepared
    """


for command in (serial, node, fleet):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    sys.exit(invoke(arguments))


def invoke(arguments: Sequence[str] | None = None) -> int:
    """Run a command; every error that is not a bug becomes a message and an exit code."""
    return invoked(cli, "catchment-flash", arguments)
