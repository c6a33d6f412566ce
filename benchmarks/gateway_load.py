"""What a gateway takes that reads 100,000 points a second: cores, memory, and whether it keeps up.

A whole gateway process without an upstream collects 100,000 floats once a second from twenty
Modbus TCP devices, seals and buffers them. All devices are one C responder whose registers
stand still, so reading is as dear as ever and what is stored is small.

Run: ``python -m benchmarks.data_path --only gateway-load``
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.field_clients import responder
from benchmarks.frame import Row, Setting
from benchmarks.hub_batches import cpu_s
from protocols.daemon import read_status
from scripts.demo.processes import Child, Children, program, run, wait_for

DEVICES = 20
POINTS_EACH = 5_000
POINTS = DEVICES * POINTS_EACH
START_S = 60.0
SETTLE_S = 5.0
NEURONEX_MB = 497.0
"""Resident set of NeuronEX 3.2.1, which is written in C, with as many points at as many a second."""

_GATEWAY = """\
[gateway]
id = "gateway-1"
site = "plant-a"

[scan.normal]
period_s = 1.0
"""

_DEVICE = """
[device.plc{number}]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {port}
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Cores, megabytes, and scans that were missed or overran."""
    seconds = 5.0 if setting.quick else 30.0
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="bench-") as name,
        responder("C responder") as port,
        Children(Path(name)) as started,
    ):
        home = _home(Path(name), port)
        gateway = started.start("gateway", [program("catchment-edge"), "run", "--home", str(home)])
        wait_for("samples", lambda: _collected(home) > 3 * POINTS, START_S, [gateway])
        time.sleep(SETTLE_S)
        before, late_before, cpu = _collected(home), _late(home), _cpu(gateway)
        began = time.monotonic()
        time.sleep(seconds)
        cores = (_cpu(gateway) - cpu) / (time.monotonic() - began)
        status = _status(home)
        rate = (status["ledger"]["collected"] - before) / seconds
        late = _late(home) - late_before
        gateway.ask_to_stop()
        assert gateway.wait(START_S) == 0, gateway.tail()
    title = f"gateway, Modbus only, {POINTS:,} points at 1 s"
    yield Row.of(f"{title}: processor", cores, "cores", "promised at most", 1.0, "<= 1")
    resident = status["memory_bytes"] / 1e6
    yield Row.of(f"{title}: resident", resident, "MB", "NeuronEX 3.2.1 (C)", NEURONEX_MB, "<= 1")
    yield Row.of(f"{title}: collected", rate, "samples/s", "all of them", POINTS, ">= 0.99")
    due = DEVICES * seconds
    yield Row.of(f"{title}: scans missed or overrun", late, "scans", "of those due", due, "<= 0.01")


def _home(folder: Path, port: int) -> Path:
    home = folder / "gateway-1"
    run([program("catchment-edge"), "init", "--home", str(home), "--id", "gateway-1", "--site", "plant-a"])
    devices = "".join(_DEVICE.format(number=number, port=port) for number in range(DEVICES))
    (home / "gateway.toml").write_text(_GATEWAY + devices, encoding="utf-8")
    with (home / "points.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("name", "device", "address", "type", "scan_class"))
        for device in range(DEVICES):
            for point in range(POINTS_EACH):
                table.writerow(
                    (f"P{device}-{point}", f"plc{device}", f"holding:{2 * point}", "f32", "normal")
                )
    return home


def _cpu(gateway: Child) -> float:
    assert gateway.pid is not None
    return cpu_s(gateway.pid)


def _status(home: Path) -> dict[str, Any]:
    return dict(read_status(home / "data" / "status.json") or {})


def _late(home: Path) -> int:
    return sum(int(task["missed"] + task["overruns"]) for task in _status(home)["tasks"])


def _collected(home: Path) -> int:
    return int(_status(home).get("ledger", {}).get("collected", 0))
