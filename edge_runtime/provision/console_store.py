"""Files on their way over the serial cable, kept so that a pulled cable costs nothing.

Rules:
1. A file is known by its SHA-256. What has come of it is `HASH.part`; once all is there and the
   hash holds, `HASH.whole`. Nothing looks at a part but its own continuation.
2. Whoever goes on is told how much is here and that much's hash, and begins anew if the hash is
   not that of its own first bytes.
3. The few newest are kept; what is older makes room.

>>> import tempfile
>>> store = Incoming(Path(tempfile.mkdtemp()))
>>> sha256 = hashlib.sha256(b"abc").digest()
>>> store.begin(sha256, 3).held
0
>>> store.take(sha256, 0, b"ab"), store.begin(sha256, 3).held
(2, 2)
>>> store.take(sha256, 2, b"c"), store.whole(sha256).read_bytes()
(3, b'abc')
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from edge_runtime import limits
from protocols.errors import IntegrityError, LimitError, MalformedError, StoreFullError


class Held(NamedTuple):
    """How much of a file is here.

    Args:
        held: Its first bytes.
        sha256: The hash of these.
    """

    held: int
    sha256: bytes


class Incoming:
    """Uploads in a folder of their own.

    Args:
        folder: Made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sizes: dict[bytes, int] = {}

    def begin(self, sha256: bytes, size: int) -> Held:
        """Begin a file, or go on with it.

        Raises:
            MalformedError, LimitError: It cannot be such a file.
            StoreFullError: There is no room for it.
        """
        if len(sha256) != 32:
            raise MalformedError("expected a SHA-256 of 32 bytes")
        if not 0 < size <= limits.CONSOLE_UPLOAD_BYTES_MAX:
            raise LimitError(f"expected a file of 1 to {limits.CONSOLE_UPLOAD_BYTES_MAX} bytes, got {size}")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._path(sha256, "whole").exists():
            return Held(size, sha256)
        self._sizes[sha256] = size
        part = self._path(sha256, "part")
        self._make_room(part)
        held = part.stat().st_size if part.exists() else 0
        free = shutil.disk_usage(self.folder).free
        if size - held + limits.CONSOLE_SPARE_BYTES > free:
            raise StoreFullError(f"expected {size - held} bytes of room and some to spare, got {free}")
        return Held(held, _hash_of(part) if held else hashlib.sha256().digest())

    def take(self, sha256: bytes, offset: int, data: bytes) -> int:
        """Take a piece.

        Args:
            sha256: Of the whole file, as `begin` was told.
            offset: Where it belongs; at 0 the file begins anew, whatever was here.
            data: The piece.

        Returns:
            How much is here now.

        Raises:
            MalformedError: It does not follow what is here.
            IntegrityError: With the last piece: the hash does not hold; the file is gone.
        """
        size = self._sizes.get(sha256)
        if size is None:
            raise MalformedError("expected a file that was begun in this session; begin it again")
        part = self._path(sha256, "part")
        held = part.stat().st_size if part.exists() else 0
        if offset not in (0, held) or not data or offset + len(data) > size:
            raise MalformedError(f"expected a piece at {held} within {size} bytes, got one at {offset}")
        with part.open("r+b" if part.exists() else "wb") as stream:
            stream.truncate(offset)
            stream.seek(offset)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        held = offset + len(data)
        if held == size:
            self._complete(part, sha256)
        return held

    def whole(self, sha256: bytes) -> Path:
        """A file that has come whole.

        Raises:
            MalformedError: There is none.
        """
        path = self._path(sha256, "whole")
        if not path.exists():
            raise MalformedError("expected a file that has come whole; send it first")
        return path

    def drop(self, sha256: bytes) -> None:
        """Forget a file that has done its work."""
        self._path(sha256, "whole").unlink(missing_ok=True)

    def _complete(self, part: Path, sha256: bytes) -> None:
        del self._sizes[sha256]
        if _hash_of(part) != sha256:
            part.unlink()
            raise IntegrityError("expected the file that was announced, got another; send it again")
        part.replace(self._path(sha256, "whole"))

    def _make_room(self, wanted: Path) -> None:
        files = [
            path for suffix in ("part", "whole") for path in self.folder.glob(f"*.{suffix}") if path != wanted
        ]
        files.sort(key=lambda path: path.stat().st_mtime_ns)
        for path in files[: max(0, len(files) - limits.CONSOLE_UPLOADS_MAX + 1)]:
            path.unlink()

    def _path(self, sha256: bytes, suffix: str) -> Path:
        return self.folder / f"{sha256.hex()}.{suffix}"


def _hash_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
