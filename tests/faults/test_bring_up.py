"""A bare machine is brought into service as the documents say, and its data is in the lake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(600)
def test_a_bare_machine_comes_to_collect_and_nothing_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.bring_up", "--json", "--keep", str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout.splitlines()[-1])}
    assert rows["samples sent"]["value"] > 0
    assert [name for name, row in rows.items() if row["meets"] is True] == [
        "images that differ",
        "samples lost or doubled",
    ]
