"""A bare machine is brought into service as the documents say, and a ring of ten survives a bad firmware."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from scripts.bring_up.account import Gap, silence_us, undeclared
from scripts.bring_up.ring import CONFIRM_S
from scripts.wheels import REPOSITORY
from tests.slot_parts import quick_disk

RING = 10

DISK_BYTES = 4 << 30
"""Twelve slots of a real program, and what brought them; half of it is used."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What `python -m scripts.bring_up --json` says, by name."""
    with quick_disk(tmp_path_factory.mktemp("bring-up"), DISK_BYTES) as disk:
        options = ["--json", "--ring", str(RING), "--keep", str(disk / "kept")]
        command = [sys.executable, "-m", "scripts.bring_up", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
        assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.timeout(900)
def test_a_bare_machine_comes_to_collect_and_nothing_is_lost(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["images that differ"]["value"] == 0
    assert rows["samples sent"]["value"] > 0
    assert rows["samples lost or doubled"]["value"] == 0


@pytest.mark.timeout(900)
def test_a_bad_firmware_is_rolled_out_to_ten_and_all_return_with_a_declared_gap(
    rows: dict[str, dict[str, Any]],
) -> None:
    kinds = ("crashes", "hangs", "collects nothing", "eats memory")
    met = [rows[f"of these, the bad firmware {kind} at"]["value"] for kind in kinds]
    assert sum(met) == RING and min(met) >= 2
    assert rows["returned by themselves"]["value"] == RING
    assert rows["collect again after it"]["value"] == RING
    assert rows["told headquarters what was wrong"]["value"] == RING
    assert rows["failed and returned in the roll-out"]["value"] == RING
    assert rows["roll-outs halted"]["value"] == 1
    assert rows["gateways of the next ring changed"]["value"] == 0
    assert rows["samples of the ring"]["value"] > 0
    assert rows["samples of the ring lost"]["value"] == 0
    assert rows["samples of the ring doubled"]["value"] == 0
    assert 1 < rows["longest gap"]["value"] <= CONFIRM_S
    assert rows["scan instants neither collected nor declared"]["value"] == 0
    assert not [name for name, row in rows.items() if row["meets"] is False]


def test_the_account_sees_every_instant_that_nobody_collected_or_declared() -> None:
    collected = [0, 10, 20, 60, 70]
    assert silence_us(collected) == 40
    assert undeclared(collected, [], 10) == [30, 40, 50]
    assert undeclared(collected, [Gap(30, 50)], 10) == [50]
    assert undeclared(collected, [Gap(25, 35), Gap(40, 60)], 10) == []
    assert undeclared([0, 10], [], 10) == []
