"""`catchment-hq gateways`: who is let in, who stays, and who goes."""

from __future__ import annotations

import getpass
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

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
from protocols.errors import InputError, Problem
from protocols.identity import PublicIdentity

if TYPE_CHECKING:
    from headquarters.config import HeadquartersConfig
    from headquarters.security.office import Office
    from headquarters.security.registry import Registry

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
VALID_S_MAX = 90 * 86_400.0
"""A token in a drawer is a key under the mat."""


@click.group(epilog=EXIT_CODES)
def gateways() -> None:
    """Let gateways and hubs in, and put them out.

    \b
      catchment-hq gateways invite --id unit-1 --site plant-a     (prints a token)
      catchment-edge enroll --token TOKEN                         (on the gateway)
      catchment-hq gateways list
      catchment-hq gateways approve unit-1
    """


@gateways.command(cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.option("--id", "id_", required=True, help="The node's name; with --count, {} stands for a number.")
@click.option("--site", default="", help="The site it belongs to, such as plant-a.")
@click.option(
    "--role", type=click.Choice(("gateway", "hub")), default="gateway", show_default=True, help="What it is."
)
@click.option(
    "--expires", default="72h", show_default=True, help="How long the token is valid: 30m, 72h, 14d."
)
@click.option("--count", default=1, show_default=True, help="Make tokens for so many, numbered from 1.")
@click.option("--via", default="", help="The hub that the nodes ask; the only one, or headquarters.")
@click.option("--address", default="", help="The enrolment socket as the nodes reach it, if not as known.")
@json_option
@teach
def invite(
    home: Path,
    id_: str,
    site: str,
    role: str,
    expires: str,
    count: int,
    via: str,
    address: str,
    as_json: bool,
) -> None:
    """Make a one-time token for each of some new nodes.

    A token is one line. It tells the node whom to ask and whom to believe, and lets one set of
    keys ask for this name at this site; `approve` lets it in. It is shown once and kept nowhere.
    With --json one array of objects is printed.
    """
    from headquarters.cli.metadata import metadata
    from headquarters.security.authority import load as load_authority
    from headquarters.security.door import door_for
    from headquarters.security.room import demand_room
    from protocols.certificates import fingerprint

    ids = _ids(id_, count)
    valid_s = _seconds(expires)
    with _registry(home) as (settings, registry):
        if site:  # only what a tenant may own can be over a quota
            with metadata(home) as (_, engine):
                demand_room(engine, registry, ids, site, role)
        root = fingerprint(load_authority(home, time.time()).root.der)
        door = door_for(settings, registry, role, via, address)
        made = _office(registry).invite(door, root, ids, site, role, valid_s)
    if as_json:
        print_json([invitation.to_json() for invitation in made])
        return
    for invitation in made:
        click.echo(f"{invitation.token.id}: {invitation.token.text()}")
    program = "catchment-hub" if role == "hub" else "catchment-edge"
    click.echo(f"on the machine: {program} enroll --token TOKEN", err=True)


@gateways.command("list", epilog=EXIT_CODES)
@home_option
@json_option
@teach
def list_(home: Path, as_json: bool) -> None:
    """List every node: invited, asking, active, quarantined or revoked, and its certificate."""
    from headquarters.security.office import listing

    with _registry(home) as (_, registry):
        rows = listing(registry, time.time())
    if as_json:
        print_json(rows)
        return
    shown = []
    for row in rows:
        state = row["state"].upper() if row["state"] in ("quarantined", "revoked") else row["state"]
        until = row.get("expires", "")
        keys = f"{row['asks']} ASKS" if row["asks"] else row.get("fingerprint", "")
        shown.append((row["id"], row["role"], row["site"], state, keys, until, row["why"]))
    print_table(("node", "role", "site", "state", "keys", "valid until", "why"), shown)


@gateways.command(cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("ids", nargs=-1, required=True)
@json_option
@teach
def approve(home: Path, ids: tuple[str, ...], as_json: bool) -> None:
    """Let nodes IDS in that ask; compare the fingerprint with the one that the node shows.

    A node in quarantine is let out of it by new keys: invite it again, run `enroll --new-keys`
    on the true machine, and approve. What its old keys signed stays valid.
    """
    with _registry(home) as (_, registry):
        approved = {id_: _office(registry).approve(id_) for id_ in ids}
    if as_json:
        print_json(approved)
        return
    for id_, shown in approved.items():
        click.echo(f"Approved {id_} with the keys {shown}.")


@gateways.command(cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("ids", nargs=-1, required=True)
@click.option("--why", default="", help="A reason, which the node is told.")
@teach
def reject(home: Path, ids: tuple[str, ...], why: str) -> None:
    """Turn nodes IDS away that ask."""
    with _registry(home) as (_, registry):
        for id_ in ids:
            _office(registry).reject(id_, why)
    click.echo("Rejected " + ", ".join(ids) + ".")


@gateways.command(cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("ids", nargs=-1, required=True)
@click.option("--why", required=True, help="A reason, for the audit.")
@teach
def revoke(home: Path, ids: tuple[str, ...], why: str) -> None:
    """Put the keys of nodes IDS out of force, for good.

    Headquarters answers them no more within a second, hubs within one refresh. What they signed
    and is not in the lake yet is refused. With a new token and new keys they may come back.
    """
    with _registry(home) as (_, registry):
        counts = {id_: _office(registry).revoke(id_, why) for id_ in ids}
    for id_, count in counts.items():
        click.echo(f"Revoked {count} certificate{'' if count == 1 else 's'} of {id_}.")


@gateways.command(cls=ControlCommand, epilog=EXIT_CODES)
@home_option
@click.argument("ids", nargs=-1, required=True)
@teach
def rotate(home: Path, ids: tuple[str, ...]) -> None:
    """Ask gateways or hubs IDS to make new keys at their next refresh; nobody has to go there.

    Gateways of a hub learn its new keys by themselves, from the directory that it gives them.
    """
    with _registry(home) as (_, registry):
        for id_ in ids:
            _office(registry).rotate(id_)
    click.echo("Asked " + ", ".join(ids) + " for new keys.")


@gateways.command(epilog=EXIT_CODES)
@home_option
@click.option("--lines", default=50, show_default=True, help="The newest so many.")
@json_option
@teach
def audit(home: Path, lines: int, as_json: bool) -> None:
    """Show what was decided about nodes and what was refused to them, the newest first."""
    from protocols.enrolment import iso

    with _registry(home) as (_, registry):
        rows = registry.audited(lines)
    if as_json:
        print_json([row._asdict() | {"time": iso(row.time)} for row in rows])
        return
    print_table(
        ("time", "event", "node", "by", "detail"),
        [(iso(row.time), row.event, row.node, row.via, row.detail) for row in rows],
    )


def refuse_enrolled(home: Path, nodes: Sequence[PublicIdentity]) -> None:
    """See that nodes which are to go on the list by hand have no certificate.

    Raises:
        InputError: One of them has: the list by hand would not count.
        StoreError: The register cannot be read.
    """
    from headquarters.security.registry import FILE, Registry

    if not (home / FILE).exists():
        return
    registry = Registry(home / FILE)
    try:
        enrolled = [node.id for node in nodes if registry.keys_of(node.id)]
    finally:
        registry.close()
    if enrolled:
        expected = "a node without certificate; this one is looked after with: catchment-hq gateways"
        raise InputError([Problem("command line", id_, "an enrolled node", expected) for id_ in enrolled])


@contextmanager
def _registry(home: Path) -> Iterator[tuple[HeadquartersConfig, Registry]]:
    from headquarters.security import authority
    from headquarters.security.registry import FILE, Registry

    settings = config.load(home)
    if not authority.exists(home):
        expected = "an authority; make one with: catchment-hq authority create"
        raise InputError([Problem(str(home), "", "", expected)])
    registry = Registry(home / FILE)
    try:
        yield settings, registry
    finally:
        registry.close()


def _office(registry: Registry) -> Office:
    from headquarters.security.office import Office

    return Office(registry, getpass.getuser(), time.time())


def _ids(id_: str, count: int) -> list[str]:
    if count < 1 or (count > 1) != ("{}" in id_):
        expected = "a name with {} where the number goes, together with --count"
        raise InputError([Problem("command line", "--id", id_, expected)])
    return [id_.replace("{}", str(number)) for number in range(1, count + 1)]


def _seconds(text: str) -> float:
    """A duration as people write it.

    >>> _seconds("72h"), _seconds("14d")
    (259200.0, 1209600.0)
    """
    match = re.fullmatch(r"(\d{1,6})([mhd])", text)
    seconds = 0.0 if match is None else int(match[1]) * _UNITS[match[2]]
    if not 0 < seconds <= VALID_S_MAX:
        raise InputError([Problem("command line", "--expires", text, "30m, 72h or 14d; at most 90d")])
    return seconds
