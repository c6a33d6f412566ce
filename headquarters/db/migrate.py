"""Brings a metadata store up to date: `catchment-hq db upgrade`, and every process at its start.

Rules:
1. One at a time: on PostgreSQL under an advisory lock, on SQLite within its write lock.
2. All steps are one transaction: a store is of the old version or of the new one.
3. A store of a later version than this program is refused, not touched.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from headquarters.db.engine import database_errors
from protocols.errors import StoreError

LOCK = 0x6361746368  # "catch"
"""The advisory lock of a migration; any number that nobody else in the database uses."""

_SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine) -> tuple[str, ...]:
    """Make all steps that are missing.

    Returns:
        The steps that the store is at now, one for each line of development.

    Raises:
        StoreError: The database failed, or is of a later version.
    """
    config = _config()
    with database_errors(), engine.execution_options(catchment_write=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        if set(_at(connection)) != set(_heads(config)):
            _refuse_later(config, _at(connection))
            config.attributes["connection"] = connection
            command.upgrade(config, "heads")
        return _at(connection)


def current(engine: Engine) -> tuple[str, ...]:
    """The steps that the store is at; empty for a new one.

    Raises:
        StoreError: The database failed.
    """
    with database_errors(), engine.connect() as connection:
        return _at(connection)


def heads() -> tuple[str, ...]:
    """The steps that this program needs."""
    return _heads(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def _heads(config: Config) -> tuple[str, ...]:
    return tuple(sorted(ScriptDirectory.from_config(config).get_heads()))


def _at(connection: Connection) -> tuple[str, ...]:
    return tuple(sorted(MigrationContext.configure(connection).get_current_heads()))


def _refuse_later(config: Config, at: tuple[str, ...]) -> None:
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    later = sorted(set(at) - known)
    if later:
        raise StoreError(
            f"expected a metadata store of this program's version or an earlier one, got step"
            f" {', '.join(later)}; run the program that made it, or restore a backup"
        )
