"""The parts of SQL that a governed query may be made of: classes of sqlglot's tree, named one by one.

What is not here is refused, so that a construct which a newer release of the parser learns is
refused until somebody has thought about it. The same holds for the arguments of the nodes that
make the structure of a query: one that is not listed must be empty.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from headquarters.services.sql.functions import words

STRUCTURE: Mapping[type[exp.Expr], frozenset[str]] = {
    exp.Select: words("with_ expressions distinct from_ joins where group having windows order limit offset"),
    exp.Union: words("with_ this expression distinct by_name order limit offset"),
    exp.Except: words("with_ this expression distinct by_name order limit offset"),
    exp.Intersect: words("with_ this expression distinct by_name order limit offset"),
    exp.Subquery: words("this alias with_ order limit offset joins"),
    exp.With: frozenset({"expressions", "recursive"}),
    exp.CTE: frozenset({"this", "alias", "materialized"}),
    exp.From: frozenset({"this"}),
    exp.Table: frozenset({"this", "alias", "joins", "ordinality"}),
    exp.TableAlias: frozenset({"this", "columns"}),
    exp.Join: words("this on using side kind method"),
    exp.Unnest: words("expressions alias"),
    exp.Values: words("expressions alias"),
    exp.Where: frozenset({"this"}),
    exp.Having: frozenset({"this"}),
    exp.Group: words("expressions all grouping_sets cube rollup totals"),
    exp.GroupingSets: frozenset({"expressions"}),
    exp.Cube: frozenset({"expressions"}),
    exp.Rollup: frozenset({"expressions"}),
    exp.Order: frozenset({"this", "expressions"}),
    exp.Ordered: words("this desc nulls_first"),
    exp.Limit: frozenset({"this", "expression"}),
    exp.Offset: frozenset({"this", "expression"}),
    exp.Distinct: frozenset({"expressions", "on"}),
    exp.Star: words("except_ replace rename"),
    exp.Window: words("this partition_by order spec alias over first"),
    exp.WindowSpec: words("kind start start_side end end_side exclude"),
    exp.Filter: frozenset({"this", "expression"}),
    exp.WithinGroup: frozenset({"this", "expression"}),
    exp.IgnoreNulls: frozenset({"this"}),
    exp.RespectNulls: frozenset({"this"}),
}
"""Nodes that make the structure of a query, and those of their arguments that may be set."""

VALUES: frozenset[type[exp.Expr]] = frozenset(
    {
        exp.Identifier, exp.Column, exp.Alias, exp.Aliases, exp.Literal, exp.Boolean, exp.Null, exp.Var,
        exp.Paren, exp.Tuple, exp.Placeholder, exp.DataType, exp.DataTypeParam, exp.ColumnDef, exp.Interval,
        exp.IntervalSpan, exp.Dot, exp.Bracket, exp.Slice, exp.PropertyEQ, exp.Array, exp.Struct, exp.List,
        exp.Map, exp.ToMap,
        exp.Neg, exp.Not, exp.And, exp.Or, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.DPipe,
        exp.Pow, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ,
        exp.Between, exp.In, exp.Like, exp.ILike, exp.Escape, exp.Glob, exp.SimilarTo, exp.RegexpLike,
        exp.RegexpILike, exp.StartsWith, exp.Case, exp.If, exp.Cast, exp.TryCast, exp.Coalesce, exp.Exists,
        exp.Any, exp.All, exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot, exp.BitwiseLeftShift,
        exp.BitwiseRightShift, exp.AtTimeZone, exp.Extract, exp.Trim, exp.Substring, exp.StrPosition,
        exp.JSONExtract, exp.JSONExtractScalar, exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey,
        exp.JSONPathSubscript, exp.JSONPathWildcard, exp.ArrayContainsAll, exp.ArrayOverlaps, exp.Order,
        exp.Ordered, exp.Distinct, exp.RawString, exp.Kwarg, exp.CurrentDate, exp.CurrentTimestamp,
        exp.CurrentTime, exp.Localtime, exp.Localtimestamp, exp.Anonymous, exp.AnonymousAggFunc,
    }
)  # fmt: skip
"""Nodes that make a value; functions besides these are allowed by their names."""

TYPES: frozenset[str] = words(
    """
BIGINT BOOLEAN CHAR DATE DECIMAL DOUBLE FLOAT HUGEINT INT INT128 INTERVAL JSON LIST MAP NCHAR
NVARCHAR SMALLINT STRUCT TEXT TIME TIMESTAMP TIMESTAMPNTZ TIMESTAMPTZ TIMESTAMP_MS TIMESTAMP_NS
TIMESTAMP_S TIMETZ TINYINT UBIGINT UHUGEINT UINT UINT128 USMALLINT UTINYINT UUID VARBINARY VARCHAR
ARRAY BINARY BIGDECIMAL
"""
)
"""Types that a value may be cast to."""

JOINS: frozenset[tuple[str, str, str]] = frozenset(
    (method, side, kind)
    for method in ("", "NATURAL", "ASOF")
    for side in ("", "LEFT", "RIGHT", "FULL")
    for kind in ("", "INNER", "OUTER", "CROSS", "SEMI", "ANTI")
)
"""Method, side and kind of a join; not positional ones, which pair rows by where they lie."""

REMEDIES: Mapping[type[exp.Expr], str] = {
    exp.Lambda: "no lambda: unnest the list in a subquery and aggregate it again",
    exp.Comprehension: "no list comprehension: unnest the list in a subquery and aggregate it again",
    exp.Columns: "the columns by name, or * EXCLUDE (...)",
    exp.Pivot: "no PIVOT: write sum(x) FILTER (WHERE key = 'a') AS a for each column",
    exp.Qualify: "no QUALIFY: name the window's value in a subquery and choose by it with WHERE",
    exp.Lateral: "no LATERAL: join with a subquery instead",
    exp.TableSample: "no sample: choose rows with WHERE, such as hash(time) % 100 = 0",
    exp.Version: "no AT: governed queries read the lake as it is now",
    exp.Parameter: "$name for a parameter",
    exp.Collate: "no COLLATE: order by lower(x)",
    exp.Summarize: "no SUMMARIZE: write the aggregates that you need",
    exp.Describe: "no DESCRIBE: the columns of every table are in the catalogue",
    exp.Show: "no SHOW: the tables are in the catalogue",
}
"""What to do instead, for what people are most likely to try."""
