"""`python -m scripts.demo`: run the whole river here, and see that nothing is lost."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

from scripts.demo.alarms import QUERY, AlarmOutcome, query
from scripts.demo.faults import plan
from scripts.demo.outcome import Outcome, queries, reckon
from scripts.demo.processes import Children, DemoError
from scripts.demo.river import River
from scripts.demo.settings import Outage, Settings, outages
from scripts.demo.view import View

REFRESH_S = 1.0
PLACES = ("lake_path", "directory")
"""Figures that say where the data is: not said of data that is about to be removed."""
ROWS = ("fault_alarms",)
"""Figures that are tables: told in words above."""


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
@click.option(
    "--faults/--no-faults",
    default=True,
    show_default=True,
    help="Let the simulated plant fail here and there, as far as there is time for the alarms.",
)
@click.option(
    "--pace",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.1, 20),
    help="Seconds of the simulated plant's life in one second.",
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
    faults: bool,
    pace: float,
    seed: int,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Run a plant, two gateways with rule apps, a hub and headquarters on this machine.

    Ends with a clean stop, a judgement of the lake and its alarms against the plant's own logs,
    the reconciled ledgers and four queries. Exit codes: 0 nothing is lost, doubled or altered,
    and every alarm is right; 1 something is not, or a part failed; 2 wrong usage.
    """
    cuts = _cuts(duration, outage, two_level)
    with tempfile.TemporaryDirectory(prefix="catchment-demo-") as temporary:
        root = _directory(keep, as_json) or Path(temporary)
        settings = Settings(
            root, duration, points, period, flush, two_level, replay, transpose, outage, seed,
            faults and replay is None, pace,
        )  # fmt: skip
        view = View(sys.stderr if as_json else sys.stdout)
        try:
            outcome, river = _run(settings, cuts, view)
            _tell(settings, outcome, river, view, kept=keep is not None or as_json)
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


def _run(settings: Settings, cuts: list[Outage], view: View) -> tuple[Outcome, River]:
    """Run the river, stop it, and look at what is left."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Children(settings.root / "logs") as children:
        river = River(settings, children)
        view.say(f"starting; everything is under {settings.root}")
        river.start()
        view.say(f"portal: {river.portal_url}\nsign in once by: {river.sign_in_link}")
        _watch(settings, river, cuts, view, stop)
        view.say("stopping: gateways, hub, headquarters")
        river.stop()
        latency = river.status("headquarters").get("lake_latency_overall_p99_s")
    return reckon(settings, river, latency), river


class Step(NamedTuple):
    """Something that is done to the river on the way.

    Args:
        at_s: Seconds after all is up.
        news: What it is.
        act: Does it.
    """

    at_s: float
    news: str
    act: Callable[[], None]


def _steps(settings: Settings, river: River, cuts: list[Outage], down: set[str]) -> list[Step]:
    """Outages and faults, in the order of time; `down` is kept up to date."""

    def cut(node: str) -> None:
        river.cut(node)
        down.add(node)

    def mend(node: str) -> None:
        river.mend(node)
        down.discard(node)

    steps = [Step(each.from_s, f"{each.node} killed", partial(cut, each.node)) for each in cuts]
    steps += [Step(each.to_s, f"{each.node} started again", partial(mend, each.node)) for each in cuts]
    if settings.faults:
        run_s = None if settings.duration_s is None else settings.for_alarms_s(settings.duration_s)
        for fault in plan(run_s, settings.pace, river.instances):
            steps.append(Step(fault.at_s, f"fault: {fault.what}", partial(river.inject, fault)))
    return sorted(steps, key=lambda step: step.at_s)


def _watch(settings: Settings, river: River, cuts: list[Outage], view: View, stop: threading.Event) -> None:
    began = time.monotonic()
    down: set[str] = set()
    pending = _steps(settings, river, cuts, down)
    while not stop.is_set():
        elapsed = time.monotonic() - began
        if settings.duration_s is not None and elapsed >= settings.duration_s:
            return
        news = []
        while pending and elapsed >= pending[0].at_s:
            step = pending.pop(0)
            step.act()
            news.append(step.news)
        river.check(frozenset(down))
        statuses = {name: river.status(name) for name in river.nodes if name not in down}
        view.show(elapsed, statuses, "; ".join(news))
        stop.wait(REFRESH_S - (time.monotonic() - began) % REFRESH_S)


def _tell(settings: Settings, outcome: Outcome, river: River, view: View, kept: bool) -> None:
    view.say("\nverify (headquarters, from the ledger table and the archive):")
    view.say(outcome.verify_text.rstrip())
    for title, table in queries(settings):
        view.say(f"\n{title}:\n{table.rstrip()}")
    if outcome.alarms is not None:
        _tell_alarms(settings, outcome.alarms, river, view)
    view.say("\njudge (the lake against the plant's own logs):")
    verdict = outcome.verdict
    for name, value in outcome.figures.items():
        if name in ROWS or (name in PLACES and not kept):
            continue
        view.say(f"  {name:20} {value}")
    for example in verdict.examples:
        view.say(f"  {example}")
    view.say(_conclusion(outcome))


def _conclusion(outcome: Outcome) -> str:
    if not outcome.passed:
        return "\nFAULTS FOUND"
    right = "" if outcome.alarms is None else "every alarm is there within one scan, and none besides\n"
    return f"\n{right}nothing lost, doubled or altered"


def _tell_alarms(settings: Settings, alarms: AlarmOutcome, river: River, view: View) -> None:
    table = query(settings).rstrip()
    view.say(f'\nAlarms of the apps:\n$ catchment-hq query "{QUERY}"\n{table}')
    view.say("\nfaults, and what they raised (the lake's events against the plant's own logs):")
    for line in alarms.lines(river.injected):
        view.say(line)


if __name__ == "__main__":
    main()
