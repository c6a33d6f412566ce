"""The process-monitoring app through the whole river, on rows made up here: live, and by replay."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.monitoring_parts import usual_rows

ROWS = 40


def test_every_row_is_judged_once_and_a_replay_gives_the_same_events(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for seed, name in enumerate(("d00", "d99"), 1):
        np.savetxt(data / f"{name}_te.dat", usual_rows(ROWS, seed))
    options = ["--data", str(data), "--period", "0.1", "--keep", str(tmp_path / "kept"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.tep", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["passed"] and found["events"] > 0
    assert found["scans"] >= ROWS
    assert found["rates"].keys() == {"d00", "d99"}
