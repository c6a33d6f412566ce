"""Quotas and usage of tenants in the metadata store."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from headquarters.db.upsert import insert_for
from headquarters.tenancy import quota
from headquarters.tenancy.quota import THINGS, Usage
from headquarters.tenancy.store import Tenants
from headquarters.tenancy.tables import QuotaRow, UsageRow


class Quotas:
    """Quotas within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def limits(self, tenant: str) -> dict[str, int]:
        """The quotas of a tenant; a thing that is not there has no bound."""
        rows = self._session.execute(select(QuotaRow.thing, QuotaRow.most).where(QuotaRow.tenant == tenant))
        return {row.thing: row.most for row in rows}

    def set(self, tenant: str, thing: str, most: int | None) -> None:
        """Set a quota, or take it away."""
        if most is None:
            where = (QuotaRow.tenant == tenant, QuotaRow.thing == thing)
            self._session.execute(delete(QuotaRow).where(*where))
            return
        statement = insert_for(self._session, QuotaRow).values(tenant=tenant, thing=thing, most=most)
        self._session.execute(
            statement.on_conflict_do_update(index_elements=["tenant", "thing"], set_={"most": most})
        )

    def usage(self, tenant: str, at_us: int) -> dict[str, int]:
        """What a tenant uses of each thing at an instant."""
        query = select(UsageRow.thing, UsageRow.window_us, UsageRow.used).where(UsageRow.tenant == tenant)
        found = {row.thing: Usage(row.window_us, row.used) for row in self._session.execute(query)}
        return {thing: quota.current(thing, found.get(thing, Usage(0, 0)), at_us).used for thing in THINGS}

    def charge(self, tenant: str, thing: str, amount: int, at_us: int) -> None:
        """Use an amount of a thing, if there is room.

        Raises:
            QuotaError: There is none; nothing was charged.
        """
        usage = self._locked(tenant, thing)
        most = self.limits(tenant).get(thing)
        self._put(tenant, thing, quota.charge(tenant, thing, usage, at_us, amount, most))

    def release(self, tenant: str, thing: str, amount: int) -> None:
        """Give an amount back."""
        usage = self._locked(tenant, thing)
        self._put(tenant, thing, usage._replace(used=max(0, usage.used - amount)))

    def check(self, tenant: str, thing: str, amount: int, at_us: int) -> None:
        """See that there is room for so much more of a thing, without using it.

        Raises:
            QuotaError: There is none.
        """
        quota.check(tenant, thing, self.usage(tenant, at_us)[thing], amount, self.limits(tenant).get(thing))

    def forget(self, thing: str) -> None:
        """Nobody uses anything of a thing any more."""
        self._session.execute(update(UsageRow).where(UsageRow.thing == thing).values(used=0))

    def measure(self, tenant: str, thing: str, used: int) -> None:
        """Set what is used, as it was measured."""
        self._put(tenant, thing, self._locked(tenant, thing)._replace(used=used))

    def _locked(self, tenant: str, thing: str) -> Usage:
        empty = insert_for(self._session, UsageRow).values(tenant=tenant, thing=thing, window_us=0, used=0)
        self._session.execute(empty.on_conflict_do_nothing())
        query = select(UsageRow.window_us, UsageRow.used).where(*_place(tenant, thing)).with_for_update()
        return Usage(*self._session.execute(query).one())

    def _put(self, tenant: str, thing: str, usage: Usage) -> None:
        statement = update(UsageRow).where(*_place(tenant, thing)).values(**usage._asdict())
        self._session.execute(statement)


def demand_room(session: Session, site: str, at_us: int) -> None:
    """See that more data may come to a site: its tenant is within its quota of storage.

    Args:
        session: A transaction of the metadata store.
        site: Where it would come from.
        at_us: Now, microseconds since 1970.

    Raises:
        QuotaError: It is not.
    """
    owner = Tenants(session).owner_of(site)
    if owner is not None:
        Quotas(session).check(owner, "storage", 1, at_us)


def _place(tenant: str, thing: str) -> tuple[ColumnElement[bool], ...]:
    return UsageRow.tenant == tenant, UsageRow.thing == thing
