"""`catchment-hq publish`: put checked files into the update repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headquarters import config
from headquarters.cli.view import EXIT_CODES, ControlCommand, home_option, json_option, print_json
from protocols.command import teach

if TYPE_CHECKING:
    from headquarters.desired.publishing import Checked

FILE = click.Path(exists=True, path_type=Path)

publisher_option = click.option(
    "--publisher", default="", help="Who publishes it: the role whose key signs, such as acme."
)
key_option = click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A key file to sign with, where the key is not kept here; repeatable.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Check only; publish nothing.")


@click.group(epilog=EXIT_CODES)
def publish() -> None:
    """Check a file and put it into the update repository, where gateways may get it.

    Nothing is installed by that: what a gateway runs is said by its desired state.

    \b
      catchment-hq publish app gas-detection-1.2.0.capp
      catchment-hq publish config unit-1-3.csv
      catchment-hq desired set unit-1 --put apps/acme/gas-detection-1.2.0.capp
    """


@publish.command("app", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("file", type=FILE)
@publisher_option
@key_option
@dry_run_option
@json_option
@teach
def app(home: Path, file: Path, publisher: str, keys: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Publish an app's package FILE: compiled and tested first."""
    from headquarters.desired.publishing import check_app

    _publish(home, file, check_app(file, publisher), keys, dry_run, as_json)


@publish.command("model", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("file", type=FILE)
@publisher_option
@key_option
@dry_run_option
@json_option
@teach
def model(
    home: Path, file: Path, publisher: str, keys: tuple[Path, ...], dry_run: bool, as_json: bool
) -> None:
    """Publish a model FILE, NAME-VERSION.onnx, which takes the place of one in an app."""
    from headquarters.desired.publishing import check_model

    _publish(home, file, check_model(file, publisher), keys, dry_run, as_json)


@publish.command("firmware", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("file", type=FILE)
@key_option
@dry_run_option
@json_option
@teach
def firmware(home: Path, file: Path, keys: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Publish a firmware image FILE, as catchment-flash makes it: read from end to end first."""
    from headquarters.desired.publishing import check_firmware

    _publish(home, file, check_firmware(file), keys, dry_run, as_json)


@publish.command("config", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("file", type=FILE)
@key_option
@dry_run_option
@json_option
@teach
def config_(home: Path, file: Path, keys: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Publish a gateway's configuration (NAME-VERSION.toml) or point table (NAME-VERSION.csv).

    A configuration that leaves out who the gateway is and to whom it sends ([gateway],
    [[upstream]], [headquarters], [export]) serves many gateways: each keeps its own tables.
    """
    from headquarters.desired.publishing import check_config

    _publish(home, file, check_config(file), keys, dry_run, as_json)


def _publish(
    home: Path, file: Path, checked: Checked, keys: tuple[Path, ...], dry_run: bool, as_json: bool
) -> None:
    from headquarters.cli.updates import ask_passphrase
    from headquarters.desired.targets import UpdateRepository

    settings = config.load(home)
    target = None
    if not dry_run:
        target = UpdateRepository(settings, keys, ask_passphrase).add(file, checked.path)
    if as_json:
        found = {} if target is None else {"length": target.length, "sha256": target.sha256}
        print_json({"kind": str(checked.kind), "path": checked.path, "published": not dry_run, **found})
        return
    click.echo(checked.said)
    if target is None:
        click.echo(f"would be published as {checked.path}")
    else:
        click.echo(f"published {checked.path}: {target.length:,} bytes, SHA-256 {target.sha256}")
