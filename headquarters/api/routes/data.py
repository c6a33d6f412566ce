"""Data: points, latest values, trends, samples in bulk, and the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import pyarrow as pa
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from headquarters.api.context import Asker, needs
from headquarters.api.forms import Instant, Number, Search, Series, instant, paging, shown, there
from headquarters.api.idempotency import IdempotentRoute
from headquarters.views import catalogue as tables
from headquarters.views import latest as live
from headquarters.views import samples as bulk
from headquarters.views.paging import Page, Paging
from headquarters.views.points import PointRow
from headquarters.views.points import point as point_of
from headquarters.views.points import points as points_of
from headquarters.views.trend import WIDTH_MAX, Trend
from headquarters.views.trend import trend as trend_of

router = APIRouter(tags=["data"], route_class=IdempotentRoute)

ARROW = "application/vnd.apache.arrow.stream"

TableName = Annotated[str, Query(max_length=64)]


@router.get("/points", response_model=Page[PointRow])
def list_points(
    asker: Annotated[Asker, needs("points:read")],
    page: Annotated[Paging, Depends(paging)],
    search: Search = "",
    gateway: Annotated[str, Query(max_length=64)] = "",
    site: Annotated[str, Query(max_length=64)] = "",
    unit: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Series by name; a word with `*` or `?` is a pattern for the whole name."""
    found = points_of(asker.sources, asker.scope, search, page, gateway, site, unit)
    return shown(found, Page[PointRow])


@router.get("/points/{series}", response_model=PointRow)
def get_point(asker: Annotated[Asker, needs("points:read")], series: Number) -> Response:
    """One series and its latest value."""
    return shown(there(point_of(asker.sources, asker.scope, series), "series", series), PointRow)


@router.get("/latest", response_model=live.Latest)
def latest(asker: Annotated[Asker, needs("samples:read")], series: Series) -> Response:
    """Latest values of some series, from the running headquarters."""
    return shown(live.latest(asker.sources, asker.scope, series), live.Latest)


@router.get("/trend", response_model=Trend)
def trend(
    asker: Annotated[Asker, needs("samples:read")],
    series: Series,
    from_: Annotated[Instant, Query(alias="from")],
    to: Instant,
    width: Annotated[int, Query(ge=1, le=WIDTH_MAX, description="Pixels of the chart.")] = 1000,
) -> Response:
    """Some series over any time, with no more points than a chart has pixels."""
    begin, end = instant("from", from_), instant("to", to)
    return shown(trend_of(asker.sources, asker.scope, series, begin, end, width), Trend)


@router.get(
    "/samples",
    response_class=StreamingResponse,
    responses={200: {"content": {ARROW: {"schema": {"type": "string", "format": "binary"}}}}},
)
def samples(
    asker: Annotated[Asker, needs("samples:read")],
    series: Series,
    from_: Annotated[Instant, Query(alias="from")],
    to: Instant,
) -> StreamingResponse:
    """All samples of some series, as an Arrow IPC stream: series, time, value, text, quality."""
    begin, end = instant("from", from_), instant("to", to)
    batches = asker.context.meter.as_job(
        asker.principal.tenant, lambda: bulk.samples(asker.sources, asker.scope, series, begin, end)
    )
    return StreamingResponse(arrow_stream(batches, bulk.SCHEMA), media_type=ARROW)


@router.get("/tables", response_model=tuple[tables.Table, ...])
def list_tables(asker: Annotated[Asker, needs("catalogue:read")]) -> Response:
    """The tables of the lake."""
    return shown(tables.catalogue(asker.sources, asker.scope), tuple[tables.Table, ...])


@router.get("/tables/{table}", response_model=tables.Table)
def get_table(asker: Annotated[Asker, needs("catalogue:read")], table: str) -> Response:
    """One table: columns, owner, size, freshness."""
    return shown(there(tables.table(asker.sources, asker.scope, table), "table", table), tables.Table)


@router.get("/tables/{table}/preview", response_model=tables.Preview)
def preview_table(asker: Annotated[Asker, needs("samples:read")], table: str) -> Response:
    """Some of the newest rows of a table."""
    found = tables.preview(asker.sources, asker.scope, table)
    return shown(there(found, "table", table), tables.Preview)


class _Sink:
    """Takes what a writer writes, and gives it out again."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        return None

    def taken(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def arrow_stream(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    """Batches as an Arrow IPC stream, compressed; closes the iterator whatever becomes of the reader."""
    sink = _Sink()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    try:
        with pa.ipc.new_stream(pa.PythonFile(sink, "w"), schema, options=options) as writer:
            for batch in batches:
                writer.write_batch(batch)
                yield sink.taken()
        yield sink.taken()
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()
