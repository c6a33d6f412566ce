"""History and saved queries, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from headquarters.db.engine import reading, writing
from headquarters.errors import ConflictError
from headquarters.services.sql.store import Asked, History, SavedQueries, SavedQuery


def asked(id: str, at_us: int, by: str = "anna", tenant: str = "north") -> Asked:
    return Asked(id, tenant, by, at_us, "SELECT 1", "waiting")


def save(engine: Engine, name: str, owner: str = "anna", *, shared: bool = False) -> SavedQuery:
    with writing(engine) as session:
        return SavedQueries(session).add(
            "north", owner, name, "SELECT 1", description="每日", shared=shared, at_us=1
        )


def test_everybody_has_their_own_history_newest_first(engine: Engine) -> None:
    with writing(engine) as session:
        for number in range(5):
            History(session).add(asked(f"q{number}", number))
        History(session).add(asked("b", 9, by="ben"))
        History(session).add(asked("s", 9, tenant="south"))
    with reading(engine) as session:
        history = History(session)
        assert [each.id for each in history.of("north", "anna", 4, 2)] == ["q3", "q2"]
        assert [each.id for each in history.of("north", "ben", 99, 10)] == ["b"]
        assert history.get("b", "north", "anna") is None
        assert history.get("s", "north", "anna") is None
        assert history.get("q1", "north", "anna") == asked("q1", 1)


def test_what_came_of_a_query_is_written_down(engine: Engine) -> None:
    ended = replace(
        asked("q", 1), state="done", rows_read=10**10, rows=3, bytes=700, truncated="rows", took_us=5
    )
    with writing(engine) as session:
        History(session).add(asked("q", 1))
        History(session).end(replace(ended, tenant="another", sql="another"))
    with reading(engine) as session:
        assert History(session).get("q", "north", "anna") == ended


def test_queries_of_a_process_that_is_gone_have_failed_and_old_ones_are_forgotten(engine: Engine) -> None:
    with writing(engine) as session:
        History(session).add(asked("old", 1))
        History(session).add(asked("new", 2))
        History(session).abandon("stopped")
        History(session).forget(2)
    with reading(engine) as session:
        [left] = History(session).of("north", "anna", 99, 10)
    assert (left.id, left.state, left.fault, left.message) == ("new", "failed", "store", "stopped")


def test_saved_queries_are_their_owners_and_shared_ones_are_readable(engine: Engine) -> None:
    mine, shared, other = save(engine, "b"), save(engine, "a", shared=True), save(engine, "c", "ben")
    with reading(engine) as session:
        queries = SavedQueries(session)
        assert queries.readable("north", "anna") == [shared, mine]
        assert queries.readable("north", "ben") == [shared, other]
        assert queries.readable("south", "anna") == []
        assert queries.get(mine.id, "north", "ben") is None
        assert queries.get(shared.id, "north", "ben") == shared
    with writing(engine) as session:
        queries = SavedQueries(session)
        assert not queries.change(replace(shared, owner="ben", sql="SELECT 2"))
        assert not queries.remove(shared.id, "north", "ben")
        assert queries.change(replace(mine, sql="SELECT 2", changed_us=5))
        assert queries.remove(shared.id, "north", "anna")
    with reading(engine) as session:
        assert SavedQueries(session).readable("north", "anna") == [
            replace(mine, sql="SELECT 2", changed_us=5)
        ]


def test_a_name_is_taken_once_by_each(engine: Engine) -> None:
    save(engine, "daily")
    save(engine, "daily", "ben")
    with pytest.raises(ConflictError):
        save(engine, "daily")
