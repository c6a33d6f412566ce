"""Nobody gets past the guard: every attempt is refused, or shows the asker's own rows and no others."""

from __future__ import annotations

import duckdb
import pytest

from headquarters.services.sql.errors import Fault, QueryError
from headquarters.services.sql.guard import check
from headquarters.services.sql.proof import prove
from headquarters.services.sql.relations import RELATIONS
from headquarters.services.sql.rights import Reach, Rights
from headquarters.services.sql.source import LakeSource, keys
from tests.sql.asking import Answer, answer_of, governed, own, same
from tests.sql.bypasses import BYPASSES, CASES
from tests.sql.worlds import CANARY, REACH, world

REFUSALS = {Fault.REFUSED, Fault.WRONG}


def test_there_are_enough_attempts_of_every_kind() -> None:
    assert len(set(CASES)) == len(CASES) >= 80
    assert min(len(cases) for cases in BYPASSES.values()) >= 6


def test_the_marks_of_others_can_be_seen() -> None:
    """With every right, whatever is somebody else's shows its mark: the mark is what the tests look for."""
    for name in RELATIONS:
        assert governed(f"SELECT * FROM {name}", Reach(None)).leaks, name


@pytest.mark.parametrize(("kind", "sql"), CASES, ids=[f"{kind}: {sql[:60]!a}" for kind, sql in CASES])
def test_no_attempt_shows_what_is_not_the_askers(kind: str, sql: str) -> None:
    found = governed(sql)
    if found.error is None:
        assert not found.leaks
        alone = own(sql)
        assert alone is None or same(found, alone)
    else:
        assert found.error.fault in REFUSALS
        assert CANARY not in found.error.expected.upper().replace(sql.upper(), "")


@pytest.mark.parametrize(
    "kind", ["statements", "settings", "files", "other databases", "catalogue", "lambdas and macros"]
)
def test_what_reads_no_table_of_the_lake_is_refused_before_it_runs(kind: str) -> None:
    selects = {"TABLE samples", "SELECT detail -> x -> x FROM events"}  # of own rows; the second fails
    for sql in set(BYPASSES[kind]) - selects:
        with pytest.raises(QueryError) as refused:
            check(sql, REACH)
        assert refused.value.expected, sql


READING = {"shadowing", "around the filter", "telling errors and side effects"}


def _by_rewriting_alone(sql: str, source: LakeSource, rights: Rights, written: bool) -> Answer | None:
    """Run what the guard makes over everybody's rows: the cut before SQL is taken away."""
    own_ = rights.runs() if written else ()
    governed_ = check(sql, REACH, source.index.names(rights), own=own_)
    assert written == (" BETWEEN 1 AND 1 " in governed_.sql) or not {"samples"} & {*governed_.sources}
    connection = duckdb.connect()
    for name in governed_.sources:
        connection.register(governed_.base(name), source.rows(RELATIONS[name], Rights(None, None)))
    for key in ("series", "gateway"):
        connection.register(governed_.keys(key), keys(key, rights))
    try:
        return answer_of(connection.sql(governed_.sql).to_arrow_table())
    except duckdb.Error:
        return None
    finally:
        connection.close()


@pytest.mark.parametrize("written", [True, False], ids=["series written out", "series looked up"])
def test_each_ring_holds_without_the_other(written: bool) -> None:
    """What is let through shows nothing when rows are cut by the rewritten SQL alone, or by Arrow alone."""
    source = LakeSource(world().full)
    rights = source.rights(REACH)
    tried = 0
    for kind, sql in CASES:
        if kind not in READING:
            continue
        try:
            found = _by_rewriting_alone(sql, source, rights, written)
        except QueryError:
            continue
        tried += 1
        assert found is None or not found.leaks, sql
    assert tried > 40
    connection = duckdb.connect()
    for name, relation in RELATIONS.items():
        if relation.table is not None:
            connection.register("cut", source.rows(relation, rights))
            columns = "* EXCLUDE (segment)" if name == "ledger" else "*"
            assert not answer_of(connection.sql(f"SELECT {columns} FROM cut").to_arrow_table()).leaks, name


def test_rewriting_alone_would_tell_by_an_error_what_is_cut_before_sql() -> None:
    """Why rows are cut before SQL: DuckDB tries a condition on rows that another one would have removed."""
    source = LakeSource(world().full)
    rights = source.rights(REACH)
    sql = "SELECT count(*) FROM samples WHERE text::INTEGER = 12"
    governed_ = check(sql, REACH)
    connection = duckdb.connect()
    connection.register(governed_.base("samples"), source.rows(RELATIONS["samples"], Rights(None, None)))
    connection.register(governed_.keys("series"), keys("series", rights))
    with pytest.raises(duckdb.ConversionException, match=CANARY):
        connection.sql(governed_.sql).fetchall()
    error = governed(sql).error
    assert error is not None
    assert "run" in error.expected or "stop" in error.expected or "故障" in error.expected
    assert not governed(sql).leaks


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM samples",
        "SELECT * FROM read_csv('x')",
        "SELECT current_setting('x') FROM samples_n",
        "SELECT * FROM main.samples_n",
        "SELECT list_transform([1], x -> x) FROM samples_n",
        "SELECT COLUMNS('a.*') FROM samples_n",
        "SELECT * FROM samples_n PIVOT (sum(value) FOR series IN (1))",
        "SELECT * FROM samples_n USING SAMPLE 3",
        "SELECT * FROM samples_n AT (VERSION => 1)",
        "SELECT 'x' COLLATE nocase FROM samples_n",
        "SELECT x.y.upper('a') FROM samples_n",
        "SHOW TABLES",
    ],
)
def test_the_second_opinion_refuses_what_the_guard_did_not_mean(sql: str) -> None:
    meant = check("SELECT * FROM samples", Reach(None), nonce="n")
    wrong = type(meant)(sql, "n", meant.sources, meant.relations, (), ())
    prove(duckdb.connect(), meant)
    with pytest.raises(QueryError):
        prove(duckdb.connect(), wrong)
