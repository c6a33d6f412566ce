"""Whether tenants may have the apps that would be desired of their gateways: within their quotas.

Rules:
1. What counts is what is desired, one for each app of each gateway, whether it runs yet or not.
2. Who wants more is asked; taking away and going back to what was desired before are never refused.
3. Gateways at sites that no tenant owns have no bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from sqlalchemy import Engine

from headquarters.db.base import now_us
from headquarters.db.engine import writing
from headquarters.desired.store import DesiredStore
from headquarters.tenancy.store import Tenants
from headquarters.tenancy.usage import Quotas
from protocols.desired import Item, ItemKind

THING = "apps"


def apps_by_gateway(store: DesiredStore, gateways: Iterable[str]) -> dict[str, int]:
    """How many apps are desired of each of some gateways."""
    newest = {gateway: store.newest(gateway) for gateway in gateways}
    return {gateway: _apps(entry.document.items) for gateway, entry in newest.items() if entry is not None}


def demand_room(
    metadata: Engine, store: DesiredStore, sites: Mapping[str, str], wanted: Mapping[str, Iterable[Item]]
) -> None:
    """See that tenants may have the apps that would be desired of their gateways, and count them.

    Args:
        metadata: The metadata store.
        store: What is desired now.
        sites: The site of each gateway.
        wanted: What would be desired of some gateways.

    Raises:
        QuotaError: A tenant would have more than now, and more than it may.
        StoreError: A store failed.
    """
    with writing(metadata) as session:
        owners, quotas = Tenants(session).owners(), Quotas(session)
        tenants = {gateway: owners[site] for gateway, site in sites.items() if site in owners}
        now, more = Counter[str](), Counter[str]()
        for gateway, apps in apps_by_gateway(store, tenants).items():
            now[tenants[gateway]] += apps
            more[tenants[gateway]] -= apps if gateway in wanted else 0
        for gateway in wanted.keys() & tenants.keys():
            more[tenants[gateway]] += _apps(wanted[gateway])
        for tenant, apps in more.items():
            quotas.measure(tenant, THING, now[tenant] + min(apps, 0))
            if apps > 0:
                quotas.charge(tenant, THING, apps, now_us())


def _apps(items: Iterable[Item]) -> int:
    return sum(item.kind is ItemKind.APP for item in items)
