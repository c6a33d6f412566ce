"""Requests under keys, kept so that the same one is done once."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from headquarters.api.tables import IdempotencyRow
from headquarters.db.upsert import insert_for

KEPT_US = 86_400_000_000
"""A day: who has not asked again by then does not."""

FORGOTTEN_US = 120_000_000
"""A request that has no answer after two minutes was cut: its key is free again."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a key.

    Args:
        request: Hash of the request that was made under it.
        status: Of its answer; `None` while there is none.
        media_type: Of its answer.
        body: Its answer.
    """

    request: bytes
    status: int | None
    media_type: str
    body: bytes


class Keys:
    """Keys of requests within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self, principal: str, key: str, request: bytes, at_us: int) -> Kept | None:
        """Take a key; what is known of it when somebody has it already.

        Args:
            principal: Whose key.
            key: The key.
            request: Hash of the request.
            at_us: Now.
        """
        row = IdempotencyRow
        self._session.execute(delete(row).where(row.made_us < at_us - KEPT_US))
        self._session.execute(delete(row).where(row.status.is_(None), row.made_us < at_us - FORGOTTEN_US))
        statement = insert_for(self._session, row).values(
            principal=principal, key=key, request=request, status=None, media_type="", body=b"", made_us=at_us
        )
        made = self._session.execute(
            statement.on_conflict_do_nothing(index_elements=["principal", "key"]).returning(row.key)
        )
        if made.one_or_none() is not None:
            return None
        columns = (row.request, row.status, row.media_type, row.body)
        where = (row.principal == principal, row.key == key)
        return Kept(*self._session.execute(select(*columns).where(*where)).one())

    def end(self, principal: str, key: str, status: int, media_type: str, body: bytes) -> None:
        """Keep the answer to a key's request."""
        row = IdempotencyRow
        self._session.execute(
            update(row)
            .where(row.principal == principal, row.key == key)
            .values(status=status, media_type=media_type, body=body)
        )

    def forget(self, principal: str, key: str) -> None:
        """Free a key whose request was not done."""
        row = IdempotencyRow
        self._session.execute(delete(row).where(row.principal == principal, row.key == key))
