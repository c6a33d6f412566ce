"""The blocks of IEC 61131-3 against the standard's tables and timing diagrams."""

from __future__ import annotations

from edge_runtime.rules import Budget, compile_program
from tests.rules.tables import check, check_block


def test_r_trig_is_true_for_the_scan_in_which_its_input_rises() -> None:
    check_block(
        "R_TRIG",
        """
        time CLK | Q
        0    0   | 0
        1    1   | 1
        2    1   | 0
        3    0   | 0
        4    1   | 1
        """,
    )


def test_r_trig_sees_a_rise_in_its_first_scan_when_the_input_is_true_from_the_start() -> None:
    check_block("R_TRIG", "time CLK | Q\n 0 1 | 1\n 1 1 | 0")


def test_f_trig_is_true_for_the_scan_in_which_its_input_falls() -> None:
    check_block(
        "F_TRIG",
        """
        time CLK | Q
        0    0   | 0
        1    1   | 0
        2    0   | 1
        3    0   | 0
        4    1   | 0
        5    0   | 1
        """,
    )


def test_sr_is_set_when_both_inputs_are_true() -> None:
    check_block(
        "SR",
        """
        time S1 R | Q1
        0    0  0 | 0
        1    1  0 | 1
        2    0  0 | 1
        3    0  1 | 0
        4    1  1 | 1
        5    0  1 | 0
        """,
    )


def test_rs_is_reset_when_both_inputs_are_true() -> None:
    check_block(
        "RS",
        """
        time S R1 | Q1
        0    0 0  | 0
        1    1 0  | 1
        2    0 0  | 1
        3    1 1  | 0
        4    1 0  | 1
        5    0 1  | 0
        """,
    )


def test_ctu_counts_rises_and_reset_dominates() -> None:
    check_block(
        "CTU",
        """
        time CU R PV | Q CV
        0    0  0 2  | 0 0
        1    1  0 2  | 0 1
        2    1  0 2  | 0 1
        3    0  0 2  | 0 1
        4    1  0 2  | 1 2
        5    0  0 2  | 1 2
        6    1  0 2  | 1 3
        7    0  1 2  | 0 0
        8    1  1 2  | 0 0
        9    1  0 2  | 0 0
        """,
    )


def test_counters_stop_at_the_ends_of_int() -> None:
    """Counted by a loop within each scan: 10,000 rises, four times."""
    source = """
    PROGRAM p
    VAR_OUTPUT up, down : INT; END_VAR
    VAR counter : CTU; back : CTD; i : INT; END_VAR
    FOR i := 1 TO 10000 DO
        counter(CU := TRUE, CV => up); counter(CU := FALSE);
        back(CD := TRUE, CV => down); back(CD := FALSE);
    END_FOR;
    END_PROGRAM"""
    program = compile_program(source, budget=Budget(operations=1_000_000))
    check(
        program, "time | up down\n 0 | 10000 -10000\n 1 | 20000 -20000\n 2 | 30000 -30000\n 3 | 32767 -32768"
    )


def test_ctd_counts_down_from_the_loaded_value() -> None:
    check_block(
        "CTD",
        """
        time CD LD PV | Q CV
        0    0  0  2  | 1 0
        1    0  1  2  | 0 2
        2    1  0  2  | 0 1
        3    1  0  2  | 0 1
        4    0  0  2  | 0 1
        5    1  0  2  | 1 0
        6    0  0  2  | 1 0
        7    1  0  2  | 1 -1
        8    1  1  2  | 0 2
        """,
    )


def test_ctud_counts_both_ways_and_both_rises_at_once_cancel_out() -> None:
    check_block(
        "CTUD",
        """
        time CU CD R LD PV | QU QD CV
        0    0  0  0 0  2  | 0  1  0
        1    1  0  0 0  2  | 0  0  1
        2    0  0  0 0  2  | 0  0  1
        3    1  1  0 0  2  | 0  0  1
        4    0  0  0 0  2  | 0  0  1
        5    1  0  0 0  2  | 1  0  2
        6    0  1  0 0  2  | 0  0  1
        7    0  0  0 1  2  | 1  0  2
        8    0  0  1 1  2  | 0  1  0
        9    0  1  0 0  2  | 0  1  -1
        """,
    )


def test_ton_as_in_the_standards_diagram() -> None:
    """A long TRUE reaches PT; a short one does not."""
    check_block(
        "TON",
        """
        time IN PT | Q ET
        0s   0  5s | 0 0
        1s   1  5s | 0 0
        3s   1  5s | 0 2s
        6s   1  5s | 1 5s
        8s   1  5s | 1 5s
        9s   0  5s | 0 0
        10s  1  5s | 0 0
        13s  1  5s | 0 3s
        14s  0  5s | 0 0
        """,
    )


def test_ton_without_a_delay_follows_its_input() -> None:
    check_block("TON", "time IN | Q\n 0s 1 | 1\n 1s 0 | 0\n 2s 1 | 1", PT="T#0s")


def test_ton_begins_anew_when_the_clock_was_set_back() -> None:
    check_block(
        "TON",
        """
        time IN | Q ET
        100s 1  | 0 0
        104s 1  | 0 4s
        50s  1  | 0 0
        54s  1  | 0 4s
        55s  1  | 1 5s
        """,
        PT="T#5s",
    )


def test_ton_holds_while_its_input_is_bad() -> None:
    check_block(
        "TON",
        """
        time IN | Q
        0s   1  | 0
        3s   0! | 0!
        6s   0! | 1!
        7s   0  | 0
        """,
        PT="T#5s",
    )


def test_tof_as_in_the_standards_diagram() -> None:
    """Q outlasts IN by PT; a TRUE meanwhile begins anew."""
    check_block(
        "TOF",
        """
        time IN PT | Q ET
        0s   0  5s | 0 0
        1s   1  5s | 1 0
        4s   0  5s | 1 0
        7s   0  5s | 1 3s
        9s   0  5s | 0 5s
        11s  0  5s | 0 5s
        12s  1  5s | 1 0
        13s  0  5s | 1 0
        16s  0  5s | 1 3s
        17s  1  5s | 1 0
        18s  0  5s | 1 0
        23s  0  5s | 0 5s
        """,
    )


def test_tof_begins_anew_when_the_clock_was_set_back() -> None:
    check_block("TOF", "time IN | Q\n 99s 1 | 1\n 100s 0 | 1\n 50s 0 | 1\n 54s 0 | 1\n 55s 0 | 0", PT="T#5s")


def test_tp_as_in_the_standards_diagram() -> None:
    """A pulse of PT whatever IN does meanwhile; ET stays at PT until IN is FALSE."""
    check_block(
        "TP",
        """
        time IN PT | Q ET
        0s   0  5s | 0 0
        1s   1  5s | 1 0
        4s   1  5s | 1 3s
        6s   1  5s | 0 5s
        8s   1  5s | 0 5s
        9s   0  5s | 0 0
        10s  1  5s | 1 0
        11s  0  5s | 1 1s
        12s  1  5s | 1 2s
        13s  0  5s | 1 3s
        15s  0  5s | 0 0
        """,
    )


def test_tp_takes_a_rise_seen_when_its_pulse_is_over_for_a_new_one() -> None:
    check_block("TP", "time IN | Q ET\n 0s 1 | 1 0\n 1s 0 | 1 1s\n 6s 1 | 1 0\n 11s 1 | 0 5s", PT="T#5s")


def test_tp_begins_anew_when_the_clock_was_set_back() -> None:
    check_block("TP", "time IN | Q\n 100s 1 | 1\n 50s 1 | 1\n 54s 0 | 1\n 55s 0 | 0", PT="T#5s")
