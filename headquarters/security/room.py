"""Whether a site's tenant may have what a new gateway would send it: within its quota of storage.

What gateways send that are there is always taken in; so the quota is asked before one comes.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Engine

from headquarters.db.base import now_us
from headquarters.db.engine import reading
from headquarters.security.registry import Registry
from headquarters.tenancy import usage


def demand_room(metadata: Engine, registry: Registry, ids: Iterable[str], site: str, role: str) -> None:
    """See that a site's tenant may have what gateways would send; one that is there may always come back.

    Args:
        metadata: The metadata store.
        registry: Who is there.
        ids: Names of nodes.
        site: Their site.
        role: `gateway` or `hub`.

    Raises:
        QuotaError: It takes up as much as it may.
        StoreError: The metadata store failed.
    """
    if role == "gateway" and not {node.id for node in registry.nodes()}.issuperset(ids):
        with reading(metadata) as session:
            usage.demand_room(session, site, now_us())
