"""Governed SQL: asked, followed, read page by page, cancelled; history and saved queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from headquarters.api.context import Asker, needs
from headquarters.api.forms import shown, there
from headquarters.api.idempotency import IdempotentRoute
from headquarters.api.routes.data import ARROW, arrow_stream
from headquarters.services.sql.service import QueryService
from headquarters.services.sql.store import Asked, SavedQuery
from headquarters.services.sql.task import Estimate

router = APIRouter(tags=["queries"], route_class=IdempotentRoute)

WAIT_S_MAX = 30
PAGES_MAX = 100_000

Id = Annotated[str, Path(max_length=64, examples=["5f0c2a9e6b1d4c7788aa90e1"])]
Sql = Annotated[
    str, Field(min_length=1, max_length=100_000, examples=["SELECT name, unit FROM series ORDER BY name"])
]


class Ask(BaseModel):
    """A query."""

    sql: Sql
    parameters: Annotated[
        dict[str, str | int | float | bool | None], Field(max_length=100, examples=[{"gateway": "unit-1"}])
    ] = {}
    timezone: Annotated[str, Field(max_length=64, examples=["Asia/Shanghai"])] = "UTC"
    wait_s: Annotated[int, Field(ge=0, le=WAIT_S_MAX, description="Answer when it has ended, or then.")] = 0


class Save(BaseModel):
    """A query that is to be kept under a name."""

    name: Annotated[str, Field(min_length=1, max_length=100, examples=["points by unit"])]
    sql: Sql
    description: Annotated[str, Field(max_length=1000)] = ""
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """A page of a result.

    Args:
        columns: Name and type of each.
        rows: Values as text, or `None`.
        page: Its number, from 0.
        next: The number of the next page; `None` when there is none.
    """

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str | None, ...], ...]
    page: int
    next: int | None


@router.post("/queries", response_model=Asked, status_code=202)
def ask_query(asker: Annotated[Asker, needs("queries:run")], asked: Ask) -> Response:
    """Have a query run; `GET` it until its state is `done` or `failed`."""
    service = _service(asker)
    with asker.denials("query"):
        begun = service.ask(asker.principal, asked.sql, asked.parameters, asked.timezone)
    if asked.wait_s and service.wait(begun.id, float(asked.wait_s)):
        begun = there(service.look(asker.principal, begun.id), "query", begun.id)
    return shown(begun, Asked, 202)


@router.post("/queries/explain", response_model=Estimate)
def explain_query(asker: Annotated[Asker, needs("queries:run")], asked: Ask) -> Response:
    """What a query would read, and its plan, without running it."""
    found = _service(asker).explain(asker.principal, asked.sql, asked.parameters, asked.timezone)
    return shown(found, Estimate)


@router.get("/queries", response_model=tuple[Asked, ...])
def list_queries(
    asker: Annotated[Asker, needs("queries:run")],
    before_us: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """One's own queries, the newest first."""
    found = _service(asker).history(asker.principal, before_us, limit)
    return shown(tuple(found), tuple[Asked, ...])


@router.get("/queries/saved", response_model=tuple[SavedQuery, ...])
def list_saved_queries(asker: Annotated[Asker, needs("queries:run")]) -> Response:
    """One's own saved queries, and those that others of the tenant share."""
    return shown(tuple(_service(asker).saved(asker.principal)), tuple[SavedQuery, ...])


@router.post("/queries/saved", response_model=SavedQuery, status_code=201)
def save_query(asker: Annotated[Asker, needs("queries:run")], asked: Save) -> Response:
    """Keep a query under a name."""
    if asked.shared:
        asker.demand("queries:share", f"saved query {asked.name}")
    with asker.audited("queries.save", asked.name, shared=asked.shared):
        kept = _service(asker).save(
            asker.principal, asked.name, asked.sql, description=asked.description, shared=asked.shared
        )
    return shown(kept, SavedQuery, 201)


@router.delete("/queries/saved/{query}", status_code=204)
def remove_saved_query(asker: Annotated[Asker, needs("queries:run")], query: Id) -> None:
    """Delete a saved query of one's own."""
    with asker.audited("queries.remove", query):
        there(_service(asker).remove(asker.principal, query) or None, "saved query", query)


@router.get("/queries/{query}", response_model=Asked)
def get_query(asker: Annotated[Asker, needs("queries:run")], query: Id) -> Response:
    """How far a query of one's own is."""
    return shown(there(_service(asker).look(asker.principal, query), "query", query), Asked)


@router.post("/queries/{query}/cancel", status_code=204)
def cancel_query(asker: Annotated[Asker, needs("queries:run")], query: Id) -> None:
    """Stop a query of one's own."""
    there(_service(asker).cancel(asker.principal, query) or None, "query", query)


@router.get("/queries/{query}/result", response_model=Result)
def get_result(
    asker: Annotated[Asker, needs("queries:run")],
    query: Id,
    page: Annotated[int, Query(ge=0, le=PAGES_MAX)] = 0,
) -> Response:
    """A page of a result, its values as text."""
    service = _service(asker)
    batch = there(service.page(asker.principal, query, page), "page of a result", page)
    follows = service.page(asker.principal, query, page + 1) is not None
    columns = tuple((field.name, str(field.type)) for field in batch.schema)
    return shown(Result(columns, _texts(batch), page, page + 1 if follows else None), Result)


@router.get(
    "/queries/{query}/arrow",
    response_class=StreamingResponse,
    responses={200: {"content": {ARROW: {"schema": {"type": "string", "format": "binary"}}}}},
)
def get_result_arrow(asker: Annotated[Asker, needs("queries:run")], query: Id) -> StreamingResponse:
    """A whole result, as an Arrow IPC stream."""
    first = there(_service(asker).page(asker.principal, query, 0), "result", query)
    return StreamingResponse(_stream(asker, query, first), media_type=ARROW)


def _stream(asker: Asker, query: str, first: pa.RecordBatch) -> Iterator[bytes]:
    def batches() -> Iterator[Any]:
        number, batch = 0, first
        while batch is not None:
            yield batch
            number += 1
            batch = _service(asker).page(asker.principal, query, number)

    return arrow_stream(batches(), first.schema)


def _texts(batch: pa.RecordBatch) -> tuple[tuple[str | None, ...], ...]:
    columns = [
        [None if value is None else str(value) for value in column.to_pylist()] for column in batch.columns
    ]
    return tuple(zip(*columns, strict=True))


def _service(asker: Asker) -> QueryService:
    return asker.context.queries
