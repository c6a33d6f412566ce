"""What is recorded of a running app so that headquarters can replay it exactly (docs/replay.md)."""

from __future__ import annotations

from edge_runtime.apps.engine import RunningApp
from edge_runtime.apps.installed import InstalledApp
from edge_runtime.rules.apps.key import run_key
from protocols.records import AppState, StateKind


def state_of(running: RunningApp, kind: StateKind, time_us: int) -> AppState:
    """The state of an app as it is now.

    Args:
        running: The app.
        kind: When this is.
        time_us: Of its last scan; of the start.
    """
    feeds = running.feeds
    reports = {point.id: point.report for points in running.app.bindings.values() for point in points}
    return AppState(
        time_us,
        running.app.id,
        kind,
        key_of(running.app),
        tuple(running.live.snapshot()),
        tuple(feed.period_us for feed in feeds),
        tuple(feed.phase_us for feed in feeds),
        tuple(map(str, reports.values())),
    )


def key_of(app: InstalledApp) -> bytes:
    """What the state belongs to."""
    bindings = {name: [point.name for point in points] for name, points in app.bindings.items()}
    names = [instance.name for instance in app.instances]
    return run_key(app.built.package.files, names, bindings, app.parameters)
