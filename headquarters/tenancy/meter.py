"""Charges what tenants' people ask for, each time in a transaction of its own; safe between threads.

Rules:
1. What is asked for is charged before it is done; a job is given back however it ends.
2. A job ends with the process that runs it: a new meter begins without any.

::

    meter = Meter(engine)
    meter.charge("plant-a", queries=1, jobs=1)
    meter.release("plant-a", "jobs")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Engine

from headquarters.db.base import now_us
from headquarters.db.engine import reading, writing
from headquarters.tenancy.usage import Quotas

JOBS = "jobs"


class Meter:
    """See the module's docstring.

    Args:
        metadata: The metadata store.

    Raises:
        StoreError: It cannot be used.
    """

    def __init__(self, metadata: Engine) -> None:
        self._metadata = metadata
        with writing(metadata) as session:
            Quotas(session).forget(JOBS)

    def charge(self, tenant: str, **amounts: int) -> None:
        """Use something of each thing that is named, if there is room for all of it.

        Raises:
            QuotaError: There is none; nothing was charged.
            StoreError: The metadata store failed.
        """
        with writing(self._metadata) as session:
            for thing, amount in amounts.items():
                Quotas(session).charge(tenant, thing, amount, now_us())

    def release(self, tenant: str, thing: str) -> None:
        """Give one of a thing back.

        Raises:
            StoreError: The metadata store failed.
        """
        with writing(self._metadata) as session:
            Quotas(session).release(tenant, thing, 1)

    def check(self, tenant: str, thing: str, amount: int) -> None:
        """See that there is room for so much more of a thing that is measured.

        Raises:
            QuotaError: There is none.
            StoreError: The metadata store failed.
        """
        with reading(self._metadata) as session:
            Quotas(session).check(tenant, thing, amount, now_us())

    def as_job(self, tenant: str, begin: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """What takes long to give out, as a job of a tenant from now until it is over or let go of.

        Args:
            tenant: Whose.
            begin: Gives the parts.

        Raises:
            QuotaError: The tenant has as many jobs as it may; `begin` was not called.
            StoreError: The metadata store failed.
        """
        self.charge(tenant, jobs=1)
        parts = self._until_over(tenant, begin)
        next(parts)  # what has begun is ended even where nobody takes a part of it
        return parts

    def _until_over(self, tenant: str, begin: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        try:
            parts = begin()
            yield None
            yield from parts
        finally:
            self.release(tenant, JOBS)
