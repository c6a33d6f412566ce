"""Generated queries: `python -m tests.sql` runs them for as long as one likes."""

from __future__ import annotations

from tests.sql.judge import Verdict, judge_hostile, judge_legal

HOSTILE = 1000
LEGAL = 120


def test_a_thousand_hostile_texts_have_no_answer() -> None:
    verdict = Verdict()
    for seed in range(HOSTILE):
        judge_hostile(seed, verdict)
    assert not verdict.faults, verdict.faults[0]
    assert verdict.refused == HOSTILE


def test_generated_queries_are_answered_as_over_the_askers_rows_alone() -> None:
    verdict = Verdict()
    for seed in range(LEGAL):
        judge_legal(seed, verdict)
    assert not verdict.faults, verdict.faults[0]
    assert verdict.answered > LEGAL * 0.9
