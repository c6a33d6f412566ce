"""Headquarters, hubs and gateways as a tree with live health."""

from __future__ import annotations

from dataclasses import dataclass

from headquarters.tenancy.scope import Scope
from headquarters.views.gateways import gateway_rows
from headquarters.views.hubs import hubs, upstream_of
from headquarters.views.sources import Sources
from headquarters.views.standing import Standing


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Args:
        id: Its name.
        role: `headquarters`, `hub` or `gateway`.
        level: 1, 2 or 3.
        site: Of a gateway.
        standing: How it stands.
        rate: Samples a second that come from it, or through it.
        alarms: Of a gateway: what is announced and not normal.
        backlog_s: Of a gateway: age of the oldest sample that it still holds.
    """

    id: str
    role: str
    level: int
    site: str
    standing: Standing
    rate: float
    alarms: int = 0
    backlog_s: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Who sends to whom.

    Args:
        source: The lower node.
        target: The upper node.
        standing: Whether something goes over it.
        rate: Samples a second.
    """

    source: str
    target: str
    standing: Standing
    rate: float


@dataclass(frozen=True, slots=True)
class Topology:
    """All of it.

    Args:
        nodes: Headquarters first, then hubs, then gateways, by name.
        links: Upward.
    """

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]


def topology(sources: Sources, scope: Scope) -> Topology:
    """The tree of all nodes that are seen.

    Raises:
        StoreError: A store cannot be read.
    """
    own, gateways, between = sources.config.id, gateway_rows(sources, scope), hubs(sources, scope)
    rate = round(sum(row.rate for row in gateways), 3)
    standing = Standing.SILENT if sources.status() is None else Standing.LIVE
    nodes = [Node(own, "headquarters", 1, "", standing, rate)]
    nodes += [Node(hub.id, "hub", 2, "", hub.standing, hub.rate) for hub in between]
    links = [Link(hub.id, own, hub.standing, hub.rate) for hub in between]
    known = {hub.id for hub in between}
    for row in gateways:
        nodes.append(Node(row.id, "gateway", 3, row.site, row.standing, row.rate, row.alarms, row.backlog_s))
        upper = upstream_of(sources, row)
        links.append(Link(row.id, upper if upper in known else own, row.standing, row.rate))
    return Topology(tuple(nodes), tuple(links))
