"""`catchment-hq rollout`: one change to many gateways, ring by ring."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
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
from protocols.command import teach
from protocols.daemon import iso_time

if TYPE_CHECKING:
    from headquarters.desired.store import DesiredStore, Logged
    from headquarters.rollout.machine import Rollout
    from headquarters.rollout.plan import Plan
    from headquarters.rollout.service import Rollouts

LOOK_S = 2.0
"""How often `watch --follow` looks."""

name_argument = click.argument("name")


@click.group(epilog=EXIT_CODES)
def rollout() -> None:
    """Change many gateways, ring by ring; what does not do well halts it and goes back by itself.

    The running headquarters carries a roll-out on; these commands say what it should do.

    \b
      catchment-hq rollout plan gas-1.2.toml
      catchment-hq rollout start gas-1.2
      catchment-hq rollout watch gas-1.2 --follow
    """


@rollout.command("plan", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@teach
def plan(home: Path, file: Path, as_json: bool) -> None:
    """Check the plan in FILE and keep it; docs/rollouts.md has one to begin with."""
    from headquarters.desired.targets import UpdateRepository
    from headquarters.rollout.planfile import read_plan, rings_of

    settings = config.load(home)
    found = read_plan(file, UpdateRepository(settings).targets())
    with _open(home) as (store, rollouts):
        rollouts.plan(found)
        gateways, sites = _gateways(home, store)
        rings = rings_of(found, gateways, sites, store.tags())
    members = [[name for name, at in rings.items() if at == index] for index in range(len(found.rings))]
    if as_json:
        rows = zip(found.rings, members, strict=True)
        listed = [{"ring": ring.name, "gateways": names} for ring, names in rows]
        print_json({"name": found.name, "items": list(found.change.refs), "rings": listed})
        return
    click.echo(f"planned {found.name}: {', '.join(found.change.refs)}")
    for ring, names in zip(found.rings, members, strict=True):
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        click.echo(f"  {ring.name}: {len(names)} gateways, soak {ring.soak_s:g} s ({shown or 'nobody now'})")
    click.echo(f"next: catchment-hq rollout start {found.name}")


@rollout.command("start", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@name_argument
@json_option
@teach
def start(home: Path, name: str, as_json: bool) -> None:
    """Begin a planned roll-out: rings are filled with the gateways that there are now."""
    from headquarters.cli.metadata import metadata
    from headquarters.desired.room import demand_room

    with _open(home) as (store, rollouts), metadata(home) as (_, engine):
        gateways, sites = _gateways(home, store)
        rollouts.start(name, sites, gateways, partial(demand_room, engine, store, sites))
        _show(store, rollouts, name, as_json)


@rollout.command("watch", epilog=EXIT_CODES)
@home_option
@name_argument
@click.option("--follow", is_flag=True, help="Go on until it has ended; prints what happens.")
@json_option
@teach
def watch(home: Path, name: str, follow: bool, as_json: bool) -> None:
    """Show where a roll-out stands. Exits with 1 when it halted."""
    with _open(home) as (store, rollouts):
        seen = 0
        while follow:
            log = store.rollout_log(name)
            for line in log[seen:]:
                _print_line(line, as_json)
            seen = len(log)
            _, found = rollouts.view(name)
            if not found.is_open:
                break
            time.sleep(LOOK_S)
        found = _show(store, rollouts, name, as_json)
    if found.phase == "halted":
        raise SystemExit(1)


@rollout.command("pause", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@name_argument
@json_option
@teach
def pause(home: Path, name: str, as_json: bool) -> None:
    """Change no further gateways; those that were changed are watched, and go back if they must."""
    with _open(home) as (store, rollouts):
        rollouts.pause(name)
        _show(store, rollouts, name, as_json)


@rollout.command("resume", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@name_argument
@json_option
@teach
def resume(home: Path, name: str, as_json: bool) -> None:
    """Go on with a paused roll-out."""
    with _open(home) as (store, rollouts):
        rollouts.resume(name)
        _show(store, rollouts, name, as_json)


@rollout.command("abort", cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@name_argument
@click.option("--keep", is_flag=True, help="Leave changed gateways as they are; else they go back.")
@json_option
@teach
def abort(home: Path, name: str, keep: bool, as_json: bool) -> None:
    """End a roll-out and set the former documents of all gateways that it changed."""
    from headquarters.desired.targets import UpdateRepository, publish

    repository = UpdateRepository(config.load(home))
    with _open(home) as (store, rollouts):
        rollouts.abort(name, keep)
        publish(store, repository)
        _show(store, rollouts, name, as_json)


@rollout.command("list", epilog=EXIT_CODES)
@home_option
@json_option
@teach
def list_(home: Path, as_json: bool) -> None:
    """List all roll-outs, the newest first."""
    with _open(home) as (store, rollouts):
        rows: list[dict[str, Any]] = []
        for row in store.rollouts():
            planned, found = rollouts.view(row.name)
            rows.append(
                {
                    "name": row.name,
                    "planned": iso_time(row.made_us / 1e6),
                    "phase": str(found.phase),
                    "items": list(planned.change.refs),
                    "gateways": found.counted(),
                    "why": found.why,
                }
            )
    if as_json:
        print_json(rows)
        return
    shown = [
        (
            row["name"],
            row["planned"],
            row["phase"],
            " ".join(row["items"]),
            _counted(row["gateways"]),
            row["why"],
        )
        for row in rows
    ]
    print_table(("name", "planned", "phase", "items", "gateways", "why"), shown)


# -- leaves ------------------------------------------------------------------------------------


@contextmanager
def _open(home: Path) -> Iterator[tuple[DesiredStore, Rollouts]]:
    from headquarters.desired.store import DesiredStore
    from headquarters.rollout.service import Rollouts

    store = DesiredStore(config.load(home).data)
    try:
        yield store, Rollouts(store, lambda: time.time_ns() // 1000)
    finally:
        store.close()


def _gateways(home: Path, store: DesiredStore) -> tuple[list[str], dict[str, str]]:
    """All gateways, and the sites of those that may deliver."""
    from headquarters.trust import gateway_sites

    sites = gateway_sites(home, config.load(home).offline_days)
    return sorted({*sites, *store.gateways()}), sites


def _show(store: DesiredStore, rollouts: Rollouts, name: str, as_json: bool) -> Rollout:
    planned, found = rollouts.view(name)
    if as_json:
        log = [_line(line) for line in store.rollout_log(name)]
        print_json({"name": name, **found.to_json(), "open": found.is_open, "log": log})
        return found
    why = f": {found.why}" if found.why else ""
    click.echo(f"{name} is {found.phase}{why}")
    rows = [_member(planned, gateway, member) for gateway, member in found.members.items()]
    print_table(("gateway", "ring", "course", "since", "version", "why"), rows)
    return found


def _member(planned: Plan, gateway: str, member: Any) -> tuple[Any, ...]:
    since = iso_time(member.since_s) if member.since_s else ""
    ring = planned.rings[member.ring].name
    return gateway, ring, str(member.course), since, member.version or None, member.why


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {course}" for course, count in sorted(counts.items()))


def _line(line: Logged) -> dict[str, Any]:
    return {
        "time": iso_time(line.time_us / 1e6),
        "gateway": line.gateway,
        "event": line.event,
        "detail": line.detail,
    }


def _print_line(line: Logged, as_json: bool) -> None:
    if as_json:
        print_json(_line(line))
        return
    text = " ".join(filter(None, (line.event, line.gateway, line.detail)))
    click.echo(f"{iso_time(line.time_us / 1e6)} {text}")
