"""Kill -9, again and again, in every tier and at every crash point: the lake stays exact."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.faults.kills import Killer, build, crash_points, report

KILLS = 200
"""Every night `python -m tests.faults` kills ten times as often."""

UNJOURNALED_S_MAX = 1.0
"""What a kill of a gateway may cost: the last unjournaled second."""

BUSY_S = 1.5
"""Beside it, on a machine so busy that a commit waits."""


@pytest.mark.timeout(900)
def test_hundreds_of_kills_lose_and_double_nothing_but_the_last_unjournaled_second(tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    began = time.monotonic()
    with build(tmp_path, seed) as river:
        tally = Killer(river, random.Random(seed)).run(KILLS)
        seconds = time.monotonic() - began
        figures = report(river, tally, river.finish(), seconds)
    print(f"seed {seed}: {figures}")
    assert figures["lost"] == figures["duplicated"] == figures["wrong"] == 0
    assert figures["kills"] >= KILLS
    assert figures["unjournaled_s_max"] <= UNJOURNALED_S_MAX + BUSY_S
    for tier, points in crash_points().items():
        missed = set(points) - figures["by_tier"][tier].keys()
        assert not missed, f"no kill at {missed}: seed {seed}, {figures}"
