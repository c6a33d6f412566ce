"""What every CURVE socket shares: its keys and heartbeats, and the door that lets keys in.

A server's context has one door (ZeroMQ RFC 27, ZAP): libzmq asks it for each connection, before a
byte of the peer's messages is read.
"""

from __future__ import annotations

from collections.abc import Callable

import zmq
from zmq.utils import z85

from protocols import limits
from protocols.identity import LinkKey

HEARTBEAT_MS = 2000
"""ZMTP heartbeats (ZeroMQ RFC 37) find a dead peer below a session's own time-out."""

ZAP_ENDPOINT = "inproc://zeromq.zap.01"


class ZapDoor:
    """Answers for one context whether a key may connect.

    Args:
        context: Whose sockets ask; one door a context.
        admit: Whether a CURVE public key (Z85) may connect.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], admit: Callable[[bytes], bool]) -> None:
        self._admit = admit
        self.socket = context.socket(zmq.REP)
        self.socket.bind(ZAP_ENDPOINT)
        self.refused = 0
        """Connections refused because of their key."""

    def answer(self) -> None:
        """Answer one question, when the socket can be read."""
        request = self.socket.recv_multipart()
        version, sequence = request[0], request[1]
        link = z85.encode(request[6]) if len(request) > 6 and len(request[6]) == 32 else b""
        allowed = self._admit(link)
        self.refused += not allowed
        status, text = (b"200", b"OK") if allowed else (b"400", b"this key is not on the allow-list")
        self.socket.send_multipart([version, sequence, status, text, link, b""])


def secure(socket: zmq.Socket[bytes], key: LinkKey) -> None:
    """Give a socket its own keys, heartbeats and IPv6."""
    socket.curve_publickey = key.public
    socket.curve_secretkey = key.secret
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS)
    socket.setsockopt(zmq.IPV6, 1)


def serve_behind(socket: zmq.Socket[bytes], key: LinkKey, message_bytes_max: int) -> None:
    """Make a ROUTER a CURVE server behind its context's door, with bounded messages and queues."""
    secure(socket, key)
    socket.curve_server = True
    socket.setsockopt(zmq.ZAP_DOMAIN, b"catchment")
    socket.setsockopt(zmq.BACKLOG, limits.BACKLOG)
    socket.setsockopt(zmq.MAXMSGSIZE, message_bytes_max)
    socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    socket.rcvhwm = limits.RECEIVE_HWM
    socket.linger = 0
