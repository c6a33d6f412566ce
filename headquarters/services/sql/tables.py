"""Tables of queries that were asked, and of those that are kept to be asked again."""

from __future__ import annotations

from sqlalchemy import Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from headquarters.db.base import Base, Micros


class QueryRow(Base):
    """A query that somebody asked, and what came of it."""

    __tablename__ = "queries"
    __table_args__ = (Index("ix_queries_asked", "tenant", "asked_by", "asked_us"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    asked_by: Mapped[str]
    asked_us: Mapped[Micros]
    sql: Mapped[str] = mapped_column(Text)
    state: Mapped[str]
    fault: Mapped[str]
    message: Mapped[str] = mapped_column(Text)
    rows_read: Mapped[Micros]
    rows: Mapped[Micros]
    bytes: Mapped[Micros]
    truncated: Mapped[str]
    took_us: Mapped[Micros]


class SavedQueryRow(Base):
    """A query that is kept under a name."""

    __tablename__ = "saved_queries"
    __table_args__ = (Index("ix_saved_queries_name", "tenant", "owner", "name", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    owner: Mapped[str]
    name: Mapped[str]
    description: Mapped[str] = mapped_column(Text)
    sql: Mapped[str] = mapped_column(Text)
    shared: Mapped[bool]
    changed_us: Mapped[Micros]
