"""`python -m scripts.tep`: play the runs through the river, and judge; exit code 1 on a fault."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from protocols.errors import InputError
from scripts.demo.processes import DemoError
from scripts.tep.river import play
from scripts.tep.runs import Run, read_runs
from scripts.tep.verdict import Verdict, judge

TOGETHER = 8
"""Runs played side by side, each an instance of the app."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of dNN_te.dat.",
)
@click.option("--run", "names", multiple=True, help="Only this run, such as d04; repeatable.")
@click.option("--period", default=0.05, show_default=True, help="Seconds between scans: a row each.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep everything in this new folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(data: Path, names: tuple[str, ...], period: float, keep: Path | None, as_json: bool) -> None:
    """Play test runs of the Tennessee Eastman process to a gateway with the process-monitoring app.

    A Modbus device, a gateway, a hub and headquarters run as processes. Every row must arrive
    once and unaltered, the rates of detection and of false alarms be the reference's within 1
    point, and a replay over the lake give the same events to the bit.
    """
    try:
        runs = read_runs(data, names)
    except (ValueError, InputError) as error:
        raise click.UsageError(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="catchment-tep-") as scratch:
        root = keep or Path(scratch)
        try:
            verdicts = list(_judged(data, runs, root, period))
        except DemoError as error:
            click.echo(f"tep: {error}", err=True)
            sys.exit(1)
    whole = _joined(verdicts)
    if as_json:
        click.echo(json.dumps(whole.to_json()))
    else:
        _tell(whole, runs)
    sys.exit(1 if whole.faults else 0)


def _judged(data: Path, runs: Sequence[Run], root: Path, period_s: float) -> Iterator[Verdict]:
    for number, at in enumerate(range(0, len(runs), TOGETHER), 1):
        part = runs[at : at + TOGETHER]
        folder = root / f"part-{number}"
        folder.mkdir(parents=True)
        yield judge(play(data, part, folder, period_s), part)


def _joined(verdicts: Sequence[Verdict]) -> Verdict:
    return Verdict(
        {name: rates for verdict in verdicts for name, rates in verdict.rates.items()},
        [fault for verdict in verdicts for fault in verdict.faults],
        sum(verdict.events for verdict in verdicts),
        sum(verdict.scans for verdict in verdicts),
        sum(verdict.seconds for verdict in verdicts),
    )


def _tell(verdict: Verdict, runs: Sequence[Run]) -> None:
    click.echo("run   T2 %   SPE %   reference")
    for run in runs:
        got, wanted = verdict.rates[run.name], run.reference
        told = "" if wanted is None else f"{wanted.t2:.1f} {wanted.spe:.1f}"
        click.echo(f"{run.name}  {got.t2:5.1f}   {got.spe:5.1f}   {told}")
    click.echo(f"{verdict.events:,} events and {verdict.scans:,} scans, live and replayed")
    for fault in verdict.faults:
        click.echo(f"FAULT {fault}")


if __name__ == "__main__":
    main()
