"""Judges many random programs on all runtimes, and prints figures as JSON.

python -m tests.rules --programs 4600            # over 3,000 of them under numba too: an hour on two cores
python -m tests.rules --explain 17               # what differs in one, made small
"""

from __future__ import annotations

import json
import time
from multiprocessing import get_context

import click

from tests.rules.verdicts import Verdict, explained, judge_task

CHUNK = 20


@click.command()
@click.option("--programs", default=3000, show_default=True, help="How many.")
@click.option("--seed", default=0, show_default=True, help="Of the first; the others follow.")
@click.option("--jobs", default=2, show_default=True, help="Processes.")
@click.option("--numba/--no-numba", default=True, show_default=True, help="Run under numba too: 1 s each.")
@click.option(
    "--longest",
    default=5000,
    show_default=True,
    help="Characters of generated code that numba is given: it takes minutes over some that are longer.",
)
@click.option("--explain", type=int, help="Show where one program differs, and make it small.")
def main(programs: int, seed: int, jobs: int, numba: bool, longest: int, explain: int | None) -> None:
    """Judge random programs; exit code 1 when any runtime disagrees with the interpreter."""
    if explain is not None:
        click.echo(explained(explain))
        return
    begun = time.monotonic()
    total = Verdict()
    chunks = [range(at, min(at + CHUNK, seed + programs)) for at in range(seed, seed + programs, CHUNK)]
    # not ProcessPoolExecutor: its workers that end after some tasks can leave it waiting for ever
    with get_context("spawn").Pool(jobs, maxtasksperchild=5) as pool:
        tasks = [(chunk, chunk if numba else (), longest) for chunk in chunks]
        for verdict in pool.imap_unordered(judge_task, tasks):
            total += verdict
            for fault in verdict.faults:
                click.echo(f"seed {fault.seed}, {fault.runtime}: {fault.what[:600]}", err=True)
            click.echo(
                f"{total.programs} of {programs}, {total.compiled} under numba, {len(total.faults)} faults",
                err=True,
            )
    figures = {
        "programs": total.programs,
        "lines": total.lines,
        "scans_each": total.scans,
        "events_each": total.events,
        "under_numba": total.compiled,
        "too_large_for_micropython": total.too_large,
        "faults": len(total.faults),
        "seconds": round(time.monotonic() - begun, 1),
    }
    click.echo(json.dumps(figures, indent=2))
    raise SystemExit(1 if total.faults else 0)


if __name__ == "__main__":
    main()
