"""Judges generated queries: hostile ones are refused, legal ones answered as over the asker's rows alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from unittest import mock

from headquarters.services.sql.errors import Fault
from headquarters.services.sql.limits import RUNS_MAX
from tests.sql.asking import governed, own, same
from tests.sql.generator import Generator, hostile


@dataclass
class Verdict:
    """What a run found."""

    answered: int = 0
    refused: int = 0
    wrong: int = 0
    faults: list[str] = field(default_factory=list)


def judge_legal(seed: int, verdict: Verdict) -> None:
    """One legal query: governed over all rows, and plain over the asker's."""
    sql = Generator(seed).query()
    runs_max = RUNS_MAX if seed % 2 else 0  # the asker's series are written out, or looked up
    with mock.patch("headquarters.services.sql.guard.RUNS_MAX", runs_max):
        found = governed(sql)
    alone = own(sql)
    if found.error is not None:
        if alone is None:
            verdict.wrong += 1
        else:
            verdict.faults.append(f"seed {seed}: {sql}\n  {found.error}")
        if found.error.fault is Fault.REFUSED:
            verdict.refused += 1
        return
    verdict.answered += 1
    if alone is None:
        verdict.faults.append(f"seed {seed}: {sql}\n  is answered, and not over the asker's rows alone")
    elif found.leaks or not same(found, alone):
        verdict.faults.append(f"seed {seed}: {sql}\n  {found.rows[:3]}\n  {alone.rows[:3]}")


def judge_hostile(seed: int, verdict: Verdict) -> None:
    """One hostile text: it has no answer, and its error tells nothing."""
    sql = hostile(random.Random(seed))
    found = governed(sql)
    if found.error is None:
        verdict.answered += 1
        verdict.faults.append(f"seed {seed}: {sql}\n  is answered: {found.rows[:3]}")
    else:
        verdict.refused += 1
        if "987654" in found.error.expected:
            verdict.faults.append(f"seed {seed}: {sql}\n  tells: {found.error}")
