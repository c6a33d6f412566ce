"""The latest value of every series, in memory, and the socket that answers for them.

Values are taken over when a batch is decoded, so they are there before the commit. A
request is one line of JSON, `{"names": ["..."]}` or `{}` for all; the answer is one line.
`{"since": MARK}` asks for what changed since an answer with that mark, or for all with null.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from headquarters import limits
from headquarters.ingest.rows import SampleChunk, SeriesRow
from protocols.errors import DeviceError, InputError, Problem, StoreError
from protocols.samples import Int64s

SOCKET = "latest.sock"


class Latest(NamedTuple):
    """The latest sample of one series."""

    series: int
    time_us: int
    value: float | None
    text: str | None
    quality: int


class LatestValues:
    """Columns indexed by series; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._time: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._value: npt.NDArray[np.float64] = np.empty(0, np.float64)
        self._quality: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._changed: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._text: dict[int, str | None] = {}
        self._run = os.urandom(6).hex()
        self._updates = 0

    def update(self, chunks: Iterable[SampleChunk]) -> None:
        """Take over the newest sample of each series."""
        with self._lock:
            self._updates += 1
            for chunk in chunks:
                self._take(chunk)

    def since(self, mark: str | None) -> tuple[str, list[Latest]]:
        """What changed since a mark, and the mark for the next time.

        Args:
            mark: As given before; `None`, or one of another run, for everything.
        """
        run, _, count = (mark or "").partition(".")
        after = int(count) if run == self._run and count.isdecimal() else 0
        with self._lock:
            numbers = np.flatnonzero(self._changed > after).tolist()
            now = f"{self._run}.{self._updates}"
            return now, [self._latest(number) for number in numbers]

    def get(self, series: int) -> Latest | None:
        """The latest sample of a series, if there was one."""
        with self._lock:
            if series >= len(self._time) or self._time[series] == _NEVER:
                return None
            return self._latest(series)

    def _latest(self, series: int) -> Latest:
        value = float(self._value[series])
        return Latest(
            series,
            int(self._time[series]),
            value if np.isfinite(value) else None,
            self._text.get(series),
            int(self._quality[series]),
        )

    def _take(self, chunk: SampleChunk) -> None:
        series, rows = _newest(chunk)
        self._grow(int(series.max()) + 1)
        newer = chunk.time[rows] >= self._time[series]
        series, rows = series[newer], rows[newer]
        self._time[series] = chunk.time[rows]
        self._quality[series] = chunk.quality[rows]
        self._changed[series] = self._updates
        self._value[series] = np.nan if chunk.value is None else chunk.value[rows]
        if chunk.text is not None:
            self._text.update(zip(series.tolist(), chunk.text[rows].tolist(), strict=True))
        elif self._text:
            for number in series.tolist():
                self._text.pop(number, None)

    def _grow(self, size: int) -> None:
        have = len(self._time)
        if size <= have:
            return
        more = max(size, 2 * have, 1024) - have
        self._time = np.concatenate([self._time, np.full(more, _NEVER, np.int64)])
        self._value = np.concatenate([self._value, np.full(more, np.nan)])
        self._quality = np.concatenate([self._quality, np.zeros(more, np.int64)])
        self._changed = np.concatenate([self._changed, np.zeros(more, np.int64)])


_NEVER = -(2**63)


def _newest(chunk: SampleChunk) -> tuple[Int64s, Int64s]:
    """Each series of a chunk, and its newest row; of rows with one time the last."""
    ends = np.cumsum(chunk.run_lengths)
    falls = chunk.time[1:] < chunk.time[:-1]
    falls[ends[:-1] - 1] = False
    if not falls.any():
        return chunk.run_series, ends - 1
    runs = np.repeat(np.arange(len(ends)), chunk.run_lengths)
    order = np.lexsort((chunk.time, runs))  # stable, and runs stay in their places
    return chunk.run_series, order[ends - 1]


class Directory:
    """Names of series for `latest`; replaced as definitions come."""

    def __init__(self) -> None:
        self._rows: dict[int, SeriesRow] = {}

    def update(self, rows: Iterable[SeriesRow]) -> None:
        """Take over definitions, the latest last."""
        new = {row.series: row for row in rows}
        if new:  # a whole one takes the old one's place: the socket's threads read it meanwhile
            self._rows = {**self._rows, **new}

    def find(self, names: Sequence[str]) -> list[SeriesRow]:
        """Series with one of these names, or all."""
        wanted = set(names)
        return [row for row in self._rows.values() if not wanted or row.name in wanted]


def answer(request: bytes, directory: Directory, values: LatestValues) -> bytes:
    """Answer one request; a wrong one is answered with what is wrong."""
    try:
        asked = json.loads(request)
        names, mark = asked.get("names", []), asked.get("since")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("names must be a list of texts")
        if not isinstance(mark, str | None):
            raise ValueError("since must be a mark or null")
    except (ValueError, AttributeError) as error:
        return json.dumps({"error": f"expected a JSON object with names: {error}"}).encode() + b"\n"
    if "since" in asked:
        mark, changed = values.since(mark)
        return json.dumps({"mark": mark, "changes": changed}, ensure_ascii=False).encode() + b"\n"
    rows = []
    for row in directory.find(names):
        latest = values.get(row.series)
        if latest is not None:
            rows.append(_row(row, latest))
    return json.dumps({"latest": rows}, ensure_ascii=False).encode() + b"\n"


def _row(row: SeriesRow, latest: Latest) -> dict[str, Any]:
    return {
        "series": row.series,
        "gateway": row.gateway,
        "name": row.name,
        "time_us": latest.time_us,
        "value": latest.value,
        "text": latest.text,
        "quality": latest.quality,
        "unit": row.unit,
    }


def ask(data: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Ask a running process for the latest values of some points, or of all.

    Args:
        data: Its data directory.
        names: Names of points; none for all.

    Raises:
        DeviceError: No process answers.
        InputError: More names than one request may hold.
    """
    document = _call(data, {"names": list(names)})
    if "latest" not in document:
        raise InputError(
            [Problem("latest", "names", f"{len(names)} names", "fewer at a time, or none for all")]
        )
    rows: list[dict[str, Any]] = document["latest"]
    return [{**row, "time": f"{np.datetime64(row['time_us'], 'us')}Z"} for row in rows]


def changes(data: Path, mark: str | None) -> tuple[str, list[Latest]]:
    """Ask a running process for the latest values that changed since a mark.

    Args:
        data: Its data directory.
        mark: As given the last time; `None` for all values.

    Returns:
        The mark for the next time, and the values.

    Raises:
        DeviceError: No process answers.
    """
    document = _call(data, {"since": mark})
    return document["mark"], [Latest(*row) for row in document["changes"]]


def _call(data: Path, request: dict[str, Any]) -> dict[str, Any]:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    try:
        with bound_path(data) as path, client:
            client.connect(path)
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as reply:
                document: dict[str, Any] = json.loads(reply.readline())
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"expected a running headquarters in {data.parent}, got none; start it: catchment-hq run"
        ) from error
    return document


@contextlib.contextmanager
def bound_path(data: Path) -> Iterator[str]:
    """A short path to the socket: one may have 107 characters, and a home directory more."""
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


class LatestServer:
    """Answers on a Unix socket in the data directory, readable by the owner only.

    Raises:
        StoreError: The socket cannot be made.
    """

    def __init__(self, data: Path, directory: Directory, values: LatestValues) -> None:
        class Handler(socketserver.StreamRequestHandler):
            timeout = 5

            def handle(self) -> None:
                self.wfile.write(answer(self.rfile.readline(limits.REQUEST_BYTES_MAX), directory, values))

        (data / SOCKET).unlink(missing_ok=True)
        try:
            with bound_path(data) as path:
                self._server = socketserver.ThreadingUnixStreamServer(path, Handler)
        except OSError as error:
            raise StoreError(f"expected to open {data / SOCKET}: {error.strerror}") from error
        (data / SOCKET).chmod(0o600)
        self._server.daemon_threads = True
        self._path = data / SOCKET
        self._thread = threading.Thread(target=self._server.serve_forever, name="latest", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)
