"""`catchment-flash`: make firmware images, write cards, and talk to gateways and boards.

Each group is in a module of its own, imported when one of its commands is used.
"""

from __future__ import annotations

import importlib

import click

EPILOG = """Exit codes: 0 done; 1 a fault was found; 2 wrong usage or input; 3 a device cannot be reached;
4 trouble with the local disk; 130 interrupted."""

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

GROUPS = {"image": "edge_runtime.flash.cli_image"}
"""Names of groups, and the modules whose `group` they are."""


class LateGroups(click.Group):
    """Groups that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names for the help."""
        return sorted(GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One group, for click."""
        if cmd_name not in GROUPS:
            return None
        group: click.Command = importlib.import_module(GROUPS[cmd_name]).group
        return group


@click.group(cls=LateGroups, epilog=EPILOG, context_settings=CONTEXT)
@click.version_option(package_name="catchment", prog_name="catchment-flash")
def main() -> None:
    """Make firmware images and bring them onto gateways, hubs and headquarters.

    \b
      catchment-flash image build --wheels wheels --defaults defaults --tier edge --output edge.cfw
      catchment-flash image verify edge.cfw
      catchment-flash image write edge.cfw --to /mnt/card
    """


if __name__ == "__main__":
    main(prog_name="catchment-flash")
