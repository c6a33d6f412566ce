"""A metadata store is brought up to date, once, by whoever comes first."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from headquarters.db import migrate
from headquarters.db.engine import open_database, reading, writing
from headquarters.metadata import all_tables, open_metadata
from protocols.errors import InputError, StoreError


def test_the_migrations_make_the_tables_that_the_code_declares(fresh_url: str, tmp_path: Path) -> None:
    engine = open_metadata(tmp_path, fresh_url)
    try:
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), all_tables()) == []
        assert migrate.current(engine) == migrate.heads()
    finally:
        engine.dispose()


def test_many_that_start_at_once_make_the_tables_once(fresh_url: str) -> None:
    engines = [open_database(fresh_url) for _ in range(4)]
    found: list[tuple[str, ...]] = []
    threads = [threading.Thread(target=lambda e=e: found.append(migrate.upgrade(e))) for e in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in engines:
        engine.dispose()
    assert found == [migrate.heads()] * 4


def test_a_store_of_a_later_version_is_refused_and_not_touched(fresh_url: str) -> None:
    engine = open_database(fresh_url)
    try:
        migrate.upgrade(engine)
        with writing(engine) as session:
            session.execute(text("delete from alembic_version"))
            session.execute(text("insert into alembic_version values('9999_later')"))
        with pytest.raises(StoreError, match="9999_later; run the program that made it"):
            migrate.upgrade(engine)
        assert migrate.current(engine) == ("9999_later",)
    finally:
        engine.dispose()


def test_a_step_that_fails_leaves_nothing(fresh_url: str) -> None:
    engine = open_database(fresh_url)
    try:
        with writing(engine) as session:
            session.execute(text("create table users(id text)"))  # in the way of the first step
        with pytest.raises(StoreError):
            migrate.upgrade(engine)
        assert migrate.current(engine) == ()
        with writing(engine) as session:
            session.execute(text("drop table users"))
        assert migrate.upgrade(engine) == migrate.heads()
    finally:
        engine.dispose()


def test_who_only_reads_changes_nothing(fresh_url: str) -> None:
    engine = open_database(fresh_url)
    try:
        migrate.upgrade(engine)
        if engine.dialect.name == "postgresql":
            with pytest.raises(StoreError), reading(engine) as session:
                session.execute(text("update tenants set name = 'x'"))
        with reading(engine) as session:
            assert session.execute(text("select name from tenants")).scalar_one() == "Group"
    finally:
        engine.dispose()


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://db/x", "sqlite://", "postgresql://db/x"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"postgresql\+pg8000"):
        open_database(url)


def test_a_database_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    engine = open_database(f"postgresql+pg8000://catchment@/none?unix_sock={tmp_path / 'nothing'}")
    with pytest.raises(StoreError, match=r"\[metadata\] url"):
        migrate.upgrade(engine)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="expected a folder"):
        open_database(f"sqlite:///{tmp_path}/file/metadata.db")
