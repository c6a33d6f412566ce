"""One direction each way of a console session: messages as a stream of acknowledged bytes.

Rules:
1. What is sent stays here until the other end has acknowledged it; a piece may be cut anew,
   smaller, when it is sent again.
2. Of what comes, only the next bytes are taken; what came before is dropped, what came too
   early too: one piece is under way at a time.
3. A message is its length in four bytes, little-endian, and its bytes.
4. Pieces grow while they arrive and halve when they do not: at 1% damaged bytes they settle
   where most bytes get through.
"""

from __future__ import annotations

import struct

from protocols import limits
from protocols.console.frames import Frame, Kind
from protocols.errors import LimitError

_LENGTH = struct.Struct("<I")
_WRAP = 1 << 32


class Flow:
    """The two streams of a session, at either end."""

    def __init__(self, session: int) -> None:
        self.session = session
        self._base = 0
        self._waiting = bytearray()
        self._taken = 0
        self._came = bytearray()
        self._size = limits.CONSOLE_SEGMENT_BYTES_MAX // 4
        self._cut = 0

    @property
    def pending(self) -> bool:
        """Whether there is something that the other end has not acknowledged."""
        return bool(self._waiting)

    def push(self, message: bytes) -> None:
        """Queue a message."""
        assert len(message) <= limits.CONSOLE_MESSAGE_BYTES_MAX
        self._waiting += _LENGTH.pack(len(message)) + message

    def frame(self) -> Frame:
        """The next piece, or an empty one that only acknowledges."""
        payload = bytes(self._waiting[: self._size])
        self._cut = len(payload)
        return Frame(Kind.DATA, self.session, self._base % _WRAP, self._taken % _WRAP, payload)

    def shrink(self) -> None:
        """The last piece did not arrive: the next is half as long."""
        if self._cut:
            self._size = max(limits.CONSOLE_SEGMENT_BYTES_MIN, min(self._size, self._cut) // 2)

    def take(self, frame: Frame) -> bool:
        """Take acknowledgement and payload of a frame; returns whether anything was new.

        Raises:
            LimitError: A message is longer than one may be; the session is broken.
        """
        acknowledged = self._acknowledge(frame.ack)
        begun = (self._taken - frame.offset) % _WRAP
        fresh = frame.payload[begun:] if begun <= len(frame.payload) else b""
        self._came += fresh
        self._taken += len(fresh)
        self._check()
        return acknowledged or bool(fresh)

    def _acknowledge(self, ack: int) -> bool:
        done = (ack - self._base) % _WRAP
        if not 0 < done <= len(self._waiting):
            return False
        del self._waiting[:done]
        self._base += done
        if done >= self._cut:
            self._size = min(limits.CONSOLE_SEGMENT_BYTES_MAX, self._size + 8 + self._size // 8)
        return True

    def _check(self) -> None:
        if len(self._came) >= _LENGTH.size:
            [length] = _LENGTH.unpack_from(self._came)
            if length > limits.CONSOLE_MESSAGE_BYTES_MAX:
                most = limits.CONSOLE_MESSAGE_BYTES_MAX
                raise LimitError(f"expected a message of at most {most} bytes, got one of {length}")

    def messages(self) -> list[bytes]:
        """Messages that have come whole, each once.

        Raises:
            LimitError: One is longer than it may be.
        """
        found = []
        while len(self._came) >= _LENGTH.size:
            self._check()
            [length] = _LENGTH.unpack_from(self._came)
            if len(self._came) < _LENGTH.size + length:
                break
            found.append(bytes(self._came[_LENGTH.size : _LENGTH.size + length]))
            del self._came[: _LENGTH.size + length]
        return found
