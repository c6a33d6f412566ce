"""The gateway's end of a console session: it speaks when it is spoken to.

Rules:
1. Every whole frame of the host is answered by one frame; nothing is ever sent otherwise, so
   that a cable with nobody at its other end stays silent.
2. A frame of another session than the last opened one is answered with UNKNOWN; the host opens
   a new one and repeats its call.
3. Damaged bytes are answered with AGAIN, but only while a host has been heard of lately: what
   a boot loader or a modem says is no host.

>>> from protocols.console.frames import pack
>>> end = GatewayEnd()
>>> end.receive(pack(Frame(Kind.OPEN, 7, 0, 0, bytes([VERSION]))), 0.0) == pack(
...     Frame(Kind.OPENED, 7, 0, 0, bytes([VERSION])))
True
"""

from __future__ import annotations

from protocols.console.flow import Flow
from protocols.console.frames import VERSION, Frame, FrameReader, Kind, pack
from protocols.errors import LimitError

HEARD_S = 10.0
"""So long after its last whole frame a host is believed to be there: many times its patience."""


class GatewayEnd:
    """One end of the cable; survives its being pulled."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._flow: Flow | None = None
        self._heard = -HEARD_S
        self._answered = Frame(Kind.DATA, 0, 0, 0)

    @property
    def session(self) -> int:
        """The open session, 0 for none: what belongs to an earlier one is not to be sent."""
        return self._flow.session if self._flow else 0

    def receive(self, data: bytes, now: float) -> bytes:
        """Take bytes from the line.

        Args:
            data: What came.
            now: Seconds of a clock that never goes back.

        Returns:
            Bytes to send.
        """
        answer = b""
        for frame in self._reader.feed(data):
            if frame is None:
                if now - self._heard < HEARD_S and self._flow is not None:
                    answer += pack(Frame(Kind.AGAIN, self._flow.session, 0, 0))
            elif frame.kind in (Kind.OPEN, Kind.DATA):
                self._heard = now
                answer += pack(self._reply(frame))
        return answer

    def _reply(self, frame: Frame) -> Frame:
        if frame.kind is Kind.OPEN:
            if self.session != frame.session:
                self._flow = Flow(frame.session)
            return Frame(Kind.OPENED, frame.session, 0, 0, bytes([VERSION]))
        if self._flow is None or frame.session != self._flow.session:
            return Frame(Kind.UNKNOWN, frame.session, 0, 0)
        try:
            if not self._flow.take(frame):
                self._flow.shrink()  # the host asks again: what we said has not arrived
        except LimitError:
            self._flow = None
            return Frame(Kind.UNKNOWN, frame.session, 0, 0)
        return self._flow.frame()

    def messages(self) -> list[bytes]:
        """What the host has said since the last call."""
        if self._flow is None:
            return []
        try:
            return self._flow.messages()
        except LimitError:
            self._flow = None
            return []

    def send(self, session: int, message: bytes) -> None:
        """Queue an answer; it goes when the host asks. One of another session is dropped."""
        if self._flow is not None and self._flow.session == session:
            self._flow.push(message)
