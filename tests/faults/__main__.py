"""`python -m tests.faults --kills 2000`: kill the processes of a river, and see that nothing is lost."""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path

import click

from scripts.demo.processes import DemoError
from tests.faults.kills import Killer, Tally, build, report


@click.command()
@click.option("--kills", default=200, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--seed", default=None, type=int, help="Decides what is killed when; a new one by default.")
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="A new directory for all that remains."
)
def main(kills: int, seed: int | None, keep: Path | None) -> None:
    """Run gateways, hubs and headquarters, kill them with SIGKILL, and judge the lake.

    The last line is a JSON object. Exit code 1 when anything is lost, doubled or altered; what
    a declared gap covers is not lost.
    """
    chosen = random.SystemRandom().getrandbits(32) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="catchment-faults-") as temporary:
        root = keep or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        click.echo(f"seed {chosen}, everything is under {root}", err=True)
        try:
            figures = run(root, kills, chosen)
        except (AssertionError, DemoError) as error:
            click.echo(f"faults: {error}", err=True)
            sys.exit(1)
    click.echo(json.dumps(figures))


def run(root: Path, kills: int, seed: int) -> dict[str, object]:
    """Kill, drain, judge."""
    began = time.monotonic()

    def tell(tally: Tally) -> None:
        click.echo(f"{time.monotonic() - began:7.1f} s  {tally.total} kills", err=True)

    with build(root, seed) as river:
        tally = Killer(river, random.Random(seed)).run(kills, tell)
        killed_s = time.monotonic() - began
        verdict = river.finish()
        click.echo(f"{time.monotonic() - began:7.1f} s  drained, stopped and judged", err=True)
        return {"seed": seed, **report(river, tally, verdict, killed_s)}


if __name__ == "__main__":
    main()
