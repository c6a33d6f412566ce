"""Where a backup lies: named objects, written whole, in a folder or behind another adapter.

Rules:
1. An object is there whole or not at all, and once `put` has returned it survives a power cut.
2. Names are relative paths of plain characters; nothing outside the place is ever touched.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from protocols.durable import flush_folder
from protocols.errors import StoreError, StoreFullError

TEMPORARY = ".part-"


class MissingError(StoreError):
    """An object is not there."""


class ObjectStore(Protocol):
    """What a backup needs of a place."""

    @property
    def where(self) -> str:
        """The place, for people."""

    def put(self, name: str, data: bytes) -> None:
        """Write an object, in place of one of that name.

        Raises:
            StoreError: The place refused it.
        """

    def get(self, name: str) -> bytes:
        """An object.

        Raises:
            MissingError: There is none of that name.
            StoreError: The place cannot be read.
        """

    def names(self, prefix: str) -> Iterator[str]:
        """Names of the objects below a folder, in any order.

        Raises:
            StoreError: The place cannot be read.
        """

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error.

        Raises:
            StoreError: The place refused.
        """


class FolderStore:
    """Objects as files below a folder, such as a mounted share.

    Args:
        folder: Made with the first object.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        """The folder."""
        return str(self._folder)

    def put(self, name: str, data: bytes) -> None:
        """Write beside, flush, rename."""
        path = self._folder / name
        temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
        try:
            _make_folder(path.parent)
            try:
                with temporary.open("xb") as file:
                    os.fchmod(file.fileno(), 0o600)
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise
            flush_folder(path.parent)
        except OSError as error:
            expected = "expected a place with room that this user can write"
            kind = StoreFullError if error.errno in (28, 122) else StoreError
            raise kind(f"{path}: {error.strerror}; {expected}") from error

    def get(self, name: str) -> bytes:
        """Read a file."""
        path = self._folder / name
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise MissingError(f"{path}: it is not there") from error
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}; expected a file that can be read") from error

    def names(self, prefix: str) -> Iterator[str]:
        """Walk a folder; what a cut left half written has no name yet."""

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise StoreError(f"{error.filename}: {error.strerror}; expected a readable folder") from error

        for folder, _, files in os.walk(self._folder / prefix, onerror=refuse):
            relative = Path(folder).relative_to(self._folder)
            yield from ((relative / file).as_posix() for file in files if not file.startswith(TEMPORARY))

    def delete(self, name: str) -> None:
        """Remove a file."""
        path = self._folder / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}; expected a place that can be written") from error

    def sweep(self) -> None:
        """Remove what a cut left half written.

        Raises:
            StoreError: The folder refused.
        """
        for folder, _, files in os.walk(self._folder):
            for file in files:
                if file.startswith(TEMPORARY):
                    self.delete((Path(folder) / file).relative_to(self._folder).as_posix())


def _make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that each stays under its name through a power cut."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True, mode=0o700)
        flush_folder(each.parent)
