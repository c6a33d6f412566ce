"""Files that carry batches through a one-way isolator, where nothing comes back.

Rules:
1. A file is complete or worthless: a hash over all of it stands at its end, and behind that
   the sender's signature over the hash.
2. It holds messages of the link, offers and batches, in the order in which they are to be
   taken. Batches keep their own signatures; offers are believed for the file's.
3. An offer in a file says with `oldest` below which sequence no later file will bring
   anything: what is missing below it when that file has come is missing for good.
4. Files are numbered by their sender from 0 without holes, so that a lost one is noticed.

Layout, byte by byte, with a test vector: `docs/wire-container.md`.

>>> packed = pack(Container("gw", 7, 1_000_000, ()))
>>> parse(packed).number
7
>>> unsealed, seal = unseal(packed + b"key id  " + bytes(64))
>>> unsealed == packed, seal.key_id
(True, b'key id  ')
>>> parse_file_name(file_name("gw", 7))
('gw', 7)
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from protocols import limits
from protocols.batch import SIGNATURE_BYTES, Batch, Signer, Verifier, is_name
from protocols.errors import IntegrityError, LimitError, MalformedError
from protocols.session import messages
from protocols.session.messages import Frames, Offer

MAGIC = b"\x89CMF\r\n\x1a\n"
"""As PNG's (RFC 2083, 3.1): a transfer that changes line ends or strips bit 7 breaks it at once."""

VERSION = 1
SUFFIX = ".cmf"
HASH_BYTES = 32
DOMAIN = b"catchment/container/v1\x00"
KEY_ID_BYTES = 8
SEAL_BYTES = KEY_ID_BYTES + SIGNATURE_BYTES

_HEAD = struct.Struct(">8sHHQqIB")
_LENGTH = struct.Struct(">I")
_KINDS = {messages.OFFER: 1, messages.BATCH: 3}
_FILE_NAME = re.compile(r"(.+)-(\d{12,19})\.cmf")


class Container(NamedTuple):
    """One file.

    Args:
        sender: The node that wrote it.
        number: Counts this sender's files from 0.
        made_us: When it was written.
        messages: OFFER and BATCH messages of the link, in order.
    """

    sender: str
    number: int
    made_us: int
    messages: tuple[Frames, ...]

    def offers(self) -> Iterator[Offer]:
        """The offers in it.

        Raises:
            MalformedError, LimitError: An offer that cannot be read.
        """
        for frames in self.messages:
            if frames[0] == messages.OFFER:
                yield from messages.parse_offers(frames)

    def batches(self) -> Iterator[Batch]:
        """The batches in it, not yet verified.

        Raises:
            LimitError: A payload that is larger than any may be.
        """
        for frames in self.messages:
            if frames[0] == messages.BATCH:
                yield messages.parse_batch(frames)


class Seal(NamedTuple):
    """Who says that a file is as it was made.

    Args:
        key_id: The key that signed.
        hash: The hash at the end of the file, which a reader has still to hold against its bytes.
        signature: Over that hash.
    """

    key_id: bytes
    hash: bytes
    signature: bytes

    def holds(self, verifier: Verifier) -> bool:
        """Whether the signature is that key's."""
        return verifier.verify(DOMAIN, self.hash, self.signature)


def seal(packed: bytes, signer: Signer) -> bytes:
    """The file as it travels: signed by its sender."""
    return packed + signer.key_id + signer.sign(DOMAIN, packed[-HASH_BYTES:])


def unseal(data: bytes) -> tuple[bytes, Seal]:
    """What `pack` made, and its seal, neither of them checked.

    Raises:
        IntegrityError: Too short for either.
    """
    end = len(data) - SEAL_BYTES
    if end < HASH_BYTES:
        raise IntegrityError(f"expected a whole file with its signature, got {len(data)} bytes of it")
    key_id, signature = data[end : end + KEY_ID_BYTES], data[end + KEY_ID_BYTES :]
    return data[:end], Seal(key_id, data[end - HASH_BYTES : end], signature)


def pack(container: Container) -> bytes:
    """The bytes of a file, but for its seal."""
    sender = container.sender.encode()
    assert is_name(container.sender) and len(container.messages) <= limits.CONTAINER_MESSAGES_MAX
    head = (MAGIC, VERSION, 0, container.number, container.made_us, len(container.messages), len(sender))
    parts = [_HEAD.pack(*head), sender]
    for kind, *frames in container.messages:
        assert _KINDS[kind] == len(frames)
        parts.append(kind)
        for frame in frames:
            parts.append(_LENGTH.pack(len(frame)))
            parts.append(frame)
    body = b"".join(parts)
    assert len(body) + HASH_BYTES + SEAL_BYTES <= limits.CONTAINER_BYTES_MAX
    return body + hashlib.sha256(body).digest()


def packed_size(frames: Frames) -> int:
    """Bytes that a message takes up in a file."""
    return 1 + sum(_LENGTH.size + len(frame) for frame in frames[1:])


def overhead(sender: str) -> int:
    """Bytes of a file that holds no message."""
    return _HEAD.size + len(sender) + HASH_BYTES + SEAL_BYTES


def parse(data: bytes) -> Container:
    """Read what `pack` made; what is in the batches is not looked at.

    Raises:
        LimitError: Larger than a file may be, or more messages than it may hold.
        IntegrityError: It does not have its hash: cut short, or changed on the way.
        MalformedError: Not such a file.
    """
    if len(data) > limits.CONTAINER_BYTES_MAX:
        raise LimitError(f"expected a file of at most {limits.CONTAINER_BYTES_MAX} bytes, got {len(data)}")
    if not data.startswith(MAGIC):
        raise MalformedError("expected a file that begins with the mark of a container")
    if len(data) < _HEAD.size + HASH_BYTES:
        raise IntegrityError(f"expected a whole file, got {len(data)} bytes of it")
    _, version, reserved, number, made_us, count, name_bytes = _HEAD.unpack_from(data)
    if version != VERSION or reserved:
        raise MalformedError(f"expected container version {VERSION}, got {version} with flags {reserved:#x}")
    end = len(data) - HASH_BYTES
    if hashlib.sha256(memoryview(data)[:end]).digest() != data[end:]:
        raise IntegrityError("the file does not have the hash at its end: it was cut short or changed")
    if count > limits.CONTAINER_MESSAGES_MAX:
        raise LimitError(f"expected at most {limits.CONTAINER_MESSAGES_MAX} messages, file claims {count}")
    at = _HEAD.size + name_bytes
    sender = data[_HEAD.size : min(at, end)].decode("ascii", "replace")
    if not is_name(sender) or number > limits.INT63_MAX:
        raise MalformedError(f"expected a sender and a number, got {sender!r:.80} and {number}")
    found = []
    for _ in range(count):
        frames, at = _message_at(data, at, end)
        found.append(frames)
    if at != end:
        raise MalformedError(f"expected the hash after {count} messages, got {end - at} more bytes")
    return Container(sender, number, made_us, tuple(found))


def _message_at(data: bytes, at: int, end: int) -> tuple[Frames, int]:
    """The message at an offset, and the offset after it."""
    kind = data[at : at + 1]
    if at >= end or kind not in _KINDS:
        raise MalformedError(f"expected an offer or a batch at offset {at}, got {kind!r}")
    at += 1
    frames = [kind]
    for _ in range(_KINDS[kind]):
        if end - at < _LENGTH.size:
            raise MalformedError(f"expected a length at offset {at}, got the end of the file")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length > end - at:
            raise MalformedError(f"expected {length} bytes at offset {at}, got the end of the file")
        frames.append(data[at : at + length])
        at += length
    return frames, at


def file_name(sender: str, number: int) -> str:
    """What a file is called once it is complete; names sort by number."""
    return f"{sender}-{number:012d}{SUFFIX}"


def parse_file_name(name: str) -> tuple[str, int] | None:
    """(sender, number) of a file's name, or `None` when it is not such a name."""
    match = _FILE_NAME.fullmatch(name)
    if match is None or not is_name(match[1]) or file_name(match[1], int(match[2])) != name:
        return None
    return match[1], int(match[2])
