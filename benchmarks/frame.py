"""What all benchmarks share: rows, how a ratio is judged, timing, and the command line.

A row says what was measured, against what, and whether the goal is met:

    {"name": ..., "value": ..., "unit": ..., "against": ..., "ratio": ..., "goal": ..., "meets": ...}

`ratio` is value / what it is measured against; `goal` and `meets` are null where nothing is
promised and the row is there to compare with.

>>> row = Row.of("pace", 30.0, "1/s", "walking", 10.0, ">= 2")
>>> row.ratio, row.meets
(3.0, True)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"


BURST_S = 0.025
"""Processor time of one turn of a task that is timed: at least one run."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure.

    Args:
        name: What was measured, and on what.
        value: The figure.
        unit: Its unit.
        against: The peer or the limit, with its figure.
        ratio: The figure by that of `against`.
        goal: What the ratio should be: `>=` or `<=` and a number; or `None`.
        meets: Whether it is.
    """

    name: str
    value: float
    unit: str
    against: str
    ratio: float
    goal: str | None
    meets: bool | None

    @classmethod
    def of(
        cls, name: str, value: float, unit: str, against: str, against_value: float, goal: str | None = None
    ) -> Row:
        """Make a row and judge it."""
        ratio = value / against_value
        shown = f"{against}: {against_value:.4g} {unit}"
        return cls(name, value, unit, shown, ratio, goal, None if goal is None else _meets(ratio, goal))


def _meets(ratio: float, goal: str) -> bool:
    sign, bound = goal.split()
    assert sign in (">=", "<=")
    return ratio >= float(bound) if sign == ">=" else ratio <= float(bound)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a measurement is given.

    Args:
        data: Folder of the real data sets, or `None` if there is none.
        quick: Spend less time; figures are rougher.
    """

    data: Path | None
    quick: bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """One entry of a benchmark.

    Args:
        name: To choose it on the command line.
        run: Makes its rows.
    """

    name: str
    run: Callable[[Setting], Iterable[Row]]


def best_seconds(*tasks: Callable[[], object], budget_s: float) -> list[float]:
    """The least processor time of each task, tried in turn so that a busy machine disturbs all alike.

    A turn is a burst of some runs, so that each is at its own pace and not that of a cache full of
    what another one left. The collector stays on, as it is in production: who makes objects
    pays for them.

    Args:
        tasks: What to time; each runs in this thread.
        budget_s: How long to go on; each has at least three turns.
    """
    best = [float("inf")] * len(tasks)
    end = time.monotonic() + budget_s
    turns = 0
    while turns < 3 or time.monotonic() < end:
        for place, task in enumerate(tasks):
            spent = 0.0
            while spent < BURST_S:
                started = time.thread_time()
                task()
                took = time.thread_time() - started
                best[place] = min(best[place], took)
                spent += took
        turns += 1
    return best


def command(title: str, measurements: Sequence[Measurement]) -> click.Command:
    """The command line of a benchmark."""

    @click.command(help=title)
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON array of rows as the last line.")
    @click.option("--quick", is_flag=True, help="Under 45 seconds, rougher.")
    @click.option("--only", multiple=True, help=f"One of: {', '.join(m.name for m in measurements)}.")
    @click.option("--data", type=click.Path(path_type=Path), default=DEFAULT_DATA, help="Real data sets.")
    def main(as_json: bool, quick: bool, only: tuple[str, ...], data: Path) -> None:
        unknown = set(only) - {m.name for m in measurements}
        if unknown:
            raise click.UsageError(f"expected a measurement's name, got {', '.join(sorted(unknown))}")
        if not data.is_dir():
            click.echo(f"{data} is not there: measured on the simulated unit only", err=True)
        setting = Setting(data if data.is_dir() else None, quick)
        rows: list[Row] = []
        for measurement in measurements:
            if not only or measurement.name in only:
                found = list(measurement.run(setting))
                rows += found
                if not as_json:
                    click.echo(table(found), nl=False)
        if as_json:
            click.echo(json.dumps([asdict(row) for row in rows]))

    return main


def table(rows: Sequence[Row]) -> str:
    """Rows for people."""
    lines = []
    for row in rows:
        verdict = {True: "meets", False: "MISSES", None: ""}[row.meets]
        goal = f"{verdict} {row.goal}" if row.goal else ""
        lines.append(
            f"{row.name:58} {row.value:10.4g} {row.unit:12} {row.ratio:8.3f} x {row.against:44} {goal}\n"
        )
    return "".join(lines)
