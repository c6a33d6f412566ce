"""Our blocks against plain definitions in numpy, and their tables of quality."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.rules import Budget, compile_program
from edge_runtime.rules.running.inputs import InputStage
from edge_runtime.rules.running.runner import Runner
from tests.rules.tables import SIGNS, check, check_block

Floats = npt.NDArray[np.float64]
ROWS = 400
PERIOD_MS = 500


def signal(seed: int, rows: int = ROWS) -> tuple[Floats, npt.NDArray[np.int8]]:
    """A wandering signal with steps, repeats, bad samples and NaN."""
    draw = np.random.default_rng(seed)
    values = np.cumsum(draw.normal(size=rows)) + np.where(np.arange(rows) % 97 == 50, 40.0, 0.0)
    values[draw.random(rows) < 0.2] = 3.5
    values[draw.random(rows) < 0.05] = np.nan
    return values, np.where(draw.random(rows) < 0.1, 2, 0).astype(np.int8)


def run(source: str, values: Floats, qualities: Any, period_ms: int = PERIOD_MS) -> dict[str, list[Any]]:
    """Outputs of a program with one input over rows, and the quality of `y` as `quality`."""
    program = compile_program(source, budget=Budget(operations=2_000_000))
    runner = Runner(program, rows=len(values))
    runner.times[:] = [row * period_ms for row in range(len(values))]
    taken = InputStage(program.inputs, 1).take(0, values[:, None], np.asarray(qualities)[:, None])
    runner.inputs[0][:], runner.qualities[0][:] = (cells.tolist() for cells in taken)
    runner.step()
    found = {c.name: list(cells) for c, cells in zip(program.outputs, runner.outputs, strict=True)}
    found["quality"] = list(runner.output_qualities[0])
    return found


def one_block(block: str, output: str, arguments: str = "") -> str:
    return (
        "PROGRAM p VAR_INPUT x : LREAL; END_VAR VAR_OUTPUT y : LREAL; END_VAR "
        f"VAR tried : {block}; END_VAR tried(IN := x{arguments}); y := tried.{output}; END_PROGRAM"
    )


# -- windows ---------------------------------------------------------------------------------------


def _deviation(window: Sequence[float]) -> float:
    return float(np.std(window, ddof=1)) if len(window) > 1 else 0.0


WINDOWS: list[tuple[str, str, Callable[[Sequence[float]], float]]] = [
    ("MOVING_AVERAGE", "OUT", lambda window: float(np.mean(window))),
    ("DEVIATION", "OUT", _deviation),
    ("DEVIATION", "MEAN", lambda window: float(np.mean(window))),
    ("WINDOW_MIN", "OUT", min),
    ("WINDOW_MAX", "OUT", max),
    ("MEDIAN", "OUT", statistics.median),
]


@pytest.mark.parametrize("length", [2, 5, 16, 31])
@pytest.mark.parametrize(("block", "output", "definition"), WINDOWS)
def test_windows_give_their_figure_of_the_last_good_samples(
    block: str, output: str, definition: Callable[[Sequence[float]], float], length: int
) -> None:
    values, qualities = signal(length)
    found = run(one_block(block, output, f", N := {length}"), values, qualities)
    kept: list[float] = []
    wanted, last = [], 0.0
    for value, quality in zip(values, qualities, strict=True):
        if quality == 0 and np.isfinite(value):
            kept.append(float(value))
            last = definition(kept[-length:])
        wanted.append(last)
    np.testing.assert_allclose(found["y"], wanted, rtol=1e-12, atol=1e-12)
    good = (qualities == 0) & np.isfinite(values)
    enough = np.cumsum(good) > (1 if (block, output) == ("DEVIATION", "OUT") else 0)
    assert found["quality"] == np.where(good & enough, 0, 2).tolist()


@pytest.mark.parametrize("block", ["MOVING_AVERAGE", "WINDOW_MIN", "WINDOW_MAX", "MEDIAN"])
def test_windows_take_uncertain_samples_and_say_so(block: str) -> None:
    check_block(block, "time IN | OUT\n 0s 4.0 | 4\n 1s 4.0? | 4?\n 2s 4.0 | 4")


def test_a_deviation_is_bad_until_there_are_two_samples() -> None:
    check_block("DEVIATION", "time IN | OUT MEAN\n 0s 4.0 | 0! 4\n 1s 6.0? | 1.41421? 5?")


def test_a_window_keeps_its_length_within_its_ring() -> None:
    values = np.arange(1500.0)
    found = run(one_block("MOVING_AVERAGE", "OUT", ", N := 5000"), values, np.zeros(1500, np.int8))
    assert found["y"][-1] == pytest.approx(np.mean(values[-600:]))
    found = run(one_block("WINDOW_MIN", "OUT", ", N := -3"), values, np.zeros(1500, np.int8))
    assert found["y"] == values.tolist()


def test_the_rounding_of_a_moving_average_does_not_pile_up() -> None:
    values = np.full(2_000, 0.1)
    values[100] = 1e17
    found = run(one_block("MOVING_AVERAGE", "OUT", ", N := 10"), values, np.zeros(2_000, np.int8))
    assert found["y"][-1] == pytest.approx(0.1, rel=1e-15)


@pytest.mark.parametrize("outlier", [1e17, -3.4e38, 1.7e308])
def test_a_moving_average_is_right_as_soon_as_an_outlier_has_left(outlier: float) -> None:
    values = np.full(100, 0.1)
    values[33:35] = outlier
    found = run(one_block("MOVING_AVERAGE", "OUT", ", N := 10"), values, np.zeros(100, np.int8))
    np.testing.assert_allclose(found["y"][44:], 0.1, rtol=1e-12)


def test_a_moving_average_begins_anew_when_reset() -> None:
    check_block(
        "MOVING_AVERAGE",
        """
        time IN   RESET | OUT COUNT
        0    1.0  0     | 1   1
        1    3.0  0     | 2   2
        2    10.0 1     | 10  1
        3    20.0 0     | 15  2
        """,
    )


# -- rates -----------------------------------------------------------------------------------------


def test_the_rate_of_change_is_that_between_the_last_two_good_samples() -> None:
    check_block(
        "RATE_OF_CHANGE",
        """
        time IN    | OUT
        0s   1.0   | 0!
        1s   3.0   | 2
        2s   99.0! | 2!
        3s   7.0   | 2
        3s   9.0   | 2
        5s   8.0?  | 0.5?
        4s   0.0   | 0.5!
        5s   1.0   | 1
        """,
    )


def test_the_rate_of_change_is_scaled_to_its_time() -> None:
    check_block("RATE_OF_CHANGE", "time IN | OUT\n 0s 1.0 | 0!\n 2s 2.0 | 30", PER="T#1m")


def test_the_totaliser_adds_up_trapezia_and_leaves_holes_out() -> None:
    values, qualities = signal(7)
    found = run(one_block("TOTALISER", "OUT", ", PER := T#1m, HOLE := T#1s"), values, qualities)
    good = np.flatnonzero((qualities == 0) & np.isfinite(values))
    total = 0.0
    for before, after in pairwise(good):
        if after - before <= 2:
            total += (values[before] + values[after]) / 2 * (after - before) * PERIOD_MS / 60_000
    assert found["y"][-1] == pytest.approx(total, rel=1e-12)


def test_the_totaliser_begins_anew_when_reset_and_not_when_the_clock_is_set_back() -> None:
    check_block(
        "TOTALISER",
        """
        time IN   RESET | OUT
        10s  60.0 0     | 0
        11s  60.0 0     | 1
        5s   60.0 0     | 1
        6s   60.0 0     | 2
        7s   60.0 1     | 0
        8s   60.0 0     | 1
        """,
        PER="T#1m",
    )


def test_a_total_that_is_declared_retain_is_kept_over_a_cold_start() -> None:
    program = compile_program(
        "PROGRAM p VAR_INPUT x : LREAL; END_VAR VAR_OUTPUT y : LREAL; END_VAR "
        "VAR RETAIN total : TOTALISER; END_VAR total(IN := x, OUT => y); END_PROGRAM"
    )
    assert all(column.retain for column in program.states)


# -- control charts --------------------------------------------------------------------------------


def test_the_ewma_follows_its_recurrence() -> None:
    values, qualities = signal(3)
    found = run(one_block("EWMA", "OUT", ", ALPHA := 0.25"), values, qualities)
    level: float | None = None
    for row, (value, quality) in enumerate(zip(values, qualities, strict=True)):
        if quality == 0 and np.isfinite(value):
            level = float(value) if level is None else level + 0.25 * (float(value) - level)
        assert found["y"][row] == pytest.approx(level or 0.0)


def test_the_cusum_sums_what_is_beyond_the_slack_on_either_side() -> None:
    """The example of Page's scheme in Montgomery's form: target 10, slack 0.5, threshold 5."""
    check_block(
        "CUSUM",
        """
        time IN   | UP   DOWN HIGH LOW
        0    9.45 | 0    0.05 0    0
        1    7.99 | 0    1.56 0    0
        2    9.29 | 0    1.77 0    0
        3    11.66| 1.16 0    0    0
        4    12.16| 2.82 0    0    0
        5    10.18| 2.5  0    0    0
        6    99.0!| 2.5! 0!   0!   0!
        7    14.0 | 6    0    1    0
        """,
        TARGET="10.0",
        SLACK="0.5",
        THRESHOLD="5.0",
    )


def _rule(deviations: Sequence[float]) -> int:
    """Which of the four rules the last of some deviations, in sigmas, completes."""
    now = deviations[-1]
    if abs(now) > 3:
        return 1
    for side in (1, -1):
        zones = [side * deviation for deviation in deviations]
        if zones[-1] > 2 and sum(zone > 2 for zone in zones[-3:]) >= 2:
            return 2
    for side in (1, -1):
        zones = [side * deviation for deviation in deviations]
        if zones[-1] > 1 and len(zones) >= 4 and sum(zone > 1 for zone in zones[-5:]) >= 4:
            return 3
    last = deviations[-8:]
    same_side = all(deviation > 0 for deviation in last) or all(deviation < 0 for deviation in last)
    return 4 if len(last) == 8 and same_side else 0


@pytest.mark.parametrize("seed", range(6))
def test_western_electric_names_the_first_rule_that_a_sample_completes(seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = 50.0 + 2.0 * (draw.normal(size=600) * 1.2 + np.repeat(draw.normal(size=30), 20))
    values[::50] = 50.0
    source = (
        "PROGRAM p VAR_INPUT x : LREAL; END_VAR VAR_OUTPUT y : INT; END_VAR "
        "VAR chart : WESTERN_ELECTRIC; END_VAR "
        "chart(IN := x, MEAN := 50.0, SIGMA := 2.0, RULE => y); END_PROGRAM"
    )
    found = run(source, values, np.zeros(600, np.int8))
    deviations = ((values - 50.0) / 2.0).tolist()
    wanted = [_rule(deviations[max(0, end - 8) : end]) for end in range(1, 601)]
    assert set(wanted) == {0, 1, 2, 3, 4}
    assert found["y"] == wanted


def test_western_electric_skips_bad_samples() -> None:
    check_block(
        "WESTERN_ELECTRIC",
        """
        time IN   | RULE Q
        0    2.5  | 0    0
        1    9.0! | 0!   0!
        2    0.0  | 0    0
        3    2.5  | 2    1
        """,
        MEAN="0.0",
        SIGMA="1.0",
    )


# -- voting ----------------------------------------------------------------------------------------


def test_two_of_three_with_all_good() -> None:
    check_block(
        "VOTE_2OO3",
        """
        time A B C | Q VOTES NEEDED DEGRADED
        0    0 0 0 | 0 0     2      0
        1    1 0 0 | 0 1     2      0
        2    1 0 1 | 1 2     2      0
        3    1 1 1 | 1 3     2      0
        4    1? 1 1 | 1? 3   2      0
        """,
    )


def test_two_of_three_degrades_to_one_of_two_to_be_safe() -> None:
    check_block(
        "VOTE_2OO3",
        """
        time A  B  C  | Q  NEEDED DEGRADED
        0    0  0  0  | 0  2      0
        1    0! 0  0  | 0? 1      1
        2    0! 1  0  | 1? 1      1
        3    0! 0! 0  | 0? 1      1
        4    0! 0! 1  | 1? 1      1
        5    0! 0! 0! | 1! 1      1
        """,
    )


def test_two_of_three_degrades_to_two_of_two_to_be_available() -> None:
    check_block(
        "VOTE_2OO3",
        """
        time A  B  C  | Q  NEEDED
        0    0! 1  0  | 0? 2
        1    0! 1  1  | 1? 2
        2    0! 0! 1  | 1? 1
        3    0! 0! 0! | 0! 1
        """,
        TO_SAFE="FALSE",
        NONE_LEFT="FALSE",
    )


@pytest.mark.parametrize("to_safe", [True, False])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 2), (2, 2), (2, 3), (2, 4), (3, 5), (8, 8)])
def test_m_of_n_votes_as_defined(m: int, n: int, to_safe: bool) -> None:
    draw = np.random.default_rng(m * 10 + n)
    names = "ABCDEFGH"[:n]
    rows = []
    for time in range(60):
        votes, qualities = draw.integers(0, 2, n), draw.choice([0, 0, 0, 1, 2], n)
        # a bad vote is held by the input stage: it must not count whatever it was
        cells = " ".join(f"{vote}{SIGNS[quality]}" for vote, quality in zip(votes, qualities, strict=True))
        good = int(sum(qualities < 2))
        needed = max(1, min(m - (n - good) if to_safe else m, max(good, 1)))
        for_it = int(sum(votes[qualities < 2]))
        q = for_it >= needed if good else True
        sign = "!" if not good else "?" if any(qualities) else ""
        rows.append(f"{time} {cells} | {int(q)}{sign} {for_it} {good} {needed} {int(good < n)}")
    table = f"time {' '.join(names)} | Q VOTES GOOD NEEDED DEGRADED\n" + "\n".join(rows)
    check_block("VOTE_M_OF_N", table, M=str(m), N=str(n), TO_SAFE=str(to_safe).upper())


def test_the_middle_of_three_measurements() -> None:
    check_block(
        "MID_OF_3",
        """
        time A    B    C    | OUT  GOOD SPREAD
        0    1.0  3.0  2.0  | 2    3    0
        1    9.0  3.0  2.0  | 3    3    1
        2    9.0! 3.0  2.0  | 2.5? 2    0
        3    1.0  3.0  2.0? | 2?   3    0
        4    1.0  3.0! 2.0! | 1?   1    0
        5    1.0! 3.0! 2.0! | 1!   0    0
        6    5.0  4.0  5.0  | 5    3    0
        """,
        DIFFERENCE="5.0",
    )


# -- alarms ----------------------------------------------------------------------------------------


def test_hysteresis_keeps_its_state_between_its_ends() -> None:
    check_block(
        "HYSTERESIS",
        """
        time IN  | Q
        0    5.0 | 0
        1    8.0 | 1
        2    5.0 | 1
        3    4.0 | 0
        4    7.9 | 0
        """,
        HI="8.0",
        LO="4.0",
    )


def _alarm(call: str) -> str:
    return (
        "PROGRAM p VAR_INPUT x : LREAL; on : BOOL; END_VAR VAR_OUTPUT active : BOOL; END_VAR "
        f"VAR watch : {call[: call.index('(')]}; END_VAR watch{call[call.index('(') :]}; "
        "active := watch.ACTIVE; END_PROGRAM"
    )


def test_an_alarm_tells_when_it_begins_and_when_it_ends() -> None:
    program = compile_program(_alarm("ALARM(IN := on, VALUE := x, PRIORITY := 1, TEXT := 'tripped')"))
    [site] = program.events
    assert (site.kind, site.path, site.text, site.priority) == ("alarm", "watch", "tripped", 1)
    check(
        program,
        """
        time x    on | active events
        0    1.0  0  | 0
        1    2.0  1  | 1      alarm 'tripped' 2
        2    3.0  1  | 1
        3    4.0! 0! | 1!
        4    5.0? 0  | 0      returned 'tripped' 5?
        """,
    )


def test_a_high_alarm_has_delays_and_a_band() -> None:
    call = (
        "HIGH_ALARM(IN := x, LIMIT := 10.0, BAND := 2.0, ON_DELAY := T#2s, OFF_DELAY := T#3s, TEXT := 'high')"
    )
    program = compile_program(_alarm(call))
    assert program.events[0].path == "watch"
    check(
        program,
        """
        time x    | active events
        0s   10.0 | 0
        1s   11.0 | 0
        2s   9.0  | 0
        3s   11.0 | 0
        5s   11.0 | 1      alarm 'high' 11
        6s   9.0  | 1
        20s  9.0  | 1
        21s  8.0  | 1
        23s  8.5  | 1
        24s  8.0  | 1
        27s  7.0  | 0      returned 'high' 7
        """,
    )


def test_a_low_alarm_is_its_mirror() -> None:
    program = compile_program(_alarm("LOW_ALARM(IN := x, LIMIT := 10.0, BAND := 2.0, TEXT := 'low')"))
    check(
        program,
        """
        time x    | active events
        0s   10.0 | 0
        1s   9.9  | 1      alarm 'low' 9.9
        2s   11.9 | 1
        3s   12.0 | 0      returned 'low' 12
        """,
    )
