"""The lake as a worker reads it: which files, and of them whose rows.

Rules:
1. What DuckDB is given of a table are the rows of the rights and no others: Arrow drops the rest
   while it reads. No SQL, however it got past the guard, and no error message of an expression that
   DuckDB moved before a filter can tell of a row that was never there.
2. A look at the lake (`refresh`) is one version of every table; a query sees that one to its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headquarters.lake.deltalog import LOG, DataFile, State, replay
from headquarters.lake.query import dataset_of
from headquarters.lake.schema import SERIES, TABLES
from headquarters.services.sql.relations import BY_SERIES, RELATIONS, Relation
from headquarters.services.sql.rights import Reach, Rights, SeriesIndex
from protocols.errors import InputError, Problem, StoreError

Dataset = Any
Expression = Any


RIGHTS_MAX = 64
"""Askers whose rights are remembered while the series stay the same: a list of numbers each."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a query must read.

    Args:
        files: Files that can hold rows that it asks for.
        rows: Rows in them, of those that may be seen: with files that hold many owners' series,
            their share.
    """

    files: int
    rows: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.files + other.files, self.rows + other.rows)


class LakeSource:
    """One lake, read again and again; not shared between threads.

    Args:
        lake: The lake's folder.

    Raises:
        InputError: There is no lake.
        StoreError: A table cannot be read.
    """

    def __init__(self, lake: Path) -> None:
        if not (lake / SERIES.name / LOG).is_dir():
            expected = "a lake; start headquarters once with: catchment-hq run"
            raise InputError([Problem(str(lake), "", "", expected)])
        self._lake = lake
        self._states: dict[str, State] = {}
        self._datasets: dict[str, Dataset] = {}
        self._index: SeriesIndex | None = None
        self._rights: dict[object, Rights] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look at the newest version of every table.

        Raises:
            StoreError: A table cannot be read.
        """
        for table in TABLES:
            known = self._states.get(table.name)
            before = -1 if known is None else known.version
            state = self._states[table.name] = replay(self._lake / table.name / LOG, known)
            if state.version != before:
                self._datasets.pop(table.name, None)
                if table is SERIES:
                    self._index = None
                    self._rights.clear()

    @property
    def index(self) -> SeriesIndex:
        """All series.

        Raises:
            StoreError: The table cannot be read.
        """
        if self._index is None:
            try:
                self._index = SeriesIndex(self._dataset(RELATIONS["series_history"]).to_table())
            except (OSError, pa.ArrowException) as error:
                raise StoreError(f"expected to read {self._lake / SERIES.name}: {error}") from error
        return self._index

    def rights(self, reach: Reach) -> Rights:
        """What a reach comes to in this version of the lake."""
        index = self.index
        key = (reach.sites, tuple(sorted(reach.points.items())))
        if key not in self._rights:
            if len(self._rights) >= RIGHTS_MAX:
                self._rights.clear()
            self._rights[key] = index.rights(reach)
        return self._rights[key]

    def rows(self, relation: Relation, rights: Rights) -> Dataset:
        """A table's rows, of the rights alone."""
        dataset = self._dataset(relation)
        kept = _kept(relation, rights)
        return dataset if kept is None else dataset.filter(kept)

    def cost(self, relation: Relation, rights: Rights, wanted: Expression | None) -> Cost:
        """What must be read of a table for rows that satisfy a condition.

        Args:
            relation: A base relation.
            rights: Whose rows.
            wanted: The condition, as far as it is known; `None`: any row.
        """
        kept = _kept(relation, rights)
        condition = wanted if kept is None else kept if wanted is None else wanted & kept
        fragments = self._dataset(relation).get_fragments(filter=condition)
        folder = self._folder(relation)
        paths = {str(Path(fragment.path).relative_to(folder)) for fragment in fragments}
        chosen = [file for file in self._files(relation) if file.path in paths]
        shares = self._shares(relation, rights, chosen)
        return Cost(len(chosen), sum(round(file.rows * s) for file, s in zip(chosen, shares, strict=True)))

    def _dataset(self, relation: Relation) -> Dataset:
        assert relation.table is not None
        name = relation.table.name
        if name not in self._datasets:
            self._datasets[name] = dataset_of(self._folder(relation), relation.table, self._files(relation))
        return self._datasets[name]

    def _files(self, relation: Relation) -> Sequence[DataFile]:
        assert relation.table is not None
        return list(self._states[relation.table.name].files.values())

    def _folder(self, relation: Relation) -> Path:
        assert relation.table is not None
        return self._lake / relation.table.name

    def _shares(self, relation: Relation, rights: Rights, files: Sequence[DataFile]) -> Iterator[float]:
        """Which part of each file's rows is within the rights, as far as its series tell."""
        if relation.key != BY_SERIES or rights.series is None:
            yield from [1.0] * len(files)
            return
        all_, ours = np.array(self.index.numbers), np.array(rights.series)
        for file in files:
            low, high = file.low.get("series"), file.high.get("series")
            if low is None or high is None:
                yield 1.0
                continue
            known, own = (
                int(np.searchsorted(each, high, "right") - np.searchsorted(each, low))
                for each in (all_, ours)
            )
            yield own / known if known else 1.0


def _kept(relation: Relation, rights: Rights) -> Expression | None:
    """The condition that a row of the rights satisfies; `None`: every row does."""
    if relation.key == BY_SERIES:
        return None if rights.series is None else pc.field("series").isin(pa.array(rights.series, pa.int64()))
    if rights.gateways is None:
        return None
    return pc.field("gateway").isin(pa.array(rights.gateways, pa.string()))


def keys(key: str, rights: Rights) -> pa.Table:
    """The permitted series or gateways as the one-column table that governed SQL names."""
    values: Mapping[str, pa.Array] = {
        "series": pa.array(rights.series or (), pa.int64()),
        "gateway": pa.array(rights.gateways or (), pa.string()),
    }
    return pa.table({"id": values[key]})
