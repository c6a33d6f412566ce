"""Generated queries: `python -m tests.sql` runs them for as long as one likes."""

from __future__ import annotations

from tests.sql.judge import Verdict, judge_hostile, judge_legal

HOSTILE = 1000
LEGAL = 120
ANSWERED_ONCE = (30886332, 30887220)
"""Seeds whose texts were legal by mistake: a disguise had made a table and an alias of `samples_`."""


def test_a_thousand_hostile_texts_have_no_answer() -> None:
    verdict = Verdict()
    for seed in (*range(HOSTILE), *ANSWERED_ONCE):
        judge_hostile(seed, verdict)
    assert not verdict.faults, verdict.faults[0]
    assert verdict.refused == HOSTILE + len(ANSWERED_ONCE)


def test_generated_queries_are_answered_as_over_the_askers_rows_alone() -> None:
    verdict = Verdict()
    for seed in range(LEGAL):
        judge_legal(seed, verdict)
    assert not verdict.faults, verdict.faults[0]
    assert verdict.answered > LEGAL * 0.9
