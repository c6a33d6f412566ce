"""What the README tells to type works, in small."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.docs.tracked import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROMISED = {
    "samples_collected", "lake_rows", "lost", "duplicated", "gaps", "bytes_per_sample", "values_per_s",
    "p99_lake_latency_s", "lake_path",
}  # fmt: skip


@pytest.mark.timeout(240)
def test_the_demo_on_two_levels_loses_and_doubles_nothing(tmp_path: Path) -> None:
    options = ["--duration", "6", "--points", "60", "--two-level", "--json", "--keep", str(tmp_path / "kept")]
    code, said, complaint = _run_to_the_end([sys.executable, "-m", "scripts.demo", *options])
    assert code == 0, said[-2000:] + complaint[-2000:]
    told = json.loads(said.splitlines()[-1])
    assert told.keys() >= PROMISED
    assert (told["lost"], told["duplicated"]) == (0, 0)
    assert told["lake_rows"] == told["samples_collected"] > 60 * 4
    assert DeltaTable(told["lake_path"]).version() > 0


def test_the_demo_takes_the_options_that_the_readme_names() -> None:
    help_text = _output([sys.executable, "-m", "scripts.demo", "--help"])
    named = re.findall(r"`(--[a-z-]+)", README)
    assert named
    assert not [option for option in named if option not in help_text]


@pytest.mark.parametrize(
    "program", sorted(set(re.findall(r"^(catchment-\w+) --help$", README, re.MULTILINE)))
)
def test_a_program_of_the_readme_tells_its_commands(program: str) -> None:
    assert "run" in _output([str(Path(sys.executable).parent / program), "--help"])


def _run_to_the_end(command: list[str]) -> tuple[int, str, str]:
    """Run what starts processes of its own; when it takes too long, it is asked to end them first."""
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            said, complaint = process.communicate(timeout=100)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                said, complaint = process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                said, complaint = process.communicate()
            return -1, said, complaint
        return process.returncode, said, complaint


def _output(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
