"""The heading of a table: which column stands where, however it is capitalised and spaced.

>>> row = Row("row 1", ["Name", "High Limit"])
>>> columns, problems = read_heading(row, "t.csv", ("name", "high_limit"), required=("name",))
>>> columns, problems
({'name': 0, 'high_limit': 1}, [])
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence

from protocols.errors import Problem
from protocols.tablefile import Row
from protocols.tomlfile import shown, suggest


def read_heading(
    row: Row, file: str, names: Collection[str], required: Sequence[str]
) -> tuple[dict[str, int] | None, list[Problem]]:
    """Find the columns of a table.

    Args:
        row: The table's first row.
        file: Its name for problems.
        names: All columns that there can be.
        required: Those that must be there.

    Returns:
        Where each column stands, or `None` when there is no heading to go by; and what is wrong.
    """
    found = [_name(cell) for cell in row.cells]
    if not set(found) & set(names):
        expected = "a heading row with the columns " + ", ".join(required or names)
        return None, [Problem(file, row.place, shown(", ".join(row.cells)), expected)]
    columns: dict[str, int] = {}
    problems: list[Problem] = []
    for index, name in enumerate(found):
        expected = ""
        if name in columns:
            expected = f"each column once; remove one of the two columns {name!r}"
        elif name in names:
            columns[name] = index
        elif name:
            expected = f"a known column; {suggest(name, names)}"
        if expected:
            place = f"{row.place}, column {index + 1}"
            problems.append(Problem(file, place, shown(row.cells[index]), expected))
    missing = [name for name in required if name not in columns]
    for name in missing:
        expected = f"the column {name!r} in the heading, without a default"
        problems.append(Problem(file, row.place, "", expected))
    return (None if missing else columns), problems


def _name(cell: str) -> str:
    return unicodedata.normalize("NFKC", cell).strip("\ufeff ").lower().replace(" ", "_").replace("-", "_")
