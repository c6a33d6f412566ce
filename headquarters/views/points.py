"""Points: search, and one of them with its latest value."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import translate
from re import compile as compile_pattern

from headquarters.tenancy.scope import Scope
from headquarters.views.livefeed import Value
from headquarters.views.paging import Page, Paging, page_of
from headquarters.views.pointbook import Point
from headquarters.views.seeing import point_of, sees_point
from headquarters.views.sources import Sources


@dataclass(frozen=True, slots=True)
class PointRow:
    """A series and its latest value.

    Args:
        point: Its definition.
        latest: `None` while none has come since headquarters started.
    """

    point: Point
    latest: Value | None


def points(
    sources: Sources,
    scope: Scope,
    search: str = "",
    paging: Paging | None = None,
    gateway: str = "",
    site: str = "",
    unit: str | None = None,
) -> Page[PointRow]:
    """Series by name.

    Args:
        sources: Where to look.
        scope: Whose.
        search: Words that all must occur in name, description, gateway, unit or site; one with `*`
            or `?` is a pattern for the whole name.
        paging: Which part.
        gateway: Only of this gateway.
        site: Only of this site.
        unit: Only in this unit.

    Raises:
        InputError: The cursor is none of this list.
        StoreError: The lake cannot be read.
    """
    words = search.casefold().split()
    patterns = [compile_pattern(translate(word)) for word in words if "*" in word or "?" in word]
    words = [word for word in words if "*" not in word and "?" not in word]
    book = sources.points()
    found = [
        point
        for point, text in zip(book.points, book.texts, strict=True)
        if (not gateway or point.gateway == gateway)
        and (not site or point.site == site)
        and (unit is None or point.unit == unit)
        and all(word in text for word in words)
        and all(pattern.match(point.name.casefold()) for pattern in patterns)
        and sees_point(sources, scope, point)
    ]
    page = page_of(found, lambda point: (point.name, point.gateway, point.series), paging or Paging())
    values = sources.live.get([point.series for point in page.items])
    return Page(tuple(PointRow(point, values.get(point.series)) for point in page.items), page.next)


def point(sources: Sources, scope: Scope, series: int) -> PointRow | None:
    """One series; `None` when there is none of this number, or it is not seen.

    Raises:
        StoreError: The lake cannot be read.
    """
    found = point_of(sources, scope, series)
    return None if found is None else PointRow(found, sources.live.get([series]).get(series))
