"""Hubs: how they stand, and what is behind them."""

from __future__ import annotations

from dataclasses import dataclass

from headquarters.tenancy.scope import Scope
from headquarters.views.gateways import GatewayRow, gateway_rows
from headquarters.views.sources import Sources
from headquarters.views.standing import Standing


@dataclass(frozen=True, slots=True)
class HubRow:
    """One hub.

    Args:
        id: Its name.
        state: In the register: `active`, `quarantined`, `revoked`; `listed` when it is on the list by hand.
        standing: `live` while it has a session here, `silent` when it has none.
        heard_s: Seconds since it was heard; `None` while it has no session.
        gateways: Gateways behind it that are seen.
        live: Of these, such as are live.
        rate: Samples a second that came through it.
        addresses: Its sockets as gateways reach them.
    """

    id: str
    state: str
    standing: Standing
    heard_s: float | None
    gateways: int
    live: int
    rate: float
    addresses: dict[str, str]


def hubs(sources: Sources, scope: Scope) -> tuple[HubRow, ...]:
    """Every hub, by name; with a limited scope those that have gateways which are seen.

    Raises:
        StoreError: A store cannot be read.
    """
    status = sources.status() or {}
    sessions = status.get("sessions", {})
    behind: dict[str, list[GatewayRow]] = {}
    for row in gateway_rows(sources, scope):
        behind.setdefault(upstream_of(sources, row), []).append(row)
    rows = []
    for id_, (state, addresses) in sorted(known_hubs(sources).items()):
        gateways = behind.get(id_, [])
        if scope.sites is not None and not gateways:
            continue
        heard = sessions.get(id_)
        standing = Standing.SILENT if heard is None else Standing.LIVE
        rows.append(
            HubRow(
                id_,
                state,
                Standing(state) if state in ("quarantined", "revoked") else standing,
                heard,
                len(gateways),
                sum(row.standing is Standing.LIVE for row in gateways),
                round(sum(row.rate for row in gateways), 3),
                addresses if scope.sites is None else {},
            )
        )
    return tuple(rows)


def known_hubs(sources: Sources) -> dict[str, tuple[str, dict[str, str]]]:
    """Every hub of the register or the list by hand: its state, as in `HubRow`, and its addresses."""
    known: dict[str, tuple[str, dict[str, str]]] = {
        node.id: ("listed", {}) for node in sources.trust().identities if node.role == "hub"
    }
    for node in sources.nodes().values():
        if node.role == "hub":
            known[node.id] = (str(node.state), dict(node.addresses))
    return known


def upstream_of(sources: Sources, row: GatewayRow) -> str:
    """The hub that a gateway sends to, as far as is known; empty for headquarters itself.

    A gateway of the list by hand names no hub: with a session here it has none, and where there
    is one hub alone it is that one.
    """
    if row.via:
        return row.via
    sessions = (sources.status() or {}).get("sessions", {})
    only = [node.id for node in sources.trust().identities if node.role == "hub"]
    return only[0] if len(only) == 1 and row.id not in sessions and row.state == "listed" else ""
