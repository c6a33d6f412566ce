"""The demo from the outside: what it promises its caller, and the lake as a stranger reads it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake import DeltaTable

pytestmark = pytest.mark.timeout(300)

POINTS, SECONDS, PACE = 1000, 26, 10
"""All points, for all apps; so long, and so fast, that each app has a fault to tell."""
PROMISED = {
    "samples_collected",
    "lake_rows",
    "lost",
    "duplicated",
    "gaps",
    "bytes_per_sample",
    "values_per_s",
    "p99_lake_latency_s",
    "lake_path",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """One run: its directory, its figures and all else it printed."""
    root = tmp_path_factory.mktemp("demo") / "kept"
    options = ["--duration", str(SECONDS), "--pace", str(PACE), "--json", "--keep", str(root)]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=220,
    )
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_the_last_line_has_the_promised_figures(demo: tuple[Path, dict[str, Any], str]) -> None:
    _, figures, _ = demo
    assert figures.keys() >= PROMISED
    assert (figures["lost"], figures["duplicated"], figures["wrong"]) == (0, 0, 0)
    assert figures["lake_rows"] == figures["samples_collected"] >= POINTS * (SECONDS - 2)
    assert figures["verified"] is True


def test_it_tells_its_ledgers_its_queries_and_its_verdict(demo: tuple[Path, dict[str, Any], str]) -> None:
    _, _, told = demo
    for heading in ("verify", "Samples of each gateway", "moved most", "last five seconds", "judge"):
        assert heading in told
    assert told.rstrip().endswith("nothing lost, doubled or altered")


def test_each_app_tells_what_went_wrong_in_the_plant_within_one_scan(
    demo: tuple[Path, dict[str, Any], str],
) -> None:
    _, figures, told = demo
    assert (figures["alarms_missing"], figures["alarms_false"], figures["faults_without_alarm"]) == (0, 0, 0)
    assert figures["alarms_queried"] >= figures["alarms_due"] >= len(figures["fault_alarms"])
    assert {row["alarm"] for row in figures["fault_alarms"]} >= {
        "gas-detection/coal-bunkers/fault_b",
        "gas-detection/generator/pre",
        "gas-detection/generator/tripped",
        "vibration/id-fan-1/zone_c",
        "vibration/id-fan-1/zone_d",
        "heat-rate/unit-1/vacuum",
        "carbon/unit-1/unlikely",
    }
    for row in figures["fault_alarms"]:
        assert row["injected_s"] <= row["condition_s"] == pytest.approx(row["due_s"] - row["delay_s"])
        assert row["raised_s"] == pytest.approx(row["due_s"], abs=1.0)
    assert "gas: the voting demands a trip" in told


def test_what_is_kept_says_where_everything_is(demo: tuple[Path, dict[str, Any], str]) -> None:
    root, figures, _ = demo
    description = json.loads((root / "demo.json").read_text(encoding="utf-8"))
    assert description["lake_path"] == figures["lake_path"]
    for home in description["homes"].values():
        assert (Path(home) / "identity.toml").exists()
    for process in description["processes"].values():
        assert Path(process["log"]).exists()
    assert len(description["processes"]) == 6


def test_a_stranger_with_deltalake_and_numpy_finds_every_modbus_answer_once(
    demo: tuple[Path, dict[str, Any], str],
) -> None:
    """Slow and obvious, from the documents alone; the vectorised judge must agree with it."""
    root, figures, _ = demo
    log = root / "plant-modbus"
    ticks, reads = (_records(log, name) for name in ("tick", "read"))
    lake = _rows_by_name(Path(figures["lake_path"]))
    last = int(max(reads["at"])) // 1_000_000
    first = int(min(reads["at"])) // 1_000_000
    checked = 0
    with (log / "catalogue.csv").open(encoding="utf-8", newline="") as file:
        for point in csv.DictReader(file):
            if point["kind"] == "string":
                continue
            at, words = int(point["address"]), int(point["words"])
            mine = reads[
                (reads["unit"] == int(point["modbus_unit"]))
                & (reads["table"] == int(point["table"]))
                & (reads["address"] <= at)
                & (reads["address"] + reads["count"] >= at + words)
            ]
            for second in range(first, last + 1):
                held = {
                    float(ticks["held"][tick, int(point["index"])])
                    for tick in mine["tick"][mine["at"] // 1_000_000 == second]
                }
                values = lake[point["name"]].get(second * 1_000_000, [])
                assert len(values) == 1, (point["name"], second, values)
                assert any(values[0] == pytest.approx(v * float(point["scale"]), rel=1e-15) for v in held)
                checked += 1
    assert checked > 0.4 * POINTS * (SECONDS - 2)


def _records(log: Path, kind: str) -> Any:
    meta = json.loads((log / "meta.json").read_text(encoding="utf-8"))
    dtype = np.dtype([(f[0], f[1], *map(tuple, f[2:])) for f in meta[kind]])
    data = (log / f"{kind}s.bin").read_bytes()
    return np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype)


def _rows_by_name(samples: Path) -> dict[str, dict[int, list[float]]]:
    series = DeltaTable(str(samples.parent / "series")).to_pyarrow_table().to_pylist()
    names = {row["series"]: row["name"] for row in series if not row["provisional"]}
    found: dict[str, dict[int, list[float]]] = {name: {} for name in names.values()}
    for row in DeltaTable(str(samples)).to_pyarrow_table().to_pylist():
        micros = round(row["time"].timestamp() * 1e6)
        found[names[row["series"]]].setdefault(micros, []).append(row["value"])
    return found
