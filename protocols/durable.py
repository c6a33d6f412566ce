"""Small files of a node that a power cut must not halve: written beside, flushed, and renamed."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from protocols.errors import StoreError


def write_durably(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file so that after a power cut there is the old one or the new one.

    Args:
        path: The file; directories above it are made.
        text: Its new content.
        mode: Permissions of a new file; those of an old one stay.

    Raises:
        StoreError: The disk failed; the old file is as it was.
    """
    write_bytes_durably(path, text.encode("utf-8"), mode)


def write_bytes_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file of bytes; see `write_durably`.

    Raises:
        StoreError: The disk failed; the old file is as it was.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            os.fchmod(stream.fileno(), path.stat().st_mode & 0o777 if path.exists() else mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        raise _failed(path, error) from error


def remove_durably(path: Path) -> None:
    """Remove a file, if it is there, so that it does not come back after a power cut.

    Raises:
        StoreError: The disk failed.
    """
    try:
        path.unlink(missing_ok=True)
        flush_folder(path.parent)
    except OSError as error:
        raise _failed(path, error) from error


def flush_filesystem(folder: Path) -> None:
    """Make everything that was written to the disk of a folder durable, thousands of files in one go.

    Where the system has no syncfs, all its disks are flushed.

    Raises:
        StoreError: The disk failed.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
            if syncfs is None:
                os.sync()
            elif syncfs(descriptor):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _failed(folder, error) from error


def make_folder_durably(folder: Path, mode: int = 0o755) -> None:
    """Make a folder, if it is not there, so that it stays there after a power cut.

    Raises:
        StoreError: The disk failed.
    """
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=mode)
            flush_folder(folder.parent)
    except OSError as error:
        raise _failed(folder, error) from error


def move_durably(source: Path, target: Path, *, missing_ok: bool = False) -> None:
    """Rename a file or a folder, so that after a power cut it is at one of both places.

    A file at `target` is replaced; a folder there must be empty.

    Args:
        source: What is renamed.
        target: Its new name, on the same disk.
        missing_ok: Whether `source` may be gone, because another process moved it meanwhile.

    Raises:
        StoreError: The disk failed.
    """
    try:
        source.replace(target)
        flush_folder(target.parent)
        if source.parent != target.parent:
            flush_folder(source.parent)
    except FileNotFoundError as error:
        if not missing_ok:
            raise _failed(source, error) from error
    except OSError as error:
        raise _failed(target, error) from error


def remove_folder_durably(folder: Path) -> None:
    """Remove a folder and the files in it, if it is there.

    Raises:
        StoreError: The disk failed.
    """
    try:
        if folder.exists():
            for path in folder.iterdir():
                path.unlink(missing_ok=True)
            folder.rmdir()
            flush_folder(folder.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failed(folder, error) from error


def flush_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut.

    Raises:
        OSError: The disk failed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: {error.strerror}; expected a disk with room that this user can write")
