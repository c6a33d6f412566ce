"""A second opinion: DuckDB's own parser says what the governed SQL is made of, before it runs.

What the guard understood and what DuckDB understands are two things. So what the guard wrote is
read by DuckDB's parser, which says what tables, functions and constructs it sees there, and each
must be one that was meant. A difference between the two parsers, or a fault in how the tree was
written out, ends here instead of in a result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from headquarters.services.sql.errors import Fault, QueryError
from headquarters.services.sql.functions import FUNCTIONS, OPERATORS, TABLE_FUNCTIONS, words
from headquarters.services.sql.guard import Governed

TABLE_REFS = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST", "TABLE_FUNCTION"})
"""What may stand after FROM, in DuckDB's words."""

NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})

CLASSES = words(
    """
BETWEEN CASE CAST COLUMN_REF COMPARISON CONJUNCTION CONSTANT DEFAULT FUNCTION OPERATOR PARAMETER
STAR SUBQUERY WINDOW TYPE POSITIONAL_REFERENCE
"""
)
"""Classes of expressions: no lambda, no collation."""


def prove(connection: duckdb.DuckDBPyConnection, governed: Governed) -> None:
    """Have DuckDB read the governed SQL, and compare.

    Args:
        connection: Any connection; nothing of the query is run in it.
        governed: What the guard made.

    Raises:
        QueryError: It is no SQL to DuckDB, or not what was meant.
    """
    [(text,)] = connection.execute("SELECT json_serialize_sql($1)", [governed.sql]).fetchall()
    found = json.loads(text)
    if found["error"]:
        raise QueryError(Fault.WRONG, "", "", f"SQL that DuckDB understands: {found['error_message']}")
    statements = found["statements"]
    if len(statements) != 1:
        raise _not_meant(f"{len(statements)} statements")
    tables = {governed.base(name) for name in governed.sources}
    tables |= {governed.keys(key) for key in ("series", "gateway")} | set(governed.ctes)
    for part in _parts(statements[0]["node"]):
        _judge(part, tables)


def _judge(part: dict[str, Any], tables: set[str]) -> None:
    kind, class_ = part.get("type"), part.get("class")
    if "table_name" in part and kind == "BASE_TABLE":
        path = part.get("qualified_name", {}).get("path", [part["table_name"]])
        if part["table_name"] not in tables or len(path) != 1 or part["schema_name"] or part["catalog_name"]:
            raise _not_meant(f"table {'.'.join(path)}")
        if part.get("at_clause") is not None:
            raise _not_meant("AT")
    if part.get("function_name") is not None:
        name = str(part["function_name"]).lower()
        allowed = TABLE_FUNCTIONS if part.get("_table_function") else FUNCTIONS | OPERATORS
        if name not in allowed or part.get("schema") or part.get("catalog"):
            raise _not_meant(f"function {name}")
    if class_ is not None and class_ not in CLASSES:
        raise _not_meant(f"expression {class_}")
    if class_ is None and isinstance(kind, str):
        if kind.endswith("_NODE") and kind not in NODES:
            raise _not_meant(f"statement {kind}")
        if "alias" in part and "sample" in part and kind not in TABLE_REFS:
            raise _not_meant(f"reference {kind}")
    if part.get("sample") is not None:
        raise _not_meant("a sample")
    if class_ == "STAR" and part.get("expr"):
        raise _not_meant("COLUMNS")


def _parts(root: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document, those of table functions marked."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if part.get("type") == "TABLE_FUNCTION" and isinstance(part.get("function"), dict):
                part["function"]["_table_function"] = True
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _not_meant(what: str) -> QueryError:
    return QueryError(
        Fault.REFUSED, "", what, "only what docs/sql.md lists, which DuckDB sees otherwise here"
    )
