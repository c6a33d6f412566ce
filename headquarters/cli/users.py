"""`catchment-hq users`: people, groups and roles, by whoever sits at the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headquarters import config
from headquarters.cli.metadata import metadata, operator, time_of
from headquarters.cli.view import EXIT_CODES, home_option, json_option, print_json, print_table
from protocols.command import teach
from protocols.errors import InputError, Problem

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from headquarters.accounts.people import People
    from headquarters.accounts.store import Group, User

PORTAL = "http://127.0.0.1:8600"
"""Where the portal is reached from the machine itself, when neither `[web]` nor anybody says where."""

FIRST_ROLES = ("system-administrator", "viewer")
"""Of the first administrator: accounts to make, and pages to look at."""

url_option = click.option(
    "--url", show_default="from [web]", help="How the portal is reached, for the sign-in link."
)
tenant_option = click.option(
    "--tenant", default="group", show_default=True, help="The tenant; `group` is the whole group."
)


@click.group(epilog=EXIT_CODES)
def users() -> None:
    """Make users, give them roles, and let them sign in.

    \b
      catchment-hq users add anna --name "Anna Li" --role operator     (prints a sign-in link)
      catchment-hq users roles anna --give engineer
      catchment-hq users group add shift-a
      catchment-hq users group join shift-a anna

    System, security and audit administrator are three people: no one holds two of them.
    """


@users.command(epilog=EXIT_CODES)
@home_option
@click.argument("login")
@click.option("--name", default="", help="The name for people; left out: the login.")
@click.option("--email", default="", help="Where alarms go.")
@click.option("--role", "roles", multiple=True, help="A role; may be given several times.")
@tenant_option
@url_option
@json_option
@teach
def add(
    home: Path,
    login: str,
    name: str,
    email: str,
    roles: tuple[str, ...],
    tenant: str,
    url: str | None,
    as_json: bool,
) -> None:
    """Make a user, and print a sign-in link that serves once, within three days."""
    with _people(home) as (people, _):
        user = people.add(tenant, login, name or login, email)
        for role in roles:
            people.give_role(user.id, role)
        link = sign_in_link(home, url, people.link(user.id))
    if as_json:
        print_json({"id": user.id, "login": login, "tenant": tenant, "sign_in_link": link})
        return
    click.echo(f"Made {login} in tenant {tenant}; to sign in, once, within three days:")
    click.echo(link)


@users.command("list", epilog=EXIT_CODES)
@home_option
@click.option("--tenant", help="Of this tenant only.")
@json_option
@teach
def list_(home: Path, tenant: str | None, as_json: bool) -> None:
    """List users, their roles, and what keeps them out."""
    from headquarters.db.base import now_us

    now = now_us()
    with _people(home) as (people, _):
        rows = [
            {
                "login": user.login,
                "tenant": user.tenant,
                "name": user.name,
                "email": user.email,
                "roles": sorted(people.roles_of(user.id)),
                "state": _state(user, now),
                "second_factor": user.second_factor,
                "created": time_of(user.created_us),
                "id": user.id,
            }
            for user in people.users(tenant)
        ]
    if as_json:
        print_json(rows)
        return
    names = ("login", "tenant", "name", "roles", "state", "second_factor", "created")
    print_table(names, [[_shown(row[name]) for name in names] for row in rows])


@users.command(epilog=EXIT_CODES)
@home_option
@click.argument("logins", nargs=-1, required=True)
@teach
def disable(home: Path, logins: tuple[str, ...]) -> None:
    """Keep users LOGINS out, at once: their sessions end, their tokens serve no more."""
    with _people(home) as (people, session):
        for login in logins:
            people.set_disabled(_user(session, login).id, True)
    click.echo("Disabled " + ", ".join(logins) + ".")


@users.command(epilog=EXIT_CODES)
@home_option
@click.argument("logins", nargs=-1, required=True)
@teach
def enable(home: Path, logins: tuple[str, ...]) -> None:
    """Let users LOGINS in again."""
    with _people(home) as (people, session):
        for login in logins:
            people.set_disabled(_user(session, login).id, False)
    click.echo("Enabled " + ", ".join(logins) + ".")


@users.command(epilog=EXIT_CODES)
@home_option
@click.argument("logins", nargs=-1, required=True)
@teach
def unlock(home: Path, logins: tuple[str, ...]) -> None:
    """Forget the failures that locked users LOGINS."""
    with _people(home) as (people, session):
        for login in logins:
            people.unlock(_user(session, login).id)
    click.echo("Unlocked " + ", ".join(logins) + ".")


@users.command(epilog=EXIT_CODES)
@home_option
@click.argument("login")
@url_option
@json_option
@teach
def link(home: Path, login: str, url: str | None, as_json: bool) -> None:
    """Print a sign-in link for LOGIN that serves once, within three days; an older one serves no more."""
    with _people(home) as (people, session):
        found = sign_in_link(home, url, people.link(_user(session, login).id))
    if as_json:
        print_json({"login": login, "sign_in_link": found})
        return
    click.echo(found)


@users.command("drop-second-factor", epilog=EXIT_CODES)
@home_option
@click.argument("login")
@teach
def drop_second_factor(home: Path, login: str) -> None:
    """Take the second factor from LOGIN, whose phone and recovery codes are lost."""
    with _people(home) as (people, session):
        people.drop_second_factor(_user(session, login).id)
    click.echo(f"{login} signs in without a second factor now, until a new one is set up.")


@users.command(epilog=EXIT_CODES)
@home_option
@click.argument("login")
@click.option("--give", multiple=True, help="A role to give; may be given several times.")
@click.option("--take", multiple=True, help="A role to take; may be given several times.")
@json_option
@teach
def roles(home: Path, login: str, give: tuple[str, ...], take: tuple[str, ...], as_json: bool) -> None:
    """Show the roles of LOGIN, its groups' among them; give and take some first."""
    with _people(home) as (people, session):
        user = _user(session, login)
        for role in take:
            people.take_role(user.id, role)
        for role in give:
            people.give_role(user.id, role)
        found = sorted(people.roles_of(user.id))
    if as_json:
        print_json({"login": login, "roles": found})
        return
    click.echo(f"{login}: {', '.join(found) or 'no role'}")


@users.group("group", epilog=EXIT_CODES)
def group() -> None:
    """Put users into groups; a group's roles are all its members'."""


@group.command("add", epilog=EXIT_CODES)
@home_option
@click.argument("name")
@tenant_option
@teach
def group_add(home: Path, name: str, tenant: str) -> None:
    """Make a group NAME, without members and roles yet."""
    with _people(home) as (people, _):
        people.add_group(tenant, name)
    click.echo(f"Made group {name} in tenant {tenant}.")


@group.command("list", epilog=EXIT_CODES)
@home_option
@json_option
@teach
def group_list(home: Path, as_json: bool) -> None:
    """List groups with their members and roles."""
    with _people(home) as (people, _):
        rows = [
            {
                "tenant": each.tenant,
                "group": each.name,
                "members": [user.login for user in people.members_of(each.id)],
                "roles": sorted(people.roles_of_group(each.id)),
            }
            for each in people.groups()
        ]
    if as_json:
        print_json(rows)
        return
    shown = [(r["tenant"], r["group"], ", ".join(r["members"]), ", ".join(r["roles"])) for r in rows]
    print_table(("tenant", "group", "members", "roles"), shown)


@group.command("remove", epilog=EXIT_CODES)
@home_option
@click.argument("name")
@tenant_option
@teach
def group_remove(home: Path, name: str, tenant: str) -> None:
    """Remove group NAME, which has no roles any more."""
    with _people(home) as (people, session):
        people.remove_group(_group(session, tenant, name).id)
    click.echo(f"Removed group {name}.")


@group.command("join", epilog=EXIT_CODES)
@home_option
@click.argument("name")
@click.argument("logins", nargs=-1, required=True)
@tenant_option
@teach
def group_join(home: Path, name: str, logins: tuple[str, ...], tenant: str) -> None:
    """Put LOGINS into group NAME."""
    with _people(home) as (people, session):
        for login in logins:
            people.join(_group(session, tenant, name).id, _user(session, login).id)
    click.echo(f"{', '.join(logins)} joined {name}.")


@group.command("leave", epilog=EXIT_CODES)
@home_option
@click.argument("name")
@click.argument("logins", nargs=-1, required=True)
@tenant_option
@teach
def group_leave(home: Path, name: str, logins: tuple[str, ...], tenant: str) -> None:
    """Take LOGINS out of group NAME."""
    with _people(home) as (people, session):
        for login in logins:
            people.leave(_group(session, tenant, name).id, _user(session, login).id)
    click.echo(f"{', '.join(logins)} left {name}.")


@group.command("roles", epilog=EXIT_CODES)
@home_option
@click.argument("name")
@click.option("--give", multiple=True, help="A role to give; may be given several times.")
@click.option("--take", multiple=True, help="A role to take; may be given several times.")
@tenant_option
@teach
def group_roles(home: Path, name: str, give: tuple[str, ...], take: tuple[str, ...], tenant: str) -> None:
    """Show the roles of group NAME; give and take some first."""
    with _people(home) as (people, session):
        found = _group(session, tenant, name)
        for role in take:
            people.take_group_role(found.id, role)
        for role in give:
            people.give_group_role(found.id, role)
        held = sorted(people.roles_of_group(found.id))
    click.echo(f"{name}: {', '.join(held) or 'no role'}")


def sign_in_link(home: Path, url: str | None, secret: str) -> str:
    """What a browser is to open.

    Args:
        home: The home of headquarters, whose `[web]` says where the portal is when `url` does not.
        url: How the portal is reached.
        secret: What the link ends with.
    """
    address = url or config.load(home).web.url or PORTAL
    return f"{address.rstrip('/')}/sign-in/link/{secret}"


def first_administrator(home: Path, engine: Engine, login: str, url: str | None) -> str:
    """Make the first administrator; gives the link to sign in with, once.

    Raises:
        InputError: No such login, or there is one already.
    """
    from headquarters.accounts.people import People
    from headquarters.db.engine import writing

    with writing(engine) as session:
        people = People(session, operator())
        user = people.add("group", login, login)
        for role in FIRST_ROLES:
            people.give_role(user.id, role)
        return sign_in_link(home, url, people.link(user.id))


@contextmanager
def _people(home: Path) -> Iterator[tuple[People, Session]]:
    from headquarters.accounts.people import People
    from headquarters.db.engine import writing

    with metadata(home) as (_, engine), writing(engine) as session:
        yield People(session, operator()), session


def _user(session: Session, login: str) -> User:
    from headquarters.accounts.store import Users

    user = Users(session).by_login(login)
    if user is None:
        expected = "the login of a user; see: catchment-hq users list"
        raise InputError([Problem("command line", "LOGIN", login, expected)])
    return user


def _group(session: Session, tenant: str, name: str) -> Group:
    from headquarters.accounts.store import Groups

    found = Groups(session).by_name(tenant, name)
    if found is None:
        expected = f"a group of tenant {tenant}; see: catchment-hq users group list"
        raise InputError([Problem("command line", "NAME", name, expected)])
    return found


def _state(user: User, now_us: int) -> str:
    if user.disabled:
        return "DISABLED"
    if user.lock.locked_until_us > now_us:
        return f"LOCKED until {time_of(user.lock.locked_until_us)}"
    return "active" if user.password_us is not None else "no password yet"


def _shown(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
