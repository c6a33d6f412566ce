"""`catchment-hq command`: have gateways do something, and see what became of it."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headquarters import config
from headquarters.cli.view import (
    EXIT_CODES,
    ControlCommand,
    home_option,
    json_option,
    print_json,
    print_table,
)
from headquarters.commands.words import VERBS, arguments_of, seconds
from protocols.command import teach
from protocols.daemon import EXIT_FAULT, EXIT_UNREACHABLE, iso_time

if TYPE_CHECKING:
    from headquarters.commands.queue import CommandQueue, Queued
    from headquarters.commands.results import Outcome, Results

LOOK_S = 0.5
"""How often the lake is asked while a command is waited for."""

STAGES = {
    "queued": "queued here; nobody has asked for it yet",
    "at-hub": "at hub {node}",
    "delivered": "delivered",
    "executing": "being carried out",
    "ended": "over; its signed result is on its way",
}


@click.group(epilog=EXIT_CODES)
def command() -> None:
    """Have gateways do something once: handle alarms, read, write, fetch logs, restart.

    Commands are signed here, wait at the gateway's hub when it is away, and expire. What
    became of one comes back as an event that the gateway signs.

    \b
      catchment-hq command send unit-1 read FT-101 PT-102
      catchment-hq command send unit-1 ack 'gas/*' --comment 'ventilation is on'
      catchment-hq command send unit-1 diagnostics
      catchment-hq command list
      catchment-hq command show 17
    """


@command.command(cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("gateway")
@click.argument("verb", type=click.Choice(sorted(VERBS)))
@click.argument("words", nargs=-1)
@click.option("--comment", default="", help="Why; suppressing, shelving and out-of-service need it.")
@click.option("--for", "for_", default="8h", show_default=True, help="With shelve: for how long.")
@click.option("--lines", type=click.IntRange(1, 1_000_000), help="With logs: only so many of the newest.")
@click.option(
    "--confirm",
    type=click.IntRange(1),
    help="With write: the number of the command that selected it. Without it nothing is written.",
)
@click.option(
    "--operator", default=getpass.getuser, show_default="your user name", help="Who asks, for the journal."
)
@click.option("--expires", default="1h", show_default=True, help="It must begin within: 30s, 10min, 1h, 7d.")
@click.option(
    "--wait", default=30.0, show_default=True, type=click.FloatRange(0, 3600), help="Wait so many seconds."
)
@json_option
@teach
def send(home: Path, gateway: str, verb: str, as_json: bool, wait: float, **given: Any) -> None:
    """Give GATEWAY a command and wait for what becomes of it.

    \b
    VERB and WORDS:
      ack, reset, shelve, unshelve, suppress, unsuppress, out-of-service, in-service ALARMS...
      read POINTS...              fresh from the devices
      write POINT=VALUE           says what it would do; with --confirm NUMBER it does it
      logs, diagnostics           compressed, without secrets; see: command fetch
      restart                     a new session on the files that are in the home then
      refresh                     ask for a newer desired state now

    Exits with 1 when it failed, was refused, or nobody knows; with 3 when nothing came back yet.

    \b
      catchment-hq command send unit-1 write SP-7=42.5
      catchment-hq command send unit-1 write SP-7=42.5 --confirm 18
    """
    from headquarters.commands.queue import CommandQueue, Draft
    from headquarters.trust import in_force
    from protocols.identity import Identity

    settings = config.load(home)
    identity = Identity.load(home)
    queue = CommandQueue(settings.data)
    wire_verb, arguments = arguments_of(verb, given, queue)
    known_gateway(in_force(home, settings.offline_days), gateway)
    requester = f"{given['operator']}@{settings.id}"
    draft = Draft(gateway, wire_verb, arguments, requester, seconds("--expires", given["expires"]))
    _results(settings.lake).close()  # without a lake nothing could come back: say so first
    queued = queue.add(draft, identity.signing, _now_us())
    show = (lambda line: None) if as_json else (lambda line: click.echo(line, err=True))
    if not as_json:
        click.echo(f"command {queued.command.number} to {gateway}: {verb}, signed and queued")
    queued, outcome = _follow(queue, settings.lake, queued.command.number, wait, show)
    if as_json:
        print_json({**queued.fields(), **outcome.fields()})
    else:
        _print_outcome(queued, outcome)
        _print_next(queued, outcome, home)
    _leave(outcome)


def known_gateway(trust: Any, gateway: str) -> None:
    """See that headquarters knows a gateway.

    Raises:
        InputError: It does not.
    """
    from protocols.errors import InputError, Problem
    from protocols.tomlfile import suggest

    known = {node.id for node in trust.identities if node.role == "gateway"}
    if gateway not in known:
        expected = f"a gateway that is allowed here; {suggest(gateway, known)}"
        raise InputError([Problem("command", "gateway", gateway, expected)])


@command.command("list", epilog=EXIT_CODES)
@home_option
@click.option("--gateway", default="", help="Only those to this gateway.")
@click.option("--last", default=20, show_default=True, type=click.IntRange(1, 10_000), help="So many.")
@json_option
@teach
def list_(home: Path, gateway: str, last: int, as_json: bool) -> None:
    """Show the newest commands and how far each is.

    \b
      catchment-hq command list --gateway unit-1
    """
    from headquarters.commands.queue import CommandQueue

    settings = config.load(home)
    queue = CommandQueue(settings.data)
    found = queue.latest(gateway, last)
    outcomes = _results(settings.lake).of(found) if found else {}
    if as_json:
        print_json([{**each.fields(), **outcomes[each.command.number].fields()} for each in found])
        return
    rows = [_row(each, outcomes[each.command.number]) for each in found]
    print_table(("number", "given", "gateway", "verb", "by", "state", "text"), rows)


@command.command(epilog=EXIT_CODES)
@home_option
@click.argument("number", type=click.IntRange(1))
@click.option(
    "--wait", default=0.0, show_default=True, type=click.FloatRange(0, 3600), help="Wait so many seconds."
)
@json_option
@teach
def show(home: Path, number: int, wait: float, as_json: bool) -> None:
    """Show one command: what was asked, how far it is, and what the gateway signed about it.

    How far it is, is what hubs tell; the result is the gateway's own word.

    \b
      catchment-hq command show 17
      catchment-hq command show 17 --wait 60 --json
    """
    from headquarters.commands.queue import CommandQueue

    settings = config.load(home)
    queue = CommandQueue(settings.data)
    quiet = lambda line: None if as_json else click.echo(line, err=True)  # noqa: E731
    queued, outcome = _follow(queue, settings.lake, number, wait, quiet)
    if as_json:
        print_json({**queued.fields(), **outcome.fields(), "file": _file(settings, queued, outcome)})
        return
    asked = queued.command
    click.echo(f"command {asked.number} ({asked.nonce.hex()}) to {asked.target}: {asked.verb}")
    for name, value in asked.arguments.items():
        click.echo(f"  {name}: {', '.join(map(str, value)) if isinstance(value, tuple) else value}")
    click.echo(
        f"  asked for by {asked.requester} at {_when(asked.issued_us)}, until {_when(asked.expires_us)}"
    )
    click.echo(f"  {_stage(queued)}")
    _print_outcome(queued, outcome)
    file = _file(settings, queued, outcome)
    if outcome.last is not None and "sha256" in outcome.last.detail:
        click.echo(f"  file: {file or 'not here yet'}")


@command.command(epilog=EXIT_CODES)
@home_option
@click.argument("number", type=click.IntRange(1))
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to; else its own name."
)
@click.option(
    "--wait", default=60.0, show_default=True, type=click.FloatRange(0, 3600), help="Wait so many seconds."
)
@json_option
@teach
def fetch(home: Path, number: int, output: Path | None, wait: float, as_json: bool) -> None:
    """Write what `logs` or `diagnostics` fetched to a file, checked against the gateway's signed hash.

    \b
      catchment-hq command fetch 17 --output unit-1.zip
    """
    import hashlib

    from headquarters.commands.queue import CommandQueue
    from protocols.errors import InputError, Problem

    settings = config.load(home)
    queue = CommandQueue(settings.data)
    end = time.monotonic() + wait
    queued, outcome = _follow(queue, settings.lake, number, wait, lambda line: None)
    detail = {} if outcome.last is None else outcome.last.detail
    if outcome.last is not None and "sha256" not in detail:
        expected = "a command that fetches something and was carried out"
        raise InputError([Problem("command", "number", str(number), expected)])
    while (found := _file(settings, queued, outcome)) is None and time.monotonic() < end:
        time.sleep(LOOK_S)
    if found is None:
        click.echo(f"nothing of command {number} is here yet; it waits at the gateway or its hub", err=True)
        raise SystemExit(EXIT_UNREACHABLE)
    data = Path(found).read_bytes()
    if hashlib.sha256(data).hexdigest() != detail["sha256"]:
        expected = f"bytes with the hash that {queued.command.target} signed; look at the disk"
        raise InputError([Problem(found, "", "other bytes", expected)])
    target = output or Path(Path(str(detail["file"])).name)
    target.write_bytes(data)
    if as_json:
        print_json({"number": number, "file": str(target), "bytes": len(data), "sha256": detail["sha256"]})
    else:
        click.echo(f"wrote {len(data):,} bytes to {target}; their hash is the one that was signed")


@command.command(cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("number", type=click.IntRange(1))
@click.option(
    "--operator", default=getpass.getuser, show_default="your user name", help="Who asks, for the journal."
)
@click.option(
    "--wait", default=30.0, show_default=True, type=click.FloatRange(0, 3600), help="Wait so many seconds."
)
@json_option
@teach
def cancel(home: Path, number: int, operator: str, wait: float, as_json: bool) -> None:
    """Call a command off. One that left headquarters is called off by a command to the gateway.

    \b
      catchment-hq command cancel 17
    """
    from headquarters.commands.queue import CommandQueue, Draft
    from protocols.commandcalls import Stage
    from protocols.identity import Identity

    settings = config.load(home)
    queue = CommandQueue(settings.data)
    queued = queue.get(number)
    queue.call_off(number, _now_us())
    if queued.stage is Stage.QUEUED and queue.get(number).stage is Stage.QUEUED:
        told = {"number": number, "cancelled": True, "outcome": None}
        print_json(told) if as_json else click.echo(f"command {number} is called off; nobody had it")
        return
    left_s = max(60.0, (queued.command.expires_us - _now_us()) / 1e6)
    draft = Draft(
        queued.command.target,
        "cancel",
        {"command": queued.command.nonce.hex()},
        f"{operator}@{settings.id}",
        left_s,
    )
    off = queue.add(draft, Identity.load(home).signing, _now_us())
    if not as_json:
        click.echo(f"command {off.command.number} to {queued.command.target} calls command {number} off")
    off, outcome = _follow(queue, settings.lake, off.command.number, wait, lambda line: None)
    if as_json:
        print_json({**off.fields(), **outcome.fields()})
    else:
        _print_outcome(off, outcome)
    _leave(outcome)


def _results(lake: Path) -> Results:
    from headquarters.commands.results import Results

    return Results(lake)


def _follow(
    queue: CommandQueue, lake: Path, number: int, wait: float, show: Callable[[str], None]
) -> tuple[Queued, Outcome]:
    """Wait until a command is over, telling how far it is."""
    results = _results(lake)
    end = time.monotonic() + wait
    shown = ""
    try:
        while True:
            queued = queue.get(number)
            outcome = results.of([queued])[number]
            stage = _stage(queued)
            if wait and stage != shown:
                shown = stage
                show(f"  {stage}")
            if outcome.last is not None or time.monotonic() >= end:
                return queued, outcome
            time.sleep(LOOK_S)
    finally:
        results.close()


def _file(settings: config.HeadquartersConfig, queued: Queued, outcome: Outcome) -> str | None:
    """Where what a command fetched is; `None` while it is not here."""
    from headquarters.commands.handler import FETCHED
    from protocols.blobs import Blobs

    sha256 = None if outcome.last is None else outcome.last.detail.get("sha256")
    if not isinstance(sha256, str):
        return None
    found = Blobs(settings.data / FETCHED).find(queued.command.target, bytes.fromhex(sha256))
    return None if found is None else str(found)


def _stage(queued: Queued) -> str:
    if queued.cancelled_us is not None:
        return f"called off at {_when(queued.cancelled_us)}"
    text = STAGES[str(queued.stage)].format(node=queued.node)
    if queued.told_us is None:
        expired = queued.command.expires_us <= _now_us()
        return "expired; nobody asked for it" if expired else text
    return f"{text} (so {queued.node} says, {_when(queued.told_us)})"


def _row(queued: Queued, outcome: Outcome) -> tuple[Any, ...]:
    asked = queued.command
    state = _stage(queued) if outcome.last is None else outcome.last.transition
    text = "" if outcome.last is None else outcome.last.text
    return (asked.number, _when(asked.issued_us), asked.target, asked.verb, asked.requester, state, text)


def _print_outcome(queued: Queued, outcome: Outcome) -> None:
    if outcome.last is None:
        click.echo(f"no result yet; later: catchment-hq command show {queued.command.number}")
        return
    for told in outcome.before:
        click.echo(f"  {told.time}  {told.transition}  {told.source}  {told.text}")
    last = outcome.last
    click.echo(f"{last.transition}: {last.text}")
    if outcome.later:
        click.echo(f"  it came to the gateway again {len(outcome.later)} times and was refused")


def _print_next(queued: Queued, outcome: Outcome, home: Path) -> None:
    asked, last = queued.command, outcome.last
    if last is None:
        return
    if last.transition == "selected":
        value = f"{asked.arguments['point']}={asked.arguments['value']}"
        click.echo("nothing is written yet; to write it within five minutes:")
        click.echo(
            f"  catchment-hq command send --home {home} {asked.target} write {value} --confirm {asked.number}"
        )
    elif "sha256" in last.detail:
        click.echo(f"  catchment-hq command fetch --home {home} {asked.number}")


def _leave(outcome: Outcome) -> None:
    from headquarters.commands.results import GOOD

    if outcome.last is None:
        sys.exit(EXIT_UNREACHABLE)
    if outcome.last.transition not in GOOD:
        sys.exit(EXIT_FAULT)


def _when(time_us: int) -> str:
    return iso_time(time_us / 1e6)[:19].replace("T", " ") + "Z"


def _now_us() -> int:
    return time.time_ns() // 1000
