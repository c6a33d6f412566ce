"""An app package: a source folder, or the archive of one.

Rules:
1. A package is its files and nothing else; `manifest` is what `app.toml` in it says.
2. What people wrote or named is answered with `InputError` and every problem; of bytes that
   came from elsewhere `archive` says with a `PeerError` that they are damaged or hostile.
3. In a folder, names that begin with a dot and packed archives beside app.toml are passed
   over; anything else that a package may not hold is refused, so that nothing is forgotten.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from protocols import limits
from protocols.errors import InputError, LimitError, PeerError, Problem
from protocols.package import archive
from protocols.package.manifest import SUFFIX, Manifest
from protocols.package.manifestread import read_manifest
from protocols.package.names import APP, refusal
from protocols.textfile import decode_text
from protocols.tomlfile import TomlFile

APP_MISSING = "app.toml in the package; make a new app with: catchment-edge app new DIR"


@dataclass(frozen=True, slots=True)
class Package:
    """A package whose manifest is right.

    Args:
        source: The folder or archive, as its user named it; for messages.
        manifest: What app.toml says.
        files: Contents by name, app.toml included.
    """

    source: str
    manifest: Manifest
    files: Mapping[str, bytes]

    def place(self, name: str) -> str:
        """A file of the package in a message."""
        return f"{self.source}/{name}"

    def text(self, name: str) -> str:
        """A file as text.

        Raises:
            InputError: It is not UTF-8.
        """
        return decode_text(self.files[name], self.place(name))

    def tests(self) -> tuple[str, ...]:
        """Names of its tests."""
        return tuple(sorted({name.split("/")[1] for name in self.files if name.startswith("tests/")}))

    def archive(self) -> bytes:
        """The package as one file; the same bytes for the same content.

        Raises:
            LimitError: It is too large.
        """
        return archive.pack(self.files)


def of_files(files: Mapping[str, bytes], source: str) -> Package:
    """A package of files whose names are right.

    Args:
        files: Contents by name.
        source: Where they are from, for messages.

    Raises:
        InputError: With every problem of app.toml.
    """
    path = f"{source}/{APP}"
    if APP not in files:
        raise InputError([Problem(path, "file", "", APP_MISSING)])
    if len(files[APP]) > limits.CONFIG_BYTES_MAX:
        raise InputError(
            [Problem(path, "file", f"{len(files[APP])} bytes", f"at most {limits.CONFIG_BYTES_MAX}")]
        )
    toml = TomlFile(Path(path), APP_MISSING, decode_text(files[APP], path))
    return Package(source, read_manifest(toml, files), dict(files))


def open_package(path: Path) -> Package:
    """A package from a folder or an archive on a disk.

    Raises:
        InputError: With every problem of app.toml, or of the names in a folder; or an archive
            is damaged.
    """
    if path.is_dir():
        try:
            return of_files(_read_folder(path), str(path))
        except OSError as error:
            expected = f"files and folders that this user can read ({error.strerror})"
            raise InputError([Problem(str(error.filename or path), "file", "", expected)]) from error
    try:
        files = archive.unpack(read_bytes(path))
    except PeerError as error:
        found = f"{path.stat().st_size} bytes"
        raise InputError([Problem(str(path), "file", found, f"a whole package ({error})")]) from error
    return of_files(files, str(path))


def read_bytes(path: Path) -> bytes:
    """An archive's bytes, at most as many as it may have.

    Raises:
        InputError: It cannot be read.
        LimitError: It is too large.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would never end
            expected = f"an app's folder, or a package (NAME-VERSION{SUFFIX})"
            raise InputError([Problem(str(path), "file", "a device or pipe", expected)])
        with path.open("rb") as stream:
            data = stream.read(limits.PACKAGE_BYTES_MAX + 1)
    except OSError as error:
        found = "" if isinstance(error, FileNotFoundError) else str(error.strerror)
        expected = f"an app's folder, or a package (NAME-VERSION{SUFFIX})"
        raise InputError([Problem(str(path), "file", found, expected)]) from error
    if len(data) > limits.PACKAGE_BYTES_MAX:
        raise LimitError(f"{path}: expected a package of at most {limits.PACKAGE_BYTES_MAX} bytes")
    return data


def _read_folder(root: Path) -> dict[str, bytes]:
    if not (root / APP).is_file():  # any folder, perhaps of a million files
        raise InputError([Problem(str(root / APP), "file", "", APP_MISSING)])
    problems: list[Problem] = []
    files: dict[str, bytes] = {}
    room = limits.PACKAGE_BYTES_MAX
    for name, path in _walk(root):
        expected = "files and folders, no links" if path.is_symlink() or not path.is_file() else refusal(name)
        if expected:
            problems.append(Problem(str(root / name), "file", "", f"{expected}; move it out of the app"))
            continue
        size = path.stat().st_size
        room -= size
        if room < 0 or len(files) >= limits.PACKAGE_FILES_MAX:
            most = f"{limits.PACKAGE_FILES_MAX} files and {limits.PACKAGE_BYTES_MAX} bytes"
            raise InputError([Problem(str(root), "folder", "", f"at most {most} in an app")])
        files[name] = path.read_bytes()
    folded: dict[str, str] = {}
    for name in sorted(files):
        first = folded.setdefault(name.lower(), name)
        if first != name:
            problems.append(
                Problem(str(root / name), "file", "", f"a name unlike {first!r} in more than capitals")
            )
    if problems:
        raise InputError(problems)
    return files


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """Names below a folder, sorted; links and whatever is no file are given, not followed."""
    for folder, folders, names in os.walk(root, onerror=_refuse):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if (here / name).is_symlink()]
        for name in sorted([*names, *links]):
            packed = here == root and name.endswith(SUFFIX)
            if not name.startswith(".") and not packed:
                yield (here / name).relative_to(root).as_posix(), here / name


def _refuse(error: OSError) -> None:
    """A folder that cannot be listed is not left out: its files would be missing without a word."""
    raise error
