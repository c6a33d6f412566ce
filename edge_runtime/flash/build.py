"""Builds a firmware image: the same wheels and defaults give the same bytes, wherever and whenever."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.flash import sbom
from edge_runtime.flash.wheelhouse import PROGRAM, Wheelhouse, read_wheelhouse
from edge_runtime.slots import firmware, limits
from edge_runtime.slots.firmware import WHEELS, FileEntry, ImageManifest
from edge_runtime.slots.image import CHUNK_BYTES, Image, open_image
from edge_runtime.slots.store import DEFAULTS, MANIFEST, SBOM
from protocols.durable import move_durably
from protocols.errors import InputError, PeerError, Problem, StoreError
from protocols.package.settings import is_id, is_version
from protocols.storedzip import Stored, directory, local_header


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is made of.

    Args:
        wheels: A directory of wheels.
        defaults: A directory of default configuration, or `None`.
        tier: What it runs.
        python: The interpreter that it is for.
        platform: The machine that it is for.
        id: The image's id; after the tier when empty.
        version: Its version; the program's when empty.
        extras: Further extras of the program.
    """

    wheels: Path
    defaults: Path | None
    tier: str
    python: str
    platform: str
    id: str = ""
    version: str = ""
    extras: Sequence[str] = ()


def build(recipe: Recipe, output: Path | None) -> Image:
    """Make an image and read it again.

    Args:
        recipe: What it is made of.
        output: Its file; after its name, in the current directory, when `None`.

    Raises:
        InputError: With every problem of the wheels or defaults.
        StoreError: The image cannot be written.
    """
    house = read_wheelhouse(recipe.wheels, recipe.tier, recipe.extras, recipe.python, recipe.platform)
    id, version = recipe.id or f"{PROGRAM}-{recipe.tier}", recipe.version or house.version
    _refuse_names(recipe, id, version)
    contents: dict[str, Path | bytes] = {f"{WHEELS}/{wheel.path.name}": wheel.path for wheel in house.wheels}
    contents |= _defaults(recipe.defaults)
    contents[SBOM] = sbom.bill(id, version, recipe.tier, house)
    manifest = _manifest(recipe, house, id, version, contents)
    path = Path(manifest.archive) if output is None else output
    try:
        _write(path, manifest, contents)
        return open_image(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; expected a place with room to write") from error
    except PeerError as error:
        raise InputError(
            [Problem(str(recipe.wheels), "wheels", "", f"what fits an image ({error})")]
        ) from error


def _refuse_names(recipe: Recipe, id: str, version: str) -> None:
    problems = []
    if not is_id(id):
        problems.append(Problem("command line", "--id", id, "lower-case letters, digits and hyphens"))
    if not is_version(version):
        expected = "a semantic version such as 1.2.0; give one with --version"
        problems.append(Problem("command line", "--version", version, expected))
    if problems:
        raise InputError(problems)


def _defaults(folder: Path | None) -> dict[str, Path | bytes]:
    if folder is None:
        return {}
    found: dict[str, Path | bytes] = {}
    problems: list[Problem] = []

    def refuse(error: OSError) -> None:
        expected = f"a directory that can be read ({error.strerror})"
        problems.append(Problem(str(error.filename), "directory", "", expected))

    for base, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*names, *(each for each in folders if (Path(base) / each).is_symlink())]):
            path = Path(base) / name
            entry = f"{DEFAULTS}/{path.relative_to(folder).as_posix()}"
            plain = path.is_file() and not path.is_symlink()
            reason = firmware.refusal(entry) if plain else "files and folders, no links"
            if name.startswith("."):
                continue
            if reason:
                problems.append(Problem(str(path), "file", "", f"{reason}; take it out of the defaults"))
            else:
                found[entry] = path
    if problems:
        raise InputError(problems)
    return found


def _manifest(
    recipe: Recipe, house: Wheelhouse, id: str, version: str, contents: dict[str, Path | bytes]
) -> ImageManifest:
    platform = "any" if all(wheel.tags.pure for wheel in house.wheels) else recipe.platform
    least = max(wheel.tags.glibc(recipe.platform) for wheel in house.wheels)
    entries = [FileEntry(name, *_digest(content)) for name, content in sorted(contents.items())]
    return ImageManifest(
        id,
        version,
        recipe.tier,
        recipe.python,
        platform,
        ".".join(map(str, least)) if least > (0, 1) else "",
        house.data_format,
        house.data_oldest,
        sum(wheel.unpacked_bytes for wheel in house.wheels),
        sum(wheel.unpacked_files for wheel in house.wheels),
        tuple(entries),
    )


def _digest(content: Path | bytes) -> tuple[str, int]:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest(), len(content)
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), content.stat().st_size


def _write(path: Path, manifest: ImageManifest, contents: dict[str, Path | bytes]) -> None:
    """Write beside, flush, rename: nobody ever sees half an image."""
    total = sum(entry.size for entry in manifest.files)
    if total > limits.IMAGE_BYTES_MAX:
        expected = f"at most {limits.IMAGE_BYTES_MAX} bytes of wheels and defaults"
        raise InputError([Problem(str(path), "size", str(total), expected)])
    new = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    stored: list[Stored] = []
    at = 0
    with new.open("wb") as stream:
        for name, content in [(MANIFEST, firmware.render(manifest).encode()), *sorted(contents.items())]:
            entry = _entry(name, content, at)
            stored.append(entry)
            at += stream.write(local_header(entry))
            at += _copy(content, stream.write)
        stream.write(directory(stored, at))
        stream.flush()
        os.fsync(stream.fileno())
    move_durably(new, path)


def _entry(name: str, content: Path | bytes, at: int) -> Stored:
    crc = 0
    size = 0

    def count(chunk: bytes) -> int:
        nonlocal crc
        crc = zlib.crc32(chunk, crc)
        return len(chunk)

    size = _copy(content, count)
    return Stored(name, crc, size, at)


def _copy(content: Path | bytes, write: Callable[[bytes], int]) -> int:
    if isinstance(content, bytes):
        return write(content)
    size = 0
    with content.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            size += write(chunk)
    return size
