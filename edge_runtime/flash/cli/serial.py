"""`catchment-flash serial`: a gateway at the other end of a serial cable."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from edge_runtime.cli.view import count, json_option, print_json
from protocols.errors import InputError, Problem

if TYPE_CHECKING:
    from edge_runtime.flash.consolehost import ConsoleHost

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


class Cable(NamedTuple):
    """Where the gateway is.

    Args:
        port: The port's name.
        baud: Bits a second.
        timeout_s: How long to wait for it.
    """

    port: str
    baud: int
    timeout_s: float


@click.group()
@click.option("--port", required=True, help="The port of this machine, such as /dev/ttyUSB0 or COM3.")
@click.option("--baud", default=115_200, show_default=True, help="Bits a second, as the console's.")
@click.option(
    "--timeout",
    "timeout_s",
    default=30.0,
    show_default=True,
    type=click.FloatRange(1, 3600),
    help="Seconds without hearing of the gateway after which it is given up; a cable may be pulled so long.",
)
@click.pass_context
def serial(context: click.Context, port: str, baud: int, timeout_s: float) -> None:
    """Set up a gateway over its serial port, where catchment-edge console serves it.

    Damaged bytes are sent again, and a transfer goes on after the cable was pulled.

    \b
      catchment-flash serial --port /dev/ttyUSB0 info
      catchment-flash serial --port /dev/ttyUSB0 network --interface eth0 --address 10.0.0.7/24
      catchment-flash serial --port /dev/ttyUSB0 time
      catchment-flash serial --port /dev/ttyUSB0 config gateway.toml points.csv
      catchment-flash serial --port /dev/ttyUSB0 token --file token.txt
    """
    context.obj = Cable(port, baud, timeout_s)


@contextmanager
def _host(cable: Cable) -> Iterator[ConsoleHost]:
    from edge_runtime.flash.consolehost import ConsoleHost
    from edge_runtime.provision.port import SerialLine, check_baud

    baud = check_baud(cable.baud)
    host = ConsoleHost(lambda: SerialLine(cable.port, baud), baud, cable.timeout_s, cable.port)
    try:
        yield host
    finally:
        host.close()


def _print(answer: dict[str, Any], as_json: bool, told: str = "") -> None:
    """The answer for a machine, or a sentence, or its fields."""
    if as_json:
        print_json(answer)
    elif told:
        click.echo(told)
    else:
        from edge_runtime.statusview import outline

        for line in outline(answer):
            click.echo(line)


def progress_bar(what: str) -> Callable[[int, int], None]:
    """Shows how far a transfer is, where somebody watches."""
    begun = time.monotonic()

    def show(done: int, size: int) -> None:
        if not sys.stderr.isatty():
            return
        rate = done / max(time.monotonic() - begun, 0.1) / 1000
        click.echo(f"\r{what}: {done:,} of {size:,} bytes, {rate:.1f} kB/s ", err=True, nl=done >= size)

    return show


@serial.command(short_help="Show who the gateway is.")
@json_option
@click.pass_obj
def info(cable: Cable, as_json: bool) -> None:
    """Show who the gateway is and what it was given: public keys, hub, slots; never a private key.

    \b
      catchment-flash serial --port /dev/ttyUSB0 info --json
    """
    with _host(cable) as host:
        _print(host.call("info"), as_json)


@serial.command(short_help="Show how the gateway is doing.")
@json_option
@click.pass_obj
def health(cable: Cable, as_json: bool) -> None:
    """Show what catchment-edge status would show there. Exit code 3 when the gateway does not run.

    \b
      catchment-flash serial --port /dev/ttyUSB0 health
    """
    with _host(cable) as host:
        found = host.call("health")
    _print(found, as_json)
    if not found["running"]:
        raise SystemExit(3)


@serial.command(short_help="Show or set the gateway's network.")
@click.argument("file", type=_FILE, required=False)
@click.option("--interface", default="", help="Set this one interface, such as eth0.")
@click.option("--address", default="", help="Its address with prefix, such as 10.0.0.7/24; without it, DHCP.")
@click.option("--router", default="", help="The default route.")
@click.option("--dns", multiple=True, help="A name server; may be repeated.")
@click.option("--ntp", multiple=True, help="A time server; may be repeated.")
@click.option("--hostname", default="", help="The machine's name.")
@json_option
@click.pass_obj
def network(
    cable: Cable,
    file: Path | None,
    interface: str,
    address: str,
    router: str,
    dns: tuple[str, ...],
    ntp: tuple[str, ...],
    hostname: str,
    as_json: bool,
) -> None:
    """Show or set the gateway's network: from FILE (network.toml), or for one interface from options.

    It is checked here and there, and kept as network.toml in the gateway's home. The gateway's
    system applies it by catchment-edge network.

    \b
      catchment-flash serial --port /dev/ttyUSB0 network --interface eth0
      catchment-flash serial --port /dev/ttyUSB0 network network.toml
    """
    from edge_runtime.provision import network as networks

    text = ""
    if file is not None:
        text = networks.to_toml(networks.parse(file.read_text(encoding="utf-8-sig"), str(file)))
    elif interface:
        wanted = networks.Interface(interface, address, router, dns)
        text = networks.to_toml(networks.Network((wanted,), ntp, hostname))
        networks.parse(text, "command line")
    elif address or router or dns or ntp or hostname:
        raise InputError([Problem("command line", "--interface", "", "the interface to set, such as eth0")])
    with _host(cable) as host:
        kept = host.call("network", toml=text)
    _print(kept, as_json, kept["toml"].rstrip("\n") or "no network was set")


@serial.command("time", short_help="Set the gateway's clock to this machine's.")
@click.option("--read", "only_read", is_flag=True, help="Only compare the clocks.")
@json_option
@click.pass_obj
def set_time(cable: Cable, only_read: bool, as_json: bool) -> None:
    """Set the gateway's clock to this machine's, to within half a round trip.

    Only where the console was started with --set-clock.

    \b
      catchment-flash serial --port /dev/ttyUSB0 time --read
      catchment-flash serial --port /dev/ttyUSB0 time
    """
    with _host(cable) as host:
        if only_read:
            before = time.time_ns() // 1000
            theirs = host.call("time")
            ahead_s = (theirs["utc_us"] - (before + time.time_ns() // 1000) // 2) / 1e6
            _print({**theirs, "ahead_s": ahead_s}, as_json, f"the gateway's clock is {ahead_s:+.3f} s ahead")
            return
        told = host.set_time(lambda: time.time_ns() // 1000)
    sentence = f"set forward by {told['step_us'] / 1e6:+.3f} s, to within {told['uncertain_us'] / 1e6:.3f} s"
    _print(told, as_json, sentence)


@serial.command(short_help="Tell the gateway its hub.")
@click.argument("address")
@click.argument("link")
@json_option
@click.pass_obj
def hub(cable: Cable, address: str, link: str, as_json: bool) -> None:
    """Tell the gateway where to enrol: the hub's enrolment ADDRESS and its public LINK key.

    A token names its hub already; this is for one that is reached another way.

    \b
      catchment-flash serial --port /dev/ttyUSB0 hub tcp://10.0.0.2:7502 "$(cat hub.link)"
    """
    from edge_runtime.provision import provisionfile

    provisionfile.checked(address, link)
    with _host(cable) as host:
        told = host.call("provision", address=address, link=link)
    _print(told, as_json, f"the gateway will enrol at {told['address']}")


@serial.command(short_help="Give the gateway its one-time token.")
@click.option(
    "--file",
    "file",
    type=click.File("r"),
    required=True,
    help="A file that holds it; - to read it from standard input.",
)
@json_option
@click.pass_obj
def token(cable: Cable, file: Any, as_json: bool) -> None:
    """Give the gateway the one-time token that lets it in.

    It is read from a file and not from the command line, which others on this machine can see.

    \b
      catchment-flash serial --port /dev/ttyUSB0 token --file -
    """
    from edge_runtime.provision import provisionfile

    text = file.read().strip()
    if not text:
        raise InputError([Problem(file.name, "token", "", "the token as invite printed it")])
    provisionfile.checked(token=text)
    with _host(cable) as host:
        told = host.call("provision", token=text)
    _print(told, as_json, "the gateway has its token")


@serial.command(short_help="Send a configuration.")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@json_option
@click.pass_obj
def config(cable: Cable, files: tuple[Path, ...], as_json: bool) -> None:
    """Send gateway.toml, points.csv or both: checked by the gateway before they replace anything.

    FILES are told apart by their ends, .toml and .csv. The first configuration of a bare gateway
    names it, and it makes its keys. A running gateway takes a new one at its next start.

    \b
      catchment-flash serial --port /dev/ttyUSB0 config gateway.toml points.csv
    """
    named: dict[str, Path] = {}
    for file in files:
        name = {".toml": "gateway.toml", ".csv": "points.csv"}.get(file.suffix.lower(), "")
        if not name or name in named:
            expected = "one .toml, the configuration, and one .csv, the point table"
            raise InputError([Problem("command line", "FILES", str(file), expected)])
        named[name] = file
    with _host(cable) as host:
        taken = host.configure(named, progress_bar("sending"))
    if not as_json:
        for warning in taken["warnings"]:
            click.echo(f"warning: {warning}", err=True)
    points, devices = count(taken["points"], "point"), count(taken["devices"], "device")
    _print(taken, as_json, f"gateway {taken['id']} took it: {points}, {devices}")


@serial.command(short_help="Send a firmware image.")
@click.argument("file", type=_FILE)
@json_option
@click.pass_obj
def image(cable: Cable, file: Path, as_json: bool) -> None:
    """Send a firmware image (.cfw), which is checked and unpacked into the idle slot.

    Only where the console was started with --root. The supervisor tries it within a second and
    returns by itself if it does not do well.

    \b
      catchment-flash serial --port /dev/ttyUSB0 image edge-1.2.0.cfw
    """
    with _host(cable) as host:
        _print(host.install(file, progress_bar("sending")), as_json)


@serial.command(short_help="Fetch diagnostics as a zip file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path("diagnostics.zip"))
@json_option
@click.pass_obj
def diagnostics(cable: Cable, file: Path, as_json: bool) -> None:
    """Fetch what helps to find a fault: status, check, configuration, logs. No key, token or password.

    \b
      catchment-flash serial --port /dev/ttyUSB0 diagnostics unit-1.zip
    """
    with _host(cable) as host:
        got = host.diagnostics(file, progress_bar("fetching"))
    _print(got, as_json, f"{count(len(got['names']), 'file')} in {file}, {got['size']:,} bytes")


@serial.command("factory-reset", short_help="Make the gateway bare again.")
@click.option(
    "--data",
    required=True,
    type=click.Choice(("keep", "wipe")),
    help="keep what is buffered, and the keys; or wipe everything, which loses what was not sent.",
)
@click.option(
    "--yes", "confirmed", default="", metavar="ID", help="The gateway's id, in the place of being asked."
)
@json_option
@click.pass_obj
def factory_reset(cable: Cable, data: str, confirmed: str, as_json: bool) -> None:
    """Take away configuration, point table, apps, network and hub; and, as said, data and keys.

    Asks for the gateway's id first (bare for one that has none). The gateway must not run.

    \b
      catchment-flash serial --port /dev/ttyUSB0 factory-reset --data keep
      catchment-flash serial --port /dev/ttyUSB0 factory-reset --data wipe --yes unit-1
    """
    with _host(cable) as host:
        identity = host.call("info")["identity"]
        id_ = identity["id"] if identity else "bare"
        if not confirmed:
            loses = "what was not sent is lost, its keys too" if data == "wipe" else "data and keys stay"
            confirmed = click.prompt(f"reset gateway {id_}; {loses}. Type {id_} to go on", err=True)
        told = host.call("reset", data=data, confirm=confirmed)
    _print(told, as_json, f"gateway {id_} is bare; taken away: {', '.join(told['gone']) or 'nothing'}")
