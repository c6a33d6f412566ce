"""A micro:bit in QEMU with a genuine MicroPython, taken out of the uflash package."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.foreign import ROOT, MissingPeerError

PYTHON = ROOT / "build/peers/boards/bin/python"
BOARD_V1 = "9900"
"""Of the sections of a universal hex file: the one for the first micro:bit, which QEMU models."""

DATA, EXTENDED_ADDRESS = "00", "04"
BLOCK_START = "0A"


def firmware() -> str:
    """The firmware as Intel HEX, without what only concerns other boards.

    Raises:
        MissingPeerError: `make peers` has not been run.
    """
    if not PYTHON.exists():
        raise MissingPeerError(f"expected {PYTHON}; run: make peers")
    command = [str(PYTHON), "-c", "import uflash; print(uflash._RUNTIME)"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines, board = [], ""
    for line in text.splitlines():
        kind = line[7:9]
        if kind == BLOCK_START:
            board = line[9:13]
        elif board == BOARD_V1 and kind in (DATA, EXTENDED_ADDRESS):
            lines.append(line)
    return "\n".join([*lines, ":00000001FF"]) + "\n"


@contextmanager
def microbit(folder: Path) -> Iterator[str]:
    """A running board; gives the name of its serial port."""
    image = folder / "micropython.hex"
    image.write_text(firmware(), encoding="ascii")
    machine = ["qemu-system-arm", "-M", "microbit", "-nodefaults", "-nographic", "-monitor", "none"]
    machine += ["-device", f"loader,file={image}", "-serial", "pty"]
    try:
        process = subprocess.Popen(machine, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError as error:
        raise MissingPeerError("expected qemu-system-arm; run: make peers") from error
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert " redirected to " in said, said
        yield said.partition(" redirected to ")[2].split()[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
