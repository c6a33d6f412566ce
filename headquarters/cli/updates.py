"""`catchment-hq updates`: the update repository, its keys and what is published in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headquarters import config
from headquarters.cli.view import EXIT_CODES, home_option, json_option, print_json, print_table
from protocols.command import teach
from protocols.daemon import EXIT_FAULT, iso_time
from protocols.errors import InputError, Problem

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

    from headquarters.updates import Updates

PASSPHRASE = "CATCHMENT_PASSPHRASE"  # noqa: S105 - the variable's name
"""Environment variable with the passphrase of sealed key files, for where nobody can type."""

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)

key_option = click.option(
    "--key", "keys", multiple=True, type=FILE, help="A key file to sign with; once for each key."
)
unsigned_option = click.option(
    "--unsigned", type=NEW_FILE, help="Change nothing: write what is to be signed elsewhere to this file."
)
signed_option = click.option("--signed", type=FILE, help="What --unsigned wrote, signed meanwhile.")


@click.group(epilog=EXIT_CODES)
def updates() -> None:
    """Publish apps, models, firmware and configuration, and keep the keys that sign them.

    \b
    Once, with the holders of the root at one table:
      catchment-hq updates init
      catchment-hq updates ceremony --holders 3 --threshold 2 --out /media/keys --seal
    And then:
      catchment-hq updates add-publisher acme --public acme.pub --key /media/keys/targets.key
      catchment-hq updates add pump-1.0.0.capp --as apps/acme/pump-1.0.0.capp --key acme.key
      catchment-hq updates status
    """


@updates.command(epilog=EXIT_CODES)
@home_option
@json_option
@teach
def init(home: Path, as_json: bool) -> None:
    """Make the repository's keys that are used without anybody's hand.

    They sign the snapshot, the timestamp, configuration and what each gateway should run, and
    stay in keys/updates. What they cannot sign are root, publishers, apps, models and firmware.
    """
    made = _updates(home).make_online_keys()
    if as_json:
        print_json({"keys": str(home / "keys" / "updates"), "roles": made})
        return
    click.echo(f"Keys for {', '.join(made)} are in {home / 'keys' / 'updates'}.")
    click.echo("Next: catchment-hq updates ceremony --holders 3 --threshold 2 --out DIRECTORY --seal")


@updates.command(epilog=EXIT_CODES)
@home_option
@click.option("--holders", default=0, help="So many root keys are made here, one for each holder.")
@click.option(
    "--holder", "publics", multiple=True, type=FILE, help="Public half of a root key made elsewhere."
)
@click.option("--threshold", required=True, type=int, help="How many holders must sign a root.")
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where key files go."
)
@click.option("--seal", is_flag=True, help="Ask for a passphrase for each key file.")
@json_option
@teach
def ceremony(
    home: Path, holders: int, publics: tuple[Path, ...], threshold: int, out: Path, seal: bool, as_json: bool
) -> None:
    """Make the root of trust: its holders' keys, and those for publishers and firmware.

    Files root-1.key, root-2.key, ..., targets.key and firmware.key go to --out, which must not be
    in the home: give each holder one of them, lock targets.key and firmware.key away, and leave
    none behind. Holders who made a key at home (catchment-hq updates key) bring its .pub file
    as --holder, and sign the root afterwards with sign-root.
    """
    from headquarters.updates.keyfile import KeyPair, read_public, write_key
    from headquarters.updates.roots import check_beginning

    if out.resolve().is_relative_to(home.resolve()):
        raise InputError([Problem("--out", "", str(out), "a directory outside the home, to be taken away")])
    if not 0 <= holders <= 9:
        raise InputError([Problem("--holders", "", str(holders), "0 to 9")])
    desk = _updates(home)
    made = {f"root-{number}": KeyPair.new() for number in range(1, holders + 1)}
    offline = {"targets": KeyPair.new(), "firmware": KeyPair.new()}
    everyone = [key.public for key in made.values()] + [read_public(path) for path in publics]
    files = {label: out / f"{label}.key" for label in (*made, *offline)}
    taken = [path for path in files.values() if path.exists()]
    if taken:
        raise InputError(
            [Problem(str(path), "", "a file", "another --out; nothing was made") for path in taken]
        )
    check_beginning(desk.repository, everyone, threshold)
    phrases = {label: _new_passphrase(label) if seal else None for label in files}
    for label, key in {**made, **offline}.items():
        write_key(files[label], label, key, phrases[label])
    desk.begin(everyone, threshold, offline["targets"], offline["firmware"])
    waiting = desk.sign_root(list(made.values()))
    if as_json:
        print_json({"files": [str(path) for path in files.values()], "published": waiting is None})
        return
    click.echo(f"Made {', '.join(path.name for path in files.values())} in {out}: take them away from here.")
    _print_waiting(waiting)


@updates.command("key", epilog=EXIT_CODES)
@click.argument("file", type=NEW_FILE)
@click.option("--seal", is_flag=True, help="Ask for a passphrase for it.")
@teach
def key_(file: Path, seal: bool) -> None:
    """Make a key as FILE.key, with its public half in FILE.pub beside it.

    For a holder of the root or for a publisher, on a machine of theirs; headquarters is given
    the .pub file only.
    """
    from headquarters.updates.keyfile import PUBLIC_SUFFIX, SUFFIX, KeyPair, write_key

    path = file if file.suffix == SUFFIX else file.with_name(file.name + SUFFIX)
    pair = KeyPair.new()
    write_key(path, path.stem, pair, _new_passphrase(path.stem) if seal else None)
    click.echo(f"Made {path}; keep it. Hand over {path.with_suffix(PUBLIC_SUFFIX)} ({pair.keyid[:16]}).")


@updates.command(epilog=EXIT_CODES)
@click.argument("file", type=FILE)
@click.option("--key", required=True, type=FILE, help="The key to sign with.")
@teach
def sign(file: Path, key: Path) -> None:
    """Sign FILE, which `--unsigned` wrote, where the key is; it needs no home of headquarters."""
    from headquarters.updates.keyfile import read_key
    from headquarters.updates.publishing import sign_file
    from protocols.durable import write_bytes_durably

    write_bytes_durably(file, sign_file(file, read_key(key, ask_passphrase)))
    click.echo(f"Signed {file}.")


@updates.command("sign-root", epilog=EXIT_CODES)
@home_option
@key_option
@json_option
@teach
def sign_root(home: Path, keys: tuple[Path, ...], as_json: bool) -> None:
    """Sign the root that waits with the key of one holder, or of several.

    Where none waits, a renewal of the one in force is made: the same keys, valid for longer.
    It is published with the signature that reaches the threshold.
    """
    from headquarters.updates.keyfile import read_key

    if not keys:
        raise InputError([Problem("--key", "", "", "the key file of a holder")])
    waiting = _updates(home).sign_root([read_key(path, ask_passphrase) for path in keys])
    if as_json:
        missing = 0 if waiting is None else max(waiting.first.missing, waiting.second.missing)
        print_json({"published": waiting is None, "missing": missing})
        return
    _print_waiting(waiting)


@updates.command("add-publisher", epilog=EXIT_CODES)
@home_option
@click.argument("name")
@click.option("--public", type=FILE, help="The .pub file of a publisher who holds the key.")
@click.option("--out", type=NEW_FILE, help="Make the publisher's key here, as this file.")
@key_option
@teach
def add_publisher(
    home: Path, name: str, public: Path | None, out: Path | None, keys: tuple[Path, ...]
) -> None:
    """Let publisher NAME publish below apps/NAME and models/NAME; needs the key of targets."""
    from headquarters.updates.keyfile import KeyPair, read_public, write_key

    if (public is None) == (out is None):
        raise InputError([Problem("add-publisher", "--public, --out", "", "one of the two")])
    desk = _updates(home, keys)
    if public is not None:
        desk.add_publisher(name, read_public(public))
    else:
        assert out is not None
        pair = KeyPair.new()
        write_key(out, f"publisher-{name}", pair)
        desk.keys.hold(pair)
        desk.add_publisher(name, pair.public)
    click.echo(f"{name} may publish apps/{name}/* and models/{name}/*.")


@updates.command("revoke-publisher", epilog=EXIT_CODES)
@home_option
@click.argument("name")
@key_option
@teach
def revoke_publisher(home: Path, name: str, keys: tuple[Path, ...]) -> None:
    """Take the right of publisher NAME away: nothing of it is installed any more."""
    _updates(home, keys).revoke_publisher(name)
    click.echo(f"{name} may publish no more; what gateways run of it is not stopped by this.")


@updates.command(epilog=EXIT_CODES)
@home_option
@click.argument("keyrole")
@click.option(
    "--new", type=FILE, help="The new key: its .key file, or the .pub file if it is held elsewhere."
)
@click.option("--holder", help="With root: the key id of the holder who is replaced.")
@click.option("--lost", is_flag=True, help="With targets: the old key is lost.")
@signed_option
@key_option
@teach
def rotate(
    home: Path,
    keyrole: str,
    new: Path | None,
    holder: str | None,
    lost: bool,
    signed: Path | None,
    keys: tuple[Path, ...],
) -> None:
    """Give KEYROLE another key.

    KEYROLE is root, targets, snapshot, timestamp, director, firmware, config or a publisher.
    Keys of snapshot, timestamp, director and config are made here; for others make one with
    `catchment-hq updates key` first. Of root, targets, snapshot and timestamp a new root must be
    signed by its holders afterwards (sign-root); of the others the key of targets signs (--key).
    """
    from headquarters.updates.roots import ONLINE

    desk = _updates(home, keys)
    if new is None and keyrole in ONLINE:
        public = desk.rotate_here(keyrole)
    elif new is None:
        raise InputError([Problem("--new", "", "", f"the new key of {keyrole}")])
    else:
        public = _new_key(desk, new)
        if keyrole != "root":
            desk.rotate(keyrole, public, signed=signed, old_is_lost=lost)
        elif holder is None:
            raise InputError([Problem("--holder", "", "", "the key id of the holder who is replaced")])
        else:
            desk.rotate_holder(holder, public)
    waits = desk.repository.staged_root() is not None
    click.echo(f"{keyrole} has key {public.keyid[:16]}" + (" in the root that waits." if waits else "."))
    if waits:
        click.echo("Next: catchment-hq updates sign-root --key FILE, for each holder")


@updates.command(epilog=EXIT_CODES)
@home_option
@click.argument("role")
@key_option
@teach
def renew(home: Path, role: str, keys: tuple[Path, ...]) -> None:
    """Sign ROLE anew, as it is, so that it is valid for longer: targets, firmware or a publisher."""
    _updates(home, keys).renew(role)
    click.echo(f"Signed {role} anew.")


@updates.command(epilog=EXIT_CODES)
@home_option
@click.argument("file", type=FILE)
@click.option("--as", "path", required=True, help="Its path, such as apps/acme/pump-1.0.0.capp.")
@key_option
@unsigned_option
@signed_option
@json_option
@teach
def add(
    home: Path,
    file: Path,
    path: str,
    keys: tuple[Path, ...],
    unsigned: Path | None,
    signed: Path | None,
    as_json: bool,
) -> None:
    """Publish FILE at a path below apps/, models/, firmware/ or config/.

    The role of the path signs: its key is in the home, or --key. Where its holder signs
    elsewhere, --unsigned writes what is to be signed, `catchment-hq updates sign` signs it
    there, and the same command with --signed publishes it.
    """
    from headquarters.updates.publishing import signing_role

    desk = _updates(home, keys)
    if unsigned is not None:
        _write_unsigned(desk, unsigned, path, file)
        return
    if signed is None:
        desk.add(file, path)
    else:
        desk.take_signed(signing_role(path), signed, {path: file})
    found = next((each for each in desk.published() if each.path == path), None)
    if found is None:
        raise InputError([Problem(str(signed), "targets", path, "the path among what was signed")])
    if as_json:
        print_json(found.to_json())
        return
    click.echo(f"Published {found.path}: {found.length:,} bytes, SHA-256 {found.sha256.hex()}.")


@updates.command(epilog=EXIT_CODES)
@home_option
@click.argument("path")
@key_option
@unsigned_option
@signed_option
@teach
def remove(home: Path, path: str, keys: tuple[Path, ...], unsigned: Path | None, signed: Path | None) -> None:
    """Take the target at PATH back: nobody installs it any more."""
    from headquarters.updates.publishing import signing_role

    desk = _updates(home, keys)
    if unsigned is not None:
        _write_unsigned(desk, unsigned, path, None)
        return
    if signed is None:
        desk.remove(path)
    else:
        desk.take_signed(signing_role(path), signed, {})
    click.echo(f"Took back {path}.")


@updates.command("list", epilog=EXIT_CODES)
@home_option
@json_option
@teach
def list_(home: Path, as_json: bool) -> None:
    """List what is published, the director's documents among it."""
    found = _updates(home).published()
    if as_json:
        print_json([each.to_json() for each in found])
        return
    rows = [(each.path, each.role, f"{each.length:,}", each.sha256.hex()[:16]) for each in found]
    print_table(("path", "signed by", "bytes", "SHA-256"), rows)


@updates.command(epilog=EXIT_CODES)
@home_option
@json_option
@teach
def status(home: Path, as_json: bool) -> None:
    """Show roles, versions, expiry, which keys are here, and what somebody must sign.

    Exits with 1 when a role expires so soon that gateways can no longer be promised to do
    without news for the offline window.
    """
    desk = _updates(home)
    rows, alarms = _roles(desk), desk.alarms()
    staged = desk.repository.staged_root()
    if as_json:
        print_json(
            {
                "roles": rows,
                "publishers": desk.publishers(),
                "root_waits": None if staged is None else staged.signed.version,
                "alarms": [{"role": a.role, "level": a.level, "remedy": a.remedy} for a in alarms],
            }
        )
    else:
        names = ("role", "version", "expires", "days_left", "key_is_here")
        print_table(names, [[row[name] for name in names] for row in rows])
        if staged is not None:
            click.echo(f"root {staged.signed.version} waits for signatures: catchment-hq updates sign-root")
        for alarm in alarms:
            click.echo(f"{alarm.level}: {alarm.role} expires in {alarm.days_left:.0f} days; {alarm.remedy}")
    if any(alarm.level == "error" for alarm in alarms):
        raise SystemExit(EXIT_FAULT)


@updates.command(epilog=EXIT_CODES)
@home_option
@click.argument("file", type=NEW_FILE)
@teach
def root(home: Path, file: Path) -> None:
    """Write the newest root to FILE, for gateways to begin with."""
    from protocols.durable import write_bytes_durably

    write_bytes_durably(file, _updates(home).root())
    click.echo(f"Wrote {file}; a gateway begins with it, and follows every later root by itself.")


def _updates(home: Path, keys: tuple[Path, ...] = ()) -> Updates:
    from headquarters.updates import Updates

    return Updates(home, config.load(home).offline_days, keys, ask_passphrase)


def _new_key(desk: Updates, path: Path) -> SSlibKey:
    """The public half of a key in a file; the key itself is at hand if the file has it."""
    from headquarters.updates.keyfile import SUFFIX, read_key, read_public

    if path.suffix != SUFFIX:
        return read_public(path)
    pair = read_key(path, ask_passphrase)
    desk.keys.hold(pair)
    return pair.public


def _roles(desk: Updates) -> list[dict[str, Any]]:
    from headquarters.updates.upkeep import at_hand, payloads

    rows: list[dict[str, Any]] = []
    for role, signed in payloads(desk.repository).items():
        if not role.startswith("bin-"):
            rows.append(
                {
                    "role": role,
                    "version": signed.version,
                    "expires": iso_time(signed.expires.timestamp())[:10],
                    "days_left": round(desk.repository.days_left(signed)),
                    "key_is_here": "yes" if at_hand(desk.repository, desk.keys, role) else "no",
                }
            )
    return rows


def _write_unsigned(desk: Updates, to: Path, path: str, file: Path | None) -> None:
    from protocols.durable import write_bytes_durably

    write_bytes_durably(to, desk.unsigned(path, file))
    click.echo(f"Wrote {to}. Next: catchment-hq updates sign {to} --key FILE, where the key is;")
    click.echo(f"      then this command again with --signed {to} for --unsigned {to}")


def _print_waiting(waiting: Any) -> None:
    if waiting is None:
        click.echo("The root is published.")
        return
    missing = max(waiting.first.missing, waiting.second.missing)
    left = ", ".join(sorted(keyid[:16] for keyid in waiting.unsigned))
    click.echo(f"The root waits for {missing} more of {left}: catchment-hq updates sign-root --key FILE")


def ask_passphrase(path: Path) -> str | None:
    """The passphrase of a sealed key file: from the environment, or typed; `None` where nobody can type."""
    said = os.environ.get(PASSPHRASE)
    if said is not None or not sys.stdin.isatty():
        return said
    return str(click.prompt(f"Passphrase of {path}", hide_input=True, err=True))


def _new_passphrase(label: str) -> str:
    said = os.environ.get(PASSPHRASE)
    if said is not None:
        return said
    if not sys.stdin.isatty():
        expected = f"a terminal to type it at, or {PASSPHRASE} in the environment"
        raise InputError([Problem("--seal", "passphrase", "", expected)])
    return str(click.prompt(f"Passphrase for {label}", hide_input=True, confirmation_prompt=True, err=True))
