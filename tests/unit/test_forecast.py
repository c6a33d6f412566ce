"""When a store will be full: the line, its interval, and what is remembered over restarts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from protocols.forecast import DAY_S, HOUR_S, KEPT, LEAST, Usage, full_in_days, student_95, trend


def test_the_interval_holds_the_truth_nineteen_times_of_twenty() -> None:
    rng = random.Random(11)
    held = 0
    for _ in range(400):
        points = [(hour * HOUR_S, 5e9 + hour * 1e6 + rng.gauss(0, 3e7)) for hour in range(72)]
        line = trend(points)
        assert line is not None
        held += line.low <= 24e6 <= line.high
    assert 365 <= held <= 395


@pytest.mark.parametrize(("freedom", "exact"), [(3, 3.182), (5, 2.571), (22, 2.074), (120, 1.980)])
def test_students_quantile(freedom: int, exact: float) -> None:
    assert student_95(freedom) == pytest.approx(exact, rel=0.02)


def test_what_does_not_grow_is_never_full() -> None:
    line = trend([(day * DAY_S, 100.0 - day) for day in range(10)])
    assert line is not None
    assert full_in_days(line, 90, 100) == [None, None, None]
    assert trend([(0.0, 1.0), (1.0, 2.0)]) is None
    assert trend([(5.0, 1.0)] * 9) is None


def test_a_store_is_remembered_hour_by_hour_over_restarts(tmp_path: Path) -> None:
    path, now = tmp_path / "usage.csv", 1_790_000_000.0
    usage = Usage(path, "the store")
    for hour in range(LEAST - 1):
        for minute in (0, 20, 40):
            told = usage.describe(10**9 + hour * 10**7, 10**10, now + hour * HOUR_S + minute * 60)
    assert told["full_in_days"] == [None, None, None]
    assert told["hours"] == LEAST - 1
    usage = Usage(path, "the store")
    told = usage.describe(10**9 + 23 * 10**7, 10**10, now + 23 * HOUR_S)
    assert (told["hours"], told["per_day_bytes"]) == (24, 240_000_000)
    assert told["full_in_days"] == [36.54] * 3
    full = usage.describe(2 * 10**10, 10**10, now + 23.5 * HOUR_S)
    assert full["full_in_days"] == [0.0] * 3


def test_a_season_is_kept_and_a_clock_that_was_set_back_cuts_what_is_ahead(tmp_path: Path) -> None:
    path, now = tmp_path / "usage.csv", 1_790_000_000.0
    path.write_text("".join(f"{now + hour * HOUR_S:.0f},{hour}\n" for hour in range(KEPT + 50)))
    usage = Usage(path, "the store")
    assert usage.describe(1, 2, now + (KEPT + 49) * HOUR_S)["hours"] == KEPT
    assert usage.describe(1, 2, now + 100 * HOUR_S)["hours"] == 51
    assert len(path.read_text().splitlines()) == 51


@pytest.mark.parametrize("text", ["nonsense\n", "1,2\nx", "\xff"])
def test_a_file_that_cannot_be_read_begins_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "usage.csv"
    path.write_bytes(text.encode("latin-1"))
    assert Usage(path, "the store").describe(1, 2, 1e9)["hours"] <= 2
    assert Usage(tmp_path / "none" / "usage.csv", "the store").describe(1, 2, 1e9)["hours"] == 1
