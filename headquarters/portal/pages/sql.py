"""The SQL workbench: governed queries, their results by pages, their history, and saved ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import Response, StreamingResponse

from headquarters.db.base import now_us
from headquarters.errors import QuotaError
from headquarters.portal.csvcells import cell
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, back_with, render
from headquarters.portal.resultrows import rows_of
from headquarters.portal.words import N_
from headquarters.services.sql.errors import QueryError
from headquarters.services.sql.limits import PAGE_ROWS, SQL_CHARS_MAX
from headquarters.services.sql.store import Asked
from headquarters.views.catalogue import catalogue
from headquarters.views.seeing import UnseenError

WAIT_S = 2.0
"""A query that is quicker is answered at once; the others are looked at again and again."""

HISTORY_SHOWN = 20
OVER = frozenset({"done", "failed"})

EXAMPLES = (
    "SELECT name, unit, description FROM series ORDER BY name LIMIT 100",
    "SELECT date_trunc('minute', time) AS minute, avg(value) AS mean FROM samples\n"
    "WHERE series = 1 AND time > now() - INTERVAL 1 HOUR GROUP BY minute ORDER BY minute",
    "SELECT date_trunc('hour', time) AS hour, count(*) AS events FROM events\nGROUP BY hour ORDER BY hour",
)

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Sql = Annotated[str, Form(max_length=SQL_CHARS_MAX)]


@router.get("/sql")
def show(
    request: Request,
    visitor: Annotated[Visitor, needs("queries:run")],
    sql: Annotated[str, Query(max_length=SQL_CHARS_MAX)] = "",
) -> Response:
    """The workbench; what stands in the address is filled in, and not run."""
    return _page(request, visitor, sql, {"asked": None})


@router.post("/sql")
def run(request: Request, visitor: Annotated[Visitor, needs("queries:run")], sql: Sql) -> Response:
    """Run a query, and show its first page, or that it runs."""
    queries = visitor.context.queries
    try:
        asked = queries.ask(visitor.principal, sql)
    except QueryError as error:
        failed = Asked("", "", "", now_us(), sql, "failed", error.fault.value, str(error))
        return _answer(request, visitor, failed, 0)
    except QuotaError as error:
        failed = Asked("", "", "", now_us(), sql, "failed", "quota", str(error))
        return _answer(request, visitor, failed, 0)
    queries.wait(asked.id, WAIT_S)
    return _answer(request, visitor, _look(visitor, asked.id), 0)


@router.get("/sql/jobs/{id}")
def look(
    request: Request,
    visitor: Annotated[Visitor, needs("queries:run")],
    id: str,
    page: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """How far a query is, or a page of its result."""
    return _answer(request, visitor, _look(visitor, id), page)


@router.post("/sql/jobs/{id}/cancel")
def cancel(request: Request, visitor: Annotated[Visitor, needs("queries:run")], id: str) -> Response:
    """Stop a query."""
    queries = visitor.context.queries
    queries.cancel(visitor.principal, id)
    queries.wait(id, WAIT_S)
    return _answer(request, visitor, _look(visitor, id), 0)


@router.get("/sql/jobs/{id}/result.csv")
def export(request: Request, visitor: Annotated[Visitor, needs("queries:run")], id: str) -> Response:
    """The whole result as CSV."""
    asked, queries = _look(visitor, id), visitor.context.queries
    if asked.state != "done":
        raise HTTPException(404)

    def lines() -> Iterator[str]:
        for number in range(_pages(asked)):
            batch = queries.page(visitor.principal, id, number)
            if batch is None:
                return
            part = rows_of(batch)
            if number == 0:
                yield ",".join(map(cell, part.columns)) + "\r\n"
            yield "".join(",".join(map(cell, row)) + "\r\n" for row in part.rows)

    headers = {"Content-Disposition": 'attachment; filename="result.csv"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/sql/saved")
def save(
    request: Request,
    visitor: Annotated[Visitor, needs("queries:run")],
    sql: Sql,
    name: Annotated[str, Form(min_length=1, max_length=100)],
    shared: Annotated[bool, Form()] = False,
) -> Response:
    """Keep a query under a name."""
    asker, name = visitor.asker, name.strip()
    if shared:
        asker.demand("queries:share", f"saved query {name}")
    with asker.audited("queries.save", name, shared=shared):
        visitor.context.queries.save(visitor.principal, name, sql, shared=shared)
    return back_with(request, "/sql", N_("The query is kept as %(name)s."), name=name)


@router.post("/sql/saved/{id}/remove")
def remove(request: Request, visitor: Annotated[Visitor, needs("queries:run")], id: str) -> Response:
    """Remove a saved query of one's own."""
    with visitor.asker.audited("queries.remove", id):
        if not visitor.context.queries.remove(visitor.principal, id):
            raise UnseenError("saved query", id)
    return back_with(request, "/sql", N_("The saved query is removed."))


def _look(visitor: Visitor, id: str) -> Asked:
    found = visitor.context.queries.look(visitor.principal, id)
    if found is None:
        raise HTTPException(404)
    return found


def _answer(request: Request, visitor: Visitor, asked: Asked, page: int) -> Response:
    batch = None
    if asked.state == "done":
        batch = visitor.context.queries.page(visitor.principal, asked.id, page)
    shown: dict[str, Any] = {
        "asked": asked,
        "is_over": asked.state in OVER,
        "age_s": (now_us() - asked.asked_us) / 1e6,
        "page": page,
        "pages": _pages(asked),
        "result": None if batch is None else rows_of(batch),
    }
    if "HX-Request" in request.headers:
        return render(request, "sql_result.html", visitor, **shown)
    return _page(request, visitor, asked.sql, shown)


def _page(request: Request, visitor: Visitor, sql: str, shown: dict[str, Any]) -> Response:
    queries = visitor.context.queries
    tables = {
        table.name: [column.name for column in table.columns]
        for table in catalogue(visitor.sources, visitor.scope)
    }
    return render(
        request,
        "sql.html",
        visitor,
        sql=sql,
        tables=tables,
        schema=json.dumps(tables),
        examples=EXAMPLES,
        saved=queries.saved(visitor.principal),
        history=queries.history(visitor.principal, limit=HISTORY_SHOWN),
        **shown,
    )


def _pages(asked: Asked) -> int:
    return -(-asked.rows // PAGE_ROWS)
