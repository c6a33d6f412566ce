"""`catchment-edge page`: the local status page."""

from __future__ import annotations

from pathlib import Path

import click

from edge_runtime.cli.view import home_option


@click.command("password", short_help="Make the hash of a password for the page.")
@click.password_option(help="The password; asked for when it is not given.")
@home_option
def password(password: str, home: Path) -> None:
    """Ask for a password and print the line for [status] in gateway.toml: its hash, not itself.

    \b
      catchment-edge page password
    """
    from edge_runtime.page import passwords

    line = f'password = "{passwords.make(password)}"'
    click.echo(line)
    click.echo(f"put this line into [status] of {home / 'gateway.toml'}", err=True)


COMMANDS: dict[str, click.Command] = {"password": password}
