"""Keeping the number of files small: merges while a date is open, one sorted rewrite after.

Every commit adds a file, 86,400 a day. Left alone they make a query of one point open all
of them. So files of one partition are merged by tiers: 16 appended ones into an `m1`, 8
`m1` into an `m2`, and so on. A row is rewritten once a tier, and a date of 86,400 commits
never has more than about 60 files, half of that on average; where commits are of a million
rows and more, some dozens of large files beside them. When a date is over and
quiet, all its files are rewritten into few sorted ones. Late rows make a closed date due
again.

Merging and appending never wait for each other: the new file is written beside the log,
and its commit names exactly the files it replaces, so rows appended meanwhile stay.
(With `overwrite` on a partition predicate an append in between makes either fail.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from headquarters import limits
from headquarters.lake import files
from headquarters.lake.deltalog import DataFile
from headquarters.lake.order import row_order
from headquarters.lake.tables import LakeTable
from protocols.samples import Int64s

FAN_IN = (16, 8)
"""Files merged into one: appended ones, and those of each higher tier. More makes queries
slower, fewer makes every row be rewritten more often."""


class Merge(NamedTuple):
    """Files to replace by one of a higher tier.

    Args:
        files: Of one partition.
        kind: First part of the new file's name.
    """

    files: tuple[DataFile, ...]
    kind: str


def kind_of(file: DataFile) -> str:
    """How a file came to be: the first part of its name."""
    return file.name.partition("-")[0]


def plan_merges(present: Iterable[DataFile]) -> list[Merge]:
    """What to merge now, lowest tiers first.

    Args:
        present: All files of a table.
    """
    groups: dict[tuple[str, ...], list[DataFile]] = defaultdict(list)
    for file in present:
        if kind_of(file) != files.SORTED:
            groups[(kind_of(file), *file.partition.values())].append(file)
    merges = []
    for (kind, *_), group in sorted(groups.items()):
        tier = 0 if kind == files.APPENDED else int(kind[1:])
        group.sort(key=lambda file: file.modified_ms)
        chosen, full = _fitting(file for file in group if file.rows <= limits.LARGE_ROWS)
        if len(chosen) > 1 and (full or len(chosen) >= FAN_IN[min(tier, 1)]):
            merges.append(Merge(tuple(chosen), f"m{tier + 1}"))
        large = sorted((f for f in group if f.rows > limits.LARGE_ROWS), key=lambda file: file.rows)
        chosen, _ = _fitting(large)
        if len(large) > limits.LARGE_FILES_MAX and len(chosen) > 1:
            merges.append(Merge(tuple(chosen), f"m{tier + 1}"))
    return merges


def _fitting(group: Iterable[DataFile]) -> tuple[list[DataFile], bool]:
    """The first files of a group that one merge takes, and whether there are more than that."""
    chosen: list[DataFile] = []
    rows = 0
    for file in group:
        rows += file.rows
        if chosen and rows > limits.MERGE_ROWS_MAX:
            return chosen, True
        chosen.append(file)
    return chosen, False


def plan_rewrites(
    present: Iterable[DataFile], today: str, quiet_before_ms: int, key: str
) -> list[tuple[DataFile, ...]]:
    """Partitions of closed dates that are not wholly sorted, oldest first.

    Args:
        present: All files of a table.
        today: The first date that is still open, `YYYY-MM-DD`.
        quiet_before_ms: A partition that got a file later than this is left to settle.
        key: The first column of the table's order.
    """
    groups: dict[tuple[str, ...], list[DataFile]] = defaultdict(list)
    for file in present:
        if file.date < today:
            groups[tuple(file.partition.values())].append(file)
    return [
        tuple(group)
        for _, group in sorted(groups.items())
        if not _is_sorted(group, key) and all(file.modified_ms < quiet_before_ms for file in group)
    ]


def _is_sorted(group: Sequence[DataFile], key: str) -> bool:
    """Whether the files of a partition are sorted, each by itself and one after the other."""
    if any(kind_of(file) != files.SORTED for file in group):
        return False
    ranges = sorted((file.low[key], file.high[key]) for file in group if key in file.low)
    return all(one[1] < other[0] for one, other in pairwise(ranges))


def merge(table: LakeTable, chosen: Merge) -> DataFile:
    """Merge files into one and commit it in their place."""
    rows = _ordered(table, [table.read([file], None) for file in chosen.files])
    now = table.clock_ms()
    new = files.write(table.table, table.folder, chosen.files[0].partition, chosen.kind, rows, now)
    table.log.commit([new], now, removes=chosen.files, data_change=False)
    return new


def rewrite(table: LakeTable, chosen: Sequence[DataFile], pause: Callable[[], None]) -> list[DataFile]:
    """Rewrite all files of a closed partition into sorted ones and commit them in their place.

    Args:
        table: Whose partition it is.
        chosen: Its files.
        pause: Called between chunks, to let a stop through.
    """
    rows = sum(file.rows for file in chosen)
    new = write_sorted(table, chosen[0].partition, sorted_chunks(table, chosen), rows, pause)
    assert sum(file.rows for file in new) == rows, "a rewrite keeps every row"
    table.log.commit(new, table.clock_ms(), removes=chosen, data_change=False)
    return new


def write_sorted(
    table: LakeTable,
    partition: Mapping[str, str],
    chunks: Iterable[pa.Table],
    rows_max: int,
    pause: Callable[[], None] = lambda: None,
) -> list[DataFile]:
    """Write rows into as few files as may be; they count when a commit names them.

    Args:
        table: Whose rows they are.
        partition: Of which partition.
        chunks: The rows in the table's order.
        rows_max: How many they are at most.
        pause: Called between chunks, to let a stop through.
    """
    writer: files.FileWriter | None = None
    rows_in_file = 0
    new: list[DataFile] = []
    try:
        for rows in chunks:
            pause()
            if writer is not None and rows_in_file + len(rows) > limits.FILE_ROWS_MAX:
                new.append(writer.close(table.clock_ms()))
                writer, rows_in_file = None, 0
            if writer is None:
                expected = min(rows_max, limits.FILE_ROWS_MAX)
                writer = files.FileWriter(table.table, table.folder, partition, files.SORTED, rows=expected)
            writer.write(rows)
            rows_in_file += len(rows)
    except BaseException:
        if writer is not None:
            writer.abandon()
        files.unlink_all(table.folder, new)
        raise
    if writer is not None:
        new.append(writer.close(table.clock_ms()))
    return new


def key_ranges(table: LakeTable, chosen: Sequence[DataFile], key: str) -> list[tuple[Any, Any]]:
    """Ranges of a key, both ends included, that hold about `limits.CHUNK_ROWS` rows each.

    Args:
        table: Whose files they are.
        chosen: The files.
        key: An integer or text column.
    """
    if not chosen:
        return []
    if sum(file.rows for file in chosen) <= limits.CHUNK_ROWS and key in chosen[0].low:
        return [(min(file.low[key] for file in chosen), max(file.high[key] for file in chosen))]
    counts: dict[Any, int] = defaultdict(int)
    for file in chosen:
        for entry in pc.value_counts(table.read([file], [key]).column(key)).to_pylist():
            counts[entry["values"]] += entry["counts"]
    ranges = []
    low, rows = None, 0
    previous = None
    for value in sorted(counts):
        if low is not None and rows + counts[value] > limits.CHUNK_ROWS:
            ranges.append((low, previous))
            low, rows = None, 0
        low = value if low is None else low
        previous = value
        rows += counts[value]
    return [*ranges, (low, previous)]


def sorted_chunks(table: LakeTable, chosen: Sequence[DataFile], within: Any = None) -> Iterator[pa.Table]:
    """Rows of some files in the table's order, about `limits.CHUNK_ROWS` at a time.

    Args:
        table: Whose files they are.
        chosen: The files.
        within: A pyarrow filter expression: of these rows only.
    """
    key = table.table.sort[0]
    for low, high in key_ranges(table, chosen, key):
        where = (pc.field(key) >= low) & (pc.field(key) <= high)
        holding = [f for f in chosen if f.low.get(key, low) <= high and f.high.get(key, low) >= low]
        wanted = where if within is None else where & within
        rows = _ordered(table, [table.read([file], None, wanted) for file in holding])
        if len(rows):
            yield rows


def _ordered(table: LakeTable, parts: Sequence[pa.Table]) -> pa.Table:
    """Rows of several tables in one order."""
    rows = pa.concat_tables(parts)
    if table.table.sort[:2] != ("series", "time"):
        return rows.sort_by([(name, "ascending") for name in table.table.sort])
    taken = row_order(_column(rows, "series"), _column(rows, "time"))
    return rows if taken is None else rows.take(pa.array(taken))


def _column(rows: pa.Table, name: str) -> Int64s:
    column: Int64s = rows.column(name).cast(pa.int64()).combine_chunks().to_numpy()
    return column
