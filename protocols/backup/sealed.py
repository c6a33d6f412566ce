"""One object of a backup: compressed, then sealed in chunks that know their object and their place.

Rules:
1. An object is `CBK1`, one byte (log2 of the chunk's size), 32 random bytes, then chunks: each
   AES-256-GCM with its tag of 16 bytes, all but the last of one size.
2. The key of an object is HKDF-SHA256 of the backup's key, with the random bytes as salt and the
   object's name in `info`; the nonce of a chunk is its number and whether it is the last. So no
   key and nonce meet twice, and no chunk passes for another one, of this object or any other.
3. What is sealed is one zstd frame; an object opens whole or not at all, and what is wrong is
   told with the range of bytes.

Source: NIST SP 800-38D (GCM); RFC 5869 (HKDF); Hoang, Reyhanitabar, Rogaway, Vizár, "Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015 (STREAM).

>>> sealed = seal(bytes(32), "objects/a", b"what is kept")
>>> open_sealed(bytes(32), "objects/a", sealed)
b'what is kept'
>>> open_sealed(bytes(32), "objects/b", sealed)
Traceback (most recent call last):
...
protocols.backup.sealed.DamagedError: objects/b: bytes 0 to 74 are not what was written
"""

from __future__ import annotations

import os

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols import limits
from protocols.errors import StoreDamagedError

MAGIC = b"CBK1"
SALT_BYTES = 32
TAG_BYTES = 16
HEAD_BYTES = len(MAGIC) + 1 + SALT_BYTES
CHUNK_LOG2_MIN, CHUNK_LOG2_MAX = 4, 24

_INFO = b"catchment-backup-object-1\0"


class DamagedError(StoreDamagedError):
    """Part of a backup is missing, or is not what was written.

    Args:
        name: The object.
        text: What is wrong.
        begin: First byte concerned.
        end: Behind the last one.
    """

    def __init__(self, name: str, text: str, begin: int = 0, end: int = 0) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text
        self.begin = begin
        self.end = end


def seal(key: bytes, name: str, content: bytes, chunk_bytes: int = limits.BACKUP_CHUNK_BYTES) -> bytes:
    """Seal an object.

    Args:
        key: The backup's, 32 bytes.
        name: The object's name; it opens under this one only.
        content: What is in it.
        chunk_bytes: A power of two.
    """
    head = MAGIC + bytes((chunk_bytes.bit_length() - 1,)) + os.urandom(SALT_BYTES)
    box = _box(key, name, head)
    packed = zstandard.ZstdCompressor(level=1).compress(content)
    parts = [head]
    count = max(1, -(-len(packed) // chunk_bytes))
    for number in range(count):
        chunk = packed[number * chunk_bytes : (number + 1) * chunk_bytes]
        parts.append(box.encrypt(_nonce(number, number == count - 1), chunk, head))
    return b"".join(parts)


def open_sealed(key: bytes, name: str, data: bytes) -> bytes:
    """Open what `seal` sealed.

    Raises:
        DamagedError: It is not, byte for byte, what was written under this name with this key.
    """
    head = data[:HEAD_BYTES]
    if len(head) < HEAD_BYTES or not head.startswith(MAGIC):
        raise _damaged(name, 0, min(len(data), HEAD_BYTES))
    if not CHUNK_LOG2_MIN <= head[len(MAGIC)] <= CHUNK_LOG2_MAX:
        raise _damaged(name, len(MAGIC), len(MAGIC) + 1)
    step = (1 << head[len(MAGIC)]) + TAG_BYTES
    box = _box(key, name, head)
    view = memoryview(data)
    chunks = []
    count = max(1, -(-(len(data) - HEAD_BYTES) // step))
    for number in range(count):
        begin = HEAD_BYTES + number * step
        end = min(begin + step, len(data))
        try:
            chunks.append(box.decrypt(_nonce(number, number == count - 1), view[begin:end], head))
        except (InvalidTag, ValueError) as error:
            # What is wrong in the head makes another key, which the first chunk shows.
            raise _damaged(name, begin if number else 0, end) from error
    try:
        return zstandard.ZstdDecompressor().decompress(
            b"".join(chunks), max_output_size=limits.BACKUP_OBJECT_BYTES_MAX
        )
    except zstandard.ZstdError as error:
        raise DamagedError(name, f"expected one zstd frame: {error}", HEAD_BYTES, len(data)) from error


def _damaged(name: str, begin: int, end: int) -> DamagedError:
    return DamagedError(name, f"bytes {begin:,} to {end:,} are not what was written", begin, end)


def _box(key: bytes, name: str, head: bytes) -> AESGCM:
    salt = head[-SALT_BYTES:]
    return AESGCM(HKDF(SHA256(), 32, salt, _INFO + name.encode("utf-8")).derive(key))


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes((is_last,))
