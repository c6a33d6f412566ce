"""A folder for what commands fetched: large, named by its hash, and of no use once it is old.

Rules:
1. A file is there under its SHA-256 only when all of it is there and the hash holds; until
   then it is `HASH.part`. Whoever sends can only make files that are what they say.
2. A piece is taken where the part ends and nowhere else; the answer is always how much is
   there, so that a broken transfer goes on from there.
3. What all owners have together is bounded, and so is what each has.

>>> import tempfile
>>> data = b"a few bytes"
>>> blobs = Blobs(Path(tempfile.mkdtemp()))
>>> blobs.take("unit-1", hashlib.sha256(data).digest(), len(data), 0, data)
11
>>> blobs.find("unit-1", hashlib.sha256(data).digest()).read_bytes() == data
True
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from protocols import limits
from protocols.durable import flush_folder
from protocols.errors import IntegrityError, LimitError, StoreError

TOTAL_BYTES_MAX = 1 << 30
"""What one node keeps of all gateways."""

PER_OWNER_MAX = 8
"""Files of one gateway, begun or whole; to begin one more, the oldest goes."""

PART = ".part"


class Blobs:
    """The files under one directory, by owner; one thread writes.

    Args:
        directory: Made when it is needed.
        total_bytes_max: What all of it may take.
    """

    def __init__(self, directory: Path, total_bytes_max: int = TOTAL_BYTES_MAX) -> None:
        self._directory = directory
        self._total_bytes_max = total_bytes_max

    def take(self, owner: str, sha256: bytes, size: int, offset: int, data: bytes) -> int:
        """Take a piece.

        Args:
            owner: The gateway; a node name.
            sha256: Of the whole.
            size: Of the whole, in bytes.
            offset: Where the piece belongs.
            data: The piece; empty to ask only.

        Returns:
            How many bytes of the whole are there.

        Raises:
            LimitError: There is no room.
            IntegrityError: All pieces came, and they are something else; they are gone.
            StoreError: The disk failed.
        """
        path = self._directory / owner / sha256.hex()
        part = path.with_name(path.name + PART)
        try:
            if path.exists():
                return size
            held = part.stat().st_size if part.exists() else 0
            if not data or offset != held:
                return held
            if not held:
                self._make_room(owner, size)
            with part.open("ab") as stream:
                stream.write(data)
                if held + len(data) == size:
                    stream.flush()
                    os.fsync(stream.fileno())
            if held + len(data) < size:
                return held + len(data)
            self._finish(part, path, sha256)
            return size
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}; look at the disk") from error

    def find(self, owner: str, sha256: bytes) -> Path | None:
        """The file, if all of it is there."""
        path = self._directory / owner / sha256.hex()
        return path if path.exists() else None

    def whole(self) -> Iterator[tuple[str, bytes, Path]]:
        """(owner, hash, file) of all that is there whole, the oldest first."""
        for path in sorted(self._files(), key=lambda path: path.stat().st_mtime):
            if path.suffix != PART:
                yield path.parent.name, bytes.fromhex(path.name), path

    def sweep(self, older_than_s: float, now_s: float | None = None) -> int:
        """Remove what was last written so long ago. Returns how many files."""
        before_s = (time.time() if now_s is None else now_s) - older_than_s
        old = [path for path in self._files() if path.stat().st_mtime < before_s]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _files(self) -> list[Path]:
        return [path for path in self._directory.glob("*/*") if path.is_file()]

    def _make_room(self, owner: str, size: int) -> None:
        folder = self._directory / owner
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        own = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in own[: max(0, len(own) - PER_OWNER_MAX + 1)]:
            path.unlink(missing_ok=True)
        used = sum(path.stat().st_size for path in self._files())
        if size > limits.BLOB_BYTES_MAX or used + size > self._total_bytes_max:
            raise LimitError(
                f"expected at most {self._total_bytes_max} bytes in all, {used} are used; try again later"
            )

    def _finish(self, part: Path, path: Path, sha256: bytes) -> None:
        with part.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").digest()
        if found != sha256:
            part.unlink()
            raise IntegrityError("what came in pieces has another hash than was said; send it again")
        part.replace(path)
        flush_folder(path.parent)
