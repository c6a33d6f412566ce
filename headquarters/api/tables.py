"""What the API keeps in the metadata store."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from headquarters.db.base import Base, Micros


class IdempotencyRow(Base):
    """A request that was made under a key, and its answer."""

    __tablename__ = "api_idempotency"

    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[bytes]
    status: Mapped[Micros | None]
    media_type: Mapped[str]
    body: Mapped[bytes]
    made_us: Mapped[Micros] = mapped_column(index=True)
