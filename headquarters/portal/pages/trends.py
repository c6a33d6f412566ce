"""Trends: a chart of some points, its data at the width of the chart, and its export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from headquarters.portal.csvcells import cell
from headquarters.portal.door import Visitor, needs
from headquarters.portal.frame import PageRoute, render
from headquarters.portal.shapes import iso, quality_word
from headquarters.views.points import point
from headquarters.views.samples import samples
from headquarters.views.trend import SERIES_MAX, WIDTH_MAX, SeriesTrend, trend

SPANS_S = (900, 3600, 28_800, 86_400, 7 * 86_400, 30 * 86_400)
SPAN_S = 3600

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Series = Annotated[list[int], Query(max_length=SERIES_MAX)]


@router.get("/trend")
def show(
    request: Request,
    visitor: Annotated[Visitor, needs("samples:read")],
    series: Series = [],  # noqa: B006 - FastAPI copies it
    span: Annotated[int, Query(ge=10, le=3650 * 86_400)] = SPAN_S,
) -> Response:
    """The chart's page; its script asks for the data."""
    sources, scope = visitor.sources, visitor.scope
    rows = [row for number in dict.fromkeys(series) if (row := point(sources, scope, number)) is not None]
    return render(request, "trend.html", visitor, rows=rows, spans=SPANS_S, span=span, most=SERIES_MAX)


@router.get("/trend/data")
def data(
    request: Request,
    visitor: Annotated[Visitor, needs("samples:read")],
    series: Series,
    from_us: int,
    to_us: int,
    width: Annotated[int, Query(ge=1, le=WIDTH_MAX)],
) -> Response:
    """What the chart draws."""
    found = trend(visitor.sources, visitor.scope, series, from_us, to_us, width)
    told = {
        "from_us": found.from_us,
        "to_us": found.to_us,
        "series": [_line(each) for each in found.series],
    }
    return Response(
        json.dumps(told, separators=(",", ":"), ensure_ascii=False), media_type="application/json"
    )


def _line(each: SeriesTrend) -> dict[str, Any]:
    return {
        "series": each.point.series,
        "made_of": each.made_of,
        "rows": each.rows,
        "time_us": each.time_us,
        "value": each.value,
        "low": each.low,
        "high": each.high,
        "spans": [[span.from_us, span.to_us, span.severity] for span in each.spans],
        "gaps": [[gap.from_us, gap.to_us, gap.cause] for gap in each.gaps],
        "texts": [[text.time_us, text.text] for text in each.texts],
    }


@router.get("/trend/export.csv")
def export(
    request: Request,
    visitor: Annotated[Visitor, needs("samples:read")],
    series: Series,
    from_us: int,
    to_us: int,
) -> Response:
    """Every sample of the time, in UTC, row by row as they are read."""
    sources, scope = visitor.sources, visitor.scope
    named = {number: row.point for number in series if (row := point(sources, scope, number)) is not None}
    found = visitor.context.meter.as_job(
        visitor.principal.tenant, lambda: samples(sources, scope, series, from_us, to_us)
    )

    def lines() -> Iterator[str]:
        yield "point,unit,gateway,time,value,quality,status\r\n"
        for batch in found:
            columns = batch.to_pydict()
            times = batch.column("time").cast("int64").to_pylist()
            part = []
            for number, at, value, text, code in zip(
                columns["series"], times, columns["value"], columns["text"], columns["quality"], strict=True
            ):
                known = named[number]
                shown = text if text is not None else value
                cells = (known.name, known.unit, known.gateway, iso(at), shown, quality_word(code), code)
                part.append(",".join(map(cell, cells)))
            yield "\r\n".join(part) + "\r\n" if part else ""

    headers = {"Content-Disposition": 'attachment; filename="trend.csv"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)
