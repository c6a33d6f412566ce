"""Frames of the provisioning console: marked off so that any damage costs one frame and no more.

Rules:
1. A frame on the line is `00 COBS(body CRC) 00`; no byte between the two is zero, so that a
   reader finds the next frame wherever it begins to listen.
2. The body is kind, session, offset, acknowledgement and at most `CONSOLE_SEGMENT_BYTES_MAX`
   bytes of payload; numbers are little-endian. CRC is CRC-32 of the body.
3. Bytes between two zeros that are no frame are *damaged*; nothing is raised, nothing kept.

>>> packed = pack(Frame(Kind.DATA, 1, 0, 0, b"hi"))
>>> packed.hex(" ")
'00 03 03 01 01 01 01 01 01 01 01 01 01 01 07 68 69 bb b0 eb c2 00'
>>> FrameReader().feed(b"noise" + packed)
[None, Frame(kind=<Kind.DATA: 3>, session=1, offset=0, ack=0, payload=b'hi')]

Source: Cheshire and Baker, Consistent Overhead Byte Stuffing, IEEE/ACM Transactions on
Networking 7(2), 1999; CRC-32 of ISO/IEC 3309 as zlib computes it.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import NamedTuple

from protocols import limits
from protocols.errors import MalformedError

_HEAD = struct.Struct("<BIII")
_CRC = struct.Struct("<I")

VERSION = 1
"""Of the frames and of the calls in them; the payload of OPEN and OPENED."""

ENCODED_BYTES_MAX = _HEAD.size + limits.CONSOLE_SEGMENT_BYTES_MAX + _CRC.size + 5
"""A frame between its zeros: COBS adds a byte for each 254, and one."""

assert (ENCODED_BYTES_MAX - 5) // 254 + 1 <= 5

FRAME_BYTES_MAX = ENCODED_BYTES_MAX + 2


class Kind(IntEnum):
    """What a frame is for."""

    OPEN = 1
    """From the host: begin a session; forget the one before."""
    OPENED = 2
    """From the gateway: the session has begun."""
    DATA = 3
    """A piece of the stream, maybe empty: acknowledges and, from the host, asks."""
    AGAIN = 4
    """From the gateway: something came damaged; say it again."""
    UNKNOWN = 5
    """From the gateway: there is no such session, or it is broken; open another."""


class Frame(NamedTuple):
    """One frame.

    Args:
        kind: What it is for.
        session: Drawn by the host, not 0.
        offset: Where the payload begins in the sender's stream, modulo 2**32.
        ack: What the sender expects next of the other's stream, modulo 2**32.
        payload: A piece of the stream.
    """

    kind: Kind
    session: int
    offset: int
    ack: int
    payload: bytes = b""


def pack(frame: Frame) -> bytes:
    """The bytes of a frame, with its zeros."""
    assert len(frame.payload) <= limits.CONSOLE_SEGMENT_BYTES_MAX
    body = _HEAD.pack(frame.kind, frame.session, frame.offset, frame.ack) + frame.payload
    return b"\0" + stuffed(body + _CRC.pack(zlib.crc32(body))) + b"\0"


def parse(encoded: bytes) -> Frame:
    """Read what stands between two zeros.

    Raises:
        MalformedError: It is not a frame, or it was damaged.
    """
    if len(encoded) > ENCODED_BYTES_MAX:
        raise MalformedError(f"expected at most {ENCODED_BYTES_MAX} bytes, got {len(encoded)}")
    raw = unstuffed(encoded)
    if len(raw) < _HEAD.size + _CRC.size:
        raise MalformedError(f"expected at least {_HEAD.size + _CRC.size} bytes, got {len(raw)}")
    body, [crc] = raw[: -_CRC.size], _CRC.unpack(raw[-_CRC.size :])
    if zlib.crc32(body) != crc:
        raise MalformedError("the checksum does not hold")
    kind, session, offset, ack = _HEAD.unpack_from(body)
    if kind not in list(Kind) or session == 0:
        raise MalformedError(f"expected a known kind and a session, got {kind} and {session}")
    payload = body[_HEAD.size :]
    if len(payload) > limits.CONSOLE_SEGMENT_BYTES_MAX:
        raise MalformedError(f"expected at most {limits.CONSOLE_SEGMENT_BYTES_MAX} bytes of payload")
    return Frame(Kind(kind), session, offset, ack, payload)


def stuffed(data: bytes) -> bytes:
    """Consistent overhead byte stuffing: the same content without zeros.

    >>> stuffed(b"").hex(), stuffed(bytes(2)).hex(), stuffed(bytes.fromhex("11220033")).hex()
    ('01', '010101', '0311220233')
    """
    out = bytearray()
    for group in data.split(b"\0"):
        while len(group) >= 254:
            out += b"\xff" + group[:254]
            group = group[254:]
        out += bytes([len(group) + 1]) + group
    return bytes(out)


def unstuffed(data: bytes) -> bytes:
    """What `stuffed` was given.

    Raises:
        MalformedError: A group goes beyond the end, or holds a zero.
    """
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        group = data[at + 1 : at + code]
        if code == 0 or 0 in group or len(group) != code - 1:
            raise MalformedError("expected groups of bytes without zeros, within the frame")
        out += group
        at += code
        if code < 255 and at < len(data):
            out.append(0)
    return bytes(out)


class FrameReader:
    """Finds frames in what comes over the line, in pieces of any size."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[Frame | None]:
        """Frames that are complete now, and `None` for each that was damaged."""
        found: list[Frame | None] = []
        *ends, rest = data.split(b"\0")
        for end in ends:
            self._keep(end)
            if self._skipping:
                found.append(None)
            elif self._kept:
                found.append(_parsed(bytes(self._kept)))
            self._kept.clear()
            self._skipping = False
        self._keep(rest)
        return found

    def _keep(self, piece: bytes) -> None:
        if len(self._kept) + len(piece) > ENCODED_BYTES_MAX:
            self._skipping = True
            self._kept.clear()
        if not self._skipping:
            self._kept += piece


def _parsed(encoded: bytes) -> Frame | None:
    try:
        return parse(encoded)
    except MalformedError:
        return None
