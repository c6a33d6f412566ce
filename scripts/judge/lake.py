"""The lake as columns, read with deltalake and pyarrow alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

Int64s = npt.NDArray[np.int64]
NO_TIME = np.iinfo(np.int64).min
"""Stands for a missing source time."""


@dataclass(frozen=True, slots=True)
class Series:
    """A series by its latest definition; fields as in the lake's table `series`."""

    series: int
    gateway: str
    point: int
    name: str
    scan_period_ms: int
    resolution: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A declared gap.

    Args:
        points: Local point ids; `None` for all.
        from_us: First microsecond, inclusive.
        to_us: End, exclusive.
    """

    points: tuple[int, ...] | None
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Event:
    """What an app, or a gateway about it, told; fields as in the lake's table `events`."""

    gateway: str
    app: str
    instance: str
    source: str
    text: str
    priority: int | None
    transition: str
    time_us: int


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Rows of the table `samples` in equal columns; `NO_TIME` where there is no source time."""

    series: Int64s
    time: Int64s
    source_time: Int64s
    value: npt.NDArray[np.float64]
    text: npt.NDArray[np.object_]
    quality: Int64s

    def __len__(self) -> int:
        return len(self.series)


class Lake:
    """The tables of a lake.

    Args:
        path: The lake's directory, or its `samples` table.
    """

    def __init__(self, path: Path) -> None:
        self.root = path.parent if (path / "_delta_log").is_dir() else path
        self._samples = DeltaTable(str(self.root / "samples"))

    def series(self) -> list[Series]:
        """The latest definition of every series that has one."""
        rows = DeltaTable(str(self.root / "series")).to_pyarrow_table().sort_by("ordinal").to_pylist()
        latest = {row["series"]: row for row in rows if not row["provisional"]}
        names = Series.__dataclass_fields__
        return [Series(**{name: row[name] for name in names}) for row in latest.values()]

    def gaps(self, gateway: str) -> list[Gap]:
        """What a gateway, or headquarters about it, declared missing."""
        table = DeltaTable(str(self.root / "gaps")).to_pyarrow_table()
        columns = {name: table[name].to_pylist() for name in ("gateway", "points")}
        starts, ends = _micros(table["t_from"]).tolist(), _micros(table["t_to"]).tolist()
        return [
            Gap(None if points is None else tuple(points), start, end)
            for owner, points, start, end in zip(*columns.values(), starts, ends, strict=True)
            if owner == gateway
        ]

    def events(self) -> list[Event]:
        """What the apps told, in the order of time."""
        table = DeltaTable(str(self.root / "events")).to_pyarrow_table()
        names = [name for name in Event.__dataclass_fields__ if name != "time_us"]
        rows = table.select([*names, "kind"]).to_pylist()
        told = [
            Event(time_us=time_us, **{name: row[name] for name in names})
            for row, time_us in zip(rows, _micros(table["time"]).tolist(), strict=True)
            if row["kind"] == "event" and row["app"]
        ]
        return sorted(told, key=lambda event: event.time_us)

    def count(self) -> int:
        """Rows of the table `samples`."""
        return int(self._samples.to_pyarrow_dataset().count_rows())

    def samples(self, series: Sequence[int]) -> Samples:
        """All rows of these series."""
        names = ["series", "time", "source_time", "value", "text", "quality"]
        chosen = ds.field("series").isin(pa.array(list(series), pa.int64()))
        table = self._samples.to_pyarrow_dataset().to_table(columns=names, filter=chosen)
        return Samples(
            table["series"].to_numpy(),
            _micros(table["time"]),
            _micros(table["source_time"]),
            table["value"].to_numpy(),
            np.array(table["text"].to_pylist(), object),
            table["quality"].to_numpy(),
        )


def _micros(column: Any) -> Int64s:
    whole: Int64s = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).fill_null(NO_TIME).to_numpy()
    return whole
