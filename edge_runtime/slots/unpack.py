"""Unpacks a checked image into a slot, and checks a slot against what was unpacked.

A slot is whole when `files.sha256`, its last file, is there; it counts only when the state says
so. Compiled files are not in that list: they are made here, by the interpreter that will run
them, and made again when another one does.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from edge_runtime.slots import limits
from edge_runtime.slots.compiling import compile_slot, take_compiled
from edge_runtime.slots.firmware import WHEELS, render
from edge_runtime.slots.image import Image, Part
from edge_runtime.slots.store import DEFAULTS, FILES, LAUNCHER, LIBRARY, MANIFEST, SBOM
from edge_runtime.slots.wheel import Budget, Wheel, hashes
from protocols import durable
from protocols.errors import IntegrityError, MalformedError, StoreFullError

Working = Callable[[], None]
"""Called now and then during long work."""


def unpack(image: Image, slot: Path, working: Working = lambda: None, other: Path | None = None) -> None:
    """Write a slot's files; whatever was there goes first.

    Nothing is durable before the end, and then all is.

    Args:
        image: The image, checked.
        slot: Where to.
        working: Called now and then.
        other: The machine's other slot: what is compiled there already need not be compiled again.

    Raises:
        IntegrityError, MalformedError, LimitError: A file of the image is not what it says.
        StoreError: The disk failed, or is full.
    """
    try:
        if slot.exists():
            shutil.rmtree(slot)
        slot.mkdir(parents=True)
        listed = _libraries(image, slot, working)
        listed |= _others(image, slot)
        text = "".join(f"{digest}  {name}\n" for name, digest in sorted(listed.items()))
        (slot / FILES).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreFullError(f"{slot}: {error.strerror or error}; free space and install again") from error
    if other is not None:
        take_compiled(slot, other, image.manifest.python)
    compile_slot(slot, image.manifest.python)
    durable.flush_filesystem(slot)


def _libraries(image: Image, slot: Path, working: Working) -> dict[str, str]:
    manifest = image.manifest
    budget = Budget(manifest.unpacked_bytes, manifest.unpacked_files)
    library = slot / LIBRARY
    library.mkdir()
    with image.path.open("rb") as stream:
        for entry in manifest.files:
            if entry.name.startswith(f"{WHEELS}/"):
                name = entry.name.removeprefix(f"{WHEELS}/")
                Wheel(name, Part(stream, image.at[entry.name], entry.size)).unpack(library, budget)
                working()
    if budget.bytes_left or budget.files_left:
        raise MalformedError(f"{image.path}: its wheels are smaller, unpacked, than it declares")
    return {f"{LIBRARY}/{name}": digest for name, digest in budget.written.items()}


def _others(image: Image, slot: Path) -> dict[str, str]:
    contents = {
        entry.name: image.read(entry.name)
        for entry in image.manifest.files
        if entry.name == SBOM or entry.name.startswith(f"{DEFAULTS}/")
    }
    contents[MANIFEST] = render(image.manifest).encode()
    contents[LAUNCHER] = Path(__file__).with_name("run.py").read_bytes()
    for name, content in contents.items():
        path = slot / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return {name: sha256(content).hexdigest() for name, content in contents.items()}


def check_slot(slot: Path) -> None:
    """Compare every file of a slot with what was unpacked.

    Raises:
        IntegrityError: One is missing or another one, or the list itself is.
    """
    try:
        lines = (slot / FILES).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{slot}: its {FILES} cannot be read; install the image again") from error
    names = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    wrong = next(hashes(slot, names), None)
    if wrong is not None or not names:
        raise IntegrityError(f"{slot}: {wrong or FILES} is not as it was installed; install the image again")


def room_needed(image: Image) -> int:
    """Bytes of disk that an image takes in a slot, with what is made beside it."""
    return round(image.manifest.unpacked_bytes * (1 + limits.COMPILED_PART)) + limits.SPARE_BYTES
