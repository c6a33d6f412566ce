"""A serial cable between two pseudo-terminals that damages and drops bytes, and can be pulled.

Both ends are links in a folder; after a pull they lead to other terminals, as an adapter that is
plugged in again is another device behind one name.
"""

from __future__ import annotations

import contextlib
import os
import pty
import random
import select
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path

from tests.board.process import BoardProcess

READ_BYTES = 512


class SerialCable:
    """Runs on a thread of its own until it is closed.

    Args:
        folder: Where the ends `host` and `gateway` are made.
        seed: Of what is damaged and when it is pulled.
        damaged: The part of bytes that is damaged: two of three altered, one dropped.
        pulled_each: Bytes between two pulls, about; 0 for never.
        away_s: How long a pulled cable stays away.
        board: What the far end is soldered to, in the place of `gateway`.
    """

    def __init__(
        self,
        folder: Path,
        seed: int = 1,
        damaged: float = 0.0,
        pulled_each: int = 0,
        away_s: float = 0.15,
        board: BoardProcess | None = None,
    ) -> None:
        self._board = board
        self.host, self.gateway = folder / "host", folder / "gateway"
        self._draw = random.Random(seed)
        self._damaged = damaged
        self._pulled_each = pulled_each
        self._away_s = away_s
        self._masters: list[int] = []
        self._slaves: list[int] = []
        self._closed = False
        self._cut: tuple[float, Callable[[], None]] = (float("inf"), lambda: None)
        self.bytes = self.hurt = self.pulls = 0
        self._next_pull = self._draw_pull()
        self._plug_in()
        self._thread = threading.Thread(target=self._run, name="cable", daemon=True)
        self._thread.start()

    def __enter__(self) -> SerialCable:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._thread.join()
        self._unplug()

    def heal(self) -> None:
        """From now on it is a good cable."""
        self._damaged = 0.0
        self._next_pull = float("inf")
        self._pulled_each = 0

    def cut_after(self, carried: int, act: Callable[[], None]) -> None:
        """Do something once so many bytes have been carried."""
        self._cut = (carried, act)

    def _draw_pull(self) -> float:
        each = self._pulled_each
        return self.bytes + each * self._draw.uniform(0.5, 1.5) if each else float("inf")

    def _plug_in(self) -> None:
        for link in self._links():
            master, slave = pty.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._masters.append(master)
            self._slaves.append(slave)
            link.unlink(missing_ok=True)
            link.symlink_to(os.ttyname(slave))

    def _links(self) -> list[Path]:
        return [self.host] if self._board else [self.host, self.gateway]

    def _ends(self) -> list[int]:
        """Descriptors of both ends, the host's first."""
        return [*self._masters, self._board.master] if self._board else self._masters

    def _unplug(self) -> None:
        for link in self._links():
            link.unlink(missing_ok=True)
        for each in self._masters + self._slaves:
            os.close(each)
        self._masters, self._slaves = [], []

    def _run(self) -> None:
        while not self._closed:
            if self.bytes >= self._cut[0]:
                act = self._cut[1]
                self._cut = (float("inf"), act)
                act()
            if self.bytes >= self._next_pull:
                self._unplug()
                self.pulls += 1
                time.sleep(self._away_s)
                self._plug_in()
                self._next_pull = self._draw_pull()
            with contextlib.suppress(OSError, ValueError):  # the board has no power just now
                self._carry()

    def _carry(self) -> None:
        ends = self._ends()
        ready, _, _ = select.select(ends, [], [], 0.05)
        for end in ready:
            data = os.read(end, READ_BYTES)
            self.bytes += len(data)
            with contextlib.suppress(BlockingIOError):  # nobody reads there: lost, as on a real line
                if self._board and end != self._board.master:
                    self._board.take(self._hurt(data))
                else:
                    os.write(ends[1 - ends.index(end)], self._hurt(data))

    def _hurt(self, data: bytes) -> bytes:
        if not self._damaged:
            return data
        out = bytearray()
        for byte in data:
            lot = self._draw.random()
            if lot < self._damaged:
                self.hurt += 1
                if lot < self._damaged * 2 / 3:
                    out.append(byte ^ self._draw.randrange(1, 256))
            else:
                out.append(byte)
        return bytes(out)
