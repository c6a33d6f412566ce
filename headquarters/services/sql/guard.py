"""Turns what somebody asks into SQL that can show only what they may see. Pure: no I/O.

Rules:
1. One statement that selects. Every node of its tree is of a class that `grammar` lists, every
   function is in the list of functions, every type in the list of types.
2. A name after FROM is a common table expression in scope, or one of the relations. Each relation
   is replaced by a subquery over its own columns, its own rows and its masks; each common table
   expression gets a new name. What is read has a name that holds 128 random bits, so that no text
   written before the query began can name it, and a reference that was overlooked finds nothing.
3. What runs is generated from the tree; the asker's text is thrown away, and its comments with it.

The other rings around it: `proof` has DuckDB's own parser confirm what came out, and the rows
that the worker hands to DuckDB are the asker's alone before any SQL is looked at.

::

    >>> from headquarters.services.sql.rights import Reach
    >>> governed = check("SELECT count(*) FROM gaps", Reach(frozenset({"plant-a"})), nonce="n")
    >>> governed.sql[:60], governed.sources
    ('SELECT COUNT(*) AS "count(*)" FROM (SELECT "gateway", "cause', ('gaps',))
"""

from __future__ import annotations

import difflib
import functools
import re
import secrets
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError, TokenError

from headquarters.services.sql.errors import Fault, QueryError, place_of
from headquarters.services.sql.functions import FUNCTIONS, SERIES_OF, TABLE_FUNCTIONS
from headquarters.services.sql.grammar import JOINS, REMEDIES, STRUCTURE, TYPES, VALUES
from headquarters.services.sql.limits import (
    DEPTH_MAX,
    NAME_CHARS_MAX,
    NODES_MAX,
    RUNS_MAX,
    SQL_CHARS_MAX,
    TOKENS_MAX,
)
from headquarters.services.sql.relations import BY_SERIES, RELATIONS, Relation, field_of
from headquarters.services.sql.rights import Mask, Reach

DIALECT = "duckdb"

Node = Any
"""A node of sqlglot's tree; its own types are too wide to help."""


@dataclass(frozen=True, slots=True)
class Governed:
    """A query as it may run.

    Args:
        sql: What DuckDB is given.
        nonce: The random part of the names in it.
        sources: The base relations that it reads.
        relations: The relations that were named.
        parameters: Names of the parameters that it takes.
        ctes: New names of its common table expressions.
    """

    sql: str
    nonce: str
    sources: tuple[str, ...]
    relations: tuple[str, ...]
    parameters: tuple[str, ...]
    ctes: tuple[str, ...]

    def base(self, name: str) -> str:
        """What a base relation is called in the SQL."""
        return f"{name}_{self.nonce}"

    def keys(self, key: str) -> str:
        """What the one-column table of the permitted series or gateways is called in the SQL."""
        return f"{key}_ids_{self.nonce}"


def check(
    sql: str,
    reach: Reach,
    names: Mapping[str, tuple[int, ...]] | None = None,
    parameters: Mapping[str, object] | None = None,
    *,
    tables: Mapping[str, Relation] = RELATIONS,
    functions: frozenset[str] = FUNCTIONS,
    own: Sequence[tuple[int, int]] = (),
    nonce: str = "",
) -> Governed:
    """Govern one query.

    Args:
        sql: What was asked, one statement.
        reach: Whose data may be seen.
        names: Series by `name` and by `gateway/name`, of those that may be seen: for `series_of`.
        parameters: Values of `$name`; bound when the query runs, and never part of its text.
        tables: What may stand after FROM.
        functions: What may be called.
        own: The runs of the permitted series, as of `Rights.runs`; empty: they are looked up in the table
            that `Governed.keys` names.
        nonce: Random text for names; drawn when empty.

    Returns:
        What may run.

    Raises:
        QueryError: It is refused, or no SQL.
    """
    return _Guard(sql, reach, names or {}, parameters or {}, tables, functions, own, nonce).govern()


class _Guard:
    """One query on its way through."""

    def __init__(
        self,
        sql: str,
        reach: Reach,
        names: Mapping[str, tuple[int, ...]],
        parameters: Mapping[str, object],
        tables: Mapping[str, Relation],
        functions: frozenset[str],
        own: Sequence[tuple[int, int]],
        nonce: str,
    ) -> None:
        self._sql = sql
        self._reach = reach
        self._names = names
        self._parameters = parameters
        self._tables = tables
        self._functions = functions
        self._own = own
        self._nonce = nonce or secrets.token_hex(16)
        self._sources: set[str] = set()
        self._relations: set[str] = set()
        self._used: set[str] = set()
        self._taken: set[str] = set()
        self._ctes: list[str] = []

    def govern(self) -> Governed:
        """All steps in order."""
        self._text()
        try:
            tree = self._parse()
            self._bounded(tree)
            for node in tree.walk():
                self._node(node)
            _name(tree)
            holder = exp.Subquery(this=tree)  # so that the root too can be replaced
            self._scope(tree, {})
            root = holder.this
            for table in root.find_all(exp.Table):
                if isinstance(table.this, exp.Identifier) and not table.name.endswith(self._nonce):
                    self._refuse(table, table.name, "a name that was resolved")  # never seen
            text = root.sql(
                dialect=DIALECT, identify=True, comments=False, unsupported_level=ErrorLevel.RAISE
            )
        except RecursionError as error:
            raise QueryError(Fault.REFUSED, "", "", "a query that is less deeply nested") from error
        except SqlglotError as error:
            raise QueryError(Fault.REFUSED, "", "", f"SQL that can be governed: {error}") from error
        unknown = sorted(self._parameters.keys() - self._used - self._taken)
        if unknown:
            raise QueryError(Fault.WRONG, "parameters", unknown[0], "only parameters that the query names")
        return Governed(
            text,
            self._nonce,
            tuple(sorted(self._sources)),
            tuple(sorted(self._relations)),
            tuple(sorted(self._used)),
            tuple(self._ctes),
        )

    # What it is.

    def _text(self) -> None:
        """Nothing in it that a reader cannot see."""
        if len(self._sql) > SQL_CHARS_MAX:
            expected = f"at most {SQL_CHARS_MAX:,} characters; pass long lists as parameters"
            raise QueryError(Fault.REFUSED, "", f"{len(self._sql):,} characters", expected)
        for at, character in enumerate(self._sql):
            if character not in "\n\t\r" and unicodedata.category(character) in (
                "Cc",
                "Cf",
                "Cs",
                "Co",
                "Cn",
            ):
                value = f"U+{ord(character):04X}"
                expected = "no invisible characters in a query; pass such text as a parameter"
                raise QueryError(Fault.REFUSED, place_of(self._sql, at), value, expected)

    def _parse(self) -> Node:
        try:
            tokens = len(sqlglot.tokenize(self._sql, read=DIALECT))
            if tokens > TOKENS_MAX:
                expected = f"at most {TOKENS_MAX:,} words and signs; pass long lists as parameters"
                raise QueryError(Fault.REFUSED, "", f"{tokens:,} words and signs", expected)
            found = sqlglot.parse(self._sql, dialect=DIALECT, error_level=ErrorLevel.IMMEDIATE)
        except ParseError as error:
            first = error.errors[0] if error.errors else {}
            line, column = first.get("line"), first.get("col")
            place = f"line {line}, column {column}" if line else ""
            value = str(first.get("highlight") or "")
            said = str(first.get("description") or "it cannot be read").rstrip(".")
            raise QueryError(Fault.WRONG, place, value, f"one SELECT statement ({said})") from error
        except TokenError as error:
            raise QueryError(Fault.WRONG, "", "", f"one SELECT statement ({error})") from error
        trees = [tree for tree in found if tree is not None and not isinstance(tree, exp.Semicolon)]
        if len(trees) != 1:
            value = f"{len(trees)} statements" if trees else ""
            raise QueryError(Fault.REFUSED, "", value, "one SELECT statement; run others by themselves")
        tree = trees[0]
        if not isinstance(tree, (exp.Select, exp.SetOperation, exp.Subquery)):
            remedy = REMEDIES.get(type(tree), "one statement that begins with SELECT, WITH or FROM")
            raise QueryError(Fault.REFUSED, "line 1, column 1", self._sql.split(None, 1)[0], remedy)
        return tree

    def _bounded(self, tree: Node) -> None:
        level, nodes, depth = [tree], 0, 0
        while level:
            nodes, depth = nodes + len(level), depth + 1
            if nodes > NODES_MAX or depth > DEPTH_MAX:
                expected = f"at most {NODES_MAX:,} parts, nested at most {DEPTH_MAX} deep"
                raise QueryError(Fault.REFUSED, "", f"{nodes:,} parts, {depth} deep", expected)
            level = [child for node in level for child in node.iter_expressions()]

    def _node(self, node: Node) -> None:
        """Rule 1, for one node."""
        kind = type(node)
        if kind in STRUCTURE:
            self._arguments(node, STRUCTURE[kind])
        elif kind not in VALUES and not isinstance(node, exp.Func):
            self._refuse(node, _words(node), REMEDIES.get(kind, "a construct that docs/sql.md lists"))
        self._strings(node)
        if isinstance(node, exp.Func) and kind not in STRUCTURE:
            self._function(node)
        further = _CHECKS.get(kind)
        if further is not None:
            further(self, node)

    def _arguments(self, node: Node, allowed: frozenset[str]) -> None:
        for name, value in node.args.items():
            if value and name not in allowed:
                first = value[0] if isinstance(value, list) else value
                remedy = REMEDIES.get(type(first))
                if name in ("db", "catalog"):
                    remedy = f"the table's name without a schema: {node.name}"
                place = first if isinstance(first, exp.Expr) else node
                shown = _words(first) if name in ("db", "catalog") else name.strip("_").upper()
                self._refuse(place, shown, remedy or "a construct that docs/sql.md lists")

    def _strings(self, node: Node) -> None:
        """Text in a node that is written out as it is must be words."""
        for name, value in node.args.items():
            if isinstance(value, str) and (type(node), name) not in _FREE and not _WORDS.fullmatch(value):
                self._refuse(node, value, "words")

    def _function(self, node: Node) -> None:
        name, kind = self._called(node), type(node)
        if name == SERIES_OF:
            return
        if name and kind not in _OPERATOR_LIKE:
            written = {name}
        elif kind in VALUES:
            return  # an operator, or made of keywords
        else:  # the parser did not say how it was written
            written = {each.lower() for each in kind.sql_names()}
            name = min(written)
        if not written & self._functions:
            remedy = REMEDIES.get(kind) or (REMEDIES[exp.Lambda] if node.find(exp.Lambda) else "")
            if remedy:
                self._refuse(node, name, remedy)
            near = difflib.get_close_matches(name, self._functions, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self._refuse(node, name, f"one of the functions that docs/sql.md lists{hint}")

    def _called(self, node: Node) -> str:
        """The name that was written, in lower case; empty for an operator."""
        if isinstance(node, (exp.Anonymous, exp.AnonymousAggFunc)):
            return str(node.name).lower()
        start, end = node.meta.get("start"), node.meta.get("end")
        if start is None or end is None:
            return ""
        return self._sql[start : end + 1].strip('"').lower()

    def _literal(self, node: Node) -> None:
        if not node.args.get("is_string") and not _NUMBER.fullmatch(str(node.this)):
            self._refuse(node, str(node.this), "a number")

    def _datatype(self, node: Node) -> None:
        name = node.this.value if isinstance(node.this, exp.DType) else str(node.this)
        if name not in TYPES:
            self._refuse(node, _words(node), f"one of the types {', '.join(sorted(TYPES))}")

    def _columndef(self, node: Node) -> None:
        if node.args.get("constraints"):
            self._refuse(node, node.name, "a name and a type")

    def _dot(self, node: Node) -> None:
        if not isinstance(node.expression, exp.Identifier):
            self._refuse(node, _words(node), "a function as f(x), not as x.f()")

    def _star(self, node: Node) -> None:
        parent = node.parent
        if isinstance(parent, exp.Column):
            parent = parent.parent
        if not isinstance(parent, (exp.Select, exp.Count)):
            self._refuse(node, "*", REMEDIES[exp.Columns])

    def _join(self, node: Node) -> None:
        found = tuple(str(node.args.get(part) or "").upper() for part in ("method", "side", "kind"))
        if found not in JOINS:
            self._refuse(node, " ".join(filter(None, found)), "a join ON a condition, or USING (...)")

    def _placeholder(self, node: Node) -> None:
        name = str(node.this or "")
        if not _NAME.fullmatch(name) or node.args.get("kind"):
            self._refuse(node, name or "?", "a parameter with a name, such as $since")
        if name not in self._parameters:
            raise QueryError(Fault.WRONG, "parameters", "", f"a value for ${name}")
        self._used.add(name)

    # What it reads.

    def _scope(self, node: Node, visible: Mapping[str, str]) -> None:
        """Rule 2: resolve every name after FROM below a node.

        Args:
            node: Where.
            visible: New names of the common table expressions in scope, by their name in lower case.
        """
        if isinstance(node, exp.Table):
            for join in node.args.get("joins") or ():
                self._scope(join, visible)
            self._table(node, visible)
            return
        if isinstance(node, exp.Func) and self._called(node) == SERIES_OF:
            self._series_of(node)
            return
        if isinstance(node, exp.JSONExtract) and not isinstance(node, exp.JSONExtractScalar):
            node = self._json(node)
        with_ = node.args.get("with_")
        if with_ is not None:
            visible = self._with(with_, visible)
        for child in list(node.iter_expressions()):
            if child is not with_:
                self._scope(child, visible)

    def _json(self, node: Node) -> Node:
        """`a -> path` as the function that it is: DuckDB's parser takes the arrow for a lambda."""
        call = exp.Anonymous(this="json_extract", expressions=[node.this, node.expression])
        node.replace(call)
        return call

    def _with(self, with_: Node, outer: Mapping[str, str]) -> Mapping[str, str]:
        visible = dict(outer)
        for cte in with_.expressions:
            name = f"c{len(self._ctes)}_{self._nonce}"
            self._ctes.append(name)
            key = cte.alias.lower()
            self._scope(cte.this, {**visible, key: name} if with_.args.get("recursive") else visible)
            visible[key] = name
            cte.args["alias"].set("this", exp.to_identifier(name, quoted=True))
        return visible

    def _table(self, node: Node, visible: Mapping[str, str]) -> None:
        if not isinstance(node.this, exp.Identifier):
            name = self._called(node.this)
            if name not in TABLE_FUNCTIONS:
                expected = f"a table, or one of the functions {', '.join(sorted(TABLE_FUNCTIONS))}"
                self._refuse(node, name or _words(node.this), expected)
            self._scope(node.this, visible)
            return
        written, key = node.name, node.name.lower()
        alias = node.args.get("alias") or exp.TableAlias()
        if not alias.args.get("this"):
            alias.set("this", exp.to_identifier(written, quoted=True))
        if key in visible:
            node.set("this", exp.to_identifier(visible[key], quoted=True))
            node.set("alias", alias)
            return
        if key not in self._tables:
            self._unknown(node, written, visible)
        self._relations.add(key)
        governed = exp.Subquery(this=self._relation(self._tables[key]), alias=alias)
        governed.set("joins", node.args.get("joins"))
        node.replace(governed)

    def _relation(self, relation: Relation) -> Node:
        """A relation's governed form."""
        tree: Node = _parsed(relation.view or self._base(relation)).copy()
        if relation.view:
            for table in list(tree.find_all(exp.Table)):
                inner = self._relation(self._tables[table.name])
                alias = exp.to_identifier(table.alias or table.name)
                table.replace(exp.Subquery(this=inner, alias=exp.TableAlias(this=alias)))
            return tree
        self._sources.add(relation.name)
        for name in tree.find_all(exp.Identifier):
            name.set("this", name.this.replace(_NONCE, self._nonce))
        return tree

    def _base(self, relation: Relation) -> str:
        """The SQL of a base relation, still without the random part of its names."""
        columns = ", ".join(self._column(relation, name) for name in relation.columns)
        text = f'SELECT {columns} FROM "{relation.name}_{_NONCE}"'
        if not self._reach.everything:
            text += f" WHERE {self._permitted(relation.key)}"
        return text

    def _permitted(self, key: str) -> str:
        """The condition that a row is the asker's."""
        if key == BY_SERIES and 0 < len(self._own) <= RUNS_MAX:
            return " OR ".join(f'"{key}" BETWEEN {first} AND {last}' for first, last in self._own)
        return f'"{key}" IN (SELECT "id" FROM "{key}_ids_{_NONCE}")'

    def _column(self, relation: Relation, name: str) -> str:
        mask = self._reach.masks.get((relation.name, name))
        if mask is None:
            return f'"{name}"'
        if mask is Mask.STARS:
            return f'CASE WHEN "{name}" IS NULL THEN NULL ELSE \'***\' END AS "{name}"'
        return f'CAST(NULL AS {sql_type(field_of(relation, name).type)}) AS "{name}"'

    def _unknown(self, node: Node, name: str, visible: Mapping[str, str]) -> NoReturn:
        near = difflib.get_close_matches(name.lower(), [*self._tables, *visible], 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        self._refuse(node, name, f"{hint}one of the tables {', '.join(self._tables)}")

    def _series_of(self, node: Node) -> None:
        arguments = list(node.iter_expressions())
        name: object = None
        if len(arguments) == 1 and isinstance(arguments[0], exp.Literal) and arguments[0].is_string:
            name = arguments[0].this
        elif len(arguments) == 1 and isinstance(arguments[0], exp.Placeholder):
            name = self._parameters.get(str(arguments[0].this))
            self._used.discard(str(arguments[0].this))
            self._taken.add(str(arguments[0].this))
        if not isinstance(name, str):
            self._refuse(node, SERIES_OF, "series_of('name') with the name of one point", Fault.WRONG)
        found = self._names.get(name, ())
        if len(found) > 1:
            expected = f"one series of this name, got {len(found)}; write 'gateway/{name}'"
            self._refuse(node, name, expected, Fault.WRONG)
        if not found:
            near = difflib.get_close_matches(name, self._names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self._refuse(node, name, f"the name of a point{hint}", Fault.WRONG)
        node.replace(exp.Literal.number(found[0]))

    def _refuse(self, node: Node, value: str, expected: str, fault: Fault = Fault.REFUSED) -> NoReturn:
        starts = [each.meta["start"] for each in node.walk() if "start" in each.meta]
        place = place_of(self._sql, min(starts)) if starts else ""
        raise QueryError(fault, place, value, expected)


_CHECKS: Mapping[type[Any], Callable[[_Guard, Node], None]] = {
    exp.Literal: _Guard._literal,
    exp.DataType: _Guard._datatype,
    exp.ColumnDef: _Guard._columndef,
    exp.Dot: _Guard._dot,
    exp.Star: _Guard._star,
    exp.Join: _Guard._join,
    exp.Placeholder: _Guard._placeholder,
}
"""What else must hold for nodes of some classes."""

_WORDS = re.compile(r"[A-Za-z0-9_ ]*")
_NAME = re.compile(r"[A-Za-z0-9_]{1,63}")
_NUMBER = re.compile(r"[0-9_]*\.?[0-9_]*([eE][+-]?[0-9_]+)?")

_NONCE = "{nonce}"
"""Where the random part of a name goes in SQL of our own."""

_FREE = {
    (exp.Literal, "this"),
    (exp.Identifier, "this"),
    (exp.Anonymous, "this"),
    (exp.JSONPathKey, "this"),
}
"""Texts of nodes that are quoted when they are written out, or looked up."""

_OPERATOR_LIKE = frozenset({exp.Cast, exp.TryCast, exp.Case, exp.And, exp.Or, exp.Exists})
"""Functions in sqlglot's eyes whose first word is a keyword, or the one before an operator."""


def _name(tree: Node) -> None:
    """Name each value of a SELECT that has no name by what was written, not by what it becomes."""
    for select in tree.find_all(exp.Select):
        named = []
        for value in select.expressions:
            if isinstance(value, _NAMED) or value.alias or value.find(exp.Unnest, exp.Explode):
                named.append(value)
            else:
                text = value.sql(dialect=DIALECT, normalize_functions="lower", comments=False)
                named.append(exp.alias_(value, exp.to_identifier(text[:NAME_CHARS_MAX], quoted=True)))
        select.set("expressions", named)


_NAMED = (exp.Alias, exp.Aliases, exp.Column, exp.Dot, exp.Star)
"""Values that have names of their own."""


@functools.lru_cache(maxsize=256)
def _parsed(sql: str) -> Node:
    """SQL of our own as a tree, to be copied."""
    return sqlglot.parse_one(sql, dialect=DIALECT)


def _words(node: Node) -> str:
    """A node as people would know it."""
    try:
        return str(node.sql(dialect=DIALECT, comments=False))
    except SqlglotError:
        return str(node.key).upper()


def sql_type(type: pa.DataType) -> str:
    """The name of an Arrow type in SQL.

    >>> sql_type(pa.timestamp("us", "UTC"))
    'TIMESTAMPTZ'
    """
    names = {
        pa.string(): "VARCHAR",
        pa.int64(): "BIGINT",
        pa.int32(): "INTEGER",
        pa.float64(): "DOUBLE",
        pa.bool_(): "BOOLEAN",
        pa.binary(): "BLOB",
        pa.date32(): "DATE",
        pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
        pa.list_(pa.int64()): "BIGINT[]",
    }
    return names[type]
