"""`python -m scripts.demo`: run the whole river here, and see that nothing is lost."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import click

from scripts.demo.outcome import Outcome, queries, reckon
from scripts.demo.processes import Children, DemoError
from scripts.demo.river import River
from scripts.demo.settings import Outage, Settings, outages
from scripts.demo.view import View

REFRESH_S = 1.0
PLACES = ("lake_path", "directory")
"""Figures that say where the data is: not said of data that is about to be removed."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--duration", type=click.FloatRange(min=1), help="Seconds to run; until Ctrl-C when left out.")
@click.option(
    "--points", default=1000, show_default=True, type=click.IntRange(2), help="Points of the plant."
)
@click.option(
    "--period", default=1.0, show_default=True, type=click.FloatRange(0.02), help="Scan period in seconds."
)
@click.option(
    "--flush", default=1.0, show_default=True, type=click.FloatRange(0.1), help="Seconds a batch collects."
)
@click.option("--two-level", is_flag=True, help="No hub: gateways send to headquarters.")
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="Replay a CSV or blank-separated table instead of the simulated plant.",
)
@click.option("--transpose", is_flag=True, help="The table's rows are columns (TEP d00.dat).")
@click.option(
    "--outage",
    default=0.0,
    type=click.FloatRange(0),
    help="Kill hub and headquarters in turn, so many seconds.",
)
@click.option("--seed", default=1, show_default=True, help="Seed of the simulated plant.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    help="Leave configuration, data, logs and demo.json in this new or empty directory.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object as the last line; keeps the data."
)
def main(
    duration: float | None,
    points: int,
    period: float,
    flush: float,
    two_level: bool,
    replay: Path | None,
    transpose: bool,
    outage: float,
    seed: int,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Run a plant, two gateways, a hub and headquarters on this machine.

    Ends with a clean stop, a judgement of the lake against the plant's own logs, the
    reconciled ledgers and three queries. Exit codes: 0 nothing is lost, doubled or altered;
    1 something is, or a part failed; 2 wrong usage.
    """
    cuts = _cuts(duration, outage, two_level)
    with tempfile.TemporaryDirectory(prefix="catchment-demo-") as temporary:
        root = _directory(keep, as_json) or Path(temporary)
        settings = Settings(root, duration, points, period, flush, two_level, replay, transpose, outage, seed)
        view = View(sys.stderr if as_json else sys.stdout)
        try:
            outcome = _run(settings, cuts, view)
            _tell(settings, outcome, view, kept=keep is not None or as_json)
        except (DemoError, ValueError) as error:
            click.echo(f"demo: {error}", err=True)
            sys.exit(1)
        if as_json:
            if keep is None:
                view.say(f"data is kept in {root}")
            click.echo(json.dumps(outcome.figures))
        sys.exit(0 if outcome.passed else 1)


def _cuts(duration: float | None, outage: float, two_level: bool) -> list[Outage]:
    if not outage:
        return []
    if duration is None:
        raise click.UsageError("expected --duration with --outage: the cuts are spread over it")
    try:
        return outages(duration, outage, two_level)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _directory(keep: Path | None, as_json: bool) -> Path | None:
    """Where data stays; `None` when it is not kept. With --json somebody will open the lake."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="catchment-demo-")) if as_json else None
    if keep.exists() and any(keep.iterdir()):
        raise click.UsageError(f"expected a new or empty directory for --keep, got {keep}")
    keep.mkdir(parents=True, exist_ok=True)
    return keep


def _run(settings: Settings, cuts: list[Outage], view: View) -> Outcome:
    """Run the river, stop it, and look at what is left."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Children(settings.root / "logs") as children:
        river = River(settings, children)
        view.say(f"starting; everything is under {settings.root}")
        river.start()
        _watch(settings, river, cuts, view, stop)
        view.say("stopping: gateways, hub, headquarters")
        river.stop()
        latency = river.status("headquarters").get("lake_latency_overall_p99_s")
    return reckon(settings, river.started_us, river.stopped_us, latency)


def _watch(settings: Settings, river: River, cuts: list[Outage], view: View, stop: threading.Event) -> None:
    began = time.monotonic()
    pending = [(cut.from_s, cut.node, False) for cut in cuts] + [(cut.to_s, cut.node, True) for cut in cuts]
    pending.sort()
    down: set[str] = set()
    while not stop.is_set():
        elapsed = time.monotonic() - began
        if settings.duration_s is not None and elapsed >= settings.duration_s:
            return
        news = ""
        while pending and elapsed >= pending[0][0]:
            _, node, mend = pending.pop(0)
            if mend:
                river.mend(node)
                down.discard(node)
            else:
                river.cut(node)
                down.add(node)
            news = f"{node} {'started again' if mend else 'killed'}"
        river.check(frozenset(down))
        view.show(elapsed, {name: river.status(name) for name in river.nodes if name not in down}, news)
        stop.wait(REFRESH_S - (time.monotonic() - began) % REFRESH_S)


def _tell(settings: Settings, outcome: Outcome, view: View, kept: bool) -> None:
    view.say("\nverify (headquarters, from the ledger table and the archive):")
    view.say(outcome.verify_text.rstrip())
    for title, table in queries(settings):
        view.say(f"\n{title}:\n{table.rstrip()}")
    view.say("\njudge (the lake against the plant's own logs):")
    verdict = outcome.verdict
    for name, value in outcome.figures.items():
        if name in PLACES and not kept:
            continue
        view.say(f"  {name:20} {value}")
    for example in verdict.examples:
        view.say(f"  {example}")
    view.say("\nnothing lost, doubled or altered" if outcome.passed else "\nFAULTS FOUND")


if __name__ == "__main__":
    main()
