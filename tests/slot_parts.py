"""Wheels and images for tests: of a tiny program with any fault, and of the repository itself.

Nothing is downloaded: the repository's wheel is made of its files, those of its requirements of
what is installed here.
"""

from __future__ import annotations

import shutil
import struct
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_runtime.flash.build import Recipe, build
from edge_runtime.flash.root import make_root
from edge_runtime.slots.image import open_image
from edge_runtime.slots.machine import machine, running_python
from edge_runtime.slots.store import COMPILED, LIBRARY
from scripts.wheels import REPOSITORY, environment_wheels, make_wheel

MEMORY = Path("/dev/shm")
"""A disk in memory, where there is one: what these tests write is much, small, and soon removed."""

MEMORY_BYTES_MIN = 512 << 20


@contextmanager
def quick_disk(tmp_path: Path, bytes_min: int = MEMORY_BYTES_MIN) -> Iterator[Path]:
    """A directory in memory, or the test's own where there is no room for one."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < bytes_min:
        yield tmp_path
        return
    with TemporaryDirectory(prefix="slots-", dir=MEMORY) as name:
        yield Path(name)


DEMO = '''
"""A program with the commands and the status file of a gateway, and with a fault."""

import fcntl, json, os, signal, sys, time
from pathlib import Path

FAULT = {fault!r}
FORMAT = {format!r}
BACK = {back!r}

def run(home):
    data = home / "data"
    data.mkdir(parents=True, exist_ok=True)
    lock = (data / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        (data / "doubled").touch()
        sys.exit(9)
    written = data / "format"
    if not written.exists():
        written.write_text(str(FORMAT))
    if int(written.read_text()) != FORMAT:
        sys.exit("data of format " + written.read_text())
    with (data / "runs.jsonl").open("a") as log:
        life = {{"fault": FAULT, "format": FORMAT, "pid": os.getpid(), "path": sys.path}}
        log.write(json.dumps(life) + "\\n")
    if FAULT == "crash":
        sys.exit(7)
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    if FAULT == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    samples, eaten, began = 0, [], time.monotonic()
    while not stopped:
        if FAULT == "late-crash" and time.monotonic() - began > 0.6:
            os.abort()
        if FAULT in ("hang", "deaf") and time.monotonic() - began > 0.3:
            time.sleep(0.05)
            continue
        if FAULT == "memory":
            eaten.append(bytearray(b"x" * 8_000_000))
        samples += 0 if FAULT == "nothing" else 10
        task = {{"samples": samples, "missed": 0, "served": samples // 10, "late_ms_mean": 1.0}}
        if FAULT == "loses":
            task["missed"] = task["served"]
        if FAULT == "late":
            task["late_ms_mean"] = 5000.0
        status = {{"pid": os.getpid(), "time": repr(time.time()), "state": "running", "tasks": [task],
            "uplink": {{"connected": FAULT != "unlinked"}}, "store": {{"trouble": ""}},
            "ledger": {{"unaccounted": 0}}}}
        new = data / "status.json.new"
        new.write_text(json.dumps(status))
        new.replace(data / "status.json")
        if FAULT != "nothing":
            with (data / "samples").open("a") as log:
                log.write(f"{{time.time():.3f}}\\n")
        time.sleep(0.05)

def main():
    arguments = sys.argv[1:]
    if arguments[0] == "run":
        run(Path(arguments[2]))
    elif arguments[0] == "supervise":
        sys.exit(1 if FAULT == "supervisor" else 0)
    elif arguments[:2] == ["slots", "migrate"]:
        given = dict(zip(arguments[2::2], arguments[3::2]))
        source, target = int(given["--from"]), int(given["--to"])
        written = Path(given["--data"]) / "format"
        if (target < source and not BACK) or FAULT == "migration":
            written.write_text("torn")
            sys.exit("no way")
        if written.exists():
            assert written.read_text() == str(source), written.read_text()
        written.write_text(str(target))
'''


def demo_image(
    folder: Path, version: str = "1.0.0", fault: str = "", format: int = 1, oldest: int = 1, back: bool = True
) -> Path:
    """An image of the tiny program."""
    wheels = folder / f"wheels-{version}"
    source = DEMO.format(fault=fault, format=format, back=back)
    files = {
        "edge_runtime/__init__.py": b"",
        "edge_runtime/cli.py": source.encode(),
        "edge_runtime/data_format.toml": f"current = {format}\noldest = {oldest}\n".encode(),
    }
    make_wheel(wheels, "catchment", version, files)
    recipe = Recipe(wheels, None, "edge", running_python(), machine(), version=version)
    return build(recipe, folder / f"demo-{version}.cfw").path


def demo_root(folder: Path, image: Path, settings: str = "") -> Path:
    """A machine's root with that image in slot a."""
    root = folder / "root"
    make_root(open_image(image), root)
    (root / "supervisor.toml").write_text(settings or FAST)
    return root


FAST = """\
[supervisor]
confirm_s = 1.5
patience_s = 1.2
stop_s = 1.0
pause_first_s = 0.1
pause_longest_s = 0.4

[health]
start_s = 3.0
stale_s = 0.8
window_s = 0.8
memory_mb = 150
"""


def environment_image(
    folder: Path, tier: str, version: str, changed: Mapping[str, bytes] | None = None
) -> Path:
    """An image of a real program."""
    wheels = folder / f"wheels-{tier}"
    environment_wheels(wheels, tier, changed)
    recipe = Recipe(wheels, None, tier, running_python(), machine(), version=version)
    return build(recipe, folder / f"{tier}-{version}.cfw").path


def compile_quickly(slot: Path, python: str) -> None:
    """What `unpack.compile_slot` does, by what was compiled here already: compiling takes a while.

    A compiled file begins with the interpreter's mark, flags, and eight bytes about its source;
    flags of 1 say that the source need not be looked at (PEP 552).
    """
    assert python == running_python()
    library = slot / LIBRARY
    packages = Path(sysconfig.get_path("purelib"))
    for source in library.rglob("*.py"):
        name = source.relative_to(library)
        origin = (REPOSITORY if (REPOSITORY / name).exists() else packages) / name
        made = origin.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        if not made.exists() or origin.read_bytes() != source.read_bytes():
            continue
        data, now = made.read_bytes(), origin.stat()
        if data[4:16] == struct.pack("<3I", 0, int(now.st_mtime) & 0xFFFFFFFF, now.st_size & 0xFFFFFFFF):
            target = source.parent / "__pycache__" / made.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data[:4] + struct.pack("<IQ", 1, 0) + data[16:])
    (slot / COMPILED).write_text(python)
