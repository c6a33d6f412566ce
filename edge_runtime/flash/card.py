"""Writes a machine's root to a card: a disk, or a file of one, becomes one file system with it.

Rules:
1. A disk that is in use is refused: one that is mounted, or has a mounted or otherwise used
   partition, or that the kernel does not give out alone (O_EXCL).
2. The file system is made in a file first, then written, flushed, read back from the disk itself
   and compared.

mke2fs, which fills a file system from a directory without mounting it, is called as a program.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.flash.root import make_root
from edge_runtime.slots.image import CHUNK_BYTES, Image
from protocols.errors import InputError, IntegrityError, Problem, StoreError

LABEL = "catchment"
"""Of the file system, by which a machine finds it: LABEL=catchment."""

LEAST_BYTES = 64 << 20
"""Smaller disks hold no root."""

SLACK = 1.35
"""How much larger the file system is than what is in it at first, in the file that is written; the
rest of the disk is given to it on the machine (resize2fs)."""

Progress = Callable[[str, int, int], None]
"""Told of a stage, bytes done, of how many."""


def is_disk(path: Path) -> bool:
    """Whether a target is a disk or the file of one, and no directory."""
    return path.is_block_device() or path.is_file()


def write_card(image: Image, device: Path, progress: Progress, proc: Path = Path("/proc")) -> str:
    """Write a root made from an image to a disk.

    Args:
        image: The image, checked.
        device: A block device, or a file of the size of a card.
        progress: Told how far it is.
        proc: Where the kernel tells of mounts.

    Returns:
        SHA-256 of what was written, hexadecimal.

    Raises:
        InputError: The disk is in use, too small, or mke2fs is missing.
        IntegrityError: The disk gives back something else than was written.
        StoreError: It failed.
    """
    refuse_in_use(device, proc)
    with tempfile.TemporaryDirectory(prefix="catchment-card-") as name:
        root = Path(name) / "root"
        make_root(image, root, lambda: progress("unpack", 0, 1))
        whole = Path(name) / "card.ext4"
        _make_file_system(root, whole)
        with _alone(device) as descriptor:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            if size < max(whole.stat().st_size, LEAST_BYTES):
                expected = f"a disk of at least {max(whole.stat().st_size, LEAST_BYTES) / 1e6:,.0f} MB"
                raise InputError([Problem(str(device), "size", f"{size / 1e6:,.0f} MB", expected)])
            digest = _write(whole, device, descriptor, progress)
        _verify(device, whole.stat().st_size, digest, progress)
    return digest


def refuse_in_use(device: Path, proc: Path = Path("/proc")) -> None:
    """Refuse a disk that something uses.

    Raises:
        InputError: It, or a part of it, is mounted, swapped to, or held.
    """
    used = _in_use(device, proc)
    if used:
        expected = f"a disk that nothing uses; {used}: unmount it first (umount), and look twice at its name"
        raise InputError([Problem(str(device), "--to", "", expected)])


def _in_use(device: Path, proc: Path) -> str:
    number = device.stat().st_rdev if device.is_block_device() else None
    for table, column in (("mounts", 0), ("swaps", 0)):
        try:
            lines = (proc / table).read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            source = Path(fields[column].encode().decode("unicode_escape")) if fields else Path()
            if _same_disk(source, device, number):
                where = fields[1] if table == "mounts" else "swap"
                return f"{source} is in use at {where}"
    if number is None:
        return ""
    block = Path("/sys/dev/block") / f"{os.major(number)}:{os.minor(number)}"
    held = [*block.glob("holders/*"), *block.glob("*/holders/*")]
    return f"{held[0].name} is made of it" if held else ""


def _same_disk(source: Path, device: Path, number: int | None) -> bool:
    """Whether a mounted source is the disk, or a partition of it."""
    if not source.is_absolute():
        return False
    try:
        found = source.stat()
    except OSError:
        return False
    if number is None:
        return os.path.samestat(found, device.stat())
    if not stat.S_ISBLK(found.st_mode):
        return False
    if found.st_rdev == number:
        return True
    part = Path("/sys/dev/block") / f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    whole = Path("/sys/dev/block") / f"{os.major(number)}:{os.minor(number)}"
    return part.exists() and whole.exists() and part.resolve().parent == whole.resolve()


def _make_file_system(root: Path, whole: Path) -> None:
    program = shutil.which("mke2fs") or shutil.which("mke2fs", path="/sbin:/usr/sbin")
    if program is None:
        expected = "mke2fs to make a file system; install e2fsprogs, or write to a mounted card: --to DIR"
        raise InputError([Problem("command line", "--to", "", expected)])
    content = sum(path.lstat().st_size + 4096 for path in root.rglob("*"))
    size = max(LEAST_BYTES, round(content * SLACK) + (16 << 20)) >> 20
    command = [
        program,
        "-q",
        "-t",
        "ext4",
        "-L",
        LABEL,
        "-E",
        "root_owner=0:0",
        "-d",
        str(root),
        str(whole),
        f"{size}M",
    ]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - mke2fs, on files of our own
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise StoreError(
            f"mke2fs could not make a file system: {said[-300:]}; free disk space in {whole.parent}"
        )


@contextmanager
def _alone(device: Path) -> Iterator[int]:
    """The disk, opened for writing so that nothing else may use it meanwhile."""
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if device.is_block_device() else 0)
    try:
        descriptor = os.open(device, flags)
    except OSError as error:
        if error.errno == errno.EBUSY:
            expected = "a disk that nothing uses; the system has it in use: unmount it first"
            raise InputError([Problem(str(device), "--to", "", expected)]) from error
        raise StoreError(f"{device}: {error.strerror}; become a user that may write it") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(source: Path, device: Path, descriptor: int, progress: Progress) -> str:
    digest, done, size = hashlib.sha256(), 0, source.stat().st_size
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        with source.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(descriptor, view) :]
                done += len(chunk)
                progress("write", done, size)
        os.fsync(descriptor)
        # What is compared is to come from the disk, not from memory.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        raise StoreError(f"{device}: {error.strerror} after {done} bytes; take another card") from error
    return digest.hexdigest()


def _verify(device: Path, size: int, expected: str, progress: Progress) -> None:
    digest, done = hashlib.sha256(), 0
    try:
        with device.open("rb", buffering=0) as stream:
            while done < size:
                chunk = stream.read(min(CHUNK_BYTES, size - done))
                if not chunk:
                    break
                digest.update(chunk)
                done += len(chunk)
                progress("verify", done, size)
    except OSError as error:
        raise StoreError(f"{device}: {error.strerror} while it was read back; take another card") from error
    if digest.hexdigest() != expected:
        raise IntegrityError(f"{device}: gives back something else than was written; take another card")
