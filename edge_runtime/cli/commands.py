"""`catchment-edge command`: at the gateway the same as from headquarters, without a network."""

from __future__ import annotations

import getpass
import shutil
import time
from pathlib import Path
from typing import Any

import click

from edge_runtime.cli.view import Command, home_option, json_option, print_json, print_table
from protocols.errors import InputError, Problem

ASK_S = 0.2
"""How often an outcome that is not there yet is asked for."""


def _operator_option(command: Command) -> Command:
    return click.option(
        "--operator",
        default=getpass.getuser,
        show_default="your user name",
        help="Who does it, for the journal.",
    )(command)


def _wait_option(command: Command) -> Command:
    return click.option(
        "--wait",
        default=60.0,
        show_default=True,
        type=click.FloatRange(0, 3600),
        help="Wait so many seconds.",
    )(command)


def _handling(command: Command) -> Command:
    return home_option(_operator_option(_wait_option(json_option(command))))


@click.command("list", short_help="Show the newest commands.")
@home_option
@click.option("--last", default=20, show_default=True, type=click.IntRange(1, 10_000), help="So many.")
@json_option
def list_commands(home: Path, last: int, as_json: bool) -> None:
    """Show the newest commands that came to this gateway, or were given here, and what became of them.

    \b
      catchment-edge command list
    """
    found = _ask(home, "command.list", {"count": last})["commands"]
    if as_json:
        print_json({"commands": found})
        return
    rows = [("number", "given", "verb", "by", "state", "text")]
    rows += [
        (
            *(str(each["number"] or "here"), _when(each["issued_us"]), each["verb"], each["requester"]),
            *(each["outcome"] or each["state"], each["text"]),
        )
        for each in found
    ]
    print_table(rows)


@click.command("read", short_help="Read points fresh from their devices.")
@click.argument("points", nargs=-1, required=True)
@_handling
def read(home: Path, points: tuple[str, ...], **options: Any) -> None:
    """Read POINTS fresh from their devices, through the running gateway. Exit code 1 when none is good.

    \b
      catchment-edge command read FT-101 PT-102
    """
    _give(home, "read", {"points": list(points)}, **options)


@click.command("write", short_help="Write a point that the configuration grants.")
@click.argument("assignment", metavar="POINT=VALUE")
@click.option(
    "--confirm", default="", metavar="NAME", help="What the first step printed: then it is written."
)
@_handling
def write(home: Path, assignment: str, confirm: str, **options: Any) -> None:
    """Write a point: first say what it is and what it would become, then, with --confirm, do it.

    Only points that [[command_write]] in gateway.toml names are written, within its range.

    \b
      catchment-edge command write SP-7=42.5
      catchment-edge command write SP-7=42.5 --confirm 3f0c...
    """
    name, _, text = assignment.rpartition("=")
    try:
        value = {"true": 1.0, "false": 0.0}[text] if text in ("true", "false") else float(text)
    except ValueError:
        problem = Problem("command line", "POINT=VALUE", text, "a number, or true or false")
        raise InputError([problem]) from None
    arguments = {"point": name, "value": value}
    if confirm:
        _give(home, "write", {**arguments, "selected": confirm}, **options)
        return
    outcome = _give(home, "select", arguments, **options)
    if not options["as_json"]:
        click.echo("nothing is written yet; to write it within five minutes:")
        click.echo(
            f"  catchment-edge command write --home {home} {assignment} --operator {options['operator']} "
            f"--confirm {outcome['command']}"
        )


@click.command("restart", short_help="Begin a new session.")
@_handling
def restart(home: Path, **options: Any) -> None:
    """End the session in order and begin a new one, on the files that are in the home then.

    \b
      catchment-edge command restart
    """
    _give(home, "restart", {}, **options)


@click.command("refresh", short_help="Ask for a newer desired state now.")
@_handling
def refresh(home: Path, **options: Any) -> None:
    """Ask for a newer desired state now, and not when it is next looked for.

    \b
      catchment-edge command refresh
    """
    _give(home, "refresh", {}, **options)


@click.command("logs", short_help="Write the log to a ZIP file.")
@click.option("--lines", type=click.IntRange(1, 1_000_000), help="Only so many of the newest.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to.")
@_handling
def logs(home: Path, lines: int | None, output: Path | None, **options: Any) -> None:
    """Write the gateway's log, without secrets, to a ZIP file.

    \b
      catchment-edge command logs --output log.zip
    """
    _fetch(_give(home, "logs", {"lines": lines} if lines else {}, **options), output)


@click.command("diagnostics", short_help="Write everything that helps from afar to a ZIP file.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to.")
@_handling
def diagnostics(home: Path, output: Path | None, **options: Any) -> None:
    """Write configuration without secrets, status, journal and log to a ZIP file.

    \b
      catchment-edge command diagnostics --output unit-1.zip
    """
    _fetch(_give(home, "diagnostics", {}, **options), output)


def _give(
    home: Path, verb: str, arguments: dict[str, Any], *, operator: str, wait: float, as_json: bool
) -> dict[str, Any]:
    """Have the gateway do something, wait, and say what became of it. Exit codes 1 and 3."""
    request = {"verb": verb, "arguments": arguments, "operator": operator}
    outcome: dict[str, Any] = _ask(home, "command.give", request)
    end = time.monotonic() + wait
    while outcome["outcome"] is None and time.monotonic() < end:
        time.sleep(ASK_S)
        outcome = _ask(home, "command.outcome", {"command": outcome["command"]})
    if as_json:
        print_json(outcome)
    elif outcome["outcome"] is None:
        click.echo("not over yet; see: catchment-edge command list", err=True)
    else:
        for part in outcome["parts"]:
            click.echo(f"{part['source']}  {part['text']}")
        click.echo(f"{outcome['outcome']}: {outcome['text']}", err=not outcome["good"])
    if outcome["outcome"] is None:
        raise SystemExit(3)
    if not outcome["good"]:
        raise SystemExit(1)
    return outcome


def _fetch(outcome: dict[str, Any], output: Path | None) -> None:
    detail = outcome["detail"]
    if output is not None:
        shutil.copyfile(detail["path"], output)
    click.echo(f"wrote {output or detail['path']}", err=True)


def _ask(home: Path, command: str, arguments: dict[str, Any]) -> Any:
    from edge_runtime.control import ask

    data = home / "data"
    if not data.is_dir():
        expected = "the home of a gateway that has run; start it with catchment-edge run"
        raise InputError([Problem(str(home), "--home", "", expected)])
    return ask(data, command, arguments)


def _when(time_us: int) -> str:
    from protocols.daemon import iso_time

    return iso_time(time_us / 1e6)[:19].replace("T", " ") + "Z"


COMMANDS: dict[str, click.Command] = {
    str(command.name): command
    for command in (list_commands, read, write, restart, refresh, logs, diagnostics)
}
