"""Calls to a MicroPython board over its raw REPL that outlast damaged bytes and pulled cables.

The raw REPL executes what it gets and has no checksums: a damaged byte is a syntax error at best.
Rules:
1. First a small helper is brought to the board in pieces that it says back; from then on each call
   is one line with a CRC-32, executed only if that holds and only once however often it is sent,
   and its answer has a CRC-32 too.
2. A line is sent again until its answer is whole. Ctrl-C before it throws away what was left of
   a damaged one; where that does not help, the raw REPL is entered anew, which also undoes what
   damaged control characters did.
3. Where the board has lost the helper (it was started anew), it is brought again.

Source: MicroPython documentation, "The raw REPL" (Ctrl-A enters, Ctrl-D executes, `OK` output
EOT error EOT `>`).
"""

from __future__ import annotations

import ast
import contextlib
import re
import time
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from edge_runtime.provision.port import Line, LineError
from protocols.errors import DeviceError

Found = TypeVar("Found")

ENTER, LEAVE, INTERRUPT, EXECUTE = b"\x01", b"\x02", b"\x03", b"\x04"

BANNER = b"raw REPL; CTRL-B to exit\r\n>"

QUIET_S = 0.02
"""A board that sends nothing for so long has said what it had to say."""

SILENT_MAX = 2
"""Answers that did not come at all, in a row; then the raw REPL is entered anew."""

ANSWER_S = 0.15
"""For an answer, beyond the time that the bytes take and the work needs, until it is known better."""

ANSWER_MIN_S, ANSWER_MAX_S = 0.04, 3.0
"""The least is what an adapter may hold bytes back, twice."""

KNOWN_AFTER = 4
"""Answers after which it is known how long such a call takes: four times the longest so far."""

BURST_BYTES = 64
"""What boards without flow control take at once; then the line is given the time to carry it, which
matters where there is no line (USB, an emulator) and bytes come faster than the board was made for."""

SLOWER_AFTER, SLOWER_MAX = 6, 16
"""After so many attempts in a row the pauses are doubled, at most so many times what the line needs."""

ATTEMPTS_MAX = 400
"""Of one call. At 1% damaged bytes a line of 100 bytes takes three on average, and once in a
thousand calls some twenty; a board that does not answer at all is told by the patience."""

PIECE_MIN, PIECE_MAX = 48, 512
"""Bytes of a file in one call: at 1% damaged bytes a call with 48 brings most in the same time."""

HELPER = """
try:
 from binascii import crc32 as _k
except ImportError:
 def _k(b):
  c=0xffffffff
  for x in b:
   c^=x
   for _ in range(8):
    c=c>>1^(0xedb88320 if c&1 else 0)
  return c^0xffffffff
_l=globals().get('_l',[-1,''])
_g=globals().get('_g',{})
def _(n,c,s):
 if n!=_l[0]:
  if _k(bytes(s,'utf8'))!=c:
   print('?')
   return
  _g['r']=None
  try:
   exec(s,_g)
   t='.'+repr(_g['r'])
  except Exception as e:
   t='!'+repr(e)
  _l[0]=n
  _l[1]=str(n)+' '+str(_k(bytes(t,'utf8')))+' '+t
 print(_l[1])
""".strip()
"""On the board: `_(number, CRC, source)` executes a source once and says what its `r` is then."""

_OUTCOME = re.compile(rb"OK([^\x04]*)\x04([^\x04]*)\x04>")


class BoardError(DeviceError):
    """The board raised an exception in what it was asked to do."""


class _DamagedError(Exception):
    """No answer, or one that is not whole."""


class RawRepl:
    """A board on a serial port.

    Args:
        open_line: Opens the port.
        baud: Its bits a second.
        patience_s: How long to wait without any whole answer.
        device: The port's name, for messages.
    """

    def __init__(
        self, open_line: Callable[[], Line], baud: int, patience_s: float = 20.0, device: str = "port"
    ) -> None:
        self._open_line = open_line
        self._line: Line | None = None
        self._rate = baud / 10
        self._patience_s = patience_s
        self._device = device
        self._number = int(time.monotonic() * 1000) % 10_000
        self._ready = self._met = False
        self._silent = 0
        self._heard = 0.0
        self._said = ""
        self._pause_s = 0.0
        self._took: dict[float, list[float]] = {}
        self._after = b""
        self._wait_s = ANSWER_S
        self.piece = PIECE_MAX // 2
        """Bytes of a file that now go well in one call."""
        self.sent = self.again = self.reconnected = 0

    def close(self) -> None:
        """Let the port go; a board in the raw REPL is left in the friendly one."""
        if self._line is not None:
            if self._met:
                with contextlib.suppress(LineError):
                    self._line.write(b"\r" + LEAVE)
            self._line.close()
            self._line = None

    def call(self, source: str, work_s: float = 0.0) -> Any:
        """Have the board execute a source.

        Args:
            source: Python; what it leaves in `r` comes back. It may be cut off and repeated in no
                way that shows, but after the board was started anew it may be executed twice.
            work_s: How long it may take there.

        Returns:
            The value of `r`, which has to be a literal.

        Raises:
            BoardError: It raised an exception there.
            DeviceError: No board answers, or the line is too bad.
        """
        self._number += 1
        text = f"_({self._number},{zlib.crc32(source.encode())},{source!r})"

        def attempt() -> str:
            if not self._ready:
                self._bring_helper()
            return self._answer(self._exchange(text, work_s))

        found = self._until_whole(attempt)
        if found.startswith("!"):
            raise BoardError(f"the board raised {found[1:]}")
        return ast.literal_eval(found[1:])

    def long_call(self, source: str, work_s: float = 0.0) -> Any:
        """As `call`, for a source of any length: brought in pieces that fit the line as it is now.

        Raises:
            BoardError: As `call`; also a NameError when the board was started anew meanwhile.
            DeviceError: As `call`.
        """
        self.call("t=''")
        at = 0
        while at < len(source):
            piece = source[at : at + self.piece]
            self.call(f"t=t[:{at}]+{piece!r}")
            at += len(piece)
        return self.call("exec(t,globals())", work_s)

    def plain(self, source: str, work_s: float = 1.0) -> tuple[bytes, bytes]:
        """Have the board execute a source without any check, as every other tool does.

        Returns:
            Its output and its traceback.

        Raises:
            DeviceError: No board answers.
        """
        return self._until_whole(lambda: self._outcome(source.encode(), work_s))

    def restart(self) -> None:
        """Start the board's own program, as at power-on; the raw REPL is left."""

        def attempt() -> None:
            line = self._connected()
            line.write(b"\r" + LEAVE)
            self._drain(line)
            line.write(EXECUTE)
            said = self._read_until(line, b"soft reboot", 2.0)
            if b"soft reboot" not in said:
                self._met = False
                raise _DamagedError
            self._after = said.partition(b"soft reboot")[2]

        self._until_whole(attempt)
        self._ready = self._met = False

    def listen(self, timeout_s: float) -> bytes:
        """What the board says by itself; the raw REPL must have been left.

        Raises:
            LineError: The port went away.
        """
        if self._line is None:
            self._line = self._open_line()
        after, self._after = self._after, b""
        return after or self._line.read(timeout_s)

    # -- attempts ----------------------------------------------------------------------------

    def _until_whole(self, attempt: Callable[[], Found]) -> Found:
        self._heard = time.monotonic()
        for number in range(ATTEMPTS_MAX):
            slower = min(SLOWER_MAX, 1 << number // SLOWER_AFTER)
            self._pause_s = slower * BURST_BYTES / self._rate
            try:
                found = attempt()
            except _DamagedError:
                self.again += 1
                self.piece = max(PIECE_MIN, self.piece // 2)
            except LineError as error:
                self._lose_line(error)
            else:
                self.piece = min(PIECE_MAX, self.piece + 4)
                self._wait_s = max(ANSWER_S, self._wait_s / 2)
                return found
        raise self._silence(f"{ATTEMPTS_MAX} attempts")

    def _silence(self, how_long: str) -> DeviceError:
        expected = "a MicroPython board with its REPL on this port; check port, cable and --baud, or reset it"
        said = f" (it said {self._said!r})" if self._said else ""
        return DeviceError(f"{self._device}: no whole answer within {how_long}{said}; expected {expected}")

    def _lose_line(self, error: LineError) -> None:
        first = self._line is None and not self._met and not self.reconnected and not self.sent
        if self._line is not None:
            self._line.close()
        self._line = None
        if first or time.monotonic() - self._heard > self._patience_s:
            raise error
        time.sleep(0.1)

    def _connected(self) -> Line:
        if self._line is None:
            self._line = self._open_line()
            self.reconnected += 1
            self._met = False
        if not self._met:
            self._enter(self._line)
            self._silent = 0
        return self._line

    def _enter(self, line: Line) -> None:
        """Interrupt what runs, and enter the raw REPL."""
        line.write(b"\r" + INTERRUPT)
        self._drain(line)
        line.write(b"\r" + ENTER)
        said = self._read_until(line, b"\r\n>", self._wait_s + len(BANNER) / self._rate)
        # Its end is enough: the rest may be damaged, and what is wrong shows at the next step.
        if not (said + self._drain(line)).endswith(b">"):
            self._wait_s = min(ANSWER_MAX_S, self._wait_s * 2)
            if time.monotonic() - self._heard > self._patience_s:
                raise self._silence(f"{self._patience_s:g} s")
            raise _DamagedError
        self._met = True

    def _drain(self, line: Line) -> bytes:
        said = b""
        while data := line.read(QUIET_S):
            said += data
        return said

    def _read_until(self, line: Line, end: bytes, timeout_s: float) -> bytes:
        until = time.monotonic() + timeout_s
        said = b""
        while end not in said and (left := until - time.monotonic()) > 0:
            said += line.read(left)
        return said

    # -- one exchange ------------------------------------------------------------------------

    def _outcome(self, source: bytes, work_s: float) -> tuple[bytes, bytes]:
        line = self._connected()
        data = INTERRUPT + source + EXECUTE
        for at in range(0, len(data), BURST_BYTES):
            if at:
                time.sleep(self._pause_s)
            line.write(data[at : at + BURST_BYTES])
        self.sent += len(source) + 2
        begun = time.monotonic()
        until = begun + self._allowed_s(work_s) + (len(source) + 400) / self._rate
        said = b""
        while (left := until - time.monotonic()) > 0:
            said += line.read(left)
            found = _OUTCOME.search(said)
            if found:
                self._silent = 0
                self._heard = time.monotonic()
                self._took.setdefault(work_s, []).append(time.monotonic() - begun)
                return found[1], found[2]
            if said.endswith(b"\x04>"):
                self._drain(line)  # it has ended, and part of it was damaged
                raise _DamagedError
        self._silent += 1
        if self._silent >= SILENT_MAX:
            self._met = False
            self._wait_s = min(ANSWER_MAX_S, self._wait_s * 1.5)
        raise _DamagedError

    def _allowed_s(self, work_s: float) -> float:
        """For such a call. Asking again too early would interrupt what is under way."""
        took = self._took.get(work_s, ())
        if len(took) < KNOWN_AFTER:
            return self._wait_s + work_s
        return min(self._wait_s + work_s, max(ANSWER_MIN_S, 4 * max(took)))

    def _exchange(self, text: str, work_s: float) -> bytes:
        out, error = self._outcome(text.encode(), work_s)
        if error:
            self._said = error.decode(errors="replace").strip().rpartition("\n")[2][:80]
            self._ready = b"NameError" not in error
            # A damaged line may have been two lines to the board; let it answer the second.
            self._drain(self._connected())
            if b"KeyboardInterrupt" in error:
                self._took.clear()  # it was asked again too early
            raise _DamagedError
        return out

    def _answer(self, out: bytes) -> str:
        """The text of a whole answer to this call."""
        number, _, rest = out.strip().partition(b" ")
        crc, _, text = rest.partition(b" ")
        if number != b"%d" % self._number or crc != b"%d" % zlib.crc32(text):
            raise _DamagedError
        return text.decode()

    def _bring_helper(self) -> None:
        """Bring the helper in pieces, each of which the board says back."""
        size = self.piece // 2 if self.piece < PIECE_MIN * 2 else self.piece
        pieces = [HELPER[at : at + size] for at in range(0, len(HELPER), size)]
        self._confirmed("_b={}", b"")
        for index, piece in enumerate(pieces):
            self._confirmed(f"_b[{index}]={piece!r}", piece.encode(), f"_b[{index}]")
        # Small boards have 10 kB of memory, in which what was said so far lies about.
        joined = f"import gc\ngc.collect()\nexec(''.join([_b[i]for i in range({len(pieces)})]))\n_b={{}}"
        self._confirmed(joined, b"")
        self._ready = True

    def _confirmed(self, source: str, said: bytes, value: str = "") -> None:
        show = f";print({value},end='')" if value else ""
        # Long ones are rather cut anew than tried often.
        for _ in range(2 if len(source) > 2 * PIECE_MIN else ATTEMPTS_MAX // 10):
            try:
                out, error = self._outcome((source + show).encode(), 0.2)
            except _DamagedError:
                self.again += 1
                continue
            if not error and out.replace(b"\r\n", b"\n") == said:
                return
        raise _DamagedError
