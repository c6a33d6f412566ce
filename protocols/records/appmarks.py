"""What a gateway records of a rule app so that a replay is exact: its state, and what it could not see.

Both travel as events of type `app`. Their content is msgpack, compressed, in base85, cut into
the texts of as many events as it needs: states are small, and events are numbered, signed and
delivered once already.

1. A state belongs to the end of the scan at its time; that of a start to the moment before the
   first scan of a process.
2. A sight holds from the scan at its time until the next one, or the next start.

>>> state = AppState(5, "gas", StateKind.SCAN, b"k", (b"held", b"program"), (1000,), (0,), ("always",))
>>> records = state_records(state)
>>> list(read_marks((r.time_us, r.transition, r.detail) for r in records)) == [state]
True
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import msgpack
import zstandard

from protocols import limits
from protocols.compressed import inflate
from protocols.errors import PeerError
from protocols.records.events import EventRecord, EventType, Scalar

STATE, SIGHT = "state", "sight"
"""Transitions of the events that carry them."""

MARKS = (STATE, SIGHT)
PIECES_MAX = limits.EVENT_DETAIL_ITEMS_MAX - 2
"""Texts of one event: two entries of `detail` say which part of how many it is."""


class StateKind(StrEnum):
    """When a state was taken."""

    COLD = "cold"
    """At a start that takes over RETAIN variables at most."""
    WARM = "warm"
    """At a start that goes on with the state before."""
    SCAN = "scan"
    """Now and then, after a scan."""
    STOP = "stop"
    """After the last scan before a clean stop."""

    @property
    def is_start(self) -> bool:
        """Whether a process began with it."""
        return self in (StateKind.COLD, StateKind.WARM)


class AppState(NamedTuple):
    """The state of an app.

    Args:
        time_us: Of the scan after which it was taken; of the start.
        app: Its id.
        kind: When.
        key: What it belongs to: package, instances, bindings and parameters.
        parts: The app's snapshot; empty when it was too large to be recorded.
        periods_us: Scan periods of the points that the app reads, in the order of its bindings.
        phases_us: Their phases.
        reports: When their values are kept, as `points.Report`.
    """

    time_us: int
    app: str
    kind: StateKind
    key: bytes
    parts: tuple[bytes, ...]
    periods_us: tuple[int, ...]
    phases_us: tuple[int, ...]
    reports: tuple[str, ...]


class AppSight(NamedTuple):
    """What scans of an app do not see.

    Args:
        time_us: Of the first scan for which it holds.
        app: Its id.
        lags: For each point that the app reads, in the order of its bindings, by how many of
            the point's periods what is seen is old; 0 when it is of the scan's own instant.
        silent: Models that do not answer in time.
    """

    time_us: int
    app: str
    lags: bytes
    silent: tuple[str, ...]


def state_records(state: AppState) -> list[EventRecord]:
    """The events of a state; one that is too large goes without its parts."""
    head = [state.app, str(state.kind), state.key]
    points = [list(state.periods_us), list(state.phases_us), list(state.reports)]
    packed = _pack([*head, list(state.parts), *points])
    if len(packed) > limits.APP_STATE_BYTES_MAX:
        packed = _pack([*head, [], *points])
    return _records(EventRecord(state.time_us, EventType.APP, state.app, state=state.kind), STATE, packed)


def sight_records(sight: AppSight) -> list[EventRecord]:
    """The events of a sight."""
    packed = _pack([sight.app, sight.lags, list(sight.silent)])
    return _records(EventRecord(sight.time_us, EventType.APP, sight.app), SIGHT, packed)


def read_marks(rows: Iterable[tuple[int, str, Mapping[str, Any]]]) -> Iterator[AppState | AppSight]:
    """The marks in events that are in the order of their numbers; what is not whole is left out.

    Args:
        rows: Time, transition and detail of each event.
    """
    pieces: list[str] = []
    for time_us, transition, detail in rows:
        part, parts = detail.get("part"), detail.get("parts")
        if part == 0:
            pieces = []
        pieces += [str(detail[name]) for name in map(_name, range(PIECES_MAX)) if name in detail]
        if isinstance(part, int) and part + 1 == parts:
            mark = _parse(time_us, transition, "".join(pieces))
            if mark is not None:
                yield mark


def _pack(content: object) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(msgpack.packb(content))


def _records(first: EventRecord, transition: str, packed: bytes) -> list[EventRecord]:
    text = base64.b85encode(packed).decode("ascii")
    size = limits.EVENT_TEXT_CHARS_MAX
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    groups = [pieces[at : at + PIECES_MAX] for at in range(0, len(pieces), PIECES_MAX)]
    records = []
    for number, group in enumerate(groups):
        detail: dict[str, Scalar] = {"part": number, "parts": len(groups)}
        detail |= {_name(at): piece for at, piece in enumerate(group)}
        records.append(
            EventRecord(
                first.time_us, first.type, first.app, transition=transition, state=first.state, detail=detail
            )
        )
    return records


def _name(piece: int) -> str:
    return f"{piece:02d}"


def _parse(time_us: int, transition: str, text: str) -> AppState | AppSight | None:
    try:
        content = msgpack.unpackb(
            inflate(base64.b85decode(text), limits.APP_STATE_RAW_BYTES_MAX), use_list=False
        )
        if transition == SIGHT:
            app, lags, silent = content
            sight = AppSight(time_us, app, lags, silent)
            sound = isinstance(app, str) and isinstance(lags, bytes) and _all(silent, str)
            return sight if sound else None
        app, kind, key, parts, periods_us, phases_us, reports = content
        sound = isinstance(app, str) and isinstance(key, bytes) and _all(parts, bytes) and _all(reports, str)
        sound = sound and _all(periods_us, int) and min(periods_us, default=1) > 0 and _all(phases_us, int)
        if not sound or not len(periods_us) == len(phases_us) == len(reports):
            return None
        return AppState(time_us, app, StateKind(kind), key, parts, periods_us, phases_us, reports)
    except (ValueError, TypeError, PeerError, msgpack.UnpackException):
        return None


def _all(found: object, type: type) -> bool:
    return isinstance(found, tuple) and all(isinstance(each, type) for each in found)
