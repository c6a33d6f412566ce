"""Writes docs/metrics.md from the declared metrics, so that it cannot say anything else.

    python -m scripts.metrics_docs       rewrite docs/metrics.md (`make docs`)

A test compares the file with what this prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import edge_runtime.metrics
import headquarters.operations.metrics
import headquarters.operations.signals
import hub.metrics
from protocols.metrics import Metric

FILE = Path(__file__).parents[1] / "docs" / "metrics.md"

HEAD = """\
# Metrics

Made from the programs' own declarations by `make docs`. How to turn them on, and how to watch them:
[Operations](operations.md). All are in Prometheus' text format. A metric that is not known is left out; a
counter begins at 0 with its process, but for those that the ledger keeps. The web process of
headquarters measures what begins with `catchment_group`, for its alerts.

| metric | type | unit | labels | meaning |
|---|---|---|---|---|
"""

TIERS = (
    edge_runtime.metrics.METRICS,
    hub.metrics.METRICS,
    headquarters.operations.metrics.METRICS,
    headquarters.operations.signals.SIGNALS,
)


def rows(metrics: Sequence[Metric]) -> Iterator[str]:
    """A line for each metric."""
    for metric in metrics:
        labels = ", ".join(f"`{name}`" for name in metric.labels)
        yield (f"| `{metric.name}` | {metric.type} | {metric.unit} | {labels} | {metric.help} |\n")


def render() -> str:
    """The whole file."""
    return HEAD + "".join(line for tier in TIERS for line in rows(tier))


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
