"""What a mirror keeps: metadata by name, targets by hash within a quota, and what is half here.

Rules:
1. Metadata is small and stays, but for what two newer states no longer name.
2. Of targets the least recently used go first; those that are pinned never do.
3. A target gets its place only when it is whole, has its hash and is on the disk.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path

from protocols.durable import write_bytes_durably
from protocols.errors import StoreError, StoreFullError
from protocols.updates import Piece, Wanted
from protocols.updates.names import target_hash
from protocols.updates.transfer import flush_folder

TOUCH_S = 60.0
"""How exactly uses are noted on the disk: a restart forgets the order within a minute."""


class MirrorStore:
    """Files under one folder; safe between threads as far as `Mirror` holds its lock.

    Args:
        folder: Nobody else writes there.
        quota_bytes: For targets, whole and partial.
        now: Seconds since 1970.

    Raises:
        StoreError: The disk failed.
    """

    def __init__(self, folder: Path, quota_bytes: int, now: Callable[[], float] = time.time) -> None:
        self.quota_bytes = quota_bytes
        self._now = now
        self._metadata = folder / "metadata"
        self._targets = folder / "targets"
        self._partial = folder / "partial"
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._touched: dict[str, float] = {}
        self._pinned: set[str] = set()
        self.evicted = 0
        """Targets that made room for others."""
        try:
            for each in (self._metadata, self._targets, self._partial):
                each.mkdir(parents=True, exist_ok=True)
            found = [(file.stat().st_mtime, file) for file in self._targets.iterdir()]
        except OSError as error:
            raise StoreError(f"cannot use {folder}: {error.strerror}; fix its permissions") from error
        for _, file in sorted(found):
            self._sizes[file.name] = file.stat().st_size

    @property
    def used_bytes(self) -> int:
        """Of targets, whole and partial."""
        return sum(self._sizes.values()) + sum(file.stat().st_size for file in self._partial.iterdir())

    @property
    def targets(self) -> int:
        """Whole targets."""
        return len(self._sizes)

    def metadata(self, path: str) -> bytes | None:
        """A metadata file, whole."""
        try:
            return (self._metadata / path.removeprefix("metadata/")).read_bytes()
        except FileNotFoundError:
            return None

    def put_metadata(self, path: str, data: bytes) -> None:
        """Keep a metadata file.

        Raises:
            StoreError: The disk failed.
        """
        write_bytes_durably(self._metadata / path.removeprefix("metadata/"), data)

    def newest_root(self) -> int:
        """Version of the newest root here; 0 without one."""
        names = (file.name.split(".") for file in self._metadata.glob("*.root.json"))
        return max((int(name[0]) for name in names if name[0].isdecimal()), default=0)

    def keep_metadata(self, paths: Collection[str]) -> None:
        """Forget metadata but these files, and all roots."""
        for file in self._metadata.iterdir():
            if f"metadata/{file.name}" not in paths and not file.name.endswith(".root.json"):
                file.unlink(missing_ok=True)

    def read(self, wanted: Wanted) -> Piece | None:
        """A piece of what is here whole; `None` if it is not."""
        sha256 = target_hash(wanted.path)
        end = wanted.offset + wanted.length
        if sha256 is None:
            data = self.metadata(wanted.path)
            if data is None:
                return None
            return Piece(data[wanted.offset : end], len(data), hashlib.sha256(data).digest())
        name = sha256.hex()
        if name not in self._sizes:
            return None
        self._use(name)
        return Piece(_read(self._targets / name, wanted), self._sizes[name], sha256)

    def read_partial(self, wanted: Wanted, sha256: bytes, total: int) -> Piece:
        """A piece of what is half here, when whoever asks knows that it has come."""
        return Piece(_read(self._partial / sha256.hex(), wanted), total, sha256)

    def partial_bytes(self, sha256: bytes) -> int:
        """How much of a target is here."""
        path = self._partial / sha256.hex()
        return path.stat().st_size if path.exists() else 0

    def make_room(self, sha256: bytes, length: int) -> None:
        """See to it that a target of so many bytes can come.

        Raises:
            StoreFullError: It is larger than the quota leaves beside what is pinned.
        """
        missing = self.used_bytes - self.partial_bytes(sha256) + length - self.quota_bytes
        if missing > 0:
            missing -= self._drop_partials(sha256.hex())
        for name in [name for name in self._sizes if name not in self._pinned]:
            if missing <= 0:
                return
            missing -= self._sizes.pop(name)
            (self._targets / name).unlink(missing_ok=True)
            self.evicted += 1
        if missing > 0:
            raise StoreFullError(
                f"{length} bytes do not fit the mirror's quota of {self.quota_bytes}; raise [mirror] quota_mb"
            )

    def append(self, sha256: bytes, data: bytes) -> None:
        """More of a target.

        Raises:
            StoreError: The disk failed.
        """
        try:
            with (self._partial / sha256.hex()).open("ab") as stream:
                stream.write(data)
        except OSError as error:
            raise StoreError(f"cannot write {self._partial}: {error.strerror}; free disk space") from error

    def forget_partial(self, sha256: bytes) -> None:
        """Throw away what is half here."""
        (self._partial / sha256.hex()).unlink(missing_ok=True)

    def finish(self, sha256: bytes) -> bool:
        """Give a target its place if it has its hash; else what came is thrown away.

        Raises:
            StoreError: The disk failed.
        """
        partial, place = self._partial / sha256.hex(), self._targets / sha256.hex()
        try:
            with partial.open("r+b") as stream:
                right = hashlib.file_digest(stream, "sha256").digest() == sha256
                os.fsync(stream.fileno())
            if not right:
                partial.unlink()
                return False
            size = partial.stat().st_size
            partial.replace(place)
            flush_folder(self._targets)
        except OSError as error:
            raise StoreError(f"cannot keep {place}: {error.strerror}; free disk space") from error
        self._sizes[place.name] = size
        return True

    def pin(self, hashes: Collection[bytes]) -> None:
        """Never let these go."""
        self._pinned = {sha256.hex() for sha256 in hashes}

    def _use(self, name: str) -> None:
        self._sizes.move_to_end(name)
        now = self._now()
        if now - self._touched.get(name, 0.0) > TOUCH_S:
            self._touched[name] = now
            os.utime(self._targets / name, (now, now))

    def _drop_partials(self, but: str) -> int:
        gone = 0
        for file in self._partial.iterdir():
            if file.name != but:
                gone += file.stat().st_size
                file.unlink(missing_ok=True)
        return gone


def _read(path: Path, wanted: Wanted) -> bytes:
    if not wanted.length:
        return b""
    with path.open("rb") as stream:
        return os.pread(stream.fileno(), wanted.length, wanted.offset)
