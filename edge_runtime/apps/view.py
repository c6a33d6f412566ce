"""What `catchment-edge app` shows of packages, tests and installed apps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge_runtime.apps.installed import InstalledApp
from edge_runtime.rules.apps.apptest import Outcome
from edge_runtime.rules.apps.build import BuiltApp
from edge_runtime.rules.program import Column
from protocols.package import local

Rows = list[tuple[str, ...]]

DIFFERENCES_SHOWN_MAX = 20
"""Of one test, for people; a machine gets all."""


def app_fields(built: BuiltApp) -> dict[str, Any]:
    """A package, for a machine."""
    manifest, app = built.package.manifest, built.app
    return {
        "id": app.id,
        "version": app.version,
        "class": str(manifest.app_class),
        "publisher": manifest.publisher,
        "title": dict(manifest.title),
        "period_s": manifest.period_ms / 1000,
        "inputs": [_column(column) for column in app.inputs.values()],
        "parameters": [_column(column) for column in app.parameters.values()],
        "outputs": list(built.outputs),
        "events": [
            {"kind": site.kind, "text": site.text, "priority": site.priority}
            for wired in app.programs
            for site in wired.program.events
        ],
        "operations": app.operations,
        "operations_max": manifest.resources.operations_max,
        "state_bytes": app.state_bytes,
        "state_bytes_max": manifest.resources.state_bytes_max,
        "models": [spec.name for spec in manifest.models],
        "tests": list(built.package.tests()),
    }


def app_lines(built: BuiltApp) -> Iterator[str]:
    """A package, for people."""
    manifest, app = built.package.manifest, built.app
    yield f"{app.id} {app.version} ({manifest.app_class}): {local(manifest.title)}"
    for what, names in (
        ("reads", [_named(column) for column in app.inputs.values()]),
        ("parameters", [_named(column) for column in app.parameters.values()]),
        ("outputs", list(built.outputs)),
        ("models", [spec.name for spec in manifest.models]),
        ("tests", list(built.package.tests())),
    ):
        if names:
            yield f"  {what:<11}{', '.join(names)}"
    resources = manifest.resources
    yield f"  {'a scan':<11}at most {app.operations:,} operations of {resources.operations_max:,} granted"
    yield f"  {'state':<11}{app.state_bytes:,} bytes of {resources.state_bytes_max:,} granted"


def _named(column: Column) -> str:
    return f"{column.name} ({column.unit})" if column.unit else column.name


def _column(column: Column) -> dict[str, Any]:
    return {"name": column.name, "type": str(column.type), "unit": column.unit or ""}


# -- tests -----------------------------------------------------------------------------------------


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """A test, for a machine."""
    return {
        "test": outcome.name,
        "passed": outcome.passed,
        "scans": outcome.scans,
        "compared": outcome.compared,
        "differences": [difference._asdict() for difference in outcome.differences],
        "problems": [str(problem) for problem in outcome.problems],
    }


def outcome_lines(outcome: Outcome) -> Iterator[str]:
    """A test, for people."""
    word = "passed" if outcome.passed else "FAILED"
    yield f"{word}  {outcome.name}: {outcome.scans:,} scans, {outcome.compared:,} cells and events compared"
    for problem in outcome.problems[:DIFFERENCES_SHOWN_MAX]:
        yield f"  {problem}"
    for each in outcome.differences[:DIFFERENCES_SHOWN_MAX]:
        got = f", got {each.got}" if each.got else ""
        yield f"  {each.file}: {each.row}, {each.column}: expected {each.expected}{got}"
    more = max(len(outcome.differences), len(outcome.problems)) - DIFFERENCES_SHOWN_MAX
    if more > 0:
        yield f"  ... and {more:,} more (all of them with --json)"


# -- installed apps --------------------------------------------------------------------------------


def installed_rows(apps: Sequence[InstalledApp]) -> Rows:
    """Installed apps, the heading first."""
    rows: Rows = [("app", "version", "class", "period s", "instances", "replay")]
    for app in apps:
        fields = app.fields()
        period, instances = f"{fields['period_s']:g}", f"{len(app.instances):,}"
        rows.append((app.id, app.version, fields["class"], period, instances, fields["replay"]))
    return rows


def running_rows(apps: Sequence[Mapping[str, Any]]) -> Rows:
    """Apps of a running gateway, from its status; the heading first."""
    heading = ("instances", "scans", "missed", "late", "busiest ms", "writes", "refused", "failed")
    rows: Rows = [("app", "version", "state", *heading)]
    for app in apps:
        cells = [f"{app[key]:,}" for key in ("instances", "scans", "missed", "late")]
        writes = [f"{app['writes'][key]:,}" for key in ("made", "refused", "failed")]
        rows.append((app["app"], app["version"], app["state"], *cells, f"{app['busy_ms_max']:g}", *writes))
    return rows


def running_notes(apps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with running apps."""
    for app in apps:
        if app["why"]:
            yield f"{app['app']}: {app['why']}"
        for each in app["writes"]["troubles"]:
            what = f"{each['instance']}, output {each['output']}"
            yield f"{app['app']}: {what} is not written to {each['point']}: {each['why']}"
        for model in app["models"]:
            if model["suspended"] or model["overruns"]:
                state = "suspended" if model["suspended"] else "running"
                yield f"{app['app']}: model {model['model']} is {state}, {model['overruns']:,} overruns"
