"""The metadata store of a home: the one place that knows every room's tables, and opens it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, MetaData

import headquarters.accounts.tables
import headquarters.api.tables
import headquarters.audit.tables
import headquarters.operations.alerts.tables
import headquarters.services.sql.tables
import headquarters.tenancy.tables  # noqa: F401 - each import adds its tables to Base
from headquarters.db import migrate
from headquarters.db.base import Base
from headquarters.db.engine import open_database

FILE = "metadata.db"
"""In the folder of data, where no other URL is set."""


def url_of(data: Path, url: str | None) -> str:
    """The URL of the metadata store: the one that is set, or a file in the folder of data."""
    return url or f"sqlite:///{data / FILE}"


def open_metadata(data: Path, url: str | None) -> Engine:
    """Open the metadata store and bring it up to date.

    Args:
        data: The folder of data.
        url: `[metadata] url`.

    Raises:
        InputError: No such URL.
        StoreError: The database failed, or is of a later version.
    """
    engine = open_database(url_of(data, url))
    try:
        migrate.upgrade(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def all_tables() -> MetaData:
    """Every table that the migrations are to make."""
    return Base.metadata
