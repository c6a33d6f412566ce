"""Whether the app did its work: every row once, rates as others found them, a replay that agrees."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from edge_runtime.rules.models.model import Model, ModelScorer
from headquarters import config
from headquarters.lake.query import Engine
from protocols.package import open_package
from scripts.demo.processes import finish, program
from scripts.tep.homes import GATEWAY, package
from scripts.tep.lake import APP, Arrived, bits, events_of, look
from scripts.tep.river import Played
from scripts.tep.runs import NEAR, Rates, Run
from scripts.train_tep.pca import Floats
from scripts.train_tep.reference import APP as FOLDER

REPLAYED = "replayed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Args:
        rates: By run, from the lake.
        faults: In words; empty when all is well.
        events: How many, alarms raised and returned.
        scans: How many the replay ran.
        seconds: From the first row to the last.
    """

    rates: dict[str, Rates] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    events: int = 0
    scans: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """For a machine."""
        return {
            "passed": not self.faults,
            "rates": {name: each._asdict() for name, each in self.rates.items()},
            "events": self.events,
            "scans": self.scans,
            "seconds": round(self.seconds, 1),
            "faults": self.faults,
        }


def judge(played: Played, runs: Sequence[Run]) -> Verdict:
    """Look at the lake, and replay the app over it."""
    verdict = Verdict(seconds=played.seconds)
    engine = Engine(config.load(played.headquarters).lake)
    try:
        for run in runs:
            arrived = look(engine, run, played.from_us, played.to_us)
            verdict.rates[run.name] = arrived.rates
            verdict.faults.extend(arrived.faults or _wrong(run, arrived))
        recorded = events_of(engine, played.from_us, played.to_us)
    finally:
        engine.close()
    found = _replay(played)
    faults = [*_disagreement(found, recorded, _replayed_events(played)), *verdict.faults]
    return Verdict(verdict.rates, faults, len(recorded), found["scans"], played.seconds)


def _wrong(run: Run, arrived: Arrived) -> list[str]:
    """What is not as it should be of a run whose rows all arrived."""
    faults = []
    if arrived.told != arrived.rates:
        faults.append(f"{run.name}: events say {arrived.told}, outputs {arrived.rates}")
    expected = figures(run)
    same = np.count_nonzero((arrived.figures == expected).all(axis=1))
    if same < len(expected):
        faults.append(f"{run.name}: T2 and SPE of {len(expected) - same} rows are not the model's")
    if run.reference is not None:
        faults += [
            f"{run.name}: expected {name} {wanted} % within {NEAR:g} points, got {got:.2f} %"
            for name, wanted, got in zip(Rates._fields, run.reference, arrived.rates, strict=True)
            if not abs(got - wanted) <= NEAR
        ]
    return faults


def figures(run: Run) -> Floats:
    """T2 and SPE of each row, from the app's model alone: (rows, 2)."""
    opened = open_package(FOLDER)
    [spec] = opened.manifest.models
    values, _ = ModelScorer(Model.load(spec, opened.files[spec.file]), 1).evaluate(
        run.rows, np.zeros(run.rows.shape, np.int8)
    )
    return np.asarray(values)


def _replay(played: Played) -> dict[str, Any]:
    command = [
        program("catchment-hq"), "app", "replay", str(package(played.root)),
        "--home", str(played.headquarters), "--gateway", GATEWAY,
        "--settings", str(played.home / "apps" / f"{APP}.toml"),
        "--from", _iso(played.from_us), "--to", _iso(played.to_us),
        "--out", str(played.root / REPLAYED), "--json",
    ]  # fmt: skip
    found: dict[str, Any] = json.loads(finish(command, (0, 1))[1])
    return found


def _replayed_events(played: Played) -> list[tuple[str, ...]]:
    """The replay's events in the form of `events_of`."""
    with (played.root / REPLAYED / "events.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return sorted(
        (
            str(_us(row["time"])), row["instance"], row["kind"], row["transition"], row["text"],
            bits(row["value"]),
        )
        for row in rows
    )  # fmt: skip


def _disagreement(
    found: dict[str, Any], recorded: Sequence[tuple[str, ...]], replayed: Sequence[tuple[str, ...]]
) -> list[str]:
    faults = []
    if found["differs"]:
        faults.append(f"the replay differs: {json.dumps(found['event_differences'][:3])}")
    if not found["exact"]:
        faults.append(f"the replay is approximate: {found['approximate_because'][:3]}")
    if sorted(recorded) != sorted(replayed) or not recorded:
        odd = sorted(set(recorded) ^ set(replayed))[:3]
        faults.append(f"{len(recorded)} events recorded, {len(replayed)} replayed; not in both: {odd}")
    silent = [each["name"] for each in found["outputs"] if each["compared"] != found["scans"]]
    if silent:
        faults.append(f"of {found['scans']} scans not all were compared of {silent[:3]}")
    return faults


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()


def _us(text: str) -> int:
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
