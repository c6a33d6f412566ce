"""Let gateways and hubs in, and put them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from headquarters.security import authority
from headquarters.security.door import door_for
from headquarters.security.office import Office
from headquarters.security.registry import Registry, RequestState
from headquarters.security.room import demand_room
from headquarters.tenancy.scope import Scope
from headquarters.views.seeing import UnseenError
from headquarters.views.sources import Sources
from protocols.certificates import fingerprint
from protocols.errors import InputError, Problem

VALID_S_MAX = 90 * 86_400.0
"""A token in a drawer is a key under the mat."""


def invite(
    sources: Sources,
    scope: Scope,
    operator: str,
    ids: Sequence[str],
    site: str,
    role: str,
    valid_s: float,
    via: str = "",
    address: str = "",
    *,
    metadata: Engine,
) -> list[dict[str, Any]]:
    """Make a one-time token for each of some new nodes.

    Args:
        sources: Of this headquarters.
        scope: Of who asks.
        operator: Who asks, for the register.
        ids: Names of the nodes.
        site: Their site.
        role: `gateway` or `hub`.
        valid_s: For how long the tokens are valid, at most 90 days.
        via: The hub that the nodes ask; empty for the only one, or headquarters.
        address: Its enrolment socket as the nodes reach it; empty for the one that is known.
        metadata: The metadata store.

    Returns:
        Of each node `id`, `site`, `role`, `address`, `expires` and `token`, which is kept nowhere.

    Raises:
        UnseenError: The site is not seen.
        InputError: A name is not allowed, or no enrolment socket is known.
        QuotaError: The site's tenant takes up as much as it may, and a gateway would be one more.
        StoreError: The disk failed.
    """
    if not scope.sees_whole(site):
        raise UnseenError("site", site)
    if not 0 < valid_s <= VALID_S_MAX:
        expected = f"seconds, at most {VALID_S_MAX:.0f}"
        raise InputError([Problem("request", "valid_s", str(valid_s), expected)])
    registry = _registry(sources)
    demand_room(metadata, registry, ids, site, role)
    now = sources.now_us() / 1e6
    root = fingerprint(authority.load(sources.config.home, now).root.der)
    door = door_for(sources.config, registry, role, via, address)
    office = Office(registry, operator, now)
    return [invited.to_json() for invited in office.invite(door, root, list(ids), site, role, valid_s)]


def approve(sources: Sources, scope: Scope, operator: str, id: str, shown: str) -> str:
    """Let a node in that asks, and whose keys are those that somebody has compared.

    Args:
        sources: Of this headquarters.
        scope: Of who asks.
        operator: Who approves, for the register.
        id: The node.
        shown: The fingerprint that was compared: keys that took the place of these since are not let in.

    Returns:
        The fingerprint of its keys.

    Raises:
        UnseenError: Nobody of this name asks, or it is not seen.
        InputError: It asks with other keys.
        StoreError: The disk failed.
    """
    from protocols.enrolment import fingerprint as of_keys

    registry = _registry(sources)
    with registry.change():
        request = _asking(sources, scope, id)
        found = of_keys(request.node)
        if found != shown:
            expected = f"{found}, by which {id} asks now; compare it with what the node itself shows"
            raise InputError([Problem("request", "fingerprint", shown, expected)])
        Office(registry, operator, sources.now_us() / 1e6).approve(id)
    sources.forget()
    return found


def reject(sources: Sources, scope: Scope, operator: str, id: str, why: str) -> None:
    """Turn a node away that asks.

    Raises:
        UnseenError: Nobody of this name asks, or it is not seen.
        StoreError: The disk failed.
    """
    _asking(sources, scope, id)
    Office(_registry(sources), operator, sources.now_us() / 1e6).reject(id, why)
    sources.forget()


def revoke(sources: Sources, scope: Scope, operator: str, id: str, why: str) -> int:
    """Put all keys of a node out of force, for good.

    Returns:
        How many sets of keys.

    Raises:
        UnseenError: There is no such node, or it is not seen.
        InputError: It has no certificate.
        StoreError: The disk failed.
    """
    _known(sources, scope, id)
    count = Office(_registry(sources), operator, sources.now_us() / 1e6).revoke(id, why)
    sources.forget()
    return count


def rotate(sources: Sources, scope: Scope, operator: str, id: str) -> None:
    """Ask a gateway to make new keys at its next refresh.

    Raises:
        UnseenError: There is no such node, or it is not seen.
        InputError: It is not a gateway, or has no certificate.
        StoreError: The disk failed.
    """
    _known(sources, scope, id)
    Office(_registry(sources), operator, sources.now_us() / 1e6).rotate(id)
    sources.forget()


def _registry(sources: Sources) -> Registry:
    if sources.registry is None:
        expected = "an authority; make one with: catchment-hq authority create"
        raise InputError([Problem(str(sources.config.home), "", "", expected)])
    return sources.registry


def _asking(sources: Sources, scope: Scope, id: str) -> Any:
    request = _registry(sources).request(id)
    waits = request is not None and request.state is RequestState.PENDING
    if request is None or not waits or not scope.sees_whole(request.node.site):
        raise UnseenError("node that waits for an approval", id)
    return request


def _known(sources: Sources, scope: Scope, id: str) -> None:
    row = _registry(sources).node(id)
    if row is None or not scope.sees_whole(row.site):
        raise UnseenError("node", id)
