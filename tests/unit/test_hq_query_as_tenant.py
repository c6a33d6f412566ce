"""`catchment-hq query --as-tenant` and `--explain`: what is shown, and how each fails."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from headquarters.cli import main
from headquarters.config import CONFIG
from protocols.batch import Stream
from protocols.records import PointDefinition
from protocols.samples import ValueType
from tests.lake_parts import HandGateway, Headquarters, scan

OURS, THEIRS = "给水流量", "the-souths-secret"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two plants with one point each and two samples: one of tenant north, one of tenant south."""
    gateways = HandGateway("unit-1", "plant-a"), HandGateway("unit-2", "plant-b")
    headquarters = Headquarters(tmp_path_factory.mktemp("tenants") / "hq", *gateways)
    for gateway, name in zip(gateways, (OURS, THEIRS), strict=True):
        definition = PointDefinition(1, name, ValueType.F64, "t/h")
        data = gateway.data(scan(0, [1]), scan(1, [1]))
        headquarters.take(gateway.open(Stream.META), gateway.meta([definition]), data)
    for arguments in (["add", "north"], ["own", "north", "plant-a"], ["add", "south"]):
        assert invoke(headquarters.home, "tenants", *arguments).exit_code == 0
    return headquarters.home


def invoke(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--home", str(home)])


def asked(home: Path, *arguments: str) -> str:
    result = invoke(home, "query", *arguments)
    assert result.exit_code == 0, result.output
    assert THEIRS not in result.output
    return result.output


def test_a_tenant_sees_its_own_rows_in_every_form_of_output(home: Path, tmp_path: Path) -> None:
    sql = "SELECT name, time, value FROM history ORDER BY time"
    table = asked(home, "--as-tenant", "north", "--timezone", "Asia/Shanghai", sql).splitlines()
    assert table[0].split() == ["name", "time", "value"]
    assert table[2].split() == [OURS, "2026-09-21", "22:13:20+08", "21.5"]
    assert table[-1] == "(2 rows)"
    rows = list(csv.reader(io.StringIO(asked(home, "--as-tenant", "north", "--csv", sql))))
    assert rows[1:] == [
        [OURS, "2026-09-21 14:13:20+00", "21.5"],
        [OURS, "2026-09-21 14:13:21+00", "21.625"],
    ]
    objects = json.loads(asked(home, "--as-tenant", "north", "--json", sql))
    assert [(each["name"], each["value"]) for each in objects] == [(OURS, 21.5), (OURS, 21.625)]
    file = tmp_path / "out.parquet"
    assert "wrote 2 rows" in asked(home, "--as-tenant", "north", "--parquet", str(file), sql)
    assert pq.read_table(file).column("name").to_pylist() == [OURS, OURS]


def test_columns_of_one_name_are_all_shown_as_in_any_query(home: Path) -> None:
    sql = "SELECT 1 AS a, 2 AS a, 3 AS b"
    assert asked(home, "--csv", sql) == asked(home, "--as-tenant", "north", "--csv", sql) == "a,a,b\n1,2,3\n"


def test_a_tenant_without_sites_sees_nothing_and_the_group_everything(home: Path) -> None:
    sql = "SELECT count(*) AS n FROM samples"
    assert json.loads(asked(home, "--as-tenant", "south", "--json", sql)) == [{"n": 0}]
    assert json.loads(asked(home, "--as-tenant", "group", "--json", sql)) == [{"n": 4}]


def test_an_explanation_counts_the_tenants_rows_and_runs_nothing(home: Path) -> None:
    sql = "SELECT value FROM samples WHERE value::VARCHAR::DATE > today()"  # fails where it runs
    assert invoke(home, "query", "--as-tenant", "north", sql).exit_code == 2
    shown = asked(home, "--as-tenant", "north", "--explain", sql).splitlines()
    assert [line.split() for line in shown[:4:2]] == [["table", "files", "rows"], ["samples", "1", "2"]]
    assert any("Filter" in line or "FILTER" in line for line in shown)
    document = json.loads(asked(home, "--as-tenant", "north", "--explain", "--json", sql))
    assert (document["files"], document["rows"]) == (1, 2)
    assert document["tables"] == [{"table": "samples", "files": 1, "rows": 2}]
    assert "samples" in document["plan"]


def test_an_explanation_for_who_sits_at_the_machine_counts_everybodys_rows(home: Path) -> None:
    document = json.loads(asked(home, "--explain", "--json", "SELECT * FROM samples"))
    assert document["rows"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--as-tenant", "nroth", "SELECT 1"],
            "got 'nroth'; expected one of the tenants group, north, south",
        ),
        (["--as-tenant", "north", "SELECT * FROM sampels"], "did you mean 'samples'"),
        (["--as-tenant", "north", "DESCRIBE samples"], "the columns of every table are in the catalogue"),
        (["--as-tenant", "north", "SELECT * FROM read_csv('/etc/passwd')"], "docs/sql.md lists"),
        (["--as-tenant", "north", "SELECT * FROM samples; SELECT 1"], "one SELECT statement"),
        (["--as-tenant", "north", f"SELECT series_of('{THEIRS}')"], "expected the name of a point"),
        (["--as-tenant", "north", "SELECT 'x'::INTEGER"], "Could not convert string 'x'"),
        (["--as-tenant", "north", "--timezone", "Mars", "SELECT 1"], "a time zone such as UTC"),
        (["--as-tenant", "north", "--json", "SELECT 1 AS a, 2 AS a"], "different names"),
        (["--as-tenant", "north", "--parquet", "/nonexistent/x.parquet", "SELECT 1"], "a file to write"),
        (["--as-tenant", "north", "--csv", "--json", "SELECT 1"], "choose one of"),
        (["--explain", "DESCRIBE samples"], "the columns of every table are in the catalogue"),
        (["--explain", "SELECT nope FROM samples"], "nope"),
        (["--explain", "--timezone", "Mars", "SELECT 1"], "a time zone such as UTC"),
        (["--explain", "--csv", "SELECT 1"], "--explain prints a table, or JSON with --json"),
        (
            ["--explain", "--parquet", "x.parquet", "SELECT 1"],
            "--explain prints a table, or JSON with --json",
        ),
    ],
)
def test_what_fails_exits_with_2_and_says_why(home: Path, arguments: list[str], message: str) -> None:
    result = invoke(home, "query", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_home_without_a_lake_says_what_to_start(tmp_path: Path, home: Path) -> None:
    (tmp_path / CONFIG).write_text((home / CONFIG).read_text())
    assert invoke(tmp_path, "tenants", "add", "north").exit_code == 0
    for arguments in (["--as-tenant", "north"], ["--explain"]):
        result = invoke(tmp_path, "query", *arguments, "SELECT 1")
        assert result.exit_code == 2, result.output
        assert "a lake; start headquarters once with: catchment-hq run" in result.output
