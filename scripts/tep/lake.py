"""What arrived in the lake of one run: its rows, the app's figures, and its alarms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from headquarters.lake.query import Engine, literal
from headquarters.replay.align import Series
from headquarters.replay.compare import AppEvent
from headquarters.replay.recorded import find_points, read_events, read_samples
from scripts.tep.homes import GATEWAY
from scripts.tep.runs import Rates, Run
from scripts.train_tep.reference import variables

APP = "process-monitoring"
TEXTS = {"t2": "(T2)", "spe": "(SPE)"}
"""How an alarm's text ends, by its figure."""


class Arrived(NamedTuple):
    """What the lake has of a run.

    Args:
        faults: Where it is not what was played, in words.
        rates: Share of rows with the app's outputs T2_ALARM and SPE_ALARM, after the onset.
        told: The same from the table `events`.
        figures: T2 and SPE of each row, (rows, 2).
    """

    faults: list[str]
    rates: Rates
    told: Rates
    figures: npt.NDArray[np.float64]


def look(engine: Engine, run: Run, from_us: int, to_us: int) -> Arrived:
    """Read a run and hold it against what was played."""
    inputs = [f"{run.name}.{variable.name}" for variable in variables()]
    outputs = [f"{APP}.{run.name}.{output}" for output in ("t2", "spe", "t2_alarm", "spe_alarm")]
    known = find_points(engine, GATEWAY, [f"{run.name}.row", *inputs, *outputs])
    samples = read_samples(engine, known.values(), from_us, to_us)
    row = samples[f"{run.name}.row"]
    playing = row.values > 0
    times, numbers = row.times_us[playing], row.values[playing].astype(np.int64)
    faults = []
    if not np.array_equal(numbers, np.arange(1, len(run.rows) + 1)):
        faults.append(f"{run.name}: expected rows 1 to {len(run.rows)} once each, got {_numbers(numbers)}")
        return Arrived(faults, Rates(np.nan, np.nan), Rates(np.nan, np.nan), np.zeros((0, 2)))
    columns = {name: _at(samples[name], times) for name in (*inputs, *outputs)}
    played = np.column_stack([columns[name] for name in inputs])
    if not np.array_equal(played, run.rows):
        faults.append(f"{run.name}: {np.count_nonzero(played != run.rows)} values are not those played")
    events = [
        event for event in read_events(engine, GATEWAY, APP, from_us, to_us) if event.instance == run.name
    ]
    after = slice(run.onset, None)
    return Arrived(
        faults,
        Rates(*(100.0 * float(np.mean(columns[name][after])) for name in outputs[2:])),
        Rates(*(100.0 * float(np.mean(_standing(events, TEXTS[each], times)[after])) for each in TEXTS)),
        np.column_stack([columns[name] for name in outputs[:2]]),
    )


def events_of(engine: Engine, from_us: int, to_us: int) -> list[tuple[str, ...]]:
    """The app's events as the table has them, value to the last bit."""
    _, rows = engine.rows(
        "SELECT epoch_us(time), instance, type, transition, text, value FROM events "
        f"WHERE gateway = {literal(GATEWAY)} AND app = {literal(APP)} AND type = 'alarm' "
        f"AND epoch_us(time) BETWEEN {from_us} AND {to_us} ORDER BY ALL"
    )
    return [(str(row[0]), *map(str, row[1:5]), bits(row[5])) for row in rows]


def bits(value: float | str | None) -> str:
    """A value to the last bit, as text; empty for none.

    >>> bits("0.5"), bits(None)
    ('0x1.0000000000000p-1', '')
    """
    return "" if value is None or value == "" else float(value).hex()


def _at(series: Series, times_us: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Values at instants; NaN where there is no good one."""
    found = np.searchsorted(series.times_us, times_us)
    at = np.minimum(found, len(series.times_us) - 1)
    there = (series.times_us[at] == times_us) & (series.codes[at] >> 30 < 2)
    return np.where(there, series.values[at], np.nan)


def _standing(
    events: Iterable[AppEvent], text: str, times_us: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Whether an alarm stood at instants, by what was told of it."""
    changes = [(event.time_us, event.transition == "raised") for event in events if event.text.endswith(text)]
    moments = np.array([time for time, _ in changes], np.int64)
    states = np.array([False, *(raised for _, raised in changes)])
    standing: npt.NDArray[np.bool_] = states[np.searchsorted(moments, times_us, side="right")]
    return standing


def _numbers(numbers: npt.NDArray[np.int64]) -> str:
    counts = np.bincount(numbers)[1:]
    lost, doubled = np.flatnonzero(counts == 0) + 1, np.flatnonzero(counts > 1) + 1
    return f"{len(numbers)}: lost {lost[:5].tolist()}, doubled {doubled[:5].tolist()}"
