"""`docs/lake.md` describes the tables that the code writes, column by column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headquarters.ingest.rows import Status
from headquarters.lake.schema import TABLES, TableSchema
from headquarters.lake.tables import Lake
from protocols.batch import Kind
from protocols.records import GapCause

TEXT = (Path(__file__).parents[2] / "docs" / "lake.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    return TEXT.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_is_described_with_its_type(table: TableSchema) -> None:
    documented = section(table.name if table.name != "samples_hour" else "samples_minute")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]{5,} \|$", documented, re.MULTILINE)
    assert rows == [(field.name, str(field.type)) for field in table.schema]


def test_a_lake_has_the_documented_folders(tmp_path: Path) -> None:
    Lake(tmp_path)
    named = set(re.findall(r"^  (\w+)/", TEXT, re.MULTILINE))
    assert {folder.name for folder in tmp_path.iterdir()} == named


def test_every_cause_kind_and_status_is_named() -> None:
    for cause in GapCause:
        assert f"`{cause}`" in section("gaps")
    for status in Status:
        assert f"`{status}`" in section("ledger")
    for kind in Kind:
        assert f"`{kind.name.lower()}`" in section("ledger")
