"""How the data plane did between two status documents: what a report says of it.

>>> before = {"tasks": [{"samples": 10, "overruns": 0}], "ledger": {"dropped": {}}, "apps": []}
>>> now = {"tasks": [{"samples": 70, "overruns": 1}], "ledger": {"dropped": {"quota": 5}}, "apps": []}
>>> found = health(before, now, 60.0, 2.0)
>>> found.samples, found.due, found.dropped, found.overruns
(60, 120, 5, 1)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from protocols.desired import Health

Status = Mapping[str, Any]


def health(
    before: Status | None, now: Status, seconds: float, due_per_s: float, uptime_s: float = 0
) -> Health:
    """The health in a window.

    Args:
        before: The status at its beginning; `None` when the session began with it.
        now: At its end.
        seconds: Its length.
        due_per_s: Samples that the scan classes ask for.
        uptime_s: Since the process began.
    """

    def grown(count: Any) -> int:
        return max(0, int(count(now)) - (0 if before is None else int(count(before))))

    models = [model for app in now["apps"] for model in app["models"]]
    backlog = now.get("backlog", {}).get("seconds", 0.0)
    return Health(
        window_s=round(seconds),
        samples=grown(lambda status: _sum(status["tasks"], "samples")),
        due=round(due_per_s * seconds),
        dropped=grown(lambda status: sum(status["ledger"]["dropped"].values())),
        overruns=grown(lambda status: _sum(status["tasks"], "overruns")),
        rule_missed=grown(lambda status: _sum(status["apps"], "missed")),
        model_rows=grown(lambda status: _of_models(status, "rows")) if models else 0,
        model_outside=grown(lambda status: _of_models(status, "outside")) if models else 0,
        alarms=grown(lambda status: status.get("alarms_raised", 0)),
        backlog_s=round(backlog),
        memory_bytes=int(now.get("memory_bytes", 0)),
        uptime_s=round(uptime_s),
    )


def _sum(rows: Iterable[Mapping[str, Any]], name: str) -> int:
    return sum(int(row[name]) for row in rows)


def _of_models(status: Status, name: str) -> int:
    return sum(_sum(app["models"], name) for app in status["apps"])
