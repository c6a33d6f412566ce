"""Messages between the service and its worker: msgpack maps over a stream, each after its length."""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgpack

from headquarters.services.sql.limits import FRAME_BYTES_MAX

_LENGTH = struct.Struct(">I")


def send(link: socket.socket, message: dict[str, Any]) -> None:
    """Send one message.

    Raises:
        OSError: The other side is gone.
        ValueError: It is larger than a message may be, or holds what msgpack has no form for.
    """
    try:
        body = msgpack.packb(message, datetime=True)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"expected numbers, texts, bytes and times with a zone: {error}") from error
    if len(body) > FRAME_BYTES_MAX:
        raise ValueError(f"expected a message of at most {FRAME_BYTES_MAX:,} bytes, got {len(body):,}")
    link.sendall(_LENGTH.pack(len(body)) + body)


def receive(link: socket.socket) -> dict[str, Any] | None:
    """Wait for one message; `None` when the other side has closed.

    Raises:
        OSError: The link broke.
    """
    head = _exactly(link, _LENGTH.size)
    if head is None:
        return None
    [length] = _LENGTH.unpack(head)
    if length > FRAME_BYTES_MAX:
        raise OSError(f"expected a message of at most {FRAME_BYTES_MAX:,} bytes, got {length:,}")
    body = _exactly(link, length)
    if body is None:
        return None
    message: dict[str, Any] = msgpack.unpackb(body, timestamp=3, strict_map_key=True)
    return message


def _exactly(link: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = link.recv(min(count - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)
