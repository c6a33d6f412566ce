"""`catchment-hq authority`: the root and the online authority below it."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import click

from headquarters import config
from headquarters.cli.view import EXIT_CODES, home_option, json_option, print_json
from protocols import keyfiles
from protocols.command import teach
from protocols.daemon import alone
from protocols.enrolment import fingerprint
from protocols.errors import InputError, Problem
from protocols.identity import Identity

ROOT_PASSPHRASE = "CATCHMENT_ROOT_PASSPHRASE"  # noqa: S105 - the variable's name

ROOT_KEY = "root.key"
"""Where the root's key is written when nobody says where."""

Command = TypeVar("Command", bound=Callable[..., Any])


def authority_options(command: Command) -> Command:
    """What whoever makes an authority may choose."""
    for option in (
        click.option("--seal", is_flag=True, help="Seal the private keys of this home by its passphrase."),
        click.option(
            "--seal-root",
            is_flag=True,
            help=f"Seal the root's key by a passphrase, from {ROOT_PASSPHRASE} or asked for.",
        ),
        click.option(
            "--root-key",
            type=click.Path(dir_okay=False, path_type=Path),
            show_default=f"{ROOT_KEY} in the home",
            help="The file that the root's private key is written to.",
        ),
    ):
        command = option(command)
    return command


def make_authority(
    home: Path, id_: str, root_key: Path | None, seal_root: bool, passphrase: str | None
) -> Path:
    """Make root and authority; gives the file that the root's key is in.

    Raises:
        InputError: There is an authority, or such a file, already.
        StoreError: The disk failed.
    """
    from headquarters.security.authority import create

    file = root_key or home / ROOT_KEY
    sealed_by = _root_passphrase(confirm=True) if seal_root else None
    create(home, file, id_, time.time(), sealed_by, passphrase)
    return file


@click.group(epilog=EXIT_CODES)
def authority() -> None:
    """The authority that signs certificates: an offline root, and an online key below it.

    \b
      catchment-hq authority show
      catchment-hq authority replace --root-key /media/safe/root.key
    """


@authority.command(epilog=EXIT_CODES)
@home_option
@authority_options
@teach
def create(home: Path, root_key: Path | None, seal_root: bool, seal: bool) -> None:
    """Make an authority in a home that has none, made before there were any.

    Restart headquarters afterwards. Nodes on the list by hand go on as before.
    """
    id_ = config.load(home).id
    passphrase = keyfiles.required_passphrase("--seal") if seal else None
    file = make_authority(home, id_, root_key, seal_root, passphrase)
    click.echo(f"Made an authority in {home}. Take the root's key away to a safe place: {file}")


@authority.command(epilog=EXIT_CODES)
@home_option
@click.option(
    "--root-key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file that the root's private key is in.",
)
@click.option(
    "--new-keys", is_flag=True, help="New keys for headquarters itself as well; it must not run meanwhile."
)
@click.option("--seal", is_flag=True, help="Seal the new authority's key by this home's passphrase.")
@teach
def replace(home: Path, root_key: Path, new_keys: bool, seal: bool) -> None:
    """Replace the online authority: before it expires, or when its key may be stolen.

    Restart headquarters afterwards. Every node takes the new one with its next refresh, and
    from then on nothing that the old one signs; then each asks for a certificate of the new one.
    With --new-keys, for when headquarters' machine was broken into, headquarters gets another
    signing key and link key, too: nodes learn those by themselves, in this way and in no other.
    """
    from headquarters.security import rekey
    from headquarters.security.authority import replace as replace_authority
    from headquarters.security.registry import FILE, Registry

    settings = config.load(home)
    passphrase = keyfiles.required_passphrase("--seal") if seal else None
    with alone(settings.data) if new_keys else nullcontext():
        with _opened(root_key):
            made = replace_authority(home, root_key, time.time(), passphrase)
        if not new_keys:
            click.echo(f"Authority {made.generation} is in force; restart headquarters.")
            return
        registry = Registry(home / FILE)
        try:
            own = rekey.draw(home, registry, getpass.getuser(), time.time())
        finally:
            registry.close()
    click.echo(f"Authority {made.generation} is in force, and {own.id} has the keys {fingerprint(own)}.")
    click.echo("Start headquarters; nodes on a list by hand must be given its identity.toml anew.")


@authority.command(epilog=EXIT_CODES)
@home_option
@json_option
@teach
def show(home: Path, as_json: bool) -> None:
    """Show root and authority: fingerprint, generation, and until when they are valid."""
    from headquarters.security.authority import load
    from protocols.certificates import fingerprint as certificate_fingerprint
    from protocols.enrolment import iso

    config.load(home)
    found = load(home, time.time())
    fields = {
        "headquarters": Identity.load(home).id,
        "root": certificate_fingerprint(found.root.der).hex(),
        "root_expires": iso(found.root.not_after),
        "generation": found.generation,
        "expires": iso(found.certificate.not_after),
    }
    if as_json:
        print_json(fields)
        return
    click.echo(f"root {fields['root']}, valid until {fields['root_expires']}")
    click.echo(f"authority {fields['generation']}, valid until {fields['expires']}")


@contextmanager
def _opened(root_key: Path) -> Iterator[None]:
    """While the root's key is read: when it is sealed, its passphrase is where key files look for one."""
    from protocols.sealing import PASSPHRASE

    before = os.environ.get(PASSPHRASE)
    if keyfiles.is_sealed(root_key):
        os.environ[PASSPHRASE] = _root_passphrase(confirm=False)
    try:
        yield
    finally:
        os.environ.pop(PASSPHRASE, None)
        if before is not None:
            os.environ[PASSPHRASE] = before


def _root_passphrase(confirm: bool) -> str:
    given = os.environ.get(ROOT_PASSPHRASE)
    if given:
        return given
    asked: str = click.prompt("Passphrase of the root's key", hide_input=True, confirmation_prompt=confirm)
    if not asked:
        raise InputError([Problem("passphrase", "", "", "a passphrase for the root's key")])
    return asked
