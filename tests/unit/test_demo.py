"""The demo's plan and what it shows."""

from __future__ import annotations

import pytest

from scripts.demo.settings import SETTLE_S, outages


def test_hub_and_headquarters_are_cut_in_turn_and_never_together() -> None:
    cuts = outages(90.0, 20.0, two_level=False)
    assert [cut.node for cut in cuts] == ["hub", "headquarters"]
    times = [time for cut in cuts for time in (cut.from_s, cut.to_s)]
    assert times == pytest.approx([16.667, 36.667, 53.333, 73.333], abs=0.01)


def test_without_a_hub_only_headquarters_is_cut() -> None:
    assert [cut.node for cut in outages(60.0, 20.0, two_level=True)] == ["headquarters"]


def test_a_run_too_short_for_its_outages_says_how_long_it_must_be() -> None:
    least = 2 * 20 + 3 * SETTLE_S
    outages(least, 20.0, two_level=False)
    with pytest.raises(ValueError, match=f"--duration {least:g}"):
        outages(least - 1, 20.0, two_level=False)
