"""`INSERT ... ON CONFLICT`, which both databases have and SQLAlchemy names once for each."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert_for(session: Session, table: Any) -> Any:
    """An insert that has `on_conflict_do_update` and `on_conflict_do_nothing`.

    Args:
        session: Whose database it is for.
        table: A mapped class or a table.
    """
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
