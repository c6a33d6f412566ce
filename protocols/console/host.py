"""The host's end of a console session: it asks until it is answered.

Rules:
1. A frame goes out when there is something new to say, when what came was damaged, and when
   nothing came in time; never in answer to something known, so that copies die out.
2. While an answer is awaited the gateway is asked for it, at first quickly, then less so.
3. Where the gateway knows no session (it was started anew), `lost` says so: calls under way are
   to be repeated by the owner, which is safe because every call may be.

The owner calls `receive` with what came, `due` to learn when to call `tick`, and sends what
`outgoing` gives.
"""

from __future__ import annotations

from collections.abc import Callable

from protocols.console.flow import Flow
from protocols.console.frames import FRAME_BYTES_MAX, VERSION, Frame, FrameReader, Kind, pack
from protocols.errors import MalformedError

PATIENCE_S = 0.08
"""Beyond the time that the bytes take: what adapters and both processes need."""

PATIENCE_MAX_S = 1.0
"""After many losses in a row, also beyond that time."""

ASK_FIRST_S, ASK_MAX_S = 0.005, 0.25
"""From asking for an answer to asking again."""


class HostEnd:
    """One end of the cable; survives its being pulled.

    Args:
        draw: Gives a random number of 32 bits, not 0.
        bytes_per_s: What the line carries: a tenth of its baud rate.
    """

    def __init__(self, draw: Callable[[], int], bytes_per_s: float) -> None:
        self._draw = draw
        self._rate = bytes_per_s
        self._reader = FrameReader()
        self._flow = Flow(draw())
        self._open = False
        self._out = bytearray()
        self._awaiting = False
        self._at: float | None = None
        self._patience = PATIENCE_S
        self._ask = ASK_FIRST_S
        self._asking = False
        self.lost = False
        """A session ended under the owner's calls; to be set back by the owner."""
        self.heard: float | None = None
        """When the last whole frame came."""

    @property
    def due(self) -> float | None:
        """When `tick` has something to do; `None` for never."""
        return self._at

    def send(self, message: bytes, now: float) -> None:
        """Say something, and wait for an answer from now on."""
        self._flow.push(message)
        self._awaiting = True
        self._ask = ASK_FIRST_S
        self._say(now)

    def tick(self, now: float) -> None:
        """Ask again, where it is time to."""
        if self._at is None or now < self._at:
            return
        if not self._asking:
            self._flow.shrink()
            self._patience = min(PATIENCE_MAX_S, self._patience * 2)
        self._say(now)

    def outgoing(self) -> bytes:
        """Bytes to send, each once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take bytes from the line.

        Returns:
            Messages of the gateway.

        Raises:
            MalformedError: The gateway speaks another version.
            LimitError: It says something too long.
        """
        damaged = False
        for frame in self._reader.feed(data):
            if frame is None:
                damaged = True
            elif frame.session == self._flow.session:
                self.heard = now
                damaged = self._take(frame, now) or damaged
        if damaged and self._at is not None:
            self._flow.shrink()
            self._say(now)
        return self._flow.messages()

    def done(self) -> None:
        """No answer is awaited any more."""
        self._awaiting = False
        if not self._flow.pending:
            self._at = None

    def reopen(self, now: float) -> None:
        """Begin a new session with nothing said in it."""
        self._flow = Flow(self._draw())
        self._open = False
        self._awaiting = False
        self._at = None

    def _take(self, frame: Frame, now: float) -> bool:
        """Take a frame; returns whether to say again what was said last."""
        if frame.kind is Kind.AGAIN:
            return True
        if frame.kind is Kind.OPENED:
            if frame.payload != bytes([VERSION]):
                expected = f"expected a gateway that speaks version {VERSION} of the console"
                raise MalformedError(
                    f"{expected}, got {frame.payload.hex() or 'none'}; use its own catchment-flash"
                )
            if not self._open:
                self._open = True
                self._patience = PATIENCE_S
                self._say(now)
        elif frame.kind is Kind.UNKNOWN:
            if self._open:
                self.lost = True
                self.reopen(now)
        elif frame.kind is Kind.DATA and self._open:
            self._take_data(frame, now)
        return False

    def _take_data(self, frame: Frame, now: float) -> None:
        fresh = self._flow.take(frame)
        if fresh:
            self._patience = PATIENCE_S
            self._ask = ASK_FIRST_S
        if (fresh and self._flow.pending) or frame.payload:
            if fresh:
                self._say(now)
        elif self._awaiting and not self._flow.pending:
            # All is said and the gateway is at work: ask in a while.
            self._asking = True
            self._at = now + self._ask
            self._ask = min(ASK_MAX_S, self._ask * 1.5)
        elif not self._awaiting:
            self._at = None

    def _say(self, now: float) -> None:
        if self._open:
            packed = pack(self._flow.frame())
        else:
            packed = pack(Frame(Kind.OPEN, self._flow.session, 0, 0, bytes([VERSION])))
        self._out += packed
        self._asking = False
        self._at = now + self._patience + (len(packed) + FRAME_BYTES_MAX) / self._rate
