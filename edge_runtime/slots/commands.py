"""`supervise` and `slots` for every tier: the same commands, made for the tier that shows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from protocols.command import teach
from protocols.errors import PeerError

if TYPE_CHECKING:
    from edge_runtime.slots.states import SlotsState
    from edge_runtime.slots.tier import Tier

_root = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The machine's root directory, with slots/ and home/.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

GetTier = Callable[[], "Tier"]


def supervise_command(get: GetTier) -> click.Command:
    """The command `supervise` of a tier."""

    @click.command("supervise", short_help="Run the program of the right slot, and watch it.")
    @_root
    @click.option(
        "--watchdog",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Feed this hardware watchdog, such as /dev/watchdog, where there is one.",
    )
    @click.option("--self-test", is_flag=True, help="Only see that it would start, and end.")
    @teach
    def supervise(root: Path, watchdog: Path | None, self_test: bool) -> None:
        """Run the program of the right slot until SIGTERM; logs JSON lines to standard error.

        A program that ends or hangs is started again, after pauses that grow. A new firmware is
        tried, compared with the one before it, and confirmed or given up. Settings, where the
        defaults do not suit, are in ROOT/supervisor.toml.
        """
        from edge_runtime import slots

        if self_test:
            from edge_runtime.slots import settings, supervisor
            from edge_runtime.slots.store import Root

            supervisor.boot_id()
            settings.load(Root(root).settings, get().health)
            slots.state(root)
        else:
            slots.supervise(root, get(), watchdog)

    return supervise


@click.command("show")
@_root
@_json
@teach
def _show(root: Path, as_json: bool) -> None:
    """Show what is in the slots, what runs, what is tried, and what was given up and why."""
    from edge_runtime import slots
    from edge_runtime.slots.show import fields, lines

    state = slots.state(root)
    if as_json:
        click.echo(json.dumps(fields(root, state), ensure_ascii=False))
    else:
        for line in lines(root, state):
            click.echo(line)


@click.command("install")
@_root
@click.argument("image", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--again", is_flag=True, help="Also when this firmware was given up before.")
@_json
@teach
def _install(root: Path, image: Path, again: bool, as_json: bool) -> None:
    """Put a firmware IMAGE into the idle slot; the supervisor tries it within a second.

    All of it is checked before anything is written. The program goes on running meanwhile.
    """
    from dataclasses import asdict

    from edge_runtime import slots
    from edge_runtime.slots.image import not_an_image

    try:
        done = slots.install(root, image, again=again)
    except PeerError as error:
        raise not_an_image(image, error) from error
    if as_json:
        told = {"slot": done.slot, "good": done.good, "firmware": asdict(done.firmware)}
        click.echo(json.dumps(told, ensure_ascii=False))
    elif done.good:
        click.echo(f"{done.firmware.name} runs in slot {done.slot} already")
    else:
        click.echo(f"{done.firmware.name} is in slot {done.slot}, to be tried")


@click.command("return")
@_root
@_json
@teach
def _return(root: Path, as_json: bool) -> None:
    """Go back to the firmware in the other slot, which is tried as a new one would be."""
    from edge_runtime.slots.installing import go_back

    state = go_back(root)
    _echo_trial(state, as_json)


def _migrate_command(get: GetTier) -> click.Command:
    @click.command("migrate")
    @click.option(
        "--data", type=click.Path(path_type=Path, file_okay=False), required=True, help="A data directory."
    )
    @click.option("--from", "source", type=int, required=True, help="The format that it has.")
    @click.option("--to", "target", type=int, required=True, help="The format that it is to have.")
    @teach
    def migrate(data: Path, source: int, target: int) -> None:
        """Bring a data directory from one format to another; the supervisor calls this on a copy.

        Exit code 2 when this release knows no way between the two.
        """
        from edge_runtime.slots.tier import migrate as bring

        bring(get(), data, source, target)

    return migrate


def _units_command(get: GetTier) -> click.Command:
    @click.command("units")
    @_root
    @click.option(
        "--to",
        type=click.Path(path_type=Path, file_okay=False),
        help="Write the files below this directory, / or a mounted root, instead of printing them.",
    )
    @click.option("--user", default="catchment", show_default=True, help="The user that runs the program.")
    @teach
    def units(root: Path, to: Path | None, user: str) -> None:
        """Print or write what systemd needs: the service, its user, and the watchdog's permissions."""
        from edge_runtime.slots.units import files

        for name, text in files(get(), root, user).items():
            if to is None:
                click.echo(f"# /{name}\n{text}")
                continue
            path = to / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            click.echo(f"wrote {path}")

    return units


def slots_commands(get: GetTier) -> dict[str, click.Command]:
    """The commands below `slots` of a tier."""
    made = (_install, _migrate_command(get), _return, _show, _units_command(get))
    return {each.name: each for each in made if each.name}


def slots_group(get: GetTier) -> click.Group:
    """The group `slots` of a tier."""

    @click.group("slots")
    def slots() -> None:
        """Look at the slots of a machine, install firmware, and go back."""

    for command in slots_commands(get).values():
        slots.add_command(command)
    return slots


def _echo_trial(state: SlotsState, as_json: bool) -> None:
    trial = state.trial
    assert trial is not None
    firmware = state.of(trial.slot)
    if as_json:
        click.echo(json.dumps({"slot": trial.slot, "firmware": firmware.name}))
    else:
        click.echo(f"{firmware.name} in slot {trial.slot} is to be tried")
