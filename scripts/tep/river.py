"""The processes of the trial: device, headquarters, hub and gateway, from a start to a clean stop."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scripts.demo.processes import Child, Children, program, wait_for
from scripts.plant.serve import ADDRESS
from scripts.tep import device, homes
from scripts.tep.runs import Run

START_S = 60.0
STOP_S = 60.0
SCANS_BEFORE = 3
"""Scans of the app before the first row: connecting is over then."""


class Played(NamedTuple):
    """What was done.

    Args:
        root: Where everything is.
        home: The gateway's.
        headquarters: The home of headquarters.
        from_us: Before the first scan.
        to_us: After the last one.
        seconds: From the first row to the last.
    """

    root: Path
    home: Path
    headquarters: Path
    from_us: int
    to_us: int
    seconds: float


def play(data: Path, runs: Sequence[Run], root: Path, period_s: float) -> Played:
    """Play runs to a gateway below a hub below headquarters, and stop all in order.

    Args:
        data: The folder of the runs.
        runs: Those that are played side by side.
        root: Everything is written there; a new folder.
        period_s: Of the gateway's scans.

    Raises:
        DemoError: A process does not do what it should.
    """
    settings = homes.demo_settings(root, period_s)
    with Children(root / "logs") as children:
        command = [sys.executable, "-m", "scripts.tep.device", str(data), str(root)]
        process = children.start("device", [*command, *(run.name for run in runs)])
        upstream = homes.make_upstreams(settings)
        wait_for("the device to answer", (root / ADDRESS).exists, START_S, [process])
        address = json.loads((root / ADDRESS).read_text(encoding="utf-8"))
        home = homes.make_gateway(settings, runs, address, upstream)
        headquarters = _node(children, "headquarters", "catchment-hq", settings.headquarters)
        hub = _node(children, "hub", "catchment-hub", settings.hub)
        from_us = time.time_ns() // 1000
        gateway = _node(children, "gateway", "catchment-edge", home)
        nodes = [process, headquarters, hub, gateway]
        wait_for("the app's first scans", lambda: _scans(home) >= SCANS_BEFORE, START_S, nodes)
        began = time.monotonic()
        (root / device.START).touch()
        longest_s = START_S + 4 * period_s * max(len(run.rows) for run in runs)
        wait_for("the last row", (root / device.PLAYED).exists, longest_s, nodes)
        seconds = time.monotonic() - began
        _stop(gateway)
        ended = time.time()
        wait_for(
            "the hub to pass all on", lambda: _is_empty(settings.hub, ended), STOP_S, [hub, headquarters]
        )
        _stop(hub)
        _stop(headquarters)
        process.ask_to_stop()
        process.wait(STOP_S)
    return Played(root, home, settings.headquarters, from_us, time.time_ns() // 1000, seconds)


def _node(children: Children, name: str, command: str, home: Path) -> Child:
    return children.start(name, [program(command), "run", "--home", str(home)])


def _status(home: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads((home / "data" / "status.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found


def _scans(home: Path) -> int:
    return sum(app["scans"] for app in _status(home).get("apps", ()))


def _is_empty(hub: Path, since: float) -> bool:
    """Whether the hub said, after `since`, that everything is at headquarters."""
    status = _status(hub)
    return status["time"] > since and all(up["backlog"] == 0 for up in status["upstreams"].values())


def _stop(child: Child) -> None:
    child.ask_to_stop()
    code = child.wait(STOP_S)
    assert code == 0, f"{child.name} stopped with exit code {code}:\n{child.tail()}"
