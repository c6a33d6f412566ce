"""Reads a firmware image: one stored zip with `firmware.toml` first, streamed, never unpacked whole.

An image is accepted only when it is, byte for byte, what `building` makes of its files: every file
has the hash and size that `firmware.toml` says, none is there that it does not list, and the
archive's own directory is the one that follows from it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge_runtime.slots import firmware, limits
from edge_runtime.slots.firmware import FileEntry, ImageManifest
from edge_runtime.slots.store import MANIFEST, SBOM
from protocols.errors import InputError, IntegrityError, LimitError, MalformedError, PeerError, Problem
from protocols.storedzip import LOCAL_BYTES, Stored, directory, local_header, parse_local

CHUNK_BYTES = 1 << 20

Progress = Callable[[int, int], None]
"""Told of bytes done, of how many."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was read from end to end and found right.

    Args:
        path: Its file.
        sha256: Its hash, hexadecimal.
        size: Bytes.
        manifest: What `firmware.toml` says.
        at: Where each file's content begins.
    """

    path: Path
    sha256: str
    size: int
    manifest: ImageManifest
    at: Mapping[str, int]

    def read(self, name: str) -> bytes:
        """The content of a small file: firmware.toml, the bill of materials, a default.

        Raises:
            IntegrityError: The image changed since it was checked.
        """
        entry = next(each for each in self.manifest.files if each.name == name)
        with self.path.open("rb") as stream:
            stream.seek(self.at[name])
            data = stream.read(entry.size)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise IntegrityError(f"{self.path}: {name} changed while it was read; copy the image anew")
        return data


class Part:
    """One file of an image as a stream of its own, for readers that seek.

    Args:
        stream: The image, open.
        at: Where the file begins.
        size: Its bytes.
    """

    def __init__(self, stream: BinaryIO, at: int, size: int) -> None:
        self._stream, self._at, self._size, self._position = stream, at, size, 0

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go somewhere within the file."""
        base = (0, self._position, self._size)[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Where it stands."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Bytes from here; never beyond the file."""
        left = max(0, self._size - self._position)
        self._stream.seek(self._at + self._position)
        data = self._stream.read(left if size < 0 else min(size, left))
        self._position += len(data)
        return data


def open_image(path: Path, progress: Progress = lambda done, of: None) -> Image:
    """Read an image from end to end and check all of it.

    Raises:
        InputError: There is no such file, or it cannot be read.
        LimitError: It is larger than an image may be.
        MalformedError: It is not an image.
        IntegrityError: A file in it is not the one that it lists.
    """
    try:
        with path.open("rb") as stream:
            return _Reader(path, stream, progress).image()
    except OSError as error:
        found = "" if isinstance(error, FileNotFoundError) else str(error.strerror)
        expected = f"a firmware image (NAME-VERSION{firmware.SUFFIX})"
        raise InputError([Problem(str(path), "file", found, expected)]) from error


def not_an_image(path: Path, error: PeerError) -> InputError:
    """What `open_image` found wrong with a file, as the fault of whoever named it."""
    found = f"{path.stat().st_size} bytes"
    return InputError([Problem(str(path), "", found, f"a whole firmware image ({error})")])


class _Reader:
    """One pass over an image."""

    def __init__(self, path: Path, stream: BinaryIO, progress: Progress) -> None:
        self._path = path
        self._stream = stream
        self._progress = progress
        self._whole = hashlib.sha256()
        self._size = path.stat().st_size
        self._done = 0
        self._stored: list[Stored] = []
        if self._size > limits.IMAGE_BYTES_MAX:
            raise LimitError(f"{path}: expected an image of at most {limits.IMAGE_BYTES_MAX} bytes")

    def image(self) -> Image:
        manifest_bytes = self._manifest()
        manifest = firmware.parse(manifest_bytes)
        at = {}
        for entry in manifest.files:
            at[entry.name] = self._file(entry)
        rest = directory(self._stored, self._done)
        if self._take(len(rest)) != rest or self._done != self._size:
            raise MalformedError(
                f"{self._path}: expected an image as `catchment-flash image build` writes it"
            )
        return Image(self._path, self._whole.hexdigest(), self._size, manifest, at)

    def _manifest(self) -> bytes:
        begin = self._take(LOCAL_BYTES)
        if not begin.startswith(b"PK\x03\x04"):
            raise MalformedError(f"{self._path}: expected a firmware image, got something else")
        local = parse_local(begin)
        if self._take(local.name_bytes if local.name_bytes == len(MANIFEST) else 0) != MANIFEST.encode():
            raise MalformedError(f"{self._path}: expected a firmware image, got another zip file")
        if local.size > limits.MANIFEST_BYTES_MAX:
            raise LimitError(
                f"{self._path}: expected at most {limits.MANIFEST_BYTES_MAX} bytes of {MANIFEST}"
            )
        data = self._take(local.size)
        self._note(Stored(MANIFEST, zlib.crc32(data), len(data), 0), begin + MANIFEST.encode())
        return data

    def _file(self, entry: FileEntry) -> int:
        """Check one file; returns where its content begins."""
        at = self._done
        claimed = self._take(LOCAL_BYTES + len(entry.name))
        content_at = self._done
        if entry.name == SBOM and entry.size > limits.SBOM_BYTES_MAX:
            raise LimitError(f"{self._path}: expected at most {limits.SBOM_BYTES_MAX} bytes of {SBOM}")
        digest, crc, left = hashlib.sha256(), 0, entry.size
        while left:
            chunk = self._take(min(left, CHUNK_BYTES))
            digest.update(chunk)
            crc = zlib.crc32(chunk, crc)
            left -= len(chunk)
        if digest.hexdigest() != entry.sha256:
            raise IntegrityError(f"{self._path}: {entry.name!r} is not the file that {MANIFEST} lists")
        self._note(Stored(entry.name, crc, entry.size, at), claimed)
        return content_at

    def _note(self, stored: Stored, claimed: bytes) -> None:
        if local_header(stored) != claimed:
            raise MalformedError(
                f"{self._path}: {stored.name!r}: expected an entry as `catchment-flash image build` writes it"
            )
        self._stored.append(stored)

    def _take(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._whole.update(data)
        self._done += len(data)
        if len(data) != size:
            raise MalformedError(f"{self._path}: expected a whole image, got one that was cut off")
        self._progress(self._done, self._size)
        return data
