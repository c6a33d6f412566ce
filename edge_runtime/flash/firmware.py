"""Bringing MicroPython itself onto an ESP board, by esptool where the user has it.

esptool is a program of its own under the GPL: it is called, never imported, and never installed by us.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from protocols.errors import DeviceError, InputError, Problem

NAMES = ("esptool", "esptool.py")

HINT = "esptool, a program under the GPL; install it with: pip install esptool, or name it with --esptool"


def find(named: str = "") -> str:
    """Where esptool is.

    Raises:
        InputError: It is nowhere.
    """
    for name in (named,) if named else NAMES:
        found = shutil.which(name)
        if found:
            return found
    raise InputError([Problem("this machine", "esptool", named, HINT)])


def major_version(program: str) -> int:
    """The first number of its version; since 5 its commands are written with dashes.

    Raises:
        InputError: It is not esptool.
    """
    done = subprocess.run([program, "version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    found = re.search(r"^(?:esptool(?:\.py)? )?v?(\d+)\.\d+", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise InputError([Problem(program, "version", done.stdout[:60] + done.stderr[:60], HINT)])
    return int(found[1])


def command(
    program: str,
    major: int,
    port: str,
    baud: int,
    image: Path,
    address: int,
    chip: str = "auto",
    stub: bool = True,
) -> list[str]:
    """The command that writes an image and has the chip verify it.

    >>> command("esptool", 5, "/dev/ttyUSB0", 460800, Path("f.bin"), 0x1000)[-3:]
    ['write-flash', '0x1000', 'f.bin']
    """
    options = ["--port", port, "--baud", str(baud), "--chip", chip]
    options += [] if stub else ["--no-stub"]
    write = "write-flash" if major >= 5 else "write_flash"
    return [program, *options, write, f"0x{address:x}", str(image)]


def write(arguments: Sequence[str]) -> None:
    """Run it, its output shown as it comes.

    Raises:
        DeviceError: It failed; it has said why.
    """
    done = subprocess.run(arguments, check=False)  # noqa: S603
    if done.returncode:
        expected = "a board in its boot loader on this port; hold BOOT, press reset"
        raise DeviceError(f"esptool ended with {done.returncode}; expected {expected}")
