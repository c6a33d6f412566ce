"""The recorded tests of the apps: what goes in, and who says what must come out.

Inputs are what the plant model's instruments show while something happens to it, or are made
up to meet every case. What must come out is computed by hand, never by the app.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from edge_runtime.rules.apps.recording import EVENT_COLUMNS, TIME, Recording
from tests.apps import parts
from tests.apps.plainly import Cell, Expected

Texts = dict[str, str]


class Recorded(NamedTuple):
    """One recorded test.

    Args:
        columns: What goes in, by input, one value a scan; `None` is bad.
        expect: Says what must come out.
        period_ms: Between two scans.
        begin_ms: The first scan.
        parameters: Lines of `parameters.toml`.
    """

    columns: Callable[[], parts.Columns]
    expect: Callable[[Recording], Expected]
    period_ms: int = 1000
    begin_ms: int = parts.BEGIN_MS
    parameters: Sequence[str] = ()


def inputs(test: Recorded) -> Texts:
    """`input.csv` and, where there are any, `parameters.toml`."""
    columns = test.columns()
    names = list(columns)
    scans = list(zip(*columns.values(), strict=True))
    rows = [
        [_time(test.begin_ms + row * test.period_ms), *map(_shown, cells)] for row, cells in enumerate(scans)
    ]
    found = {"input.csv": _csv([[TIME, *names], *rows])}
    if test.parameters:
        found["parameters.toml"] = "\n".join(test.parameters) + "\n"
    return found


def outputs(test: Recorded, recording: Recording) -> Texts:
    """`expected.csv` and `events.csv`."""
    expected = test.expect(recording)
    columns = expected.cells
    rows = [
        [_time(now), *(_shown(cells[row]) for cells in columns.values())]
        for row, now in enumerate(recording.times_ms)
    ]
    kept = [row for row in rows if any(row[1:])]
    heading = [column for column in EVENT_COLUMNS if column != "quality"]
    events = [
        [_time(each.time_ms), each.kind, each.text, _shown(each.value)]
        for each in sorted(expected.events, key=lambda each: each.time_ms)
    ]
    return {"expected.csv": _csv([[TIME, *columns], *kept]), "events.csv": _csv([heading, *events])}


def _time(time_ms: int) -> str:
    return f"{time_ms / 1000:.15g}"


def _shown(cell: Cell) -> str:
    if cell is None:
        return ""
    return str(cell).lower() if isinstance(cell, bool) else f"{cell:.12g}"


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def steps(*given: tuple[int, Mapping[str, float | None]]) -> parts.Columns:
    """Columns whose values hold for some scans each.

    >>> steps((2, {"x": 1.0}), (1, {"x": None}))
    {'x': [1.0, 1.0, None]}
    """
    names = given[0][1]
    return {name: [values[name] for count, values in given for _ in range(count)] for name in names}


def thinned(columns: parts.Columns, step: int) -> parts.Columns:
    """One scan of every `step`."""
    return {name: cells[::step] for name, cells in columns.items()}
