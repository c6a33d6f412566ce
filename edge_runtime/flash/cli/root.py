"""`catchment-flash`: make firmware images, write cards, and talk to gateways and boards.

Each group is in a module of its own, imported when one of its commands is used. Exit codes as those
of `catchment-edge`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from edge_runtime.cli import CONTEXT, EPILOG, invoked

GROUPS = {
    "fleet": "edge_runtime.flash.cli.fleet:fleet",
    "image": "edge_runtime.flash.cli.image:group",
    "node": "edge_runtime.flash.cli.node:node",
    "serial": "edge_runtime.flash.cli.serial:serial",
}
"""What there is, and where."""


class LateGroups(click.Group):
    """Groups that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names for the help."""
        return sorted(GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One group, for click."""
        if cmd_name not in GROUPS:
            return None
        module, _, name = GROUPS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=LateGroups, epilog=EPILOG, context_settings=CONTEXT)
@click.version_option(package_name="catchment", prog_name="catchment-flash")
def cli() -> None:
    """Bring gateways, hubs and boards into service from your own machine.

    \b
      catchment-flash image build --wheels wheels --defaults defaults --tier edge --output edge.cfw
      catchment-flash image write edge.cfw --to /mnt/card
      catchment-flash serial --port /dev/ttyUSB0 info
      catchment-flash node flash --port /dev/ttyACM0 --program mill.st
      catchment-flash fleet gateways.csv --to prepared
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    sys.exit(invoke(arguments))


def invoke(arguments: Sequence[str] | None = None) -> int:
    """Run a command; every error that is not a bug becomes a message and an exit code."""
    return invoked(cli, "catchment-flash", arguments)
