"""One box over everything: points, gateways, tables and roll-outs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, render
from headquarters.views.catalogue import catalogue
from headquarters.views.gateways import gateways
from headquarters.views.paging import Paging
from headquarters.views.points import points
from headquarters.views.rollouts import rollouts

SHOWN = 20

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, of each kind that its reader may see."""

    points: tuple[Any, ...] = ()
    gateways: tuple[Any, ...] = ()
    tables: tuple[Any, ...] = ()
    rollouts: tuple[Any, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was."""
        return not (self.points or self.gateways or self.tables or self.rollouts)


@router.get("/search")
def show(request: Request, visitor: Annotated[Visitor, needs("overview:read")], q: str = "") -> Response:
    """What bears these words."""
    found = _look(visitor.sources, visitor, q) if q.strip() else Found()
    return render(request, "search.html", visitor, found=found, q=q, shown=SHOWN)


def _look(sources: Any, visitor: Visitor, q: str) -> Found:
    words, scope, paging = q.casefold().split(), visitor.scope, Paging(SHOWN)

    def bears(*texts: str) -> bool:
        return all(word in " ".join(texts).casefold() for word in words)

    return Found(
        points(sources, scope, q, paging).items if visitor.may("points:read") else (),
        gateways(sources, scope, paging, q).items if visitor.may("gateways:read") else (),
        tuple(t for t in catalogue(sources, scope) if bears(t.name, t.description.en, t.description.zh))
        if visitor.may("catalogue:read")
        else (),
        tuple(row for row in rollouts(sources, scope) if bears(row.name, *row.items))[:SHOWN]
        if visitor.may("rollouts:read")
        else (),
    )
