"""Fetching files by pieces: small ones into memory, targets into a file that survives a break.

Rules:
1. What is claimed of a file is compared with what is expected of it before any byte is kept.
2. A partial file has the hash of the whole as its name; a transfer goes on at its end. If the
   whole turns out wrong, it is fetched once more from the beginning: the kept part may be what
   a power cut left, or what another hub said.
3. A file has its final name only when it is whole, verified and on the disk.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from protocols import limits
from protocols.calls import CallRefusedError
from protocols.errors import IntegrityError, StoreError
from protocols.updates.names import hash_named
from protocols.updates.pace import Pace
from protocols.updates.pieces import BUSY, NOT_YET, VERB, Ask, Piece, Wanted, parse_piece

PATIENCE_S = 120.0
"""How long a hub may say `not yet` to one question: it fetches from headquarters over a thin line."""

RETRY_S = 0.5
"""Between two such questions; a hub that has it under way lets each wait for some seconds itself."""

FLUSH_BYTES = 4 << 20
"""A partial file is flushed to the disk after so much: what a power cut costs of a transfer."""

CHANGES_MAX = 3
"""How often a small file may change while it is fetched."""


def ask_piece(
    ask: Ask,
    wanted: Wanted,
    *,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], object] = time.sleep,
    patience_s: float = PATIENCE_S,
) -> Piece:
    """One piece; asks again while the server says that it is busy or has it not yet.

    Raises:
        CallRefusedError, CallTimeoutError: The server has it not, or does not answer.
        MalformedError, IntegrityError: What came is no such piece.
    """
    give_up_at = clock() + patience_s
    while True:
        try:
            return parse_piece(ask(VERB, tuple(wanted)), wanted)
        except CallRefusedError as error:
            if error.code not in (NOT_YET, BUSY) or clock() >= give_up_at:
                raise
            wait(RETRY_S)


def look(ask: Ask, path: str) -> Piece:
    """Length and hash of a file, without its bytes; raises as `ask_piece`."""
    return ask_piece(ask, Wanted(path, 0, 0))


def fetch_small(ask: Ask, path: str, bytes_max: int, pace: Pace) -> bytes:
    """A whole file, in memory.

    Raises:
        CallRefusedError, CallTimeoutError: The server has it not, or does not answer.
        MalformedError, IntegrityError: It is longer than `bytes_max`, or no such file.
    """
    for _ in range(CHANGES_MAX):
        data = bytearray()
        first: Piece | None = None
        while first is None or len(data) < first.total:
            portion = pace.portion(limits.PIECE_BYTES_MAX)
            piece = ask_piece(ask, Wanted(path, len(data), portion))
            if piece.total > bytes_max:
                raise IntegrityError(f"expected at most {bytes_max} bytes of {path}, got {piece.total}")
            pace.spend(len(piece.data))
            if first is not None and piece[1:] != first[1:]:
                break
            first = piece
            data += piece.data
        else:
            return bytes(data)
    raise IntegrityError(f"{path} changed {CHANGES_MAX} times while it was fetched; ask another hub")


def fetch_target(ask: Ask, target: str, sha256: bytes, length: int, folder: Path, pace: Pace) -> Path:
    """A target of known hash and length, as a file under its hash in `folder`.

    Raises:
        CallRefusedError, CallTimeoutError: The server has it not, or does not answer; what came is kept.
        MalformedError, IntegrityError: What comes is not that target.
        StoreError: The disk failed.
    """
    whole = folder / sha256.hex()
    partial = folder / "partial" / sha256.hex()
    try:
        if whole.is_file():
            if _hash_of(whole) == sha256:
                return whole
            whole.unlink()  # the disk spoilt it
        partial.parent.mkdir(parents=True, exist_ok=True)
        resumed = partial.exists()
        _fill(ask, target, sha256, length, partial, pace)
        if _hash_of(partial) != sha256:
            partial.unlink()
            if resumed:
                _fill(ask, target, sha256, length, partial, pace)
            if not resumed or _hash_of(partial) != sha256:
                partial.unlink(missing_ok=True)
                raise IntegrityError(
                    f"{target}: expected {length} bytes with SHA-256 {sha256.hex()}, got others; "
                    "they were altered on the way: ask another hub"
                )
        partial.replace(whole)
        flush_folder(folder)
    except OSError as error:
        raise StoreError(f"cannot keep {target} in {folder}: {error.strerror}; free disk space") from error
    return whole


def flush_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill(ask: Ask, target: str, sha256: bytes, length: int, partial: Path, pace: Pace) -> None:
    path = hash_named(target, sha256)
    with partial.open("ab") as stream:
        if stream.tell() > length:
            stream.truncate(0)
        at = stream.seek(0, os.SEEK_END)
        unflushed = 0
        while at < length:
            piece = ask_piece(ask, Wanted(path, at, pace.portion(limits.PIECE_BYTES_MAX)))
            if piece.total != length or piece.sha256 != sha256:
                raise IntegrityError(
                    f"{target}: expected {length} bytes with SHA-256 {sha256.hex()}, "
                    f"offered are {piece.total} with {piece.sha256.hex()}; ask another hub"
                )
            stream.write(piece.data)
            at += len(piece.data)
            unflushed += len(piece.data)
            if unflushed >= FLUSH_BYTES:
                _flush(stream.fileno(), stream.flush)
                unflushed = 0
            pace.spend(len(piece.data))
        _flush(stream.fileno(), stream.flush)


def _flush(descriptor: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(descriptor)


def _hash_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
