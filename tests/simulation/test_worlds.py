"""Nothing is lost or doubled in any of many worlds, and the judge can tell if it were."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SEEDS = int(os.environ.get("CATCHMENT_SEEDS", "2000"))
"""More by ``make simulate SEEDS=``."""

ABLATED_SEEDS = 40


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(3600)
def test_every_durable_sample_is_in_the_lake_once_or_in_a_declared_gap() -> None:
    done = simulate("--seeds", str(SEEDS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_the_watermark_samples_are_doubled() -> None:
    done = simulate("--seeds", str(ABLATED_SEEDS), "--ablate")
    assert done.returncode == 1, "the judge found nothing wrong with headquarters that forget what they hold"
    assert "doubled" in done.stdout


def test_a_seed_replays_exactly() -> None:
    first, second = simulate("--explain", "7"), simulate("--explain", "7")
    assert first.stdout == second.stdout
    assert "seed 7" in first.stdout
