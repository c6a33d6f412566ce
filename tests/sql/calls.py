"""A call or more of every function that a governed query may use, over columns `i`, `s` and `f`.

Most come from DuckDB itself: its own examples, and its own types of arguments.
"""

from __future__ import annotations

import duckdb

from headquarters.services.sql.functions import FUNCTIONS

ROWS = "(VALUES (1, 'a b', 2.5), (2, 'c', 0.5), (3, NULL, 4.0)) AS t(i, s, f)"

ARGUMENTS = {
    "BIGINT": "3",
    "INTEGER": "3",
    "DOUBLE": "0.5",
    "FLOAT": "0.5",
    "VARCHAR": "'ab'",
    "DATE": "DATE '2026-03-04'",
    "TIMESTAMP": "TIMESTAMP '2026-03-04 05:06:07'",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ '2026-03-04 05:06:07+00'",
    "INTERVAL": "INTERVAL '2 days'",
    "BOOLEAN": "true",
    "ANY": "i",
    "T": "i",
    "UBIGINT": "3",
    "DECIMAL": "2.5",
    "TIME": "TIME '01:02:03'",
    "ANY[]": "[1, 2]",
    "T[]": "[1, 2]",
    "VARCHAR[]": "['a', 'b']",
    "DOUBLE[]": "[0.5, 1.5]",
    "BIGINT[]": "[1, 2]",
}
"""An argument of each type."""

LISTS = "avg count first last max median min mode product stddev_pop stddev_samp sum var_pop var_samp"

BY_HAND: dict[str, tuple[str, ...]] = {
    **{f"list_{name}": (f"list_{name}([1.5, 2.5, 2.5])",) for name in LISTS.split()},
    **{
        name: (f"{name}() OVER (ORDER BY i)",)
        for name in ["row_number", "rank", "dense_rank", "percent_rank", "cume_dist"]
    },
    **{
        name: (f"{name}(f) OVER (ORDER BY i)", f"{name}(f) OVER (ORDER BY i DESC ROWS 1 PRECEDING)")
        for name in ("first_value", "last_value", "fill")
        if name != "fill"
    },
    "rank_dense": ("rank_dense() OVER (ORDER BY i)",),
    "fill": ("fill(f) OVER (ORDER BY i)",),
    "lag": ("lag(f) OVER (ORDER BY i)", "lag(f, 2, 0) OVER (ORDER BY i)"),
    "lead": ("lead(f) OVER (ORDER BY i)", "lead(f, 2, 0) OVER (ORDER BY i)"),
    "nth_value": ("nth_value(f, 2) OVER (ORDER BY i)",),
    "ntile": ("ntile(2) OVER (ORDER BY i)",),
    "array_append": ("array_append([1], 2)",),
    "array_prepend": ("array_prepend(1, [2])",),
    "array_reverse": ("array_reverse([1, 2])",),
    "array_to_string": ("array_to_string([1, 2], '-')",),
    "list_append": ("list_append([1], 2)",),
    "list_prepend": ("list_prepend(1, [2])",),
    "list_reverse": ("list_reverse([1, 2])",),
    "cardinality": ("cardinality(map {'a': 1})",),
    "map_concat": ("map_concat(map {'a': 1}, map {'b': 2})",),
    "map_from_entries": ("map_from_entries([('a', 1), ('b', 2)])",),
    "coalesce": ("coalesce(s, 'none', 'more')",),
    "ifnull": ("ifnull(s, 'none')",),
    "nullif": ("nullif(i, 2)",),
    "if": ("if(i > 1, s, 'one')",),
    "current_timestamp": ("current_timestamp",),
    "current_date": ("current_date",),
    "localtime": ("localtime",),
    "localtimestamp": ("localtimestamp",),
    "date_add": ("date_add(DATE '2026-03-04', INTERVAL '1 month')",),
    "fdiv": ("fdiv(7, 2)",),
    "fmod": ("fmod(7.5, 2)",),
    "geomean": ("geomean(f)",),
    "geometric_mean": ("geometric_mean(f)",),
    "grouping": ("grouping(i) FROM (VALUES (1)) AS u(i) GROUP BY i UNION ALL SELECT 0",),
    "from_json": ("""from_json('{"a": 1}', '{"a": "INTEGER"}')""",),
    "json_transform": ("""json_transform('{"a": 1}', '{"a": "INTEGER"}')""",),
    "json": ("json('[1, 2]')",),
    "json_group_array": ("json_group_array(i)",),
    "json_group_object": ("json_group_object(i, f)",),
    "json_quote": ("json_quote('a')",),
    "to_json": ("to_json([1, i])",),
    "row_to_json": ("row_to_json({'a': i})",),
    "percentile_cont": ("percentile_cont(0.5) WITHIN GROUP (ORDER BY f)",),
    "percentile_disc": ("percentile_disc(0.5) WITHIN GROUP (ORDER BY f)",),
    "split_part": ("split_part(s, ' ', 1)",),
    "unnest": ("unnest([i, 2])",),
    "wavg": ("wavg(f, i)",),
    "weighted_avg": ("weighted_avg(f, i)",),
    "date_trunc": ("date_trunc('month', DATE '2026-03-04')",),
    "date_diff": ("date_diff('day', DATE '2026-03-04', DATE '2026-05-04')",),
    "date_part": ("date_part('year', DATE '2026-03-04')",),
    "date_sub": ("date_sub('month', DATE '2026-03-04', DATE '2026-05-03')",),
    "time_bucket": ("time_bucket(INTERVAL '2 weeks', DATE '2026-03-04')",),
    "log": ("log(100)", "log(2, 8)"),
    "round": ("round(f)", "round(f, 1)"),
    "substring": ("substring(s, 2)", "substring(s, 1, 1)"),
    "trim": ("trim(' a ')", "trim('xax', 'x')"),
    "position": ("position('b' IN s)",),
    "strftime": ("strftime(DATE '2026-03-04', '%Y/%m')",),
    "strptime": ("strptime('2026-03', '%Y-%m')",),
    "regexp_replace": ("regexp_replace('hello', '[lo]', '-', 'g')",),
    "regexp_extract": ("regexp_extract('a-1', '([a-z])-([0-9])', 2)",),
    "string_agg": ("string_agg(s, ',' ORDER BY i)",),
    "quantile_cont": ("quantile_cont(f, 0.25)", "quantile_cont(f, [0.25, 0.75])"),
    "count": ("count(*)", "count(s)", "count(DISTINCT i)"),
    **{
        name: (f"{name}('{{\"a\": [1, 2]}}')",)
        for name in ["json_keys", "json_pretty", "json_structure", "json_type"]
    },
    **{
        name: (f"{name}('{{\"a\": [1, 2]}}', '$.a')",)
        for name in [
            "json_array_length",
            "json_exists",
            "json_extract",
            "json_extract_path",
            "json_extract_path_text",
            "json_extract_string",
            "json_value",
        ]
    },
    "json_contains": ("json_contains('[1, 2]', '1')",),
    "json_merge_patch": ("""json_merge_patch('{"a": 1}', '{"b": 2}')""",),
    "count_star": ("count_star()",),
    "json_array": ("json_array(i, 'a', NULL)",),
    "pi": ("pi()",),
    "random": ("random()",),
    "uuid": ("uuid()",),
    "gen_random_uuid": ("gen_random_uuid()",),
    "now": ("now()",),
    "today": ("today()",),
    "get_current_time": ("get_current_time()",),
    "get_current_timestamp": ("get_current_timestamp()",),
    "transaction_timestamp": ("transaction_timestamp()",),
    "map": ("map(['a'], [i])",),
    "mod": ("mod(7, 3)",),
    "xor": ("xor(5, 3)",),
}


def _calls() -> dict[str, tuple[str, ...]]:
    plain = duckdb.connect()
    plain.execute("SET TimeZone = 'UTC'")
    found: dict[str, list[str]] = {name: list(calls) for name, calls in BY_HAND.items()}
    sql = "SELECT function_name, examples, parameter_types FROM duckdb_functions() ORDER BY ALL"
    for name, examples, types in plain.sql(sql).fetchall():
        if name not in FUNCTIONS or len(found.get(name, ())) >= 2:
            continue
        calls = [each for each in examples or () if each.lower().startswith(f"{name}(")][:1]
        calls = [each for each in calls if "BIT" not in each and "\u200d" not in each]
        arguments = [ARGUMENTS.get(str(kind)) for kind in types]
        if arguments and None not in arguments:
            calls.append(f"{name}({', '.join(map(str, arguments))})")
        found.setdefault(name, []).extend(call for call in calls if _answers(plain, call))
    return {name: tuple(dict.fromkeys(calls)) for name, calls in found.items() if calls}


def _answers(plain: duckdb.DuckDBPyConnection, call: str) -> bool:
    try:
        plain.sql(f"SELECT {call} AS x FROM {ROWS}").fetchall()
    except duckdb.Error:
        return False
    return True


CALLS = _calls()
