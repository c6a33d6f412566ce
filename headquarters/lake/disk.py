"""Writing that survives a power cut: a name is visible only with its whole content behind it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from protocols.errors import StoreError


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_together(*paths: Path) -> None:
    """Flush several files and folders at once: the disk's journal then takes them in one turn."""
    for done in [_pool.submit(sync, path) for path in paths]:
        done.result()


_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="sync")


def make_folder(path: Path) -> None:
    """Make a folder, and its parents, durable under their names."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet, whole or not at all.

    Raises:
        FileExistsError: Somebody wrote it before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _write(temporary, content)
    try:
        os.link(temporary, path)
    finally:
        temporary.unlink()
    sync(path.parent)


def replace(path: Path, content: bytes, durable: bool = True) -> None:
    """Write a file in place of an older one; readers see the old or the new, whole.

    Args:
        path: Its name.
        content: All of it.
        durable: Whether it must survive a power cut; a status page need not.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    if durable:
        _write(temporary, content)
    else:
        temporary.write_bytes(content)
    temporary.replace(path)
    if durable:
        sync(path.parent)


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(f"expected to write {len(content)} bytes to {path}: {error.strerror}") from error
