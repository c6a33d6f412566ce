"""What a query will cost, before it runs: DuckDB's plan says which rows of which table it asks for.

The governed SQL is planned over empty tables of the same names and types. DuckDB has then worked
out constants and moved conditions down to the tables they concern, through common table expressions
too; each of its scans names its table and its conditions. Those that compare a constant with a column
whose range the log knows are taken over, and say which files must be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import reduce
from operator import and_, or_
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from headquarters.lake.query import literal
from headquarters.services.sql.guard import DIALECT, Governed, sql_type
from headquarters.services.sql.limits import PLAN_CHARS_MAX
from headquarters.services.sql.relations import RELATIONS, Relation, field_of
from headquarters.services.sql.rights import Rights
from headquarters.services.sql.source import Cost, Expression, LakeSource

SHAPE = "shape"
"""What stands in the names of the empty tables where a query has its random part."""


_TABLE = re.compile(rf"(?:memory\.main\.)?(\w+)_{SHAPE}\b")


class Planner:
    """Plans queries over nothing; not shared between threads.

    Args:
        timezone: The zone in which times are read.

    Raises:
        duckdb.Error: No such zone.
    """

    def __init__(self, timezone: str) -> None:
        self._connection = duckdb.connect(config={"threads": 1, "memory_limit": "200MB"})
        for relation in RELATIONS.values():
            if relation.table is not None:
                columns = [f'"{n}" {sql_type(field_of(relation, n).type)}' for n in relation.columns]
                self._connection.execute(f'CREATE TABLE "{relation.name}_{SHAPE}" ({", ".join(columns)})')
        self._connection.execute(f'CREATE TABLE "series_ids_{SHAPE}" (id BIGINT)')
        self._connection.execute(f'CREATE TABLE "gateway_ids_{SHAPE}" (id VARCHAR)')
        self._connection.execute(f"SET TimeZone = {literal(timezone)}")
        # what is known of empty tables would answer most queries with nothing
        self._connection.execute("SET disabled_optimizers = 'statistics_propagation,empty_result_pullup'")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection, for what needs no rows."""
        return self._connection

    def close(self) -> None:
        """Give up what it holds."""
        self._connection.close()

    def plan(self, governed: Governed, parameters: dict[str, object]) -> list[dict[str, Any]]:
        """The plan as nodes.

        Raises:
            duckdb.Error: The query is wrong.
        """
        sql = governed.sql.replace(governed.nonce, SHAPE)
        documents = self._connection.execute(f"EXPLAIN (FORMAT json) {sql}", parameters).fetchall()
        plan: list[dict[str, Any]] = json.loads(documents[0][1])
        return plan

    def shown(self, governed: Governed, parameters: dict[str, object]) -> str:
        """The plan as text in which tables have their own names.

        Raises:
            duckdb.Error: The query is wrong.
        """
        sql = governed.sql.replace(governed.nonce, SHAPE)
        texts = self._connection.execute(f"EXPLAIN {sql}", parameters).fetchall()
        shown = _TABLE.sub(lambda found: found[1].ljust(len(found[0])), "\n".join(text for _, text in texts))
        return shown[:PLAN_CHARS_MAX]


def cost_of(
    plan: list[dict[str, Any]], source: LakeSource, rights: Rights, heed: Callable[[], None]
) -> dict[str, Cost]:
    """What a plan reads, by base relation; arguments as of `Planner.plan` and `LakeSource.cost`.

    Raises:
        StoreError: A file cannot be read.
    """
    costs: dict[str, Cost] = {}
    for node in _nodes(plan):
        information = node.get("extra_info")
        if not isinstance(information, dict) or "Table" not in information:
            continue
        name = str(information["Table"]).rpartition(".")[2].strip('"').removesuffix(f"_{SHAPE}")
        relation = RELATIONS.get(name)
        if relation is None or relation.table is None:
            continue
        filters = information.get("Filters", [])
        wanted, columns = _wanted(relation, [filters] if isinstance(filters, str) else filters)
        costs[name] = costs.get(name, Cost(0, 0)) + source.cost(relation, rights, wanted, columns, heed)
    return costs


def _nodes(plan: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    waiting = list(plan)
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.get("children", ()))


def _wanted(relation: Relation, filters: list[str]) -> tuple[Expression | None, frozenset[str]]:
    """The conditions of a scan that the log's ranges can answer, and the columns that they are about."""
    found = []
    columns: set[str] = set()
    for text in filters:
        try:
            tree = sqlglot.parse_one(text.removeprefix("optional: "), dialect=DIALECT)
        except SqlglotError:
            continue
        condition = _condition(relation, tree)
        if condition is not None:
            found.append(condition)
            columns.update(column.name for column in tree.find_all(exp.Column))
    return (reduce(and_, found) if found else None), frozenset(columns)


_COMPARE = {exp.EQ: "==", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}
_SWAPPED = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "=="}


def _condition(relation: Relation, tree: Any) -> Expression | None:
    """A condition that every wanted row satisfies, or `None` when nothing is known of them."""
    tree = tree.unnest()
    if isinstance(tree, exp.And):
        parts = [_condition(relation, each) for each in (tree.left, tree.right)]
        known = [part for part in parts if part is not None]
        return reduce(and_, known) if known else None
    if isinstance(tree, exp.Or):
        parts = [_condition(relation, each) for each in (tree.left, tree.right)]
        return None if any(part is None for part in parts) else reduce(or_, parts)
    if type(tree) in _COMPARE:
        return _comparison(relation, tree.left, tree.right, _COMPARE[type(tree)])
    if isinstance(tree, exp.In) and tree.expressions:
        parts = [_comparison(relation, tree.this, each, "==") for each in tree.expressions]
        return None if any(part is None for part in parts) else reduce(or_, parts)
    if isinstance(tree, exp.Between):
        low = _comparison(relation, tree.this, tree.args["low"], ">=")
        high = _comparison(relation, tree.this, tree.args["high"], "<=")
        return low if high is None else high if low is None else low & high
    return None


def _comparison(relation: Relation, left: Any, right: Any, sign: str) -> Expression | None:
    if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
        left, right, sign = right, left, _SWAPPED[sign]
    assert relation.table is not None
    if not isinstance(left, exp.Column) or left.name not in {
        *relation.table.ranges,
        *relation.table.partitions.names,
    }:
        return None
    literal = right.this if isinstance(right, exp.Cast) else right
    if not isinstance(literal, exp.Literal):
        return None
    try:
        value = _scalar(literal, field_of(relation, left.name).type)
    except (pa.ArrowException, ValueError):
        return None
    column = pc.field(left.name)
    return {
        "==": column == value,
        ">": column > value,
        ">=": column >= value,
        "<": column < value,
        "<=": column <= value,
    }[sign]


def _scalar(literal: Any, type: pa.DataType) -> pa.Scalar:
    """A literal of a plan in a column's type; times are written in UTC there."""
    text = str(literal.this)
    if pa.types.is_timestamp(type):
        text = re.sub(r"\+00(:00)?$", "", text)
        return pa.scalar(text).cast(pa.timestamp(type.unit)).cast(pa.int64()).cast(type)
    return pa.scalar(text).cast(type)
