"""What people write works, and gives what DuckDB gives over their own rows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from headquarters.services.sql.errors import Fault, QueryError
from headquarters.services.sql.functions import FUNCTIONS, GROUPS, words
from headquarters.services.sql.grammar import TYPES
from headquarters.services.sql.guard import check
from headquarters.services.sql.limits import DEPTH_MAX, SQL_CHARS_MAX, TOKENS_MAX
from headquarters.services.sql.proof import prove
from headquarters.services.sql.relations import RELATIONS
from headquarters.services.sql.rights import Mask, Reach
from headquarters.services.sql.task import Bounds, Task
from tests.sql.asking import BOUNDS, executor, governed, own, same
from tests.sql.calls import CALLS, ROWS
from tests.sql.legal import LEGAL
from tests.sql.worlds import REACH, SERIES

OWN = {each.number for each in SERIES if each.own}


@pytest.mark.parametrize("name", LEGAL)
def test_a_query_gives_what_duckdb_gives_over_the_askers_rows(name: str) -> None:
    found, alone = governed(LEGAL[name]), own(LEGAL[name])
    assert found.error is None
    assert alone is not None
    assert found.rows
    assert same(found, alone)
    assert not found.leaks


def test_there_are_enough_of_them() -> None:
    assert len(LEGAL) >= 40


@pytest.mark.parametrize("group", GROUPS)
def test_every_function_gives_what_duckdb_gives(group: str) -> None:
    """A call is parsed, governed, written out and run, and compared with the call as it is."""
    plain = duckdb.connect()
    plain.execute("SET TimeZone = 'UTC'")
    assert set(CALLS) == FUNCTIONS
    for name in sorted(GROUPS[group]):
        for call in CALLS[name]:
            sql = f"SELECT {call} AS x FROM {ROWS}"
            made = check(sql, Reach(None))
            prove(plain, made)
            found, expected = plain.sql(made.sql).fetchall(), plain.sql(sql).fetchall()
            if name not in CHANGING:
                assert sorted(map(str, found)) == sorted(map(str, expected)), call


CHANGING = words(
    """approx_quantile current_timestamp gen_random_uuid get_current_time get_current_timestamp localtime
    localtimestamp mode now random reservoir_quantile transaction_timestamp uuid"""
)
"""Functions whose result is another each time, or decided by the order of equals."""


def test_parameters_are_bound_and_not_written_into_the_text() -> None:
    sql = "SELECT count(*) AS n FROM samples WHERE series = $series AND text IS NOT DISTINCT FROM $text"
    assert governed(sql, parameters={"series": 10, "text": "run' OR '1'='1"}).rows == ((0,),)
    assert governed(sql, parameters={"series": 10, "text": "run"}).rows[0][0] > 0
    made = check(sql, REACH, parameters={"series": 10, "text": "run"})
    assert "run" not in made.sql
    assert made.parameters == ("series", "text")


@pytest.mark.parametrize(
    ("parameters", "value"),
    [({}, "a value for $a"), ({"a": 1, "b": 2}, "only parameters that the query names")],
)
def test_parameters_that_are_missing_or_too_many_are_told(parameters: dict[str, object], value: str) -> None:
    with pytest.raises(QueryError, match="parameters") as refused:
        check("SELECT $a", REACH, parameters=parameters)
    assert refused.value.expected == value


def test_a_point_can_be_named_by_a_parameter() -> None:
    sql = "SELECT DISTINCT series FROM samples WHERE series = series_of($point)"
    assert governed(sql, parameters={"point": "unit-1/10LBA10-f64"}).rows == ((1,),)


def test_the_asker_sees_own_sites_granted_points_and_nothing_of_a_gateway_that_moved() -> None:
    assert {row[0] for row in governed("SELECT DISTINCT series FROM samples").rows} == OWN
    assert governed("SELECT DISTINCT gateway FROM series ORDER BY 1").rows == (
        ("joint-gw",), ("unit-1",), ("unit-2",),
    )  # fmt: skip
    assert governed("SELECT DISTINCT gateway FROM events ORDER BY 1").rows == (("unit-1",), ("unit-2",))


def test_nobody_without_a_site_sees_anything() -> None:
    for name in ("samples", "events", "series", "ledger", "history", "samples_hour"):
        assert governed(f"SELECT * FROM {name}", Reach(frozenset())).rows == ()


def test_masked_columns_show_nothing_of_what_they_hold() -> None:
    masks = {
        ("events", "operator"): Mask.STARS,
        ("samples", "value"): Mask.NULL,
        ("ledger", "header"): Mask.NULL,
    }
    reach = Reach(frozenset({"plant-a"}), {}, masks)
    assert set(governed("SELECT operator FROM events", reach).rows) == {("***",)}
    assert governed("SELECT count(*) AS n FROM events WHERE operator = 'anna'", reach).rows == ((0,),)
    assert governed("SELECT max(value) AS v, count(value) AS n FROM history", reach).rows == ((None, 0),)
    assert governed("SELECT typeof(header) AS t, header FROM ledger LIMIT 1", reach).rows == (("BLOB", None),)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT *\nFROM sample", "query: line 2, column 6: got 'sample'; expected did you mean 'samples'?"),
        (
            "SELECT upr('x')",
            "query: line 1, column 8: got 'upr'; expected one of the functions that docs/sql.md",
        ),
        (
            "SELECT vale FROM samples",
            "query: line 1, column 8: got 'vale'; expected SQL that DuckDB understands",
        ),
        (
            "SELECT * FROM main.samples",
            "line 1, column 15: got 'main'; expected the table's name without a schema",
        ),
        ("SELECT 1 2", "query: line 1, column 10: got '2'; expected one SELECT statement"),
        ("SELECT ?", "got '?'; expected a parameter with a name, such as $since"),
        ("SELECT COLUMNS(*) FROM samples", "got 'columns'; expected the columns by name, or * EXCLUDE"),
        ("SELECT text COLLATE nocase FROM samples", "expected no COLLATE: order by lower(x)"),
        ("SELECT list_transform([1], x -> x)", "got 'list_transform'; expected no lambda: unnest the list"),
        ("SELECT * FROM samples WHERE series = series_of('10LBA')", "did you mean '10LBA10-"),
    ],
)
def test_errors_say_where_what_and_what_to_do(sql: str, said: str) -> None:
    error = governed(sql).error
    assert error is not None
    assert said in str(error)


def test_no_message_holds_a_name_that_a_query_could_not_have_written() -> None:
    for sql in (
        "SELECT nope FROM samples",
        "SELECT s.x FROM samples s",
        "WITH a AS (SELECT 1 AS b) SELECT c FROM a",
    ):
        error = governed(sql).error
        assert error is not None
        assert error.fault is Fault.WRONG
        assert not any(len(word) > 30 for word in str(error).replace('"', " ").split()), error


def test_an_estimate_counts_the_files_and_own_rows_that_can_hold_what_is_asked_for() -> None:
    everything = executor().explain(Task("SELECT * FROM samples", REACH))
    one_day = executor().explain(Task("SELECT * FROM samples WHERE date = DATE '2026-09-22'", REACH))
    none = executor().explain(Task("SELECT * FROM samples WHERE time < TIMESTAMPTZ '2026-01-01'", REACH))
    through = executor().explain(
        Task(
            "WITH a AS (SELECT * FROM samples) SELECT * FROM a WHERE date = $day",
            REACH,
            "",
            {"day": "2026-09-22"},
        )
    )
    assert everything.files > one_day.files == through.files > none.files == 0
    assert everything.rows > one_day.rows > none.rows == 0
    assert everything.columns[:2] == (("series", "BIGINT"), ("time", "TIMESTAMP WITH TIME ZONE"))
    assert "samples" in everything.plan
    assert "shape" not in everything.plan


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "WHERE date = DATE '2026-09-22'",
        "WHERE batch BETWEEN 3 AND 2000",
        "WHERE series = 2",
        "WHERE series >= 2 AND time < TIMESTAMPTZ '2026-09-23 07:00:00+00'",
        "WHERE time > TIMESTAMPTZ '2026-09-24 23:00:00+00'",
        "WHERE gateway = 'canary-gw' OR gateway = 'unit-1'",
    ],
)
def test_an_estimate_tells_nothing_of_what_others_store(condition: str) -> None:
    """It is the number of the asker's own rows, and none for somebody who has none."""
    for name, relation in RELATIONS.items():
        columns = re.findall(r"\b(date|batch|series|time|gateway)\b", condition)
        table = relation.table
        if table is None or not set(columns) <= {*table.ranges, *table.partitions.names}:
            continue
        sql = f"SELECT * FROM {name} {condition}"
        estimate = executor().explain(Task(sql, REACH))
        assert estimate.rows == len(governed(sql).rows), sql
        assert (estimate.files > 0) == (estimate.rows > 0), sql
        nobodys = executor().explain(Task(sql, Reach(frozenset({"none"}))))
        assert (nobodys.files, nobodys.rows) == (0, 0), sql
        if name == "ledger" and not condition:
            everybodys = executor().explain(Task(sql, Reach(None)))
            assert everybodys.rows > estimate.rows


def test_a_query_that_reads_too_much_is_refused_before_it_runs() -> None:
    error = governed("SELECT * FROM samples", bounds=replace(BOUNDS, rows_read=10)).error
    assert error is not None
    assert error.fault is Fault.COSTLY
    assert "at most 10 rows to read" in str(error)


def test_the_document_lists_every_function_table_and_type_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")
    functions = text.partition("## Functions")[2].partition("## Types in casts")[0]
    types = text.partition("## Types in casts")[2].partition("## Limits")[0]
    assert set(re.findall(r"`(\w+)`", functions)) == FUNCTIONS
    assert set(re.findall(r"`(\w+)`", types)) == TYPES
    named = text.partition("## What can be named")[2].partition("## What can be written")[0]
    assert set(RELATIONS) <= set(re.findall(r"`(\w+)`", named))
    assert all(f"`{fault.value}`" in text for fault in Fault)
    bounds = Bounds()
    for figure in (SQL_CHARS_MAX, TOKENS_MAX, DEPTH_MAX, bounds.rows_read, bounds.rows):
        assert f"{figure:,}" in text
