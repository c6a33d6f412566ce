"""The tables of attacks and power cuts name tests that there are, and name one for each."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.tracked import ROOT, text_of

TEXT = text_of(ROOT / "docs" / "attacks.md")
REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
NAMED = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", TEXT)

LINES = TEXT.splitlines()
ROWS = [
    row
    for row, following in zip(LINES, [*LINES[1:], ""], strict=True)
    if row.startswith("| ") and not following.startswith("|---")
]


def cases_of(name: str) -> set[str]:
    """Names of the test functions and methods of a file."""
    tree = ast.parse(text_of(ROOT / name))
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {each for each in found if each.startswith("test_")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:60])
def test_each_attack_names_its_tests(row: str) -> None:
    shown = REFERENCE.findall(row.rpartition("|")[0].rpartition("|")[2])
    assert shown, f"expected a test in the last column of {row}"
    assert not [f"{file}::{name}" for file, name in shown if name not in cases_of(file)]


def test_every_attack_on_a_running_gateway_is_in_the_table() -> None:
    """A new test of an attack gets a row."""
    named = set(REFERENCE.findall(TEXT))
    for file in ("tests/attacks/test_gateway_updates.py", "tests/attacks/test_commands.py"):
        missing = {name for name in cases_of(file) if (file, name) not in named}
        assert missing <= {"test_all_of_it_is_in_the_lake_for_good"}, f"expected rows for {missing} of {file}"


def test_what_tells_of_an_attack_is_a_name_of_the_product() -> None:
    """Each word with a hyphen is a log event, or a code that the code knows."""
    rooms = ("protocols", "edge_runtime", "hub", "headquarters")
    known = "\n".join(text_of(path) for room in rooms for path in (ROOT / room).rglob("*.py"))
    known += text_of(ROOT / "docs" / "events.md")
    assert not [name for name in NAMED if f'"{name}"' not in known and f"`{name}`" not in known]
