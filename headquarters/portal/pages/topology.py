"""Headquarters, hubs and gateways as a tree, and as a picture that its script draws."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, render
from headquarters.views.topology import Node, Topology, topology

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/topology")
def show(request: Request, visitor: Annotated[Visitor, needs("gateways:read")]) -> Response:
    """The tree."""
    found = topology(visitor.sources, visitor.scope)
    return render(request, "topology.html", visitor, it=found, below=below(found), top=found.nodes[0])


@router.get("/topology/data")
def data(request: Request, visitor: Annotated[Visitor, needs("gateways:read")]) -> Response:
    """What the picture draws."""
    found = topology(visitor.sources, visitor.scope)
    return Response(json.dumps(asdict(found), ensure_ascii=False), media_type="application/json")


def below(found: Topology) -> dict[str, list[Node]]:
    """The nodes that send to each node, in their order."""
    known = {node.id: node for node in found.nodes}
    tree: dict[str, list[Node]] = defaultdict(list)
    for link in found.links:
        tree[link.target].append(known[link.source])
    return tree
