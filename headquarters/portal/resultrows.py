"""Pages of a query's result as people see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of a result.

    Args:
        columns: Names.
        kinds: `time`, `number` or `text`, one each.
        rows: Values as they are shown, or `None`.
    """

    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def rows_of(batch: pa.RecordBatch) -> Rows:
    """What a page shows.

    >>> rows_of(pa.RecordBatch.from_pydict({"n": [1, None], "name": ["a", "b"]}))
    Rows(columns=('n', 'name'), kinds=('number', 'text'), rows=((1, 'a'), (None, 'b')))
    """
    columns = [map(shown, column.to_pylist()) for column in batch.columns]
    return Rows(
        tuple(batch.schema.names), tuple(map(_kind, batch.schema.types)), tuple(zip(*columns, strict=True))
    )


def shown(value: Any) -> Any:
    """A value as a page shows it.

    >>> shown(b"ab"), shown(1.5), shown(None), shown([1, None])
    ('6162', 1.5, None, '[1, None]')
    """
    if value is None or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    return str(value)


def _kind(kind: pa.DataType) -> str:
    types = pa.types
    if types.is_timestamp(kind) or types.is_date(kind):
        return "time"
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return "number" if is_number else "text"
