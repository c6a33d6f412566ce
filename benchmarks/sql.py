"""Governed queries against bare DuckDB: the same lake, the same rows, the same question.

Half of a lake's series are the asker's: those of one of two gateways, numbered one after the other as
headquarters numbers a gateway's points; and, at the worst, every second one, so that no block of a file
is without the other owner's rows. Governed, a query goes to a worker process, is checked, planned,
run over the lake of all, and its result written to disk; bare, DuckDB runs the same text in this process
over a lake that holds the asker's rows alone. The first figure is what governing costs where there is
nothing to compute, which no ratio can tell.

Run: ``python -m benchmarks.sql [--quick] [--json]``
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.frame import Measurement, Row, Setting, command
from headquarters.lake.query import Engine
from headquarters.lake.schema import SERIES, TABLES
from headquarters.lake.tables import LakeTable
from headquarters.services.sql.rights import Reach
from headquarters.services.sql.runner import Runner
from headquarters.services.sql.task import Bounds, Task

POINTS = 1000
SCANS = 20_000
QUICK_SCANS = 2000
BEGIN_US = 1_790_035_200_000_000
"""2026-09-22T00:00:00Z."""

QUERIES = {
    "one point": "SELECT time, value FROM samples WHERE series = series_of('T-100') ORDER BY time",
    "average of every point": "SELECT series, avg(value) AS mean FROM samples GROUP BY series",
    "minutes of ten points": "SELECT series, time_bucket(INTERVAL 1 MINUTE, time) AS t, max(value) AS h "
    "FROM samples WHERE series BETWEEN 100 AND 118 GROUP BY series, t",
    "latest of each point": "SELECT series, arg_max(value, time) AS value FROM samples GROUP BY series",
}

NOTHING = {"an empty table": "SELECT count(*) AS n FROM gaps"}

LAYOUTS: Mapping[str, Callable[[int], int]] = {
    "a gateway's points in a row": lambda number: number // (POINTS // 2),
    "every second point": lambda number: number % 2,
}
"""Whose a point is: 0 is the asker."""

GOALS = {
    "one point": "<= 8",
    "average of every point": "<= 2",
    "minutes of ten points": "<= 3",
    "latest of each point": "<= 2",
}
"""Processor time by that of bare DuckDB, where points lie in a row: other programs leave it as it is."""


def fill(lake: Path, scans: int, owner: Callable[[int], int], own: bool) -> None:
    """A closed date: files sorted by series and time, as housekeeping leaves them.

    Args:
        lake: The folder to make.
        scans: Samples of each point, a second apart.
        owner: Whose a point is.
        own: Leave out what is not the asker's.
    """
    numbers = [n for n in range(POINTS) if owner(n) == 0 or not own]
    for table in TABLES:
        target = LakeTable(lake, table)
        rows: pa.Table | None = None
        partition: dict[str, str] = {}
        if table is SERIES:
            rows = _series(numbers, owner)
        elif table.name == "samples":
            rows, partition = _samples(numbers, scans), {"date": "2026-09-22", "bucket": "0"}
        target.commit([] if rows is None else [target.append_rows(rows, partition)], {})


def _series(numbers: list[int], owner: Callable[[int], int]) -> pa.Table:
    rows = [
        {
            "series": n,
            "gateway": f"unit-{owner(n)}",
            "point": n,
            "type": "f64",
            "name": f"T-{n}",
            "site": f"plant-{owner(n)}",
            "ordinal": n,
        }
        for n in numbers
    ]
    names = SERIES.columns.names
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows], SERIES.columns)


def _samples(numbers: list[int], scans: int) -> pa.Table:
    rng = np.random.default_rng(1)
    count = len(numbers) * scans
    times = np.tile(BEGIN_US + np.arange(scans) * 1_000_000, len(numbers))
    schema = next(table for table in TABLES if table.name == "samples").columns
    values = {
        "series": pa.array(np.repeat(np.array(numbers, np.int64), scans)),
        "time": pa.array(times).cast(schema.field("time").type),
        "value": pa.array(np.round(rng.normal(100, 1, count), 2)),
        "quality": pa.array(np.zeros(count, np.int64)),
        "batch": pa.array(np.tile(np.arange(scans), len(numbers))),
    }
    return pa.table([values.get(f.name, pa.nulls(count, f.type)) for f in schema], schema)


def measure(setting: Setting) -> Iterator[Row]:
    """Time on the clock and of processors, both sides in turn."""
    for place, (layout, owner) in enumerate(LAYOUTS.items()):
        with tempfile.TemporaryDirectory(prefix="catchment-bench-") as name:
            yield from _compare(Path(name), setting, layout, owner, promised=place == 0)


def _compare(
    folder: Path, setting: Setting, layout: str, owner: Callable[[int], int], promised: bool
) -> Iterator[Row]:
    scans, turns = (QUICK_SCANS, 5) if setting.quick else (SCANS, 11)
    fill(folder / "all", scans, owner, own=False)
    fill(folder / "own", scans, owner, own=True)
    plain = Engine(folder / "own")
    bounds = Bounds(rows=1 << 40, threads=2)
    with Runner(folder / "all", folder / "work", workers=1, bounds=bounds) as runner:

        def governed(sql: str) -> int:
            task = Task(sql, Reach(frozenset({"plant-0"})), str(folder / "result.arrow"), bounds=bounds)
            return runner.submit(task, "bench").result().rows

        def bare(sql: str) -> int:
            plain.refresh()
            return len(plain.arrow(sql).read_all())

        questions = {**NOTHING, **QUERIES} if promised else QUERIES
        for title, sql in questions.items():
            ours, theirs = _both(partial(governed, sql), partial(bare, sql), runner, turns)
            what = (
                title
                if sql in NOTHING.values()
                else f"{title}, of {POINTS // 2 * scans:,} own rows, {layout}"
            )
            yield Row.of(f"governed: {what}", 1e3 * ours.clock_s, "ms", "bare DuckDB", 1e3 * theirs.clock_s)
            what += ": all processor time"
            goal = GOALS.get(title) if promised else None
            ours_ms, theirs_ms = 1e3 * ours.processor_s, 1e3 * theirs.processor_s
            yield Row.of(f"governed: {what}", ours_ms, "CPU-ms", "bare DuckDB", theirs_ms, goal)
    plain.close()


@dataclass(frozen=True, slots=True)
class Took:
    """What one side took.

    Args:
        clock_s: Median time of a query.
        processor_s: Mean processor time of a query, in all its processes.
    """

    clock_s: float
    processor_s: float


def _both(
    ours: Callable[[], int], theirs: Callable[[], int], runner: Runner, turns: int
) -> tuple[Took, Took]:
    assert ours() == theirs(), "both must see the same rows"
    clock: tuple[list[float], list[float]] = ([], [])
    here = [0.0, 0.0]
    [worker] = runner.processes()
    in_worker = -_processor_s(worker)
    for _ in range(turns):
        for side, task in enumerate((ours, theirs)):
            begun, used = time.perf_counter(), time.process_time()
            task()
            clock[side].append(time.perf_counter() - begun)
            here[side] += time.process_time() - used
    in_worker += _processor_s(worker)
    assert runner.processes() == [worker], "the worker was replaced"
    return (
        Took(statistics.median(clock[0]), (here[0] + in_worker) / turns),
        Took(statistics.median(clock[1]), here[1] / turns),
    )


def _processor_s(process: int) -> float:
    """Processor time of a process so far; what it does after its answer too."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


MEASUREMENTS = (Measurement("sql", measure),)

main = command("Measure governed queries against bare DuckDB.", MEASUREMENTS)

if __name__ == "__main__":
    main()
