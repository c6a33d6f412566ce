"""The nodes of the trial, made as an operator makes them: init, join, a point table, the app."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.demo import homes
from scripts.demo.processes import program, run
from scripts.demo.settings import Settings
from scripts.plant.catalogue import Kind, PlantPoint
from scripts.plant.layout import Protocol, write_point_table
from scripts.tep.runs import Run
from scripts.train_tep.reference import APP, Variable, variables

GATEWAY = "tep"
SITE = "works"
SCAN_CLASS = "rows"

_GATEWAY = """\
[gateway]
id = "{id}"
site = "{site}"

[scan.{scan_class}]
period_s = {period_s}

[device.process]
driver = "modbus-tcp"
host = "{host}"
port = {port}

[buffer]
flush_s = {flush_s}
"""


def demo_settings(root: Path, period_s: float) -> Settings:
    """What the demo's makers of homes want to know."""
    return Settings(root, None, 0, period_s, 1.0, False, None, False, 0.0, 0)


def make_gateway(settings: Settings, runs: Sequence[Run], device: dict[str, Any], upstream: str) -> Path:
    """Make the gateway's home, with the app installed, below the hub; returns its home.

    Args:
        settings: Where, and at which pace.
        runs: What the device plays.
        device: Its `address.json`.
        upstream: Where the hub listens.
    """
    home, edge = settings.root / GATEWAY, program("catchment-edge")
    run([edge, "init", "--home", str(home), "--id", GATEWAY, "--site", SITE])
    text = _GATEWAY.format(
        id=GATEWAY,
        site=SITE,
        scan_class=SCAN_CLASS,
        period_s=settings.period_s,
        host=device["host"],
        port=device["port"],
        flush_s=settings.flush_s,
    )
    (home / "gateway.toml").write_text(text, encoding="utf-8")
    points = [point for block, each in enumerate(runs) for point in _points(block, each)]
    write_point_table(home / "points.csv", points, Protocol.MODBUS, "process", SCAN_CLASS)
    hub, headquarters = settings.hub / "identity.toml", settings.headquarters / "identity.toml"
    run([edge, "join", "--home", str(home), str(hub), "--address", upstream])
    run([edge, "join", "--home", str(home), str(headquarters)])
    for command, above in (("catchment-hub", settings.hub), ("catchment-hq", settings.headquarters)):
        run([program(command), "allow", "--home", str(above), str(home / "identity.toml")])
    _install(settings.root, home, runs)
    run([edge, "check", "--home", str(home)])
    return home


def make_upstreams(settings: Settings) -> str:
    """Make headquarters and the hub; returns the hub's address."""
    return homes.make_hub(settings, homes.make_headquarters(settings)).address


def package(root: Path) -> Path:
    """The packed app in the trial's folder."""
    [path] = root.glob("*.capp")
    return path


def settings_text(names: Sequence[str]) -> str:
    """The app's settings: an instance for each run."""
    return f'scan = "{SCAN_CLASS}"\n\n' + "\n".join(_instance(name) for name in names)


def _install(root: Path, home: Path, runs: Sequence[Run]) -> None:
    edge = program("catchment-edge")
    run([edge, "app", "pack", str(APP), "--out", str(root)])
    settings = root / "settings.toml"
    settings.write_text(settings_text([each.name for each in runs]), encoding="utf-8")
    run([edge, "app", "install", "--home", str(home), str(package(root)), "--settings", str(settings)])


def _instance(name: str) -> str:
    inputs = "\n".join(f'{variable.name} = "{name}.{variable.name}"' for variable in variables())
    return f"[instance.{name}.inputs]\n{inputs}\n"


def _points(block: int, run: Run) -> Iterator[PlantPoint]:
    yield PlantPoint(f"{run.name}.row", Kind.UINT32, "", 0, 1.0, None, None, block, "row, from 1")
    for variable in variables():
        yield _point(f"{run.name}.{variable.name}", variable, block)


def _point(name: str, variable: Variable, block: int) -> PlantPoint:
    return PlantPoint(name, Kind.F64, variable.unit, -1, 1.0, None, None, block, variable.meaning)
