"""Any point that a table may hold is written and read back as the same point."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.pointids import PointIds, resolve
from protocols import limits
from protocols.cells import CellError, tag
from protocols.errors import InputError
from protocols.field.base import FieldType
from protocols.pointrow import Surroundings
from protocols.points import DeadbandUnit, Point, Report
from protocols.pointtable import PointTable, read_points, write_rows
from protocols.tablefile import parse_csv, read_table, write_csv, write_xlsx


def _usable(text: str) -> bool:
    """Whether a text may stand in a cell as it is: no blanks around it, nothing that a table refuses."""
    try:
        return text == text.strip() and tag(text, limits.POINT_NAME_CHARS_MAX, "") == text
    except CellError:
        return False


printable = st.text(
    st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1, max_size=20
)
words = printable.filter(_usable)
numbers = st.floats(allow_nan=False, allow_infinity=False)
small = st.floats(-1e100, 1e100)


@st.composite
def points(draw: st.DrawFn) -> Point:
    """One point whose settings fit together."""
    type_ = draw(st.sampled_from(FieldType))
    plain = type_ in (FieldType.BOOL, FieldType.STRING)
    start, width = draw(small), draw(st.floats(1e-3, 1e100))
    ranged = not plain and draw(st.booleans())
    low, high = (start, start + abs(start) + width) if ranged else (None, None)
    report = draw(st.sampled_from((Report.ALWAYS, Report.CHANGE) if plain else tuple(Report)))
    thinned = report in (Report.DEADBAND, Report.SWINGING_DOOR)
    percent = thinned and high is not None and draw(st.booleans())
    return Point(
        id=draw(st.integers(0, limits.POINT_ID_MAX)),
        name=draw(words),
        device=draw(words),
        address=draw(words),
        type=type_,
        scan_class=draw(words),
        scale=1.0 if plain else draw(numbers.filter(bool)),
        offset=0.0 if plain else draw(numbers),
        low=low,
        high=high,
        report=report,
        deadband=draw(st.floats(1e-6, 100)) if thinned else 0.0,
        deadband_unit=DeadbandUnit.PERCENT if percent else DeadbandUnit.ABSOLUTE,
        max_silence_s=draw(st.none() | st.floats(0.001, 86_400)) if report is not Report.ALWAYS else None,
        description=draw(st.just("") | words),
    )


def _unique(rows: list[Point]) -> list[Point]:
    """Rows without an id that is taken; a table refuses those."""
    taken: set[int] = set()
    unique = []
    for point in rows:
        unique.append(replace(point, id=0) if point.id in taken else point)
        taken.add(point.id)
    return unique


tables = st.lists(points(), max_size=5, unique_by=lambda point: point.name).map(_unique)


@given(tables)
def test_any_points_survive_a_csv_file(rows: list[Point]) -> None:
    table = read_points(parse_csv(write_csv(write_rows(rows)), "points.csv"), Surroundings(None, None))
    assert (table.problems, table.points) == ([], rows)


@pytest.mark.parametrize("seed", range(3))
def test_points_survive_a_workbook(seed: int, tmp_path: Path) -> None:
    rows = [
        Point(
            0,
            f"P{index}",
            "d",
            f"holding:{index}",
            FieldType.F32,
            "s",
            scale=(index + seed + 1) / 7,
            offset=-0.1,
        )
        for index in range(50)
    ]
    write_xlsx(tmp_path / "points.xlsx", write_rows(rows), "points")
    table = read_points(read_table(tmp_path / "points.xlsx", ""), Surroundings(None, None))
    assert (table.problems, table.points) == ([], rows)


@given(st.lists(tables, max_size=6))
def test_an_id_is_never_given_to_two_points(versions: list[list[Point]]) -> None:
    ids = PointIds()
    owners: dict[int, tuple[str, object]] = {}
    for rows in versions:
        table = PointTable("points.csv", list(rows), [f"row {index}" for index in range(len(rows))])
        resolved = resolve(table, ids)
        ids = PointIds.from_json(ids.to_json())
        assert len({point.id for point in resolved}) == len(resolved)
        for point in resolved:
            assert point.id > 0
            assert owners.setdefault(point.id, (point.name, point.value_type)) == (
                point.name,
                point.value_type,
            )


@given(st.text(max_size=200))
def test_any_text_is_a_table_or_a_problem(text: str) -> None:
    with contextlib.suppress(InputError):
        read_points(parse_csv(text, "points.csv"), Surroundings({"s"}, {"d": None}))
