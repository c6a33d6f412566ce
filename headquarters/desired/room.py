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


def apps_by_tenant(
    store: DesiredStore, tenants: Mapping[str, str], wanted: Mapping[str, Iterable[Item]]
) -> Counter[str]:
    """How many apps are desired of each tenant's gateways, if something else were desired of some.

    Args:
        store: What is desired.
        tenants: The tenant of each gateway that has one.
        wanted: What would be desired instead.
    """
    found: Counter[str] = Counter()
    for gateway, tenant in tenants.items():
        entry = store.newest(gateway)
        items = wanted.get(gateway, () if entry is None else entry.document.items)
        found[tenant] += sum(item.kind is ItemKind.APP for item in items)
    return found


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
        now, then = apps_by_tenant(store, tenants, {}), apps_by_tenant(store, tenants, wanted)
        for tenant, apps in then.items():
            quotas.measure(tenant, THING, min(apps, now[tenant]))
            if apps > now[tenant]:
                quotas.charge(tenant, THING, apps - now[tenant], now_us())
