"""Entries, head and seals of the audit in the metadata store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, delete, func, literal_column, select, update
from sqlalchemy.orm import Session

from headquarters.audit import limits
from headquarters.audit.chain import Base, Content, Entry, Seal, link
from headquarters.audit.tables import EntryRow, HeadRow, SealRow
from headquarters.db.engine import damaged_texts
from headquarters.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries are wanted; what is `None` or empty limits nothing.

    Args:
        tenant: Of whose affairs.
        from_us: From this instant on.
        to_us: Before this instant.
        actor: By whom: an id or a name.
        action: What; `users.` stands for all that begin so.
        target: To whom or what.
        outcome: How it ended.
    """

    tenant: str | None = None
    from_us: int | None = None
    to_us: int | None = None
    actor: str = ""
    action: str = ""
    target: str = ""
    outcome: str = ""


class Audit:
    """The audit within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(self, content: Content) -> int:
        """Put an entry at the end; its `seq` is given here, under the lock of the chain.

        Returns:
            Its sequence number.
        """
        head = self._lock()
        entry = link(content._replace(seq=head.seq + 1), head.hash)
        self._session.add(EntryRow(**entry.content._asdict(), previous=entry.previous, hash=entry.hash))
        self._session.flush()
        self._session.execute(
            update(HeadRow).where(HeadRow.id == 1).values(seq=entry.content.seq, hash=entry.hash)
        )
        return entry.content.seq

    def head(self) -> Base:
        """The last entry's place and hash."""
        return Base(*self._session.execute(select(HeadRow.seq, HeadRow.hash)).one())

    def base(self) -> Base:
        """What the chain begins after."""
        return Base(*self._session.execute(select(HeadRow.base_seq, HeadRow.base_hash)).one())

    def walk(self) -> Iterator[Entry]:
        """Every entry in order, a page at a time."""
        # SQLite's by the rows themselves: ordered by `seq`, it takes that from the index, not from the row.
        is_sqlite = self._session.get_bind().dialect.name == "sqlite"
        place: Any = literal_column("audit_entries.rowid", BigInteger) if is_sqlite else EntryRow.seq
        after = 0
        while True:
            query = select(*_ENTRY, place).where(place > after).order_by(place).limit(limits.PAGE)
            page = self._rows(query)
            for *row, _ in page:
                yield _entry(row)
            if len(page) < limits.PAGE:
                return
            after = page[-1][-1]

    def page(self, wanted: Filter, before: int | None = None, rows_max: int = 100) -> list[Entry]:
        """The newest entries that are wanted, the newest first.

        Args:
            wanted: Which.
            before: Only those before this sequence number: the last of the page before.
            rows_max: At most so many.
        """
        query = select(*_ENTRY).order_by(EntryRow.seq.desc()).limit(rows_max)
        if before is not None:
            query = query.where(EntryRow.seq < before)
        for condition in _conditions(wanted):
            query = query.where(condition)
        return [_entry(row) for row in self._rows(query)]

    def seals(self) -> list[Seal]:
        """Every seal, the oldest first."""
        return [_seal(row) for row in self._session.execute(select(*_SEAL).order_by(SealRow.id))]

    def newest_seal(self) -> Seal | None:
        """The last seal; `None` while there is none."""
        query = select(*_SEAL).order_by(SealRow.id.desc()).limit(1)
        row = self._session.execute(query).one_or_none()
        return None if row is None else _seal(row)

    def has_seal(self, seal: Seal) -> bool:
        """Whether a seal is here, signature and all."""
        query = select(*_SEAL).where(SealRow.seq == seal.seq)
        return any(_seal(row) == seal for row in self._session.execute(query))

    def last_seal(self) -> int:
        """The entry up to which the chain was signed last; 0 for never."""
        return self._session.execute(select(func.max(SealRow.seq))).scalar_one() or 0

    def add_seal(self, seal: Seal) -> None:
        """Keep a seal."""
        self._session.add(
            SealRow(
                seq=seal.seq,
                hash=seal.hash,
                base_seq=seal.base.seq,
                base_hash=seal.base.hash,
                time_us=seal.time_us,
                key=seal.key,
                signature=seal.signature,
            )
        )

    def oldest_before(self, before_us: int) -> Base | None:
        """The last entry of the unbroken run from the base on that is older than an instant."""
        younger = select(func.min(EntryRow.seq)).where(EntryRow.time_us >= before_us).scalar_subquery()
        query = select(EntryRow.seq, EntryRow.hash).where(EntryRow.time_us < before_us)
        query = query.where(EntryRow.seq < func.coalesce(younger, 2**62))
        row = self._session.execute(query.order_by(EntryRow.seq.desc()).limit(1)).one_or_none()
        return None if row is None else Base(row[0], bytes(row[1]))

    def cut(self, base: Base) -> None:
        """Remove all entries up to one, which the database refuses for entries that are too young."""
        self._lock()
        self._session.execute(delete(EntryRow).where(EntryRow.seq <= base.seq))
        self._session.execute(
            update(HeadRow).where(HeadRow.id == 1).values(base_seq=base.seq, base_hash=base.hash)
        )

    def _rows(self, query: Any) -> Sequence[Any]:
        with damaged_texts(self._session):
            return self._session.execute(query).all()

    def _lock(self) -> Base:
        query = select(HeadRow.seq, HeadRow.hash).where(HeadRow.id == 1).with_for_update()
        row = self._session.execute(query).one_or_none()
        if row is None:
            raise ConflictError(
                "expected a head of the audit, found none: it was removed; restore a backup of the metadata"
            )
        return Base(row[0], bytes(row[1]))


def _conditions(wanted: Filter) -> Iterator[ColumnElement[bool]]:
    if wanted.tenant is not None:
        yield EntryRow.tenant == wanted.tenant
    if wanted.from_us is not None:
        yield EntryRow.time_us >= wanted.from_us
    if wanted.to_us is not None:
        yield EntryRow.time_us < wanted.to_us
    if wanted.actor:
        yield (EntryRow.actor_id == wanted.actor) | (EntryRow.actor_name == wanted.actor)
    if wanted.action:
        prefix = wanted.action.endswith(".")
        yield (
            EntryRow.action.startswith(wanted.action, autoescape=True)
            if prefix
            else (EntryRow.action == wanted.action)
        )
    if wanted.target:
        yield EntryRow.target == wanted.target
    if wanted.outcome:
        yield EntryRow.outcome == wanted.outcome


_ENTRY = (
    EntryRow.seq,
    EntryRow.time_us,
    EntryRow.tenant,
    EntryRow.actor_kind,
    EntryRow.actor_id,
    EntryRow.actor_name,
    EntryRow.action,
    EntryRow.target,
    EntryRow.outcome,
    EntryRow.detail,
    EntryRow.previous,
    EntryRow.hash,
)
_SEAL = (
    SealRow.seq,
    SealRow.hash,
    SealRow.base_seq,
    SealRow.base_hash,
    SealRow.time_us,
    SealRow.key,
    SealRow.signature,
)


def _entry(row: Any) -> Entry:
    *content, previous, hash = tuple(row)
    return Entry(Content(*content), _bytes(previous), _bytes(hash))


def _seal(row: Any) -> Seal:
    seq, hash, base_seq, base_hash, at, key, signature = row
    return Seal(seq, _bytes(hash), Base(base_seq, _bytes(base_hash)), at, _bytes(key), _bytes(signature))


def _bytes(value: object) -> bytes:
    """A hash; one that is of another type by now is none."""
    return bytes(value) if isinstance(value, (bytes, memoryview)) else b""
