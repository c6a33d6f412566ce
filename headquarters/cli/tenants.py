"""`catchment-hq tenants`: organisations, their sites, views and quotas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headquarters.cli.metadata import metadata, operator, span_us, time_of
from headquarters.cli.view import EXIT_CODES, home_option, json_option, print_json, print_table
from protocols.command import teach
from protocols.errors import InputError, Problem

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from headquarters.accounts.organisations import Organisations


@click.group(epilog=EXIT_CODES)
def tenants() -> None:
    """Make tenants, give them sites, views of others' sites, and quotas.

    \b
      catchment-hq tenants add plant-a --name "Plant A"
      catchment-hq tenants own plant-a north south
      catchment-hq tenants grant plant-a east --points "10LBA*" --expires 30d
      catchment-hq tenants quota plant-a queries 5000
    """


@tenants.command(epilog=EXIT_CODES)
@home_option
@click.argument("id_", metavar="ID")
@click.option("--name", default="", help="The name for people; left out: the id.")
@teach
def add(home: Path, id_: str, name: str) -> None:
    """Make a tenant ID, which owns nothing yet."""
    with _organisations(home) as (organisations, _):
        organisations.add(id_, name or id_)
    click.echo(f"Made tenant {id_}; next: catchment-hq tenants own {id_} SITE")


@tenants.command("list", epilog=EXIT_CODES)
@home_option
@json_option
@teach
def list_(home: Path, as_json: bool) -> None:
    """List tenants: what they own, what they were granted, what they use of their quotas."""
    with _organisations(home) as (_, session):
        rows = list(_rows(session))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['tenant']} ({row['name']}){' DISABLED' if row['disabled'] else ''}")
        click.echo(f"  owns: {', '.join(row['sites']) or 'no site'}")
        for grant in row["grants"]:
            until = f" until {grant['expires']}" if grant["expires"] else ""
            click.echo(f"  sees {grant['points']} of {grant['site']}{until}   [{grant['id']}]")
    click.echo("")
    quotas = [
        (row["tenant"], thing, used, row["quotas"].get(thing, "no bound"))
        for row in rows
        for thing, used in row["used"].items()
    ]
    print_table(("tenant", "thing", "used", "quota"), quotas)


@tenants.command(epilog=EXIT_CODES)
@home_option
@click.argument("id_", metavar="ID")
@click.argument("name")
@teach
def rename(home: Path, id_: str, name: str) -> None:
    """Give tenant ID another NAME for people."""
    with _organisations(home) as (organisations, _):
        organisations.rename(id_, name)
    click.echo(f"Tenant {id_} is called {name} now.")


@tenants.command(epilog=EXIT_CODES)
@home_option
@click.argument("id_", metavar="ID")
@teach
def disable(home: Path, id_: str) -> None:
    """Keep all members of tenant ID out, at once."""
    with _organisations(home) as (organisations, _):
        organisations.set_disabled(id_, True)
    click.echo(f"Disabled tenant {id_}.")


@tenants.command(epilog=EXIT_CODES)
@home_option
@click.argument("id_", metavar="ID")
@teach
def enable(home: Path, id_: str) -> None:
    """Let the members of tenant ID in again."""
    with _organisations(home) as (organisations, _):
        organisations.set_disabled(id_, False)
    click.echo(f"Enabled tenant {id_}.")


@tenants.command(epilog=EXIT_CODES)
@home_option
@click.argument("id_", metavar="ID")
@click.argument("sites", nargs=-1, required=True)
@teach
def own(home: Path, id_: str, sites: tuple[str, ...]) -> None:
    """Give SITES to tenant ID; what they measured before comes with them."""
    with _organisations(home) as (organisations, _):
        organisations.own(id_, sites)
    click.echo(f"{id_} owns {', '.join(sites)} now.")


@tenants.command(epilog=EXIT_CODES)
@home_option
@click.argument("sites", nargs=-1, required=True)
@teach
def disown(home: Path, sites: tuple[str, ...]) -> None:
    """Leave SITES to the group alone."""
    with _organisations(home) as (organisations, _):
        for site in sites:
            organisations.disown(site)
    click.echo(f"{', '.join(sites)}: the group's alone now.")


@tenants.command(epilog=EXIT_CODES)
@home_option
@click.argument("id_", metavar="ID")
@click.argument("site")
@click.option(
    "--points", default="*", show_default=True, help="Names of points: * is any text, ? a character."
)
@click.option("--expires", default="", help="After how long it ends: 72h, 30d; left out: never by itself.")
@json_option
@teach
def grant(home: Path, id_: str, site: str, points: str, expires: str, as_json: bool) -> None:
    """Let tenant ID see SITE, which is another's."""
    from headquarters.db.base import now_us

    until = now_us() + span_us("--expires", expires) if expires else None
    with _organisations(home) as (organisations, _):
        made = organisations.grant(id_, site, points, until)
    if as_json:
        print_json({"id": made, "tenant": id_, "site": site, "points": points, "expires": time_of(until)})
        return
    click.echo(f"{id_} sees {points} of {site}{' until ' + time_of(until) if until else ''}: grant {made}")


@tenants.command("take-back", epilog=EXIT_CODES)
@home_option
@click.argument("grants", nargs=-1, required=True)
@teach
def take_back(home: Path, grants: tuple[str, ...]) -> None:
    """Take GRANTS back, by the ids that `list` shows."""
    with _organisations(home) as (organisations, _):
        for each in grants:
            organisations.take_back(each)
    click.echo(f"Took back {', '.join(grants)}.")


@tenants.command(epilog=EXIT_CODES)
@home_option
@click.argument("id_", metavar="ID")
@click.argument("thing")
@click.argument("most")
@teach
def quota(home: Path, id_: str, thing: str, most: str) -> None:
    """Let tenant ID use at MOST so much of THING: storage (bytes), queries (a day), jobs, apps.

    MOST is a number, or `none` for no bound.
    """
    if most != "none" and not most.isdecimal():
        raise InputError([Problem("command line", "MOST", most, "a number, or none")])
    with _organisations(home) as (organisations, _):
        organisations.set_quota(id_, thing, None if most == "none" else int(most))
    click.echo(f"{id_}: {thing} at most {most}.")


@contextmanager
def _organisations(home: Path) -> Iterator[tuple[Organisations, Session]]:
    from headquarters.accounts.organisations import Organisations
    from headquarters.db.engine import writing

    with metadata(home) as (_, engine), writing(engine) as session:
        yield Organisations(session, operator()), session


def _rows(session: Session) -> Iterator[dict[str, Any]]:
    from headquarters.db.base import now_us
    from headquarters.views.tenants import tenants as shown

    for tenant in shown(session, operator(), now_us()):
        yield {
            "tenant": tenant.id,
            "name": tenant.name,
            "disabled": tenant.disabled,
            "sites": list(tenant.sites),
            "grants": [
                {"id": g.id, "site": g.site, "points": g.points, "expires": time_of(g.expires_us)}
                for g in tenant.grants
            ],
            "quotas": {each.thing: each.most for each in tenant.quotas if each.most is not None},
            "used": {each.thing: each.used for each in tenant.quotas},
        }
