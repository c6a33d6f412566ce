"""Putting files into a backup: only what it lacks is sent, several objects at a time.

Rules:
1. What is there is told by name: a piece that the place holds is not sent again, whichever run
   sent it, one that was cut included.
2. A file that never changes under its name (`fixed`) and that the last run has is not even read.
3. `full` relies on nothing that is stored: everything is read and sent anew, which heals objects
   that were damaged.
4. Small files go together into packs, in the order of their paths: the same files make the same
   packs again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from protocols import limits
from protocols.backup.manifest import Entry
from protocols.backup.meter import Meter
from protocols.backup.repository import Repository
from protocols.errors import StoreError


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be kept.

    Args:
        part: See `Entry`.
        path: See `Entry`.
        file: Where it is read.
        size: How much of it: what is appended later is not wanted.
        mode: Permissions.
        piece_bytes: Size of its pieces.
        fixed: Its content is for good: the same name and size mean the same file.
    """

    part: str
    path: str
    file: Path
    size: int
    mode: int = 0o644
    piece_bytes: int = limits.BACKUP_PIECE_BYTES
    fixed: bool = False


class Writing:
    """One run's files on their way into a repository.

    Args:
        repository: Where they go.
        before: Files of the last run.
        full: See the module's docstring.
        meter: Told of the bytes that are done.
    """

    def __init__(self, repository: Repository, before: Iterable[Entry], full: bool, meter: Meter) -> None:
        self._repository = repository
        self._meter = meter
        self._held = set() if full else repository.held()
        kept = [] if full else [entry for entry in before if self._held.issuperset(entry.pieces)]
        self._before = {(entry.part, entry.path): entry for entry in kept}
        self._by_hash = {entry.sha256: entry for entry in kept if entry.size <= limits.BACKUP_SMALL_BYTES}
        self._small: list[tuple[Source, str, bytes]] = []
        self._small_bytes = 0
        self._entries: list[Entry] = []
        self._sender = _Sender(repository, meter)

    @property
    def written(self) -> int:
        """Bytes that were sent."""
        return self._sender.written

    def write(self, sources: Sequence[Source]) -> list[Entry]:
        """Send what the repository lacks of some files.

        Returns:
            An entry for each, in the order of parts and paths.

        Raises:
            StoreError: A file cannot be read, or the place refused.
        """
        self._meter.begin("copy", sum(source.size for source in sources))
        with self._sender:
            for source in sorted(sources, key=lambda source: (source.part, source.path)):
                self._sender.check()
                known = self._before.get((source.part, source.path))
                if source.fixed and known is not None and known.size == source.size:
                    self._entries.append(known)
                    self._meter.add(source.size)
                elif source.size <= limits.BACKUP_SMALL_BYTES:
                    self._take_small(source)
                else:
                    self._take_large(source)
            self._pack()
        return sorted(self._entries, key=lambda entry: (entry.part, entry.path))

    def _take_small(self, source: Source) -> None:
        with _opened(source) as file:
            content = _read(file, source, source.size)
        sha256 = hashlib.sha256(content).hexdigest()
        known = self._by_hash.get(sha256)
        if known is not None:
            kept = Entry(source.part, source.path, source.mode, source.size, sha256, known.pieces, known.at)
            self._entries.append(kept)
            self._meter.add(source.size)
            return
        self._small.append((source, sha256, content))
        self._small_bytes += source.size
        if self._small_bytes >= limits.BACKUP_PACK_BYTES:
            self._pack()

    def _pack(self) -> None:
        if not self._small:
            return
        content = b"".join(part for _, _, part in self._small)
        piece = self._send(content)
        at = 0
        for source, sha256, part in self._small:
            self._entries.append(
                Entry(source.part, source.path, source.mode, source.size, sha256, (piece,), at)
            )
            at += len(part)
        self._small, self._small_bytes = [], 0

    def _take_large(self, source: Source) -> None:
        whole = hashlib.sha256()
        pieces = []
        left = source.size
        with _opened(source) as file:
            while left:
                content = _read(file, source, min(left, source.piece_bytes))
                whole.update(content)
                pieces.append(self._send(content))
                left -= len(content)
        self._entries.append(
            Entry(source.part, source.path, source.mode, source.size, whole.hexdigest(), tuple(pieces))
        )

    def _send(self, content: bytes) -> str:
        piece = self._repository.name_of(content)
        if piece in self._held:
            self._meter.add(len(content))
        else:
            self._held.add(piece)
            self._sender.send(piece, content)
        return piece


class _Sender:
    """Sends pieces on a few threads; at most two for each thread are in memory."""

    def __init__(self, repository: Repository, meter: Meter) -> None:
        self._repository = repository
        self._meter = meter
        self._room = threading.BoundedSemaphore(2 * limits.BACKUP_THREADS)
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self.written = 0

    def __enter__(self) -> _Sender:
        self._pool = ThreadPoolExecutor(limits.BACKUP_THREADS, "backup")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._pool.shutdown(cancel_futures=error is not None)
        if error is None:
            self.check()

    def check(self) -> None:
        """Raise what a thread met."""
        if self._error is not None:
            raise self._error

    def send(self, piece: str, content: bytes) -> None:
        """Send a piece; waits while there are enough on their way."""
        self._room.acquire()
        self._pool.submit(self._put, piece, content).add_done_callback(self._done)

    def _put(self, piece: str, content: bytes) -> None:
        if self._error is None:
            count = self._repository.put_piece(piece, content)
            with self._lock:
                self.written += count
            self._meter.add(len(content))

    def _done(self, future: Future[None]) -> None:
        self._room.release()
        if not future.cancelled() and future.exception() is not None:
            self._error = future.exception()


def _opened(source: Source) -> BinaryIO:
    try:
        return source.file.open("rb")
    except OSError as error:
        raise StoreError(f"{source.file}: {error.strerror}; expected a file that can be read") from error


def _read(file: BinaryIO, source: Source, size: int) -> bytes:
    try:
        content = file.read(size)
    except OSError as error:
        raise StoreError(f"{source.file}: {error.strerror}; repair the disk") from error
    if len(content) != size:
        raise StoreError(f"{source.file}: expected {source.size:,} bytes, it became shorter; run it again")
    return content
