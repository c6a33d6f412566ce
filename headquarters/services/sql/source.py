"""The lake as a worker reads it: which files, and of them whose rows.

Rules:
1. What DuckDB is given of a table are the rows of the rights and no others: Arrow drops the rest
   while it reads. No SQL, however it got past the guard, and no error message of an expression that
   DuckDB moved before a filter can tell of a row that was never there.
2. A look at the lake (`refresh`) is one version of every table; a query sees that one to its end.
3. What a query costs is counted in rows of the rights: how much others store in the same files is told
   to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from headquarters.lake.deltalog import LOG, DataFile, State, replay
from headquarters.lake.query import dataset_of, require_lake
from headquarters.lake.schema import SERIES, TABLES
from headquarters.services.sql.relations import BY_SERIES, RELATIONS, Relation
from headquarters.services.sql.rights import Reach, Rights, SeriesIndex
from protocols.errors import StoreError

Dataset = Any
Expression = Any


UNREAD = "a file of the lake cannot be read; run catchment-hq verify"
"""What an asker is told of it: where it lies is for who runs headquarters."""

RIGHTS_MAX = 64
"""Askers whose rights are remembered while the series stay the same: a list of numbers each."""

COUNTED_FILES_MAX = 2048
"""Files of which is remembered how many rows each series or gateway has: 16 bytes for each of them."""

FILE_PORTION_ROWS = 1 << 20
"""Keys that are counted at a time: 8 MB."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a query must read.

    Args:
        files: Files with rows that may be seen and, as far as it is known, that it asks for.
        rows: Those rows; for who sees everything, all rows of the files that can hold any.
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
        require_lake(lake)
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
                raise StoreError(UNREAD) from error
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

    def cost(
        self,
        relation: Relation,
        rights: Rights,
        wanted: Expression | None,
        columns: frozenset[str],
        heed: Callable[[], None],
    ) -> Cost:
        """What must be read of a table for rows that satisfy a condition.

        Args:
            relation: A base relation.
            rights: Whose rows.
            wanted: The condition, as far as it is known; `None`: any row.
            columns: Those that the condition is about.
            heed: Called before each file; raises when nobody waits for the answer any more.

        Raises:
            StoreError: A file cannot be read.
        """
        kept = _kept(relation, rights)
        condition = wanted if kept is None else kept if wanted is None else wanted & kept
        fragments = list(self._dataset(relation).get_fragments(filter=condition))
        if kept is None:
            paths = {str(Path(each.path).relative_to(self._folder(relation))) for each in fragments}
            return Cost(len(paths), sum(file.rows for file in self._files(relation) if file.path in paths))
        assert relation.table is not None
        remembered = columns <= {relation.key, *relation.table.partitions.names}
        counts = []
        for (
            fragment
        ) in fragments:  # one by one: how far a file reaches beyond the asker's rows is not to be told
            heed()
            counts.append((_remembered if remembered else _counted)(fragment, relation, condition))
        return Cost(sum(count > 0 for count in counts), sum(counts))

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


def _remembered(fragment: Any, relation: Relation, condition: Expression) -> int:
    """Rows of a file that satisfy a condition over its key and the table's partitions.

    Raises:
        StoreError: It cannot be read.
    """
    assert relation.table is not None
    values = ds.get_partition_keys(fragment.partition_expression)
    total = 0
    for part in _rows_by_key(fragment.path, relation.key):
        columns = {relation.key: part.field("values"), "rows": part.field("counts")}
        for field in relation.table.partitions:
            columns[field.name] = pa.repeat(pa.scalar(values[field.name], field.type), len(part))
        total += pc.sum(pa.table(columns).filter(condition).column("rows")).as_py() or 0
    return total


@lru_cache(maxsize=COUNTED_FILES_MAX)
def _rows_by_key(path: str, key: str) -> tuple[pa.StructArray, ...]:
    """The series or gateways in each portion of a file, and how many rows each has; a file never changes.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            portions = file.iter_batches(FILE_PORTION_ROWS, columns=[key])
            return tuple(pc.value_counts(portion.column(0)) for portion in portions)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(UNREAD) from error


def _counted(fragment: Any, relation: Relation, condition: Expression) -> int:
    """Rows of a file that satisfy a condition.

    Raises:
        StoreError: It cannot be read.
    """
    assert relation.table is not None
    try:
        alone = ds.FileSystemDataset([fragment], relation.table.schema, fragment.format, fragment.filesystem)
        return int(alone.count_rows(filter=condition))
    except (OSError, pa.ArrowException) as error:
        raise StoreError(UNREAD) from error
