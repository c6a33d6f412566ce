"""The form of our archives: zip files whose entries are stored, with constant times and modes.

One form for a list of entries, and no other: a reader that rebuilds the directory and compares
knows that no second place names other files or sizes (APPNOTE.TXT 6.3.10, 4.3).

>>> import zlib
>>> data = b"PROGRAM a END_PROGRAM"
>>> entry = Stored("a.st", zlib.crc32(data), len(data), 0)
>>> archive = local_header(entry) + data
>>> archive += directory([entry], len(archive))
>>> import io, zipfile
>>> zipfile.ZipFile(io.BytesIO(archive)).read("a.st") == data
True
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from protocols.errors import MalformedError

# Version 1.0 suffices; no flags; stored; 1980-01-01 00:00:00, the earliest that a zip file knows.
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
LOCAL_MARK, _CENTRAL_MARK, _END_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_VERSION, _MADE_BY_UNIX, _MIDNIGHT, _FIRST_DAY = 10, 3 << 8 | 10, 0, 1 << 5 | 1
_PLAIN_FILE = 0o100644 << 16

LOCAL_BYTES = _LOCAL.size
"""Before a name and a content."""


class Stored(NamedTuple):
    """One entry.

    Args:
        name: With folders, separated by `/`; ASCII.
        crc: CRC-32 of the content.
        size: Bytes of the content.
        at: Where its local header begins.
    """

    name: str
    crc: int
    size: int
    at: int


class Local(NamedTuple):
    """What a local header claims.

    Args:
        crc: CRC-32 of the content.
        size: Bytes of the content.
        name_bytes: Length of the name that follows.
    """

    crc: int
    size: int
    name_bytes: int


def local_header(entry: Stored) -> bytes:
    """What stands before the content, the name included."""
    raw = entry.name.encode("ascii")
    return _LOCAL.pack(LOCAL_MARK, *_common(entry, raw), 0) + raw


def parse_local(data: bytes) -> Local:
    """Read a local header without its name.

    Raises:
        MalformedError: It is not of our form, or cut off.
    """
    if len(data) < LOCAL_BYTES:
        raise MalformedError("expected a whole package, got one that was cut off")
    (mark, _, flags, method, _, _, crc, packed, size, name_bytes, extra) = _LOCAL.unpack(data[:LOCAL_BYTES])
    if mark != LOCAL_MARK or flags or method or extra or packed != size:
        raise MalformedError("expected files stored without compression or encryption")
    return Local(crc, size, name_bytes)


def directory(entries: Sequence[Stored], at: int) -> bytes:
    """What stands after the last content.

    Args:
        entries: In their order.
        at: Where it begins.
    """
    central = bytearray()
    for entry in entries:
        raw = entry.name.encode("ascii")
        fields = (_CENTRAL_MARK, _MADE_BY_UNIX, *_common(entry, raw), 0, 0, 0, 0, _PLAIN_FILE, entry.at)
        central += _CENTRAL.pack(*fields) + raw
    count = len(entries)
    return bytes(central) + _END.pack(_END_MARK, 0, 0, count, count, len(central), at, 0)


def _common(entry: Stored, raw: bytes) -> tuple[int, ...]:
    return (_VERSION, 0, 0, _MIDNIGHT, _FIRST_DAY, entry.crc, entry.size, entry.size, len(raw))
