"""Retention and lifecycle of the lake, archive and audit: what was done, what waits, what is going on."""

from __future__ import annotations

from dataclasses import dataclass

from headquarters.views.sources import Sources


@dataclass(frozen=True, slots=True)
class WorkView:
    """One kind of upkeep.

    Args:
        kind: One of `headquarters.lake.upkeep.KINDS`, or `audit`.
        done: Pieces that were done since headquarters started: commits gathered, files merged or removed,
            dates rolled up, rewritten or dropped, entries of the audit removed.
        left: Pieces that wait, as last counted; `None`: the clock says when there is one.
        last_us: When the last piece was done; `None`: none was since the start.
        doing: What is worked on now; empty: nothing.
        retention_days: For how long is kept what this removes; `None`: it removes nothing by age.
    """

    kind: str
    done: int
    left: int | None
    last_us: int | None
    doing: str
    retention_days: int | None


def upkeep(sources: Sources) -> tuple[WorkView, ...]:
    """Every kind of upkeep, as the running headquarters last said; nothing while it does not run."""
    status = sources.status()
    if status is None:
        return ()
    config = sources.config
    kept_days = {"retention": config.retention_days, "audit": config.audit_retention_days}
    return tuple(
        WorkView(
            kind,
            work["done"],
            work["left"],
            None if work["last_ms"] is None else 1000 * work["last_ms"],
            work["doing"],
            kept_days.get(kind),
        )
        for kind, work in {**status["upkeep"]["work"], "audit": status["audit"]}.items()
    )
