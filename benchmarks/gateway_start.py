"""How fast a gateway is ready and how much memory it takes, with Modbus only.

A simulated plant serves 1,000 points, the gateway reads them once a second. Ready counts
from before its process is made to the time of its event `gateway-ready`, interpreter and
imports included. Memory is what the kernel says is resident after some seconds of
collecting, shared libraries included.
It has no upstream: what it collects stays in its buffer.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.frame import Row, Setting
from scripts.demo.processes import Child, Children, program, run, wait_for
from scripts.plant.layout import Protocol, write_point_table
from scripts.plant.sources import source_of

POINTS = 1000
READY_MAX_S = 1.0
RESIDENT_MAX_MB = 60.0
START_S = 30.0

_CONFIG = """\
[gateway]
id = "gateway-1"
site = "plant-a"

[scan.normal]
period_s = 1.0

[device.plant]
driver = "modbus-tcp"
host = "{host}"
port = {port}
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Seconds until ready, the median of some starts; megabytes after some seconds."""
    starts, seconds = (2, 2.0) if setting.quick else (9, 20.0)
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="bench-") as name,
        Children(Path(name)) as started,
    ):
        home = _home(Path(name), started)
        gateway = started.add("gateway", [program("catchment-edge"), "run", "--home", str(home)])
        ready = []
        for turn in range(starts):
            ready.append(_start(gateway))
            time.sleep(seconds if turn == starts - 1 else 0.0)
            resident = _resident_mb(gateway)
            gateway.ask_to_stop()
            assert gateway.wait(START_S) == 0, gateway.tail()
    title = f"gateway, Modbus only, {POINTS:,} points at 1 s"
    yield Row.of(f"{title}: ready", statistics.median(ready), "s", "promised below", READY_MAX_S, "<= 1")
    yield Row.of(f"{title}: resident", resident, "MB", "promised below", RESIDENT_MAX_MB, "<= 1")


def _home(folder: Path, children: Children) -> Path:
    """A gateway's home below a plant that runs."""
    plant, home = folder / "plant", folder / "gateway-1"
    serve = [sys.executable, "-m", "scripts.plant", "serve", str(Protocol.MODBUS), str(plant)]
    server = children.start("plant", [*serve, "--points", str(POINTS)])
    run([program("catchment-edge"), "init", "--home", str(home), "--id", "gateway-1", "--site", "plant-a"])
    source = source_of(Protocol.MODBUS, POINTS, 1, False, None, False)
    write_point_table(home / "points.csv", source.points, Protocol.MODBUS, "plant", "normal")
    wait_for("the plant to answer", (plant / "address.json").exists, START_S, [server])
    address = json.loads((plant / "address.json").read_text(encoding="utf-8"))
    (home / "gateway.toml").write_text(_CONFIG.format(**address), encoding="utf-8")
    return home


def _start(gateway: Child) -> float:
    """Start it; returns seconds until it is ready."""
    before = gateway.starts
    began = time.time()
    gateway.start()
    wait_for("the gateway to be ready", lambda: len(_ready(gateway)) > before, START_S, [gateway])
    return _ready(gateway)[before] - began


def _ready(gateway: Child) -> list[float]:
    """When it was ready, for each start, from its log."""
    lines = gateway.log.read_text(encoding="utf-8").splitlines()
    events: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{")]
    ready = [event["time"] for event in events if event["event"] == "gateway-ready"]
    return [datetime.fromisoformat(at).timestamp() for at in ready]


def _resident_mb(gateway: Child) -> float:
    status = Path(f"/proc/{gateway.pid}/status").read_text(encoding="ascii")
    resident_kb = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(resident_kb) / 1024
