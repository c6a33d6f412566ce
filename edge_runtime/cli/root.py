"""`catchment-edge`: the gateway's commands.

Importing this costs click and nothing else; each command imports what it needs, because a
gateway on a small machine must be ready within a second.

Exit codes: 0 done; 1 the command found a fault; 2 wrong usage or wrong input; 3 a device
or the gateway could not be reached; 4 trouble with the local disk; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_runtime.cli.view import count, home_option, json_option, print_json, print_problems, print_table

if TYPE_CHECKING:
    from edge_runtime.check import CheckReport
    from protocols.identity import PublicIdentity
    from protocols.joining import Answer

EPILOG = """Exit codes: 0 done; 1 a fault was found; 2 wrong usage or input; 3 a device or the gateway
cannot be reached; 4 trouble with the local disk; 130 interrupted."""

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LateGroup(click.Group):
    """Commands in a module of their own, imported when one of them is used.

    Args:
        module: The module of this room whose `COMMANDS` they are.
        group: As of `click.Group`.
    """

    def __init__(self, *, module: str, **group: Any) -> None:
        super().__init__(**group)
        self._module = f"{__package__}.{module}"

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names for the help."""
        return sorted(self._all())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, for click."""
        return self._all().get(cmd_name)

    def _all(self) -> dict[str, click.Command]:
        import importlib

        commands: dict[str, click.Command] = importlib.import_module(self._module).COMMANDS
        return commands


class RootGroup(click.Group):
    """All commands; `supervise` comes from the slots, which a gateway without them never imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names for the help."""
        return sorted([*self.commands, "supervise"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, for click."""
        if cmd_name == "supervise":
            from edge_runtime.cli.slots import SUPERVISE

            return SUPERVISE
        return self.commands.get(cmd_name)


@click.group(cls=RootGroup, epilog=EPILOG, context_settings=CONTEXT)
@click.version_option(package_name="catchment", prog_name="catchment-edge")
def cli() -> None:
    """Collect from field devices, buffer, and send signed batches upward.

    A first gateway:

    \b
      catchment-edge init --home gw1 --id unit-1 --site plant-a
      (edit gw1/gateway.toml and gw1/points.csv)
      catchment-edge check --home gw1
      catchment-edge points test-read --home gw1
      catchment-edge join --home gw1 hub/identity.toml --address tcp://hub:7500
      catchment-edge join --home gw1 hq/identity.toml
      catchment-edge run --home gw1

    In a group with an authority, a token replaces init and join:

    \b
      catchment-edge enroll --home gw1 --token TOKEN
    """


@cli.command(short_help="Make a new gateway in its home directory.")
@home_option
@click.option("--id", "id_", required=True, help="The gateway's name in the whole group, such as unit-1.")
@click.option("--site", default="", help="The site its points belong to, such as plant-a.")
@click.option("--seal", is_flag=True, help="Seal the private keys by this machine's passphrase.")
def init(home: Path, id_: str, site: str, seal: bool) -> None:
    """Make a new gateway: keys, a commented gateway.toml and an example points.csv.

    Nothing is ever overwritten. Give identity.toml, which holds no secret, to the hub and
    to headquarters: `catchment-hub allow`, `catchment-hq allow`.

    \b
      catchment-edge init --home gw1 --id unit-1 --site plant-a
    """
    from edge_runtime import home as homes
    from protocols.keyfiles import required_passphrase

    passphrase = required_passphrase("--seal") if seal else None
    public = homes.create(home, id_, site, passphrase)
    click.echo(f"made gateway {public.id} in {home}")
    click.echo(f"next: edit {home / 'gateway.toml'} and {home / 'points.csv'}, then")
    click.echo(f"      catchment-edge check --home {home}")


@cli.command(short_help="Send to a hub or to headquarters.")
@home_option
@click.argument("identity", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--address", default="", help="Where the node listens: tcp://HOST:PORT.")
def join(home: Path, identity: Path, address: str) -> None:
    """Send to a hub or to headquarters: append it to gateway.toml from its identity.toml.

    Several hubs are tried in the order in which they were joined. Headquarters behind a hub
    is joined without an address, so that its receipts are known.

    \b
      catchment-edge join hub/identity.toml --address tcp://hub:7500
      catchment-edge join hq/identity.toml
    """
    from edge_runtime import home as homes

    added = homes.join(home, identity, address)
    click.echo(
        f"added {' and '.join(added)} to {home / 'gateway.toml'}" if added else "it was joined already"
    )


@cli.command(short_help="Join a group with a token.")
@home_option
@click.option(
    "--token",
    default="",
    envvar="CATCHMENT_TOKEN",
    help="The line that `gateways invite` printed; without it, the one that catchment-flash brought.",
)
@click.option("--new-keys", is_flag=True, help="Ask with new keys, in place of those that are here.")
@click.option("--no-wait", is_flag=True, help="Ask once; run the same command again after the approval.")
@json_option
def enroll(home: Path, token: str, new_keys: bool, no_wait: bool, as_json: bool) -> None:
    """Join a group: ask with a token of `catchment-hq gateways invite`, and wait for approval.

    A home that is not there yet is made, with keys of its own, which never leave it. Compare the
    fingerprint with the one that headquarters shows before you approve there. When the command
    ends, the gateway has its certificate and knows where to send: run it, or restart it.

    Whatever was cut is done again by the same command. With --new-keys a gateway that was
    quarantined or revoked comes back. Exit code 3 when there is no answer or approval yet.

    \b
      catchment-edge enroll --home gw1 --token catchment.mAG3dGNwOi8v...
    """
    from edge_runtime.provision.enrol import enroll as enrol_node
    from protocols.enrolment import fingerprint

    def begun(node: PublicIdentity) -> None:
        if not as_json:
            click.echo(f"gateway {node.id} asks with the keys {fingerprint(node)}")

    told: list[str] = []

    def progress(answer: Answer) -> None:
        if not as_json and answer.why not in told[-1:]:
            told.append(answer.why)
            click.echo(answer.why, err=True)

    done = enrol_node(home, token, new_keys=new_keys, wait=not no_wait, begun=begun, progress=progress)
    if as_json:
        state = done.answer.waiting.value if done.grant is None else "granted"
        fields = {"id": done.node.id, "state": state, "fingerprint": fingerprint(done.node)}
        print_json(fields | {"why": done.answer.why if done.grant is None else ""})
    elif done.grant is None:
        click.echo(done.answer.why)
    else:
        where = " and ".join(upstream.node.id for upstream in done.grant.upstreams)
        click.echo(f"enrolled{f'; it sends to {where}' if where else ''}")
        click.echo(f"next: catchment-edge run --home {home}")
    if done.grant is None:
        raise SystemExit(3)


@cli.command(short_help="Check configuration and point table.")
@home_option
@json_option
def check(home: Path, as_json: bool) -> None:
    """Check gateway.toml and points.csv: every problem at once, and what would be read how.

    Talks to no device and changes nothing. Exit code 1 when there is a problem.

    \b
      catchment-edge check --home gw1
      catchment-edge check --home gw1 --json | jq .problems
    """
    from edge_runtime.check import check as run_check

    report = run_check(home)
    if as_json:
        print_json(report.fields())
    else:
        print_problems(report.problems, "problem")
        print_problems(report.warnings, "warning")
        if report.config is not None:
            _print_loads(report)
        found = f"{count(len(report.problems), 'problem')}, {count(len(report.warnings), 'warning')}"
        click.echo(found)
    if report.problems:
        raise SystemExit(1)


def _print_loads(report: CheckReport) -> None:
    config = report.config
    assert config is not None
    site = f" at site {config.site}" if config.site else ""
    devices, classes = count(len(config.devices), "device"), count(len(config.scan), "scan class")
    click.echo(f"gateway {config.id}{site}: {count(len(config.points), 'point')}, {devices}, {classes}")
    rows = [("device", "scan class", "period s", "points", "requests/scan")]
    for load in report.loads:
        row = (load.device, load.scan_class, f"{load.period_s:g}", f"{load.points:,}", f"{load.requests:,}")
        rows.append(row)
    if report.loads:
        print_table(rows, right=(2, 3, 4))
        megabytes = report.bytes_per_day / 1e6
        click.echo(
            f"{report.values_per_s:,.1f} values/s in {report.requests_per_s:,.1f} requests/s; "
            f"at most about {megabytes:,.1f} MB a day upward"
        )
    if report.buffer_days is not None:
        click.echo(f"the buffer holds about {report.buffer_days:,.1f} days without a hub")


@cli.command(short_help="Run the gateway.")
@home_option
def run(home: Path) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; logs JSON lines to standard error.

    \b
      catchment-edge run --home gw1
    """
    from edge_runtime.desired.recovery import load_home

    config = load_home(home)
    # What collects and sends is imported only once there is something to run.
    from edge_runtime.main import run as run_gateway

    raise SystemExit(run_gateway(config))


@cli.command(short_help="Show how the gateway is doing.")
@home_option
@json_option
def status(home: Path, as_json: bool) -> None:
    """Show what the running gateway last said of itself. Exit code 3 when it is not running.

    \b
      catchment-edge status --home gw1
      watch catchment-edge status --home gw1
    """
    import time

    from edge_runtime.statusview import view

    shown = view(home, time.time())
    if as_json:
        print_json(shown.fields())
    else:
        for line in shown.lines():
            click.echo(line)
    if not shown.running:
        raise SystemExit(3)


@cli.command(short_help="Show the drivers and their settings.")
@click.argument("name", required=False)
@json_option
def drivers(name: str | None, as_json: bool) -> None:
    """List the field drivers, or everything that can be set for one of them.

    \b
      catchment-edge drivers
      catchment-edge drivers modbus-tcp
    """
    from edge_runtime.driverview import driver_rows, setting_rows

    rows = driver_rows() if name is None else setting_rows(name)
    if as_json:
        print_json([dict(zip(rows[0], row, strict=True)) for row in rows[1:]])
    else:
        print_table(rows)


@cli.command(epilog=EPILOG)
@home_option
@click.argument("root", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def trust(home: Path, root: Path) -> None:
    """Begin to trust updates that ROOT leads to, a file that `catchment-hq updates root` wrote.

    Enrolment does this by itself. Later roots are followed as their holders sign them; another
    beginning is refused.
    """
    from edge_runtime.updates import adopt_root

    version = adopt_root(home, root.read_bytes())
    click.echo(f"Trusts updates from root version {version} on.")


@cli.command(short_help="Serve the provisioning console on a serial port.")
@home_option
@click.option("--serial", "device", required=True, help="The port, such as /dev/ttyS0.")
@click.option("--baud", default=115_200, show_default=True, help="Its bits a second.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    help="The machine's root with its slots, where firmware images may be installed.",
)
@click.option("--set-clock", is_flag=True, help="Let the host set this machine's clock.")
def console(home: Path, device: str, baud: int, root: Path | None, set_clock: bool) -> None:
    """Serve the provisioning console for catchment-flash serial; a process of its own.

    It works beside a running gateway and without one, in a home that is bare or full. Whoever
    holds the cable may change the gateway, but learns no private key: guard the port.

    \b
      catchment-edge console --serial /dev/ttyS0 --home gw1
      catchment-edge console --serial /dev/ttyGS0 --home /srv/gw/home --root /srv/gw --set-clock
    """
    from edge_runtime.provision.console import run as run_console
    from edge_runtime.provision.port import check_baud

    raise SystemExit(run_console(device, check_baud(baud), home, root, may_set_clock=set_clock))


@cli.command(short_help="Write the network that was set for systemd-networkd.")
@home_option
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the units there, such as /etc/systemd/network; without it they are printed.",
)
@json_option
def network(home: Path, folder: Path | None, as_json: bool) -> None:
    """Turn network.toml, which an engineer set over the serial console, into networkd units.

    Changes no network by itself: the system runs it when the file changes, and reloads.

    \b
      catchment-edge network --home gw1
      catchment-edge network --home gw1 --to /etc/systemd/network && networkctl reload
    """
    from edge_runtime.provision import network as networks

    if folder is None:
        units = networks.networkd(networks.read(home))
        if as_json:
            print_json({"units": units})
        else:
            click.echo("\n".join(f"# {name}\n{text}" for name, text in units.items()), nl=False)
        return
    changed = networks.apply(home, folder)
    if as_json:
        print_json({"changed": changed})
    else:
        click.echo(f"{count(len(changed), 'file')} changed in {folder}")


@cli.group(cls=LateGroup, module="points")
def points() -> None:
    """Import, export, test-read and browse points."""


@cli.group(cls=LateGroup, module="alarms")
def alarms() -> None:
    """Look at alarms, acknowledge, shelve and silence them.

    An alarm is named APP/INSTANCE/SOURCE, as `alarms list` shows it; patterns such as
    'gas/*' mean all that match. What an operator does needs a running gateway and is
    journalled with name and comment.
    """


@cli.group(cls=LateGroup, module="commands")
def command() -> None:
    """Have the running gateway read, write, restart, or tell all about itself.

    The same as `catchment-hq command` does from afar, without a network; journalled alike.
    """


@cli.group(cls=LateGroup, module="page")
def page() -> None:
    """Prepare the local status page, which [status] in gateway.toml opens."""


@cli.group(cls=LateGroup, module="support")
def support() -> None:
    """Gather what somebody far away needs to understand this gateway."""


@cli.group(cls=LateGroup, module="apps")
def app() -> None:
    """Make, check, test and pack rule apps; install them on a gateway.

    \b
      catchment-edge app new mill-alarms
      catchment-edge app test mill-alarms
      catchment-edge app pack mill-alarms
      catchment-edge app install mill-alarms-0.1.0.capp --input value=MILL_A.TEMP
      catchment-edge app status
    """


@cli.group(cls=LateGroup, module="slots")
def slots() -> None:
    """Look at the slots of a machine, install firmware, and go back."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    sys.exit(invoke(arguments))


def invoke(arguments: Sequence[str] | None = None) -> int:
    """Run a command; every error that is not a bug becomes a message and an exit code."""
    return invoked(cli, "catchment-edge", arguments)


def invoked(program: click.Group, name: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command of a program; see `invoke`."""
    try:
        result = program.main(arguments, prog_name=name, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain at exit.
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115, PTH123
        return 0
    except Exception as error:
        return _explain(error)


def _explain(error: Exception) -> int:
    """Print one of our errors and give its exit code; anything else is a bug and goes on."""
    from protocols.daemon import EXIT_STORE, exit_code
    from protocols.errors import CatchmentError, InputError

    if isinstance(error, InputError):
        print_problems(error.problems, "error")
        return exit_code(error)
    if isinstance(error, CatchmentError):
        click.echo(f"error: {error}", err=True)
        return exit_code(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        click.echo(
            f"error: {where}{error.strerror or error}; expected a disk that this user can write", err=True
        )
        return EXIT_STORE
    raise error
