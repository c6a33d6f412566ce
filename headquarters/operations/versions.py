"""What runs where: programs of all tiers; of gateways firmware, apps, models and configuration."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from headquarters.operations.hubs import said_by_hubs
from headquarters.views.sources import Sources


@dataclass(frozen=True, slots=True)
class Version:
    """One thing on one node.

    Args:
        node: The node.
        role: `headquarters`, `hub` or `gateway`.
        what: `program`, `firmware`, or as in the desired document: `app/ID`, `model/ID`, `config`, `points`.
        version: The one that runs; empty for none.
        wanted: The one that should; empty where nobody wants one, or it is that one.
        reported_us: When it was said; `None` for this program itself.
    """

    node: str
    role: str
    what: str
    version: str
    wanted: str
    reported_us: int | None


def versions(sources: Sources) -> tuple[Version, ...]:
    """Every version that is known: headquarters, hubs, then gateways by name.

    Raises:
        StoreError: The store of reports cannot be read.
    """
    found = [Version(sources.config.id, "headquarters", "program", version("catchment"), "", None)]
    found += [
        Version(hub, "hub", "program", said.report.program, "", said.received_us)
        for hub, said in said_by_hubs(sources)
    ]
    with sources.desired() as store:
        reported = store.all_reported()
    for node, said in sorted(reported.items()):
        report, at_us = said.report, said.received_us
        rows = [("program", report.program, "")]
        if report.slots.version:
            rows.append(("firmware", report.slots.version, report.slots.trying))
        rows += [
            (item.ref, item.running, "" if item.version == item.running else item.version)
            for item in report.items
        ]
        found += [Version(node, "gateway", what, runs, wanted, at_us) for what, runs, wanted in rows]
    return tuple(found)
