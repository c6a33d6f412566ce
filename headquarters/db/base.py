"""What every table of the metadata store is made of.

Rules:
1. Times are whole microseconds UTC since 1970, in a column of type `Micros` whose name ends in `_us`.
2. Each room declares its tables in its own `tables.py`, and nobody but its `store.py` writes SQL for them.
3. Constraints have names, the same in both databases, so that a later migration can refer to them.
"""

from __future__ import annotations

import secrets
import time
from typing import Annotated

from sqlalchemy import BigInteger, MetaData
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

Micros = Annotated[int, mapped_column(BigInteger)]
"""A time in microseconds UTC since 1970, or any other whole number of 64 bits."""


class Base(DeclarativeBase):
    """The root of all tables of the metadata store."""

    metadata = MetaData(naming_convention=NAMING)


def new_id() -> str:
    """An identifier that nobody can guess and no two databases share: 96 bits in hexadecimal.

    >>> len(new_id())
    24
    """
    return secrets.token_hex(12)


def now_us() -> int:
    """This instant."""
    return time.time_ns() // 1000
