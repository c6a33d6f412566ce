"""`catchment-hub`: make, run and look at a hub."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from edge_runtime.slots.commands import slots_group, supervise_command
from edge_runtime.slots.tier import Tier
from hub import config
from protocols import keyfiles
from protocols.backup.commands import backup_group
from protocols.backup.operating import BackupTier
from protocols.command import teach
from protocols.daemon import EXIT_FAULT, EXIT_UNREACHABLE, read_status
from protocols.enrolment import fingerprint
from protocols.errors import InputError, Problem
from protocols.identity import ALLOW, IDENTITY, Identity, allow, read_peers
from protocols.joining import Answer, Application, accept, keys_for, parse_token
from protocols.support import Parts
from protocols.supportcommands import support_group

STALE_S = 10.0
"""A status older than this is that of a hub that does not run."""

EXIT_CODES = """
\b
Exit codes:
  0    all is well
  1    the command ran and found a fault
  2    wrong usage, configuration, key or allow-list
  3    the hub, or a peer, is not there
  4    the hub's disk or store failed
  130  interrupted by Ctrl-C
"""

_home = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="the current directory",
    help="The hub's directory: configuration, keys and data.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="catchment", prog_name="catchment-hub")
def main() -> None:
    """Take signed batches from gateways, store them, and relay them upward.

    \b
    A new hub:
      catchment-hub init --home /srv/hub --id hub-north --upstream hq.toml --address tcp://hq:7600
      catchment-hub allow --home /srv/hub unit-1.toml
      catchment-hub run --home /srv/hub

    Then give the hub's identity.toml to headquarters, which must allow it, and to the gateways.
    """


@main.command(epilog=EXIT_CODES)
@_home
@click.option("--id", "id_", required=True, help="The hub's node name, unique in the group.")
@click.option("--bind", default="tcp://0.0.0.0:7500", show_default=True, help="Where gateways connect.")
@click.option("--service", help="Where known nodes call, such as tcp://0.0.0.0:7501; left out: closed.")
@click.option("--enrolment", help="Where new nodes ask, such as tcp://0.0.0.0:7502; left out: closed.")
@click.option("--seal", is_flag=True, help="Seal the private keys by this machine's passphrase.")
@click.option(
    "--upstream",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="identity.toml of headquarters, which is where batches go and whose receipts count.",
)
@click.option("--address", help="Where that upstream listens, such as tcp://hq.example:7600.")
@_json
@teach
def init(
    home: Path,
    id_: str,
    bind: str,
    service: str | None,
    enrolment: str | None,
    seal: bool,
    upstream: Path | None,
    address: str | None,
    as_json: bool,
) -> None:
    """Make a hub's directory: keys, hub.toml and an empty allow-list.

    The keys in keys/ are readable by you alone and never leave this machine; identity.toml is
    the public half, to hand to peers.
    """
    if (upstream is None) != (address is None):
        raise click.UsageError("--upstream and --address go together: who it is, and where it listens")
    if (home / config.CONFIG).exists():
        problem = Problem(str(home / config.CONFIG), "", "a configuration", "none yet; choose another --home")
        raise InputError([problem])
    for option, form, value in (
        ("id", "id", id_),
        ("bind", "bind", bind),
        ("service", "bind", service),
        ("enrolment", "bind", enrolment),
        ("address", "address", address),
    ):
        if value is not None and not config.fits(form, value):
            raise InputError([Problem(f"--{option}", "", value, config.FORMS[form])])
    known = None if upstream is None else read_peers(upstream)[0]
    if known is not None and known.role != "headquarters":
        expected = "the identity.toml of headquarters; add other upstreams to hub.toml by hand"
        raise InputError([Problem(str(upstream), "role", known.role, expected)])
    passphrase = keyfiles.required_passphrase("--seal") if seal else None
    home.mkdir(parents=True, exist_ok=True)
    text = config.example(id_, bind, known, address, service, enrolment)
    identity = Identity.create(home, id_, "hub", passphrase=passphrase)
    (home / config.CONFIG).write_text(text, encoding="utf-8")
    (home / ALLOW).touch()
    config.load(home)
    if as_json:
        click.echo(json.dumps({"id": identity.id, "home": str(home), "identity": str(home / IDENTITY)}))
        return
    click.echo(f"Made hub {id_} in {home}.")
    click.echo(f"Next: catchment-hub enroll --home {home} --token TOKEN, where headquarters gave a token;")
    click.echo(f"or, by hand: give {home / IDENTITY} to headquarters and to the gateways,")
    click.echo(f"      catchment-hub allow --home {home} GATEWAY-IDENTITY.toml for each gateway,")
    click.echo(f"      catchment-hub run --home {home}")


@main.command(epilog=EXIT_CODES)
@_home
@click.option(
    "--token", required=True, envvar="CATCHMENT_TOKEN", help="The line that `gateways invite` printed."
)
@click.option("--new-keys", is_flag=True, help="Ask with new keys, in place of those that are here.")
@click.option("--no-wait", is_flag=True, help="Ask once; run the same command again after the approval.")
@_json
@teach
def enroll(home: Path, token: str, new_keys: bool, no_wait: bool, as_json: bool) -> None:
    """Join a group: ask headquarters with a token of `gateways invite --role hub`, and wait for approval.

    The home must be made by init. When the command ends, the hub has its certificate and knows
    headquarters: restart it. With --new-keys a hub that was revoked comes back, and gateways
    must be told of its new link key. Exit code 3 when there is no answer or approval yet.
    """
    settings = config.load(home)
    asked = parse_token(token, "hub")
    identity = keys_for(home, asked, new_keys)
    shown = fingerprint(identity.public)
    if not as_json:
        click.echo(f"hub {settings.id} asks with the keys {shown}")

    told: list[str] = []

    def progress(answer: Answer) -> None:
        if not as_json and answer.why not in told[-1:]:
            told.append(answer.why)
            click.echo(answer.why, err=True)

    application = Application(asked, identity, time.time())
    try:
        answer = application.ask(time.time())
        grant = answer.grant
        if grant is None and not no_wait:
            progress(answer)
            grant = application.wait(time.time, time.sleep, progress)
    finally:
        application.close()
    if grant is not None:
        accept(home, grant, identity.public, config.CONFIG, new_keys, asked.token_id)
    state = answer.waiting.value if grant is None else "granted"
    if as_json:
        click.echo(json.dumps({"id": settings.id, "state": state, "fingerprint": shown}))
    else:
        click.echo(answer.why if grant is None else f"Enrolled. Next: catchment-hub run --home {home}")
    if grant is None:
        raise SystemExit(EXIT_UNREACHABLE)


@main.command(epilog=EXIT_CODES)
@_home
@teach
def run(home: Path) -> None:
    """Run the hub until SIGTERM or Ctrl-C; log lines are JSON, on standard error.

    Another hub.toml takes a restart; allow.toml is read again whenever it changes.
    """
    from hub.main import run as run_hub

    run_hub(home)


@main.command("allow", epilog=EXIT_CODES)
@_home
@click.argument("identity", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_json
@teach
def allow_(home: Path, identity: Path, as_json: bool) -> None:
    """Allow the node in IDENTITY (its identity.toml) to connect; a running hub notices at once.

    A node of the same name is replaced: that is how a gateway with new keys is let in.
    """
    config.load(home)
    nodes = read_peers(identity)
    for node in nodes:
        allow(home / ALLOW, node)
    if as_json:
        click.echo(json.dumps({"allowed": [node.id for node in nodes]}))
    else:
        click.echo("Allowed " + ", ".join(f"{node.role} {node.id}" for node in nodes) + ".")


@main.command(epilog=EXIT_CODES)
@_home
@_json
@teach
def status(home: Path, as_json: bool) -> None:
    """Show gateways, upstreams, backlog and marks of a running hub.

    Exits with 3 when the hub does not run, with 1 when it runs and something is wrong: no
    room, or an upstream out of reach.
    """
    settings = config.load(home)
    found = read_status(settings.status)
    running = found is not None and not found["stopped"] and time.time() - found["time"] < STALE_S
    if as_json:
        click.echo(json.dumps({"running": running, **(found or {})}, ensure_ascii=False))
    else:
        _print(settings.id, found, running)
    if found is None or not running:
        raise SystemExit(EXIT_UNREACHABLE)
    if found["no_room"] or not all(upstream["connected"] for upstream in found["upstreams"].values()):
        raise SystemExit(EXIT_FAULT)


def _print(id_: str, found: dict[str, Any] | None, running: bool) -> None:
    if found is None:
        click.echo(f"hub {id_} has not run here yet; start it: catchment-hub run")
        return
    age = time.time() - found["time"]
    click.echo(f"hub {id_}: {'running' if running else f'not running, last seen {age:.0f} s ago'}")
    click.echo(f"  listens on {found['address']}")
    click.echo(f"  store {found['used_bytes'] / 1e6:,.1f} of {found['quota_bytes'] / 1e6:,.0f} MB")
    if found["no_room"]:
        click.echo(f"  NO ROOM: {found['no_room']}; gateways keep their own until there is")
    if found["quarantined"] or found["refusals"]:
        click.echo(f"  {found['refusals']} refusals, {found['quarantined']} batches in quarantine")
    membership = found.get("membership", {})
    if membership.get("quarantined"):
        click.echo(f"  QUARANTINED: {', '.join(membership['quarantined'])}; there seem to be two of each")
    for name, upstream in found["upstreams"].items():
        state = "connected" if upstream["connected"] else "OUT OF REACH"
        click.echo(
            f"upstream {name} ({upstream['address']}): {state}, backlog {upstream['backlog']:,} batches"
        )
    if found["gateways"]:
        click.echo(_ROW.format("gateway", "link", "batches", "samples", "samples/s", "held"))
    for name, gateway in found["gateways"].items():
        link = "up" if gateway["connected"] else "-"
        counts = [f"{gateway.get(key, 0):,.0f}" for key in ("batches", "samples", "samples_per_s", "held")]
        click.echo(_ROW.format(name, link, *counts))
        for chain in gateway["chains"]:
            click.echo(
                f"  {chain['chain']}: next {chain['next']:,}, headquarters {chain['headquarters']:,},"
                f" backed up {chain['backed_up']:,}, held from {chain['held_from']:,}"
            )


_ROW = "{:<20} {:<5} {:>12} {:>16} {:>11} {:>9}"


def _tier() -> Tier:
    from hub.supervised import TIER

    return TIER


def _backup_tier() -> BackupTier:
    from hub.backup import HubTier

    return HubTier()


def _support(home: Path) -> Parts:
    from hub.support import parts

    return parts(home)


main.add_command(supervise_command(_tier))
main.add_command(slots_group(_tier))
main.add_command(backup_group(_backup_tier))
main.add_command(support_group(_support))

if __name__ == "__main__":
    main(prog_name="catchment-hub")
