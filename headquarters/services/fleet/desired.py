"""Change what a gateway should run."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from headquarters.desired.room import demand_room
from headquarters.desired.targets import UpdateRepository, publish
from headquarters.desired.wanted import changed, items_of
from headquarters.tenancy.scope import Scope
from headquarters.views import desired as view
from headquarters.views.seeing import UnseenError, need_gateway
from headquarters.views.sources import Sources
from protocols.errors import InputError, Problem


def change(
    sources: Sources,
    scope: Scope,
    author: str,
    gateway: str,
    put: Sequence[str] = (),
    remove: Sequence[str] = (),
    drift: str = "",
    comment: str = "",
    *,
    metadata: Engine,
) -> view.Desired:
    """Change what is desired of a gateway; what is desired already changes nothing.

    Args:
        sources: Of this headquarters.
        scope: Of who asks.
        author: Who asks, for the history.
        gateway: Which.
        put: Targets of the update repository to have.
        remove: Items to have no longer, such as `app/gas`.
        drift: With `put`: what becomes of files that were changed at the gateway.
        comment: Why.
        metadata: The metadata store.

    Raises:
        UnseenError: There is no such gateway, or it is not seen.
        QuotaError: The tenant's gateways would have more apps than it may.
        InputError: There is no such target or item, or what is left does not fit together.
        StoreError: A store cannot be used.
    """
    need_gateway(sources, scope, gateway)
    repository = UpdateRepository(sources.config)
    items = items_of(put, repository.targets(), drift, "request", "put")
    with sources.desired() as store:
        with store.transaction():
            entry = store.newest(gateway)
            before = () if entry is None else entry.document.items
            after = changed(before, items, remove)
            demand_room(metadata, store, sources.trust().gateway_sites, {gateway: after})
            store.put(gateway, after, sources.now_us(), author, comment)
        publish(store, repository)
    return _shown(sources, scope, gateway)


def revert(
    sources: Sources, scope: Scope, author: str, gateway: str, to: int | None = None, comment: str = ""
) -> view.Desired:
    """Desire again what was desired before.

    Args:
        sources: Of this headquarters.
        scope: Of who asks.
        author: Who asks, for the history.
        gateway: Which.
        to: The version to go back to; `None` for the one before.
        comment: Why.

    Raises:
        UnseenError: There is no such gateway, or it is not seen.
        InputError: There is no such version.
        StoreError: A store cannot be used.
    """
    need_gateway(sources, scope, gateway)
    repository = UpdateRepository(sources.config)
    with sources.desired() as store:
        with store.transaction():
            newest = store.newest(gateway)
            if newest is None:
                raise UnseenError("desired state of gateway", gateway)
            number = newest.document.version - 1 if to is None else to
            former = store.entry(gateway, number)
            if former is None:
                expected = f"a version from 1 to {newest.document.version}"
                raise InputError([Problem("request", "to", str(number), expected)])
            reason = comment or f"back to version {number}"
            document = former.document
            store.put(gateway, document.items, sources.now_us(), author, reason, writes=document.writes)
        publish(store, repository)
    return _shown(sources, scope, gateway)


def _shown(sources: Sources, scope: Scope, gateway: str) -> view.Desired:
    found = view.desired(sources, scope, gateway)
    assert found is not None, "it was seen, and something is desired of it now"
    return found
