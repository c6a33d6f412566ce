"""What is measured on: the simulated unit, and real tables as a gateway would collect them.

A table is served as `scripts.plant.replay` serves it, a row counter beside it and each row
held for two scans of a second; or `bare`, each row for one scan, without the counter.
Point ids are 1, 2, 3 ... as a new gateway gives them, and all quality is good.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from protocols.samples import SampleBlock, ValueType
from scripts.plant.catalogue import Kind
from scripts.plant.model import Plant, Source
from scripts.plant.replay import Replay, Table, parse

T0_US = 1_790_000_000_000_000
SECOND_US = 1_000_000
SETTLE_S = 60
"""Seconds that the simulated unit runs before it is recorded."""

TABLES = {"TEP": "tep/d*_te.dat", "gas turbine": "gas_turbine/gt_2011.csv"}
"""Files below the data folder; those of one pattern are read one after the other."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """Samples of one batch.

    Args:
        name: For people.
        blocks: One a type, scan after scan.
        promised: Whether goals are set for it.
    """

    name: str
    blocks: list[SampleBlock]
    promised: bool

    @property
    def samples(self) -> int:
        """How many."""
        return sum(map(len, self.blocks))


@cache
def batches(samples: int, data: Path | None) -> list[DataSet]:
    """One batch of about so many samples from each data set that is there."""
    sets = [DataSet("unit", collect(Plant(1000), samples, SETTLE_S), True)]
    for name, pattern in TABLES.items():
        files = sorted(data.glob(pattern)) if data is not None else []
        if files:
            table = _table(files)
            sets.append(DataSet(f"{name}, replayed", collect(Replay(table, "r"), samples), True))
            sets.append(DataSet(f"{name}, bare rows", [_bare(table.rows, samples)], False))
    return sets


def collect(source: Source, samples: int, settle: int = 0) -> list[SampleBlock]:
    """Scan every point of a source once a second, and scale it as a gateway does."""
    scans = samples // len(source.points)
    for _ in range(settle):
        source.step(1.0)
    held, texts = [], []
    for _ in range(scans):
        source.step(1.0)
        held.append(source.held().copy())
        texts.append(source.texts())
    numeric = np.array(held) * np.array([p.scale for p in source.points[: len(held[0])]])
    columns: dict[ValueType, list[int]] = {}
    for place, point in enumerate(source.points):
        columns.setdefault(value_type(point.kind, point.scale), []).append(place)
    return [
        _block(
            kind,
            places,
            _texts(texts, places, numeric.shape[1]) if kind is ValueType.TEXT else numeric[:, places],
        )
        for kind, places in sorted(columns.items())
    ]


def value_type(kind: Kind, scale: float) -> ValueType:
    """How a point of this kind travels."""
    if kind is Kind.BOOL:
        return ValueType.BOOL
    if kind is Kind.STRING:
        return ValueType.TEXT
    if kind is Kind.F32:
        return ValueType.F32 if scale == 1.0 else ValueType.F64
    return ValueType.I64 if kind is not Kind.F64 and scale == 1.0 else ValueType.F64


def _table(files: list[Path]) -> Table:
    tables = [parse(file.read_text(encoding="utf-8")) for file in files]
    return Table(tables[0].names, np.concatenate([table.rows for table in tables]))


def _bare(rows: npt.NDArray[np.float64], samples: int) -> SampleBlock:
    scans = samples // rows.shape[1]
    return _block(ValueType.F64, list(range(rows.shape[1])), rows[:scans])


def _texts(texts: list[list[str]], places: list[int], numeric: int) -> npt.NDArray[np.object_]:
    return np.array([[row[place - numeric] for place in places] for row in texts], object)


def _block(kind: ValueType, places: list[int], values: npt.NDArray[np.generic]) -> SampleBlock:
    scans = len(values)
    ids = np.array(places, np.uint32) + np.uint32(1)
    return SampleBlock(
        kind,
        np.tile(ids, scans),
        np.repeat(T0_US + np.arange(scans) * SECOND_US, len(places)),
        values.astype(kind.dtype).reshape(-1),
        np.zeros(values.size, np.uint32),
    )
