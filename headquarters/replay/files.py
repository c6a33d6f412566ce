"""A replay's results as files: what people and other programs go on working with."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headquarters.jsontext import json_text
from headquarters.replay.compare import AppEvent
from headquarters.replay.report import Report, iso

REPORT = "report.json"
EVENTS = "events.csv"
OUTPUTS = "outputs.parquet"

OUTPUT_ROWS = pa.schema(
    [
        ("point", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("value", pa.float64()),
        ("quality", pa.int8()),
    ]
)
"""Rows of `outputs.parquet`: quality is 0 good, 1 uncertain, 2 bad."""

Columns = Mapping[str, tuple[Any, Any]]


class Folder:
    """Takes what a replay gives, and writes it as it comes.

    Args:
        path: Made when it is not there; files of an earlier replay in it are replaced.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._writer = pq.ParquetWriter(path / OUTPUTS, OUTPUT_ROWS, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def add(self, times_us: Any, columns: Columns) -> None:
        """Some scans.

        Args:
            times_us: Their times.
            columns: By point, values and qualities.
        """
        for point, (values, qualities) in columns.items():
            rows = [
                pa.array([point] * len(times_us)),
                pa.array(times_us, pa.int64()).cast(OUTPUT_ROWS.field("time").type),
                pa.array(values.astype(np.float64)),
                pa.array(qualities.astype(np.int8)),
            ]
            self._writer.write_table(pa.table(rows, OUTPUT_ROWS))

    def finish(self, report: Report) -> None:
        """The report and the events."""
        (self._path / REPORT).write_text(json_text(report.to_json()) + "\n", encoding="utf-8")
        with (self._path / EVENTS).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["time", *AppEvent._fields[1:]])
            writer.writerows(_rows(report.events))


def _rows(events: Iterable[AppEvent]) -> Iterable[list[object]]:
    return ([iso(event.time_us), *event[1:]] for event in events)
