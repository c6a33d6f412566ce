"""Fuzzes governed queries, and prints figures as JSON.

python -m tests.sql --minutes 10
python -m tests.sql --seed 17 --only 1           # one seed again
"""

from __future__ import annotations

import json
import sys
import time

import click

from tests.sql.judge import Verdict, judge_hostile, judge_legal

FAULTS_MAX = 20


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="For how long.")
@click.option("--seed", default=1_000_000, show_default=True, help="Of the first; the others follow.")
@click.option("--only", type=int, help="So many seeds, however long they take.")
def main(minutes: float, seed: int, only: int | None) -> None:
    """Ask generated queries; exit code 1 when one shows what it must not, or is answered otherwise."""
    begun = time.monotonic()
    legal, hostile, at = Verdict(), Verdict(), seed
    while (at < seed + only) if only is not None else time.monotonic() - begun < 60 * minutes:
        judge_legal(at, legal)
        judge_hostile(at, hostile)
        at += 1
        if len(legal.faults) + len(hostile.faults) >= FAULTS_MAX:
            break
    for fault in [*legal.faults, *hostile.faults]:
        click.echo(fault, err=True)
    faults = len(legal.faults) + len(hostile.faults)
    figures = {
        "seeds": at - seed,
        "legal_answered": legal.answered,
        "legal_wrong_either_way": legal.wrong,
        "hostile_refused": hostile.refused,
        "faults": faults,
        "seconds": round(time.monotonic() - begun, 1),
    }
    click.echo(json.dumps(figures))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
