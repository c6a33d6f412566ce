"""`catchment-flash node`: MicroPython boards."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_runtime.cli.view import Command, count, json_option, print_json

if TYPE_CHECKING:
    from edge_runtime.flash.board import About, Board
    from edge_runtime.flash.rawrepl import RawRepl

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
STARTED_S = 5.0
"""For a board to say what it runs."""

SETTLED = (" info running ", " error waiting", " error no program", " error the flash", "Error")
"""Then it has said it."""


def _port_options(command: Command) -> Command:
    port = click.option("--port", required=True, help="The board's port, such as /dev/ttyACM0 or COM4.")
    baud = click.option("--baud", default=115_200, show_default=True, help="Bits a second.")
    timeout = click.option(
        "--timeout",
        "timeout_s",
        default=20.0,
        show_default=True,
        type=click.FloatRange(1, 3600),
        help="Seconds without any whole answer after which the board is given up.",
    )
    return port(baud(timeout(command)))


@click.group()
def node() -> None:
    """Flash, configure and watch MicroPython boards on a serial port.

    A board runs one rule program on what is wired to it. Flashing and configuring interrupt it;
    it starts again by itself afterwards.

    \b
      catchment-flash node firmware --port /dev/ttyUSB0 micropython.bin --address 0x1000
      catchment-flash node flash --port /dev/ttyUSB0 --program mill.st
      catchment-flash node config --port /dev/ttyUSB0 node.toml
      catchment-flash node logs --port /dev/ttyUSB0
    """


@contextmanager
def _repl(port: str, baud: int, timeout_s: float) -> Iterator[RawRepl]:
    from edge_runtime.flash.rawrepl import RawRepl
    from edge_runtime.provision.port import SerialLine, check_baud

    repl = RawRepl(lambda: SerialLine(port, check_baud(baud)), baud, timeout_s, port)
    try:
        yield repl
    finally:
        repl.close()


@node.command(short_help="Show what a board is.")
@_port_options
@json_option
def info(port: str, baud: int, timeout_s: float, as_json: bool) -> None:
    """Show what a board is: its MicroPython, byte code, floats, room. Interrupts its program.

    \b
      catchment-flash node info --port /dev/ttyUSB0
    """
    from edge_runtime.flash.board import Board

    with _repl(port, baud, timeout_s) as repl:
        about = Board(repl).about()
        repl.restart()
    if as_json:
        print_json(about._asdict())
        return
    click.echo(f"{about.implementation} {'.'.join(map(str, about.version))} on {about.machine}")
    code = f"byte code version {about.mpy}" if about.mpy else "no byte code"
    click.echo(f"{code}, floats of {64 if about.lreal else 32} bits, {about.free_bytes:,} bytes free")


@node.command(short_help="Bring the runtime and a rule program onto a board.")
@_port_options
@click.option("--program", type=_FILE, help="Structured Text; without it the board's program stays.")
@click.option("--name", help="Which program of it, when there are several.")
@json_option
def flash(
    port: str, baud: int, timeout_s: float, program: Path | None, name: str | None, as_json: bool
) -> None:
    """Bring the runtime and a rule program onto a board that has MicroPython.

    Only files that changed are copied, each verified by its hash on the board before it takes the
    old one's place. Cut at any time, the board waits to be flashed again. The program that ran
    before stays on the board, which returns to it when the new one fails.

    \b
      catchment-flash node flash --port /dev/ttyUSB0 --program mill.st
    """
    from edge_runtime.flash import nodebuild
    from edge_runtime.flash.board import Board
    from edge_runtime.flash.nodeflash import flash as flash_board

    with _repl(port, baud, timeout_s) as repl:
        board = Board(repl)
        target = _target(board.about())
        files = nodebuild.runtime(target)
        if program is not None:
            files |= nodebuild.program(program, name, target)
        flashed = flash_board(board, files, _progress())
        said = _restart(repl)
    if as_json:
        print_json({**flashed._asdict(), "said": said, "lines_again": repl.again})
        return
    copied, kept = count(len(flashed.copied), "file"), count(len(flashed.kept), "file")
    click.echo(f"{copied} copied ({flashed.bytes:,} bytes), {kept} right already")
    for line in said:
        click.echo(f"board: {line}")


def _target(about: About) -> Any:
    from edge_runtime.flash.nodebuild import Target
    from protocols.errors import InputError, Problem

    if not about.renames:
        expected = "a board with a file system that can rename"
        raise InputError([Problem("board", "MicroPython", about.machine, expected)])
    return Target(about.mpy, about.lreal)


def _progress() -> Callable[[str, int, int], None] | None:
    if not sys.stderr.isatty():
        return None
    return lambda name, done, size: click.echo(
        f"\r{name}: {done:,} of {size:,} bytes ", err=True, nl=done >= size
    )


def _restart(repl: RawRepl) -> list[str]:
    """Start the board's program. Returns what it says until it runs, or cannot."""
    repl.restart()
    until = time.monotonic() + STARTED_S
    said = b""
    while time.monotonic() < until:
        said += repl.listen(0.1)
        lines = said.rpartition(b"\n")[0].decode(errors="replace").splitlines()
        if any(word in line for line in lines for word in SETTLED):
            break
    return [line for line in lines if "Error" in line or (line[:1].isdigit() and line.count(" ") > 1)]


@node.command(short_help="Check a configuration and bring it onto a board.")
@_port_options
@click.argument("file", type=_FILE)
@json_option
def config(port: str, baud: int, timeout_s: float, file: Path, as_json: bool) -> None:
    """Check FILE, a node.toml or .json, against the board's program, and bring it there.

    It is replaced whole or not at all.

    \b
      catchment-flash node config --port /dev/ttyUSB0 node.toml
    """
    import json

    from edge_runtime.flash import nodebuild, nodeconfig
    from edge_runtime.flash.board import Board

    nodeconfig.read(file, None)  # what is wrong by itself is told without a board
    with _repl(port, baud, timeout_s) as repl:
        board = Board(repl)
        described = board.read(nodebuild.RULES_DESCRIBED)
        wanted = nodeconfig.read(file, json.loads(described) if described else None)
        board.write(nodeconfig.FILE, nodeconfig.packed(wanted))
        said = _restart(repl)
    if as_json:
        print_json({"config": wanted, "said": said})
        return
    inputs, outputs = count(len(wanted["inputs"]), "input"), count(len(wanted["outputs"]), "output")
    click.echo(f"{inputs}, {outputs}, scans of {wanted['scan_ms']} ms")
    for line in said:
        click.echo(f"board: {line}")


@node.command(short_help="Show a board's log.")
@_port_options
@click.option("--follow", is_flag=True, help="Show what it says from now on, without interrupting it.")
@json_option
def logs(port: str, baud: int, timeout_s: float, follow: bool, as_json: bool) -> None:
    """Show the lines that a board has kept: seconds since its start, level, text.

    Reading them interrupts its program, which starts again afterwards. With --follow nothing is
    interrupted; end it with Ctrl-C.

    \b
      catchment-flash node logs --port /dev/ttyUSB0
      catchment-flash node logs --port /dev/ttyUSB0 --follow
    """
    from edge_runtime.flash.board import Board

    with _repl(port, baud, timeout_s) as repl:
        if follow:
            while True:
                click.echo(repl.listen(0.5).decode(errors="replace"), nl=False)
        lines = _kept_lines(Board(repl))
        repl.restart()
    if as_json:
        print_json({"lines": lines})
    else:
        for line in lines:
            click.echo(line)


def _kept_lines(board: Board) -> list[str]:
    kept = (board.read("node.log.old") or b"") + (board.read("node.log") or b"")
    return kept.decode(errors="replace").splitlines()


@node.command(short_help="Bring MicroPython itself onto an ESP board.")
@click.option("--port", required=True, help="The board's port, such as /dev/ttyUSB0.")
@click.option("--baud", default=460_800, show_default=True, help="Bits a second, once connected.")
@click.option(
    "--address", default="0x1000", show_default=True, help="Where it goes; see the firmware's page."
)
@click.option("--chip", default="auto", show_default=True, help="As esptool names it, such as esp32s3.")
@click.option("--esptool", "program", default="", help="The program, where it is not found by itself.")
@click.option("--no-stub", is_flag=True, help="Talk to the chip's own boot loader only.")
@click.argument("file", type=_FILE)
def firmware(port: str, baud: int, address: str, chip: str, program: str, no_stub: bool, file: Path) -> None:
    """Bring a MicroPython firmware FILE onto an ESP board, by esptool if you have it.

    esptool is a program of its own under the GPL, and no part of this one: install it yourself.

    \b
      pip install esptool
      catchment-flash node firmware --port /dev/ttyUSB0 ESP32_GENERIC.bin --address 0x1000
    """
    from edge_runtime.flash import firmware as firmwares
    from protocols.errors import InputError, Problem

    try:
        at = int(address, 0)
    except ValueError as error:
        raise InputError(
            [Problem("command line", "--address", address, "a number such as 0x1000")]
        ) from error
    found = firmwares.find(program)
    major = firmwares.major_version(found)
    firmwares.write(firmwares.command(found, major, port, baud, file, at, chip, not no_stub))
    click.echo("the board has it; next: catchment-flash node flash")
