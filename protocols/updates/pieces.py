"""The call `file`: what is asked, what is answered, and who serves a folder of files.

Asked: `(path, offset, length)`. Answered: `(bytes, total, sha256)`, the last two of the whole
file. As many bytes come as were asked for, as are left, or as a piece may have, whichever is
least. With a length of 0 only the other two come.

>>> parse_wanted(("metadata/timestamp.json", 0, 4096))
Wanted(path='metadata/timestamp.json', offset=0, length=4096)
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from protocols import limits
from protocols.calls import NOT_YOURS, Caller, CallRefusedError
from protocols.errors import IntegrityError, MalformedError
from protocols.updates.names import is_served, owner_of, target_hash

VERB = "file"

NO_SUCH_FILE = "no-such-file"
NOT_YET = "not-yet"
BUSY = "busy"
OUT_OF_REACH = "out-of-reach"
BEYOND_END = "beyond-end"

HASHES_MAX = 4096
"""Metadata files whose hashes are remembered: all that a repository has in use."""

Ask = Callable[[str, object], Any]
"""Makes a call and gives its result: `CallClient.call`."""


class Wanted(NamedTuple):
    """A part of a file.

    Args:
        path: Of the file, below the repository's public folder.
        offset: Where the part begins.
        length: How many bytes at most.
    """

    path: str
    offset: int
    length: int


class Piece(NamedTuple):
    """A part of a file, and what the whole is.

    Args:
        data: The part.
        total: Bytes of the whole.
        sha256: Hash of the whole.
    """

    data: bytes
    total: int
    sha256: bytes


def parse_wanted(argument: object) -> Wanted:
    """What is asked for.

    Raises:
        MalformedError: Not such a question, or a path that is never served.
    """
    if not isinstance(argument, tuple) or len(argument) != 3:
        raise MalformedError(f"expected (path, offset, length), got {argument!r:.120}")
    path, offset, length = argument
    if not isinstance(path, str) or not is_served(path):
        raise MalformedError(f"expected the path of a metadata or target file, got {path!r:.120}")
    if type(offset) is not int or type(length) is not int or not 0 <= offset <= limits.INT63_MAX:
        raise MalformedError(f"expected an offset and a length from 0, got {offset!r:.40}, {length!r:.40}")
    if length < 0:
        raise MalformedError(f"expected a length from 0, got {length!r:.40}")
    return Wanted(path, offset, min(length, limits.PIECE_BYTES_MAX))


def parse_piece(result: object, wanted: Wanted) -> Piece:
    """What was answered, held against what was asked.

    Raises:
        MalformedError: Not a piece.
        IntegrityError: Fewer or more bytes than there must be.
    """
    if not isinstance(result, tuple) or len(result) != 3:
        raise MalformedError(f"expected (bytes, total, sha256) of {wanted.path}, got {result!r:.80}")
    data, total, sha256 = result
    if not isinstance(data, bytes) or not isinstance(sha256, bytes) or len(sha256) != 32:
        raise MalformedError(f"expected bytes and a SHA-256 of {wanted.path}")
    if type(total) is not int or not 0 <= total <= limits.INT63_MAX:
        raise MalformedError(f"expected the length of {wanted.path}, got {total!r:.40}")
    due = max(0, min(wanted.length, total - wanted.offset))
    if len(data) != due:
        raise IntegrityError(
            f"expected {due} bytes of {wanted.path} at {wanted.offset}, got {len(data)}; ask another hub"
        )
    return Piece(data, total, sha256)


def missing(path: str) -> CallRefusedError:
    """The refusal for a file that is not in the repository."""
    return CallRefusedError(NO_SUCH_FILE, f"the repository has no {path}")


def file_handler(read: Callable[[Wanted], object]) -> Callable[[Caller, Any], object]:
    """The handler of `file` over whatever reads pieces.

    A gateway gets no other gateway's documents; hubs and headquarters get all.
    """

    def handle(caller: Caller, argument: Any) -> object:
        wanted = parse_wanted(argument)
        owner = owner_of(wanted.path)
        identity = caller.identity
        if owner is not None and identity is not None and identity.role == "gateway" and identity.id != owner:
            raise CallRefusedError(NOT_YOURS, f"{wanted.path} is for {owner} only, {identity.id} asked")
        return read(wanted)

    return handle


class Shelf:
    """Reads pieces of the files below a folder.

    The hash of a target is that of its name, under which it was written; who fetches it checks.

    Args:
        folder: With `metadata/` and `targets/` in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashes: OrderedDict[tuple[int, int, int, int], bytes] = OrderedDict()

    def read(self, wanted: Wanted) -> Piece:
        """A piece.

        Raises:
            CallRefusedError: There is no such file, or it ends before the offset.
        """
        try:
            descriptor = os.open(self._folder / wanted.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise missing(wanted.path) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise missing(wanted.path)
            if wanted.offset > status.st_size:
                text = f"{wanted.path} has {status.st_size} bytes, asked from {wanted.offset}; begin anew"
                raise CallRefusedError(BEYOND_END, text)
            sha256 = target_hash(wanted.path) or self._hash(descriptor, status)
            data = os.pread(descriptor, wanted.length, wanted.offset) if wanted.length else b""
            return Piece(data, status.st_size, sha256)
        finally:
            os.close(descriptor)

    def _hash(self, descriptor: int, status: os.stat_result) -> bytes:
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._hashes.get(key)
        if known is None:
            with os.fdopen(os.dup(descriptor), "rb") as stream:
                known = hashlib.file_digest(stream, "sha256").digest()
            self._hashes[key] = known
            while len(self._hashes) > HASHES_MAX:
                self._hashes.popitem(last=False)
        else:
            self._hashes.move_to_end(key)
        return known
