"""Tables of the audit. Triggers made by the first migration refuse to change or remove entries."""

from __future__ import annotations

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from headquarters.db.base import Base, Micros


class EntryRow(Base):
    """One entry; never changed, removed no sooner than `limits.RETENTION_DAYS_MIN` after."""

    __tablename__ = "audit_entries"

    seq: Mapped[Micros] = mapped_column(primary_key=True, autoincrement=False)
    time_us: Mapped[Micros] = mapped_column(index=True)
    tenant: Mapped[str] = mapped_column(index=True)
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    actor_name: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    outcome: Mapped[str]
    detail: Mapped[str]
    previous: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class HeadRow(Base):
    """Where the chain ends and where it begins: one row, which is also the lock of the chain."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[Micros]
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    base_seq: Mapped[Micros]
    base_hash: Mapped[bytes] = mapped_column(LargeBinary)


class SealRow(Base):
    """Headquarters' signature over the chain as it stood."""

    __tablename__ = "audit_seals"

    id: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[Micros]
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    base_seq: Mapped[Micros]
    base_hash: Mapped[bytes] = mapped_column(LargeBinary)
    time_us: Mapped[Micros]
    key: Mapped[bytes] = mapped_column(LargeBinary)
    signature: Mapped[bytes] = mapped_column(LargeBinary)
