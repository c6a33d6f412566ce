"""What was asked, and what is kept to be asked again: within one transaction of the metadata store.

Rules:
1. Whoever asked sees their own history; nobody else's.
2. A saved query is its owner's; a shared one may be read by everybody of the owner's tenant, and
   changed by the owner alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from headquarters.db.base import new_id
from headquarters.services.sql.tables import QueryRow, SavedQueryRow


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of the history.

    Args:
        id: Its id, also of its result while that is kept.
        tenant: In which tenant it was asked.
        asked_by: Id of who asked.
        asked_us: When, microseconds since 1970.
        sql: What was asked.
        state: `waiting`, `running`, `done` or `failed`.
        fault: Of one that failed: why, as in `errors.Fault`, or `store` for what was our fault.
        message: The message that was given.
        rows_read: Rows that it was expected to read.
        rows: Rows of the result.
        bytes: Bytes of the result.
        truncated: `rows` or `bytes` when the result ends there; else empty.
        took_us: How long it took.
    """

    id: str
    tenant: str
    asked_by: str
    asked_us: int
    sql: str
    state: str
    fault: str = ""
    message: str = ""
    rows_read: int = 0
    rows: int = 0
    bytes: int = 0
    truncated: str = ""
    took_us: int = 0


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """One saved query.

    Args:
        id: Its id.
        tenant: The tenant of its owner.
        owner: Id of who saved it.
        name: Its name, unique among the owner's.
        description: For people.
        sql: The query.
        shared: Whether everybody of the tenant may read it.
        changed_us: When it was last changed, microseconds since 1970.
    """

    id: str
    tenant: str
    owner: str
    name: str
    description: str
    sql: str
    shared: bool
    changed_us: int


class History:
    """Queries that were asked."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, asked: Asked) -> None:
        """Write down that a query was asked."""
        self._session.add(QueryRow(**{name: getattr(asked, name) for name in Asked.__slots__}))
        self._session.flush()

    def end(self, asked: Asked) -> None:
        """Write down what came of it."""
        values = {name: getattr(asked, name) for name in _OUTCOME}
        self._session.execute(update(QueryRow).where(QueryRow.id == asked.id).values(**values))

    def get(self, id: str, tenant: str, asked_by: str) -> Asked | None:
        """A query that somebody asked."""
        ours = and_(QueryRow.id == id, QueryRow.tenant == tenant, QueryRow.asked_by == asked_by)
        row = self._session.execute(select(*_ASKED).where(ours)).one_or_none()
        return None if row is None else Asked(*row)

    def of(self, tenant: str, asked_by: str, before_us: int, limit: int) -> Sequence[Asked]:
        """What somebody asked before an instant, the newest first."""
        ours = and_(QueryRow.tenant == tenant, QueryRow.asked_by == asked_by, QueryRow.asked_us < before_us)
        rows = self._session.execute(
            select(*_ASKED).where(ours).order_by(QueryRow.asked_us.desc(), QueryRow.id).limit(limit)
        )
        return [Asked(*row) for row in rows]

    def abandon(self, message: str) -> None:
        """Those that wait or run are of a process that is gone."""
        open_ = QueryRow.state.in_(("waiting", "running"))
        values = {"state": "failed", "fault": "store", "message": message}
        self._session.execute(update(QueryRow).where(open_).values(**values))

    def forget(self, before_us: int) -> None:
        """Delete what was asked before an instant."""
        self._session.execute(delete(QueryRow).where(QueryRow.asked_us < before_us))


class SavedQueries:
    """Queries under names."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(
        self, tenant: str, owner: str, name: str, sql: str, *, description: str, shared: bool, at_us: int
    ) -> SavedQuery:
        """Keep a query.

        Raises:
            ConflictError: The owner has one of this name, when the transaction ends.
        """
        saved = SavedQuery(new_id(), tenant, owner, name, description, sql, shared, at_us)
        self._session.add(SavedQueryRow(**{each: getattr(saved, each) for each in SavedQuery.__slots__}))
        self._session.flush()
        return saved

    def get(self, id: str, tenant: str, reader: str) -> SavedQuery | None:
        """One that somebody may read."""
        row = self._session.execute(
            select(*_SAVED).where(SavedQueryRow.id == id, _readable(tenant, reader))
        ).one_or_none()
        return None if row is None else SavedQuery(*row)

    def readable(self, tenant: str, reader: str) -> Sequence[SavedQuery]:
        """All that somebody may read, by name."""
        order = (SavedQueryRow.name, SavedQueryRow.id)
        rows = self._session.execute(select(*_SAVED).where(_readable(tenant, reader)).order_by(*order))
        return [SavedQuery(*row) for row in rows]

    def change(self, saved: SavedQuery) -> bool:
        """Give one of the owner's another name, text or reach; whether there is such a one."""
        mine = and_(SavedQueryRow.id == saved.id, SavedQueryRow.owner == saved.owner)
        values = {
            name: getattr(saved, name) for name in ("name", "description", "sql", "shared", "changed_us")
        }
        found = self._session.execute(
            update(SavedQueryRow)
            .where(mine, SavedQueryRow.tenant == saved.tenant)
            .values(**values)
            .returning(SavedQueryRow.id)
        )
        return found.one_or_none() is not None

    def remove(self, id: str, tenant: str, owner: str) -> bool:
        """Delete one of the owner's; whether there was one."""
        mine = and_(SavedQueryRow.id == id, SavedQueryRow.tenant == tenant, SavedQueryRow.owner == owner)
        found = self._session.execute(delete(SavedQueryRow).where(mine).returning(SavedQueryRow.id))
        return found.one_or_none() is not None


def _readable(tenant: str, reader: str) -> ColumnElement[bool]:
    mine = or_(SavedQueryRow.owner == reader, SavedQueryRow.shared.is_(True))
    return and_(SavedQueryRow.tenant == tenant, mine)


_ASKED = tuple(getattr(QueryRow, name) for name in Asked.__slots__)
_SAVED = tuple(getattr(SavedQueryRow, name) for name in SavedQuery.__slots__)
_OUTCOME = ("state", "fault", "message", "rows_read", "rows", "bytes", "truncated", "took_us")
