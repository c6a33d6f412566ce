"""The few things done to files, so that a power cut can be simulated at each of them.

Paths are within the home, with `/`. What a file holds is durable when `write` returns; that it
is there, was renamed or is gone is durable after `sync` of its folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from protocols.errors import StoreError

CHUNK_BYTES = 1 << 20


class Disk(Protocol):
    """A home's files; every method raises `StoreError` when the disk fails."""

    def read(self, path: str) -> bytes | None:
        """A file's content; `None` when there is none."""

    def sha256(self, path: str) -> str | None:
        """Hash of a file's content, in hexadecimal; `None` when there is none."""

    def write(self, path: str, data: bytes, mode: int) -> None:
        """Make a file, or make it anew in its place; its folder is made when it is missing."""

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, whatever had it before; its folder is made when it is missing."""

    def link(self, source: str, target: str) -> None:
        """A second name for what a file holds now, or a copy of it; of a target that is not there."""

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""

    def sync(self, folder: str) -> None:
        """Make what happened to names in a folder durable, if it is there."""

    def names(self, folder: str) -> list[str]:
        """Files in a folder; none when it is not there."""


class HomeDisk:
    """The real one.

    Args:
        home: The gateway's home directory.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def read(self, path: str) -> bytes | None:
        """See `Disk`."""
        with self._failing(path):
            try:
                return (self._home / path).read_bytes()
            except FileNotFoundError:
                return None

    def sha256(self, path: str) -> str | None:
        """See `Disk`."""
        digest = hashlib.sha256()
        with self._failing(path):
            try:
                with (self._home / path).open("rb") as stream:
                    while chunk := stream.read(CHUNK_BYTES):
                        digest.update(chunk)
            except FileNotFoundError:
                return None
        return digest.hexdigest()

    def write(self, path: str, data: bytes, mode: int) -> None:
        """See `Disk`."""
        target = self._home / path
        with self._failing(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())

    def rename(self, source: str, target: str) -> None:
        """See `Disk`."""
        with self._failing(target):
            (self._home / target).parent.mkdir(parents=True, exist_ok=True)
            (self._home / source).replace(self._home / target)

    def link(self, source: str, target: str) -> None:
        """See `Disk`."""
        with self._failing(target):
            (self._home / target).parent.mkdir(parents=True, exist_ok=True)
            try:
                (self._home / target).hardlink_to(self._home / source)
            except FileNotFoundError:
                raise
            except OSError:  # a file system without links
                self._copy(self._home / source, self._home / target)

    def remove(self, path: str) -> None:
        """See `Disk`."""
        with self._failing(path):
            (self._home / path).unlink(missing_ok=True)

    def sync(self, folder: str) -> None:
        """See `Disk`."""
        with self._failing(folder):
            try:
                descriptor = os.open(self._home / folder, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                return
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def names(self, folder: str) -> list[str]:
        """See `Disk`."""
        with self._failing(folder):
            try:
                return sorted(entry.name for entry in (self._home / folder).iterdir() if entry.is_file())
            except FileNotFoundError:
                return []

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        with source.open("rb") as reading, target.open("wb") as writing:
            shutil.copyfileobj(reading, writing)
            writing.flush()
            os.fsync(writing.fileno())
        shutil.copymode(source, target)

    @contextmanager
    def _failing(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = self._home / path
            raise StoreError(
                f"{where}: {error.strerror}; expected a disk with room that this user can write"
            ) from error
