"""Every test of a store runs on SQLite and on PostgreSQL, each on an empty, migrated database."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, text

from headquarters.db import migrate
from headquarters.db.engine import open_database
from headquarters.metadata import all_tables
from tests.stores.cluster import shared_cluster

DATABASES = ("sqlite",) if os.environ.get("PEERS") == "0" else ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The socket of a private PostgreSQL; xdist's workers share it."""
    base = tmp_path_factory.getbasetemp()
    with shared_cluster(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) as socket:
        yield socket


@pytest.fixture(scope="session")
def postgres_admin(postgres_socket: str) -> Iterator[Engine]:
    """For making databases."""
    engine = create_engine(postgres_url(postgres_socket, "postgres"), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_database(postgres_admin: Engine, postgres_socket: str) -> Iterator[Engine]:
    """One migrated database of this worker, which each test empties."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    with postgres_admin.connect() as connection:
        connection.execute(text(f"drop database if exists {name}"))
        connection.execute(text(f"create database {name}"))
    engine = open_database(postgres_url(postgres_socket, name))
    migrate.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, which each test copies."""
    path = tmp_path_factory.mktemp("template") / "metadata.db"
    engine = open_database(f"sqlite:///{path}")
    migrate.upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("rollback")
        connection.exec_driver_sql("pragma journal_mode = delete")
    engine.dispose()
    return path


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty metadata store of either database."""
    if request.param == "postgresql":
        found: Engine = request.getfixturevalue("postgres_database")
        empty(found)
        yield found
        return
    shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "metadata.db")
    opened = open_database(f"sqlite:///{tmp_path / 'metadata.db'}")
    event.listen(opened, "connect", lambda raw, _: raw.execute("pragma synchronous = off"))
    yield opened
    opened.dispose()


@pytest.fixture(params=DATABASES)
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'fresh.db'}"
    admin: Engine = request.getfixturevalue("postgres_admin")
    name = f"fresh_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    with admin.connect() as connection:
        connection.execute(text(f"drop database if exists {name} with (force)"))
        connection.execute(text(f"create database {name}"))
    return postgres_url(request.getfixturevalue("postgres_socket"), name)


def postgres_url(socket: str, database: str) -> str:
    """How a database of the cluster is reached."""
    return f"postgresql+pg8000://catchment@/{database}?unix_sock={socket}"


def empty(engine: Engine) -> None:
    """Take everything out that the migrations did not put in; triggers are not asked."""
    with engine.execution_options(catchment_write=True).begin() as connection:
        connection.execute(text("set local session_replication_role = replica"))
        for table in reversed(all_tables().sorted_tables):
            kept = {"tenants": " where id <> 'group'", "audit_head": " where false"}.get(table.name, "")
            connection.execute(text(f'delete from "{table.name}"{kept}'))
        connection.execute(text("update audit_head set seq = 0, base_seq = 0, hash = base_hash where id = 1"))
        zero = {"zero": bytes(32)}
        connection.execute(text("update audit_head set hash = :zero, base_hash = :zero"), zero)
