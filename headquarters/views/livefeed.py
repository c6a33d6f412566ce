"""The latest values as the running headquarters has them: asked for once for everybody who looks.

Rules:
1. Whoever reads gets values that are at most `AGE_S` old; of many who read at once one asks.
2. After the first time only what changed since is asked for.
3. While headquarters does not answer, the last values stay, and `is_live` says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from headquarters.latest import changes
from protocols.errors import DeviceError

AGE_S = 0.5


@dataclass(frozen=True, slots=True)
class Value:
    """The latest sample of a series.

    Args:
        series: Which series.
        time_us: Its time.
        value: A number, or `None` for text and for what has no value.
        text: Text, or the digits of a large whole number.
        quality: OPC UA StatusCode.
    """

    series: int
    time_us: int
    value: float | None
    text: str | None
    quality: int


class LiveFeed:
    """The latest value of every series.

    Args:
        data: The data directory of headquarters.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._lock = threading.Lock()
        self._asked = -AGE_S
        self._mark: str | None = None
        self._values: dict[int, Value] = {}
        self._changed: dict[int, int] = {}
        self._version = 0
        self._live = False

    @property
    def is_live(self) -> bool:
        """Whether headquarters answered the last time."""
        self._look()
        return self._live

    def get(self, series: Collection[int] | None = None) -> dict[int, Value]:
        """The latest values of some series, or of all; those without any are left out."""
        self._look()
        values = self._values
        if series is None:
            return dict(values)
        return {number: values[number] for number in series if number in values}

    def since(self, version: int, series: Collection[int]) -> tuple[int, list[Value]]:
        """Values of some series that changed after a version, and the version that there is now.

        Args:
            version: What this gave the last time; 0 at first.
            series: Which.
        """
        self._look()
        with self._lock:
            found = [self._values[number] for number in series if self._changed.get(number, 0) > version]
            return self._version, found

    def _look(self) -> None:
        if time.monotonic() - self._asked < AGE_S:
            return
        with self._lock:
            if time.monotonic() - self._asked < AGE_S:
                return  # somebody asked meanwhile
            try:
                mark, rows = changes(self._data, self._mark)
                self._live = True
            except DeviceError:
                rows, mark, self._live = [], None, False
            self._mark = mark
            self._asked = time.monotonic()
            if rows:
                self._version += 1
                values = dict(self._values)
                for series, time_us, value, text, quality in rows:
                    values[series] = Value(series, time_us, value, text, quality)
                    self._changed[series] = self._version
                self._values = values
