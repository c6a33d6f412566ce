"""`support bundle` of every tier."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from protocols.command import teach
from protocols.support import Parts, write_bundle

FindParts = Callable[[Path], Parts]
"""What a home's bundle is made of; raises nothing for a configuration that is wrong."""


def bundle_command(find: FindParts) -> click.Command:
    """The command.

    Args:
        find: Called when it runs.
    """

    @click.command("bundle")
    @click.option(
        "--home",
        type=click.Path(file_okay=False, exists=True, path_type=Path),
        default=Path(),
        show_default="the current directory",
        help="The directory of the node.",
    )
    @click.option(
        "--out",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The file to write; by default catchment-support-TIME.zip here.",
    )
    @teach
    def bundle(home: Path, out: Path | None) -> None:
        """Write a ZIP file for support: configuration, status, newest log lines, versions, names of files.

        Secrets are removed, and keys are never looked at; look through it before you send it all
        the same. It works beside a running node, and on a home whose configuration is wrong.
        """
        file = out or Path(time.strftime("catchment-support-%Y%m%dT%H%M%SZ.zip", time.gmtime()))
        size = write_bundle(find(home), file)
        click.echo(
            f"wrote {size / 1e6:,.1f} MB to {file}; secrets were removed, look through it all the same"
        )

    return bundle


def support_group(find: FindParts) -> click.Group:
    """The group `support`.

    Args:
        find: Called when a command runs.
    """
    group = click.Group("support", help="Gather what somebody far away needs to understand this node.")
    group.add_command(bundle_command(find))
    return group
