"""What came of a demo: the judges' verdicts, the ledgers' word, and three queries.

The figures come from the lake and from the plant's logs, not from what the nodes say of
themselves; only the latency is headquarters' own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from deltalake import DeltaTable

from protocols.batch import Header
from scripts.demo.alarms import AlarmOutcome, reckon_alarms
from scripts.demo.processes import finish, program, run
from scripts.demo.river import River
from scripts.demo.settings import COMMIT_S, Settings
from scripts.judge import Verdict, judge, replayed
from scripts.judge.lake import Lake
from scripts.plant.layout import PREFIXES, Protocol
from scripts.plant.replay import parse

QUERIES = {
    "Samples of each gateway, by type": """
        select gateway, type, count(*) as samples, count(distinct series) as points,
               count(*) filter (where quality <> 0) as not_good
        from samples join series using (series) group by all order by all""",
    "The five points that moved most within their range": """
        select name, unit, min(value) as lowest, max(value) as highest,
               round(100 * stddev(value) / (any_value(high) - any_value(low)), 3) as percent_of_range
        from samples join series using (series) where high > low and quality = 0
        group by name, unit order by percent_of_range desc limit 5""",
    "The last five seconds of one point": """
        select name, time, source_time, value, unit from samples join series using (series)
        where series = (select min(series) from series where type = 'f64') order by time desc limit 5""",
}
"""Shown after a run; DuckDB's SQL over the lake's tables."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All of it.

    Args:
        verdict: The judge's.
        verified: Whether `catchment-hq verify` found every signature, chain and ledger right.
        verify_text: What it printed.
        figures: The object that `--json` prints.
        alarms: What came of the apps' alarms; `None` where no apps ran.
    """

    verdict: Verdict
    verified: bool
    verify_text: str
    figures: dict[str, Any]
    alarms: AlarmOutcome | None

    @property
    def passed(self) -> bool:
        """Nothing lost, doubled or altered, the ledgers agree, and all alarms are right."""
        right = self.alarms is None or self.alarms.passed
        return self.verdict.passed and self.verified and right


def reckon(settings: Settings, river: River, latency_s: float | None) -> Outcome:
    """Look at what is left after a clean stop.

    Args:
        settings: What was asked for.
        river: What ran.
        latency_s: What headquarters measured from sample to durable lake, p99.

    Raises:
        DemoError: `catchment-hq verify` cannot run.
        ValueError: A served point never arrived.
    """
    started_us, stopped_us = river.started_us, river.stopped_us
    verdict = judge(settings.lake, [settings.plant(p) for p in Protocol], until_us=stopped_us)
    if settings.replay is not None:
        table = parse(settings.replay.read_text(encoding="utf-8"), settings.transpose)
        for prefix in PREFIXES.values():
            found = replayed.compare(Lake(settings.lake), table, prefix)
            verdict.wrong += found.wrong
            verdict.examples += found.examples
    code, text = finish(
        [program("catchment-hq"), "verify", "--home", str(settings.headquarters)], codes=(0, 1)
    )
    rows = Lake(settings.lake).count()
    figures: dict[str, Any] = {
        "samples_collected": collected(settings.lake),
        "lake_rows": rows,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "wrong": verdict.wrong,
        "gaps": verdict.gaps,
        "in_gaps": verdict.in_gaps,
        "late": verdict.late,
        "bad": verdict.bad,
        "bytes_per_sample": bytes_per_sample(settings.lake),
        "values_per_s": round(rows / max((stopped_us - started_us) / 1e6, 1e-9), 1),
        "p99_lake_latency_s": latency_s,
        "flush_s": settings.flush_s,
        "commit_s": COMMIT_S,
        "verified": code == 0,
        "lake_path": str(settings.lake / "samples"),
        "directory": str(settings.root),
    }
    alarms = None
    if any(river.apps.values()):
        alarms = reckon_alarms(settings, river)
        figures |= {**alarms.figures, "fault_alarms": alarms.rows}
    return Outcome(verdict, code == 0, text, figures, alarms)


def collected(lake: Path) -> int:
    """Samples that the gateways' last signed statements say they collected."""
    events = DeltaTable(str(lake / "events")).to_pyarrow_table().sort_by("time").to_pylist()
    last = {row["gateway"]: json.loads(row["detail"]) for row in events if row["kind"] == "statement"}
    return sum(statement.get("collected", 0) for statement in last.values())


def bytes_per_sample(lake: Path) -> float | None:
    """Bytes of header, payload and signature that crossed a link for each sample of a data batch."""
    table = DeltaTable(str(lake / "ledger")).to_pyarrow_table()
    size = samples = 0
    for row in table.filter(pc.field("kind") == "data").to_pylist():
        header = Header.parse(row["header"])
        size += len(row["header"]) + len(row["signature"]) + header.payload_bytes
        samples += row["samples"]
    return round(size / samples, 3) if samples else None


def queries(settings: Settings) -> list[tuple[str, str]]:
    """Run the example queries; returns title and printed table."""
    hq = program("catchment-hq")
    home = str(settings.headquarters)
    return [
        (title, run([hq, "query", "--home", home, " ".join(sql.split())])) for title, sql in QUERIES.items()
    ]
