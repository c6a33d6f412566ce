"""Engines over the lake for several threads: each is used by one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headquarters.lake.deltalog import LOG
from headquarters.lake.query import Engine
from headquarters.lake.schema import SERIES
from protocols.errors import CatchmentError

ENGINES_MAX = 4
"""Each holds the tables' lists of files; more than twice as many as cores queue for the cores anyway."""

REFRESH_S = 0.5
"""How old what an engine sees may be: headquarters commits once a second."""


WAIT_S = 10.0
"""So long is waited for an engine that others use."""


class BusyError(CatchmentError):
    """Others use all of it; worth another try in a while."""


class LakePool:
    """Engines over one lake.

    Args:
        lake: The lake's folder.
        engines_max: How many there are at most.
        wait_s: How long is waited for one.
    """

    def __init__(self, lake: Path, engines_max: int = ENGINES_MAX, wait_s: float = WAIT_S) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._free = threading.Semaphore(engines_max)
        self._wait_s = wait_s
        self._idle: list[tuple[Engine, float]] = []
        self._closed = False

    @property
    def exists(self) -> bool:
        """Whether there is a lake; none before headquarters has run once."""
        return (self._lake / SERIES.name / LOG).is_dir()

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """An engine, for the thread that asks and no other.

        Raises:
            InputError: There is no lake.
            StoreError: A table cannot be read.
            BusyError: Others use all engines.
        """
        if not self._free.acquire(timeout=self._wait_s):
            raise BusyError("expected an engine to be free, all are busy; try again in a while")
        try:
            with self._lock:
                found = self._idle.pop() if self._idle else None
            engine, seen = (Engine(self._lake), time.monotonic()) if found is None else found
            good = False
            try:
                if time.monotonic() - seen > REFRESH_S:
                    seen = time.monotonic()
                    engine.refresh()
                yield engine
                good = True
            finally:
                self._give_back(engine, seen, good)
        finally:
            self._free.release()

    def _give_back(self, engine: Engine, seen: float, good: bool) -> None:
        with self._lock:
            if good and not self._closed:
                self._idle.append((engine, seen))
            else:
                engine.close()

    def close(self) -> None:
        """Close those that nobody uses, and the others when they are given back."""
        with self._lock:
            self._closed = True
            for engine, _ in self._idle:
                engine.close()
            self._idle.clear()
