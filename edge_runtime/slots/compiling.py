"""Compiled files of a slot's libraries: made there, or taken from the other slot where sources are the same.

Rules:
1. They are in no list of what was installed: whoever has the sources makes them again. A slot's file
   `compiled` says for which interpreter they are, and has the hash of each, as `sha256sum -c` reads it.
2. Most of a new firmware is what the one before it was, and compiling takes a minute on a small gateway.
   So a compiled file is taken from the other slot when its source is the same there by its hash, its
   interpreter is, and its own bytes are as they were made: a damaged one spreads to no other slot.
3. It is copied and never linked: two slots share no block of the disk. Where its source lay when it was
   made is in it; the interpreter puts that right as it imports it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from edge_runtime.slots.machine import interpreter
from edge_runtime.slots.store import COMPILED, FILES
from protocols.errors import StoreError

_COMPILE = """\
import compileall, hashlib, importlib.util, os, py_compile, sys, warnings
from pathlib import Path
os.nice(10)
warnings.simplefilter("ignore")
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
slot = Path(sys.argv[1])
for source in sorted((slot / "lib").rglob("*.py")):
    made = Path(importlib.util.cache_from_source(source))
    if not made.exists():
        compileall.compile_file(source, quiet=2, invalidation_mode=mode)
    if made.exists():
        print(hashlib.sha256(made.read_bytes()).hexdigest(), "", made.relative_to(slot).as_posix())
"""

COMPILE_S = 900.0
"""Longest time to compile all libraries; some seconds on a server, a minute on a small gateway."""

CACHE = "__pycache__"


def compiled(slot: Path) -> bool:
    """Whether the compiled files of a slot were made."""
    return (slot / COMPILED).is_file()


def take_compiled(slot: Path, other: Path, python: str) -> int:
    """Copy compiled files from another slot, for sources that both have; `compile_slot` makes the rest.

    Args:
        slot: A slot whose list of files is written.
        other: The other one; it need not be there.
        python: The interpreter that a slot is for, such as `cp311`.

    Returns:
        How many were copied. What cannot be read or written is left out.
    """
    taken = 0
    with suppress(OSError, ValueError):
        made_for, *made = (other / COMPILED).read_text(encoding="utf-8").splitlines()
        if made_for != python:
            return 0
        same = set(_listed(slot)) & set(_listed(other))
        sources = {name for _, name in same}
        for digest, name in _pairs(made):
            folder, _, file = name.rpartition(f"/{CACHE}/")
            if f"{folder}/{file.partition('.')[0]}.py" not in sources:
                continue
            data = (other / name).read_bytes()
            if sha256(data).hexdigest() == digest:
                (slot / folder / CACHE).mkdir(exist_ok=True)
                (slot / name).write_bytes(data)
                taken += 1
    return taken


def compile_slot(slot: Path, python: str) -> None:
    """Compile what is not compiled yet of a slot's libraries, with their interpreter, where it is here.

    Programs run without; they only start more slowly.

    Raises:
        StoreError: The disk failed.
    """
    program = interpreter(python)
    if program is None:
        return
    command = [program, "-I", "-S", "-B", "-X", "utf8", "-c", _COMPILE, str(slot)]
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter, and a program of our own
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=COMPILE_S, check=False, encoding="utf-8",
        )  # fmt: skip
        (slot / COMPILED).write_text(f"{python}\n{done.stdout}", encoding="utf-8")
    except subprocess.TimeoutExpired:
        return
    except OSError as error:
        raise StoreError(f"{slot}: cannot compile ({error.strerror}); free disk space") from error


def _listed(slot: Path) -> Iterator[tuple[str, str]]:
    return _pairs((slot / FILES).read_text(encoding="utf-8").splitlines())


def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Hash and name of each line, as `sha256sum` writes them."""
    for line in lines:
        digest, _, name = line.partition("  ")
        yield digest, name
