"""`catchment-edge alarms`: look at alarms and handle them."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge_runtime.cli.view import Command, count, home_option, json_option, print_json, print_table
from protocols.durations import seconds_of
from protocols.errors import InputError, Problem

HOURS = 24.0
SHELVE_FOR = "8h"
"""A shift."""


@click.command("list", short_help="Show the alarms that are not normal.")
@home_option
@click.argument("alarms", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Also alarms in the state normal.")
@json_option
def list_alarms(home: Path, alarms: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Show the alarms that are not normal, the most urgent first; works beside a running gateway and without.

    ALARMS are names or patterns, all by default.

    \b
      catchment-edge alarms list
      catchment-edge alarms list 'gas/*' --all --json
    """
    from edge_runtime.alarms import view

    with view.reading(home) as store:
        known = store.alarms()
    found = view.chosen(known, alarms, everything)
    if as_json:
        print_json({"alarms": [view.alarm_fields(alarm) for alarm in found]})
        return
    if found:
        print_table(view.alarm_rows(found))
    click.echo(f"{count(len(found), 'alarm')} of {len(known):,} shown")


@click.command("journal", short_help="Show what happened last.")
@home_option
@click.option(
    "--last",
    default=50,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="So many of the newest entries.",
)
@json_option
def journal(home: Path, last: int, as_json: bool) -> None:
    """Show the newest entries of the gateway's own journal, oldest first.

    Every entry also goes to headquarters, where `catchment-hq query` finds it in the table
    events for good; here the newest 100,000 stay.

    \b
      catchment-edge alarms journal --last 20
      catchment-edge alarms journal --json | jq '.journal[] | select(.priority == 1)'
    """
    from edge_runtime.alarms import view

    with view.reading(home) as store:
        records = store.latest(last)
    if as_json:
        print_json({"journal": [view.record_fields(record) for record in records]})
    elif records:
        print_table(view.journal_rows(records), right=(0,))
    else:
        click.echo("nothing has happened yet")


@click.command("figures", short_help="Show how the alarm system performs.")
@home_option
@click.option(
    "--hours",
    default=HOURS,
    show_default=True,
    type=click.FloatRange(0.01, 24 * 366),
    help="Over so many hours until now.",
)
@json_option
def figures(home: Path, hours: float, as_json: bool) -> None:
    """Show rates, floods, chattering, standing and stale alarms after EEMUA 191 and ISA-18.2.

    \b
      catchment-edge alarms figures
      catchment-edge alarms figures --hours 720 --json
    """
    from edge_runtime.alarms import view

    with view.reading(home) as store:
        done = view.figures(store, hours, view.now())
    if as_json:
        print_json(done.fields())
        return
    for line in view.figure_lines(done):
        click.echo(line)


def _handling(command: Command) -> Command:
    """What all commands that change alarms take."""
    arguments = click.argument("alarms", nargs=-1, required=True)
    operator = click.option(
        "--operator",
        default=getpass.getuser,
        show_default="your user name",
        help="Who does it, for the journal.",
    )
    return home_option(arguments(operator(json_option(command))))


def _comment_option(required: bool) -> Callable[[Command], Command]:
    if required:
        return click.option("--comment", required=True, help="Why.")
    return click.option("--comment", default="", help="Why.")


@click.command("ack", short_help="Acknowledge alarms.")
@_handling
@_comment_option(False)
def acknowledge(home: Path, as_json: bool, **arguments: Any) -> None:
    """Acknowledge alarms: you have seen them and take care of them.

    \b
      catchment-edge alarms ack gas/hall-1/ch4.high --comment 'ventilation is on'
      catchment-edge alarms ack 'gas/*'
    """
    _handle(home, as_json, "alarms.acknowledge", arguments)


@click.command("reset", short_help="Reset latched alarms.")
@_handling
@_comment_option(False)
def reset(home: Path, as_json: bool, **arguments: Any) -> None:
    """Reset alarms that stay after their condition is gone, once they are acknowledged.

    \b
      catchment-edge alarms reset gas/hall-1/ch4.high
    """
    _handle(home, as_json, "alarms.reset", arguments)


@click.command("shelve", short_help="Silence alarms for a while.")
@_handling
@_comment_option(True)
@click.option(
    "--for", "for_", default=SHELVE_FOR, show_default=True, help="How long: 30min, 8h, 2d; a week at most."
)
def shelve(home: Path, as_json: bool, for_: str, **arguments: Any) -> None:
    """Silence alarms for a while; they come back by themselves when it is over.

    \b
      catchment-edge alarms shelve pumps/p3/vibration.high --for 4h --comment 'bearing ordered'
    """
    _handle(home, as_json, "alarms.shelve", {**arguments, "for_s": _seconds(for_)})


@click.command("unshelve", short_help="End the shelving of alarms.")
@_handling
@_comment_option(False)
def unshelve(home: Path, as_json: bool, **arguments: Any) -> None:
    """End the shelving of alarms before its time.

    \b
      catchment-edge alarms unshelve 'pumps/p3/*'
    """
    _handle(home, as_json, "alarms.unshelve", arguments)


@click.command("suppress", short_help="Suppress alarms by design.")
@_handling
@_comment_option(True)
def suppress(home: Path, as_json: bool, **arguments: Any) -> None:
    """Suppress alarms by design, such as those of a unit that is shut down, until `unsuppress`.

    \b
      catchment-edge alarms suppress 'mill/b/*' --comment 'mill B is down'
    """
    _handle(home, as_json, "alarms.suppress", arguments)


@click.command("unsuppress", short_help="End the suppression of alarms.")
@_handling
@_comment_option(False)
def unsuppress(home: Path, as_json: bool, **arguments: Any) -> None:
    """End the suppression of alarms; those whose condition stands are announced at once.

    \b
      catchment-edge alarms unsuppress 'mill/b/*'
    """
    _handle(home, as_json, "alarms.unsuppress", arguments)


@click.command("out-of-service", short_help="Take alarms out of service.")
@_handling
@_comment_option(True)
def out_of_service(home: Path, as_json: bool, **arguments: Any) -> None:
    """Take alarms out of service for repair or test, until `in-service`.

    \b
      catchment-edge alarms out-of-service gas/hall-1/ch4.high --comment 'sensor is calibrated'
    """
    _handle(home, as_json, "alarms.out-of-service", arguments)


@click.command("in-service", short_help="Put alarms back into service.")
@_handling
@_comment_option(False)
def in_service(home: Path, as_json: bool, **arguments: Any) -> None:
    """Put alarms back into service; those whose condition stands are announced at once.

    \b
      catchment-edge alarms in-service gas/hall-1/ch4.high
    """
    _handle(home, as_json, "alarms.in-service", arguments)


def _handle(home: Path, as_json: bool, command: str, arguments: dict[str, Any]) -> None:
    """Have the gateway do it and say what became of each alarm. Exit code 1 when one was refused."""
    from edge_runtime.control import ask

    data = home / "data"
    if not data.is_dir():
        expected = "the home of a gateway that has run; start it with catchment-edge run"
        raise InputError([Problem(str(home), "--home", "", expected)])
    outcome = ask(data, command, {**arguments, "alarms": list(arguments["alarms"])})
    if as_json:
        print_json(outcome)
    else:
        for entry in outcome["done"]:
            click.echo(f"{entry['alarm']} is {entry['state']}")
        for entry in outcome["refused"]:
            click.echo(f"error: {entry['alarm']}: {entry['error']}", err=True)
    if outcome["refused"]:
        raise SystemExit(1)


def _seconds(text: str) -> float:
    """A duration as people write it, in seconds.

    >>> _seconds("90s"), _seconds("1.5h")
    (90.0, 5400.0)
    """
    seconds = seconds_of(text)
    if seconds is None:
        expected = "a number above 0 and its unit: s, min, h or d, as 30min or 8h"
        raise InputError([Problem("command line", "--for", text, expected)])
    return seconds


COMMANDS: dict[str, click.Command] = {
    str(command.name): command
    for command in (
        *(list_alarms, acknowledge, reset, shelve, unshelve, suppress, unsuppress),
        *(out_of_service, in_service, journal, figures),
    )
}
