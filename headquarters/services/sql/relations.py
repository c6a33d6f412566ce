"""What a governed query can name after FROM, and by what its rows are told apart.

A base relation is a table of the lake, whose rows belong to a series or to a gateway. A derived
one is a view over base relations, written out here as SQL over their names; the guard puts the
governed form of each in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from headquarters.lake.query import VIEWS
from headquarters.lake.schema import SERIES, TABLES, TableSchema

BY_SERIES = "series"
BY_GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Relation:
    """One name that may stand after FROM.

    Args:
        name: Its name in queries.
        columns: Names of its columns, in order.
        key: Of a base relation: the column that says whose a row is, `series` or `gateway`.
        table: Of a base relation: the table of the lake.
        view: Of a derived relation: its SQL.
    """

    name: str
    columns: tuple[str, ...]
    key: str = ""
    table: TableSchema | None = None
    view: str = ""


def _base(table: TableSchema) -> Relation:
    name = "series_history" if table is SERIES else table.name
    key = BY_SERIES if "series" in table.columns.names else BY_GATEWAY
    assert key in table.columns.names, f"{name}: nothing says whose a row is"
    return Relation(name, tuple(table.schema.names), key, table)


def _relations() -> Mapping[str, Relation]:
    found = {relation.name: relation for relation in map(_base, TABLES)}
    latest = tuple(name for name in SERIES.columns.names if name != "ordinal")
    columns = {"series": latest, "history": HISTORY}
    assert columns.keys() == VIEWS.keys()
    for name, view in VIEWS.items():
        found[name] = Relation(name, columns[name], view=view)
    return dict(sorted(found.items()))


HISTORY = (
    "name", "gateway", "time", "value", "text", "quality", "unit", "site", "source_time", "series", "batch",
)  # fmt: skip

RELATIONS = _relations()
"""Everything that a query can name, by name."""


def field_of(relation: Relation, column: str) -> pa.Field:
    """The Arrow field of a base relation's column."""
    assert relation.table is not None
    return relation.table.schema.field(column)
