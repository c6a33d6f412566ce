"""Random queries as trees of sqlglot, of what the guard allows; and hostile texts, of what it must not.

A legal query has one answer: no order of rows decides it, no cast fails, nothing asks the clock.
"""

from __future__ import annotations

import random
import re
from typing import Any

from sqlglot import exp

Tree = Any

COLUMNS = {
    "samples": {
        "series": "n",
        "time": "t",
        "value": "f",
        "text": "s",
        "quality": "n",
        "batch": "n",
        "date": "d",
    },
    "samples_hour": {"series": "n", "time": "t", "count": "n", "mean": "f", "max": "f", "date": "d"},
    "samples_minute": {"series": "n", "time": "t", "good": "n", "min": "f", "sum": "f"},
    "series": {"series": "n", "gateway": "s", "name": "s", "unit": "s", "site": "s", "high": "f"},
    "series_history": {"series": "n", "gateway": "s", "name": "s", "ordinal": "n", "description": "s"},
    "history": {"series": "n", "name": "s", "time": "t", "value": "f", "quality": "n", "site": "s"},
    "gaps": {"gateway": "s", "cause": "s", "t_from": "t", "samples": "n", "batch": "n", "detail": "s"},
    "events": {"gateway": "s", "time": "t", "priority": "n", "value": "f", "operator": "s", "text": "s"},
    "ledger": {"gateway": "s", "stream": "s", "seq": "n", "samples": "n", "t_min": "t"},
}
LITERALS = {
    "n": ("0", "1", "2", "5", "13", "1073741824"),
    "f": ("0", "1.5", "50", "987654321.25"),
    "s": ("'run'", "'CANARY'", "'10LBA10-f64'", "'unit-1'", "''", "'%'"),
    "t": ("TIMESTAMPTZ '2026-09-22 00:00:00+00'", "TIMESTAMPTZ '2026-09-23 06:00:00+00'"),
    "d": ("DATE '2026-09-22'", "DATE '2026-09-24'"),
}
SIZE = {"samples": 3, "samples_hour": 3, "samples_minute": 3, "history": 3}
"""Tables of some hundred rows: two of them are joined only by a key."""


class Generator:
    """Legal queries from one seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._names = 0

    def query(self) -> str:
        """One query."""
        tree = self._query(self._rng.randrange(1, 4), {})
        return str(tree.sql(dialect="duckdb"))

    def _name(self) -> str:
        self._names += 1
        shadows = self._rng.random() < 0.3
        return self._rng.choice(sorted(COLUMNS)) if shadows else f"q{self._names}"

    def _query(self, depth: int, ctes: dict[str, dict[str, str]]) -> Tree:
        if depth > 1 and self._rng.random() < 0.35:
            inner = self._query_rows(depth - 1, ctes)
            name = self._name()
            outer = self._query(depth - 1, {**ctes, name: inner[1]})
            if not outer.args.get("with_"):
                return outer.with_(name, as_=inner[0])
            return (
                exp.select("*")
                .from_(exp.Subquery(this=outer, alias=exp.to_identifier("w")))
                .with_(name, as_=inner[0])
            )
        if depth > 1 and self._rng.random() < 0.2:
            left = self._query_rows(depth - 1, ctes)[0]
            right = self._rng.choice((exp.union, exp.except_, exp.intersect))
            return right(
                left, left.copy().where("1 = 1"), distinct=self._rng.random() < 0.5, dialect="duckdb"
            )
        return self._select(depth, ctes)

    def _query_rows(self, depth: int, ctes: dict[str, dict[str, str]]) -> tuple[Tree, dict[str, str]]:
        """A select of columns, with the kinds of its columns."""
        source, columns = self._source(depth, ctes)
        chosen = dict(self._rng.sample(sorted(columns.items()), min(len(columns), self._rng.randrange(1, 5))))
        tree = exp.select(*(exp.column(name, quoted=True) for name in chosen)).from_(source)
        if self._rng.random() < 0.6:
            tree = tree.where(self._condition("", columns))
        return tree, chosen

    def _source(self, depth: int, ctes: dict[str, dict[str, str]]) -> tuple[Tree, dict[str, str]]:
        known = {**COLUMNS, **ctes}
        if depth > 1 and self._rng.random() < 0.4:
            tree, columns = self._query_rows(depth - 1, ctes)
            return exp.Subquery(this=tree, alias=exp.to_identifier(f"d{depth}")), columns
        name = self._rng.choice(sorted(known))
        written = name.upper() if self._rng.random() < 0.2 else name
        return exp.to_table(written), known[name]

    def _select(self, depth: int, ctes: dict[str, dict[str, str]]) -> Tree:
        shape = self._rng.choice(("rows", "groups", "total", "join", "window", "exists", "in"))
        source, columns = self._source(depth, ctes)
        if shape == "rows":
            return self._query_rows(depth, ctes)[0]
        if shape in ("groups", "total"):
            keys = self._rng.sample(sorted(columns), 1) if shape == "groups" else []
            tree = exp.select(*keys, *self._aggregates("", columns), dialect="duckdb").from_(source)
            tree = tree.group_by(*keys) if keys else tree
            tree = tree.having("count(*) > 1") if keys and self._rng.random() < 0.3 else tree
            return tree.where(self._condition("", columns)) if self._rng.random() < 0.6 else tree
        if shape == "window":
            order = ", ".join(f'"{name}"' for name in columns)
            key = self._rng.choice(sorted(columns))
            windows = (
                f'count(*) OVER (PARTITION BY "{key}")',
                f'row_number() OVER (PARTITION BY "{key}" ORDER BY {order}) <= 3',
                f'max("{key}") OVER (ORDER BY "{key}" RANGE UNBOUNDED PRECEDING)',
                f'rank() OVER (ORDER BY "{key}" DESC NULLS LAST)',
            )
            return exp.select(f'"{key}"', f"{self._rng.choice(windows)} AS w", dialect="duckdb").from_(source)
        if shape in ("exists", "in"):
            other, others = self._source(depth, ctes)
            shared = sorted(set(columns) & set(others)) or ["1"]
            key = self._rng.choice(shared)
            if key == "1":
                return exp.select("count(*) AS n").from_(source)
            inner = exp.select(f'"{key}"', dialect="duckdb").from_(other).where(self._condition("", others))
            return exp.select("count(*) AS n").from_(source).where(exp.column(key).isin(query=inner))
        return self._join(source, columns, depth, ctes)

    def _join(
        self, source: Tree, columns: dict[str, str], depth: int, ctes: dict[str, dict[str, str]]
    ) -> Tree:
        other, others = self._source(depth, ctes)
        keys = [name for name in ("series", "gateway", "batch", "name") if name in columns and name in others]
        tree = exp.select("count(*) AS n", *self._aggregates("l.", columns), dialect="duckdb")
        tree = tree.from_(
            exp.alias_(source, "l", table=True) if isinstance(source, exp.Table) else _as(source, "l")
        )
        right = exp.alias_(other, "r", table=True) if isinstance(other, exp.Table) else _as(other, "r")
        if not keys:
            limited = exp.select("1 AS one").from_(right).limit(1)
            return tree.join(exp.Subquery(this=limited, alias=exp.to_identifier("one")), join_type="cross")
        kind = self._rng.choice(("inner", "left", "semi", "anti", "full"))
        return tree.join(right, on=f'l."{keys[0]}" = r."{keys[0]}"', join_type=kind, dialect="duckdb")

    def _aggregates(self, prefix: str, columns: dict[str, str]) -> list[str]:
        found = []
        for at, name in enumerate(self._rng.sample(sorted(columns), min(len(columns), 3))):
            options = {
                "n": ("sum({})", "min({})", "max({})", "avg({})", "count(DISTINCT {})", "bit_or({})"),
                "f": ("min({})", "max({})", "count({})", "median({})", "sum(round({}, 2)::DECIMAL(18, 2))"),
                "s": ("min({})", "max({})", "count(DISTINCT {})", "string_agg({0}, ',' ORDER BY {0})"),
                "t": ("min({})", "max({})", "count(DISTINCT date_trunc('day', {}))"),
                "d": ("min({})", "max({})", "count(DISTINCT {})"),
            }[columns[name]]
            call = self._rng.choice(options).format(f'{prefix}"{name}"')
            if "DECIMAL" in call:
                call += f' FILTER (WHERE NOT isnan({prefix}"{name}"))'
            found.append(f"{call} AS a{at}")
        return found

    def _condition(self, prefix: str, columns: dict[str, str]) -> str:
        parts = []
        for _ in range(self._rng.randrange(1, 4)):
            name = self._rng.choice(sorted(columns))
            literal = self._rng.choice(LITERALS[columns[name]])
            column = f'{prefix}"{name}"'
            options = [
                "{c} = {l}",
                "{c} <> {l}",
                "{c} > {l}",
                "{c} <= {l}",
                "{c} IS NOT NULL",
                "{c} IN ({l}, {l})",
            ]
            options += [
                "{c} IS DISTINCT FROM {l}",
                "NOT {c} < {l}",
                "coalesce({c}, {l}) = {l}",
                "{c} BETWEEN {l} AND {l}",
            ]
            if columns[name] == "s":
                options += [
                    "{c} LIKE {l}",
                    "try_cast({c} AS INTEGER) > 3",
                    "length({c}) > 3",
                    "lower({c}) = 'run'",
                ]
            if columns[name] == "n":
                options += ["{c} % 3 = 1", "hash({c}) % 2 = 0"]
            parts.append(self._rng.choice(options).format(c=column, l=literal))
        text = parts[0]
        for part in parts[1:]:
            text = f"({text}) {self._rng.choice(('AND', 'OR'))} ({part})"
        return text


def _as(tree: Tree, name: str) -> Tree:
    tree = tree.copy()
    tree.set("alias", exp.TableAlias(this=exp.to_identifier(name)))
    return tree


TARGETS = (
    "read_parquet('data/lake/samples/**')", "read_csv('/etc/passwd')", "'x.parquet'", "glob('*')", "duckdb_tables()",
    "query('SELECT * FROM samples')", "query_table('samples')", "main.samples", "memory.main.series", "pg_class",
    "information_schema.columns", "duckdb_settings()", "parquet_scan('x')", "sqlite_master", "pragma_table_info('x')",
    "read_text('/etc/passwd')", "python_arrow_scan(1, 2, 3)", "json_execute_serialized_sql('x')", "samples_", "nothing",
)  # fmt: skip
VALUES = (
    "getenv('HOME')", "current_setting('threads')", "getvariable('x')", "stats(value)", "version()", "current_query()",
    "list_transform([1], x -> x)", "[x FOR x IN [1]]", "COLUMNS('a.*')", "COLUMNS(*)", "'x'::regclass", "nextval('x')",
    "main.upper('x')", "'x'.upper()", "sleep_ms(1)", "write_log('x')", "error(text)", "current_user", "#1", "?", "$x",
    "txid_current()", "json_serialize_sql('x')", "vector_type(value)", "invoke(1)", "which_secret('a', 'b')",
)  # fmt: skip
FRAMES = (
    "SELECT {v} FROM {t}", "SELECT * FROM {t} WHERE {v} IS NOT NULL", "SELECT (SELECT {v} FROM {t})",
    "WITH samples AS (SELECT * FROM {t}) SELECT {v} FROM samples", "SELECT 1 UNION ALL SELECT {v} FROM {t}",
    "SELECT * FROM samples JOIN {t} ON {v} = 1", "SELECT * FROM (SELECT {v} FROM {t}) q", "SELECT count(*) FROM {t} GROUP BY {v}",
    "SELECT * FROM samples WHERE EXISTS (SELECT {v} FROM {t})", "SELECT max({v}) OVER () FROM {t}",
    "SELECT * FROM samples, {t} ORDER BY {v}", "SELECT CASE WHEN true THEN {v} END FROM {t}",
    "WITH RECURSIVE r AS (SELECT {v} AS a FROM {t} UNION ALL SELECT a FROM r) SELECT * FROM r",
    "SELECT * FROM samples WHERE series IN (SELECT {v} FROM {t})", "SELECT [{v}], {{'a': {v}}} FROM {t}",
)  # fmt: skip


def hostile(rng: random.Random) -> str:
    """A text in which something is that must not be: what it reads, what it calls, or both."""
    bad = rng.randrange(3)
    target = rng.choice(TARGETS) if bad != 1 else rng.choice(sorted(COLUMNS))
    value = rng.choice(VALUES) if bad != 0 else rng.choice(("value", "1", "count(*)", "name", "time"))
    return _disguised(rng.choice(FRAMES).format(t=target, v=value), rng)


def _disguised(text: str, rng: random.Random) -> str:
    def cased(word: str) -> str:
        return "".join(rng.choice((c.upper(), c.lower())) for c in word)

    words = text.split(" ")
    if rng.random() < 0.5:
        words = [word if "'" in word else cased(word) for word in words]
    gaps = (" ", "\n", "\t", " /* x */ ", " -- x\n", "  ")
    text = "".join(word + (rng.choice(gaps) if rng.random() < 0.4 else " ") for word in words).rstrip(" ")
    if rng.random() < 0.2:
        text = re.sub(r"\bsamples\b", '"samples"', text)  # not in samples_, where it would leave an alias
    if rng.random() < 0.1:
        text += ";"
    return text
