"""Governed queries against bare DuckDB: the same lake, the same rows, the same question.

Half of a lake's series are the asker's. Governed, a query goes to a worker process, is checked, planned,
run over the lake of all, and its result written to disk; bare, DuckDB runs the same text in this process
over a lake that holds the asker's rows alone. The first figure is what governing costs where there is
nothing to compute, which no ratio can tell.

Run: ``python -m benchmarks.sql [--quick] [--json]``
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
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


def fill(lake: Path, scans: int, own: bool) -> None:
    """A closed date: files sorted by series and time, as housekeeping leaves them.

    Args:
        lake: The folder to make.
        scans: Samples of each point, a second apart.
        own: Leave out what is not the asker's: series of odd numbers.
    """
    numbers = [n for n in range(POINTS) if n % 2 == 0 or not own]
    for table in TABLES:
        target = LakeTable(lake, table)
        rows: pa.Table | None = None
        partition: dict[str, str] = {}
        if table is SERIES:
            rows = _series(numbers)
        elif table.name == "samples":
            rows, partition = _samples(numbers, scans), {"date": "2026-09-22", "bucket": "0"}
        target.commit([] if rows is None else [target.append_rows(rows, partition)], {})


def _series(numbers: list[int]) -> pa.Table:
    rows = [
        {
            "series": n,
            "gateway": f"unit-{n % 2}",
            "point": n,
            "type": "f64",
            "name": f"T-{n}",
            "site": f"plant-{n % 2}",
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
    """Medians on the clock, both in turn."""
    scans, turns = (QUICK_SCANS, 5) if setting.quick else (SCANS, 11)
    with tempfile.TemporaryDirectory(prefix="catchment-bench-") as name:
        folder = Path(name)
        fill(folder / "all", scans, own=False)
        fill(folder / "own", scans, own=True)
        plain = Engine(folder / "own")
        bounds = Bounds(rows=1 << 40, threads=2)
        with Runner(folder / "all", folder / "work", workers=1, bounds=bounds) as runner:

            def governed(sql: str) -> int:
                task = Task(sql, Reach(frozenset({"plant-0"})), str(folder / "result.arrow"), bounds=bounds)
                return runner.submit(task, "bench").result().rows

            def bare(sql: str) -> int:
                plain.refresh()
                return len(plain.arrow(sql).read_all())

            nothing = "SELECT count(*) AS n FROM gaps"
            ours, theirs = _medians(partial(governed, nothing), partial(bare, nothing), 3 * turns)
            yield Row.of("a governed query of an empty table", 1e3 * ours, "ms", "bare DuckDB", 1e3 * theirs)
            for title, sql in QUERIES.items():
                ours, theirs = _medians(partial(governed, sql), partial(bare, sql), turns)
                what = f"governed: {title}, of {POINTS // 2 * scans:,} own rows"
                yield Row.of(what, 1e3 * ours, "ms", "bare DuckDB", 1e3 * theirs)
        plain.close()


def _medians(ours: Callable[[], int], theirs: Callable[[], int], turns: int) -> tuple[float, float]:
    assert ours() == theirs(), "both must see the same rows"
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for task, list_ in zip((ours, theirs), took, strict=True):
            begun = time.perf_counter()
            task()
            list_.append(time.perf_counter() - begun)
    return statistics.median(took[0]), statistics.median(took[1])


MEASUREMENTS = (Measurement("sql", measure),)

main = command("Measure governed queries against bare DuckDB.", MEASUREMENTS)

if __name__ == "__main__":
    main()
