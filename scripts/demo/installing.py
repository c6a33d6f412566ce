"""Which apps run in the demo, on which instruments, and how they come onto a gateway.

They are packed and installed by the commands that an operator would type, called in this
process because that is quick.

Rules:
1. An instance runs on the gateway that has all of its instruments, and is left out where a
   small plant does not have them.
2. The values of the apps themselves hold; where a demonstration cannot wait for them, others
   are given here, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from edge_runtime.cli import invoke
from scripts.demo.processes import DemoError

APPS = Path(__file__).resolve().parents[2] / "apps"
"""The apps' sources."""

UNIT = "10"
"""What the tags of the first unit begin with."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One set of instruments that an app runs for.

    Args:
        app: The app.
        name: The instance's name.
        inputs: For each input a tag without the unit's number, or what the tags of like
            instruments begin with: the first of them that the gateway has is taken.
        parameters: Those that differ from the app's own.
    """

    app: str
    name: str
    inputs: Mapping[str, str]
    parameters: Mapping[str, str | float] = field(default_factory=dict)

    def on(self, tags: Sequence[str]) -> dict[str, str] | None:
        """Its inputs as a gateway with these tags has them; `None` where one is missing."""
        found = {}
        for name, tag in self.inputs.items():
            fitting = [each for each in tags if each.startswith(UNIT + tag)]
            if not fitting:
                return None
            found[name] = fitting[0]
        return found


def _gas(area: str, system: str) -> Instance:
    detectors = {f"gas_{letter}": f"{system}CQ00{n}" for n, letter in enumerate("abc", 1)}
    return Instance("gas-detection", area, {**detectors, "test": f"{system}GS001"})


def _bearing(machine: str, system: str, bearing: int, runs: str) -> Instance:
    inputs = {"velocity": f"{system}CY00{bearing}", "temperature": f"{system}CT00{bearing}", "running": runs}
    # A machine of the demo has been running for long when it is looked at first.
    return Instance("vibration", f"{machine}-{bearing}", inputs, {"start_time": "T#5s"})


_BEARINGS = (("fd-fan", "HLB60", "HLB90AN"), ("id-fan", "HNC60", "HNC90AN"),
             ("feed-pump", "LAC60", "LAC90AP"), ("cooling-pump", "PAC60", "PAC90AP"))  # fmt: skip

INSTANCES = (
    _gas("generator", "CYQ10"),
    _gas("ammonia", "CYQ20"),
    _gas("coal-bunkers", "CYQ30"),
    _gas("ignition-gas", "CYQ40"),
    *(_bearing(name, system, n, runs) for name, system, runs in _BEARINGS for n in (1, 2)),
    Instance(
        "heat-rate",
        "unit-1",
        {
            "main_flow": "LBA10CF", "main_pressure": "LBA10CP", "main_temperature": "LBA10CT",
            "hot_reheat_pressure": "LBB10CP", "hot_reheat_temperature": "LBB10CT",
            "cold_reheat_pressure": "LBC20CP", "cold_reheat_temperature": "LBC10CT",
            "feedwater_pressure": "LAC10CP", "feedwater_temperature": "LAB20CT",
            "cooling_water_temperature": "PAB10CT", "condenser_pressure": "MAG10CP",
            "oxygen": "HNA30CQ", "power": "MKA10CE",
        },
        {"loss_delay": "T#10s"},  # a demonstration's condenser fouls in minutes, not in weeks
    ),
    Instance(
        "carbon",
        "unit-1",
        {"coal_flow": "HFB20CF", "gross_power": "MKA10CE", "auxiliary_power": "BBA30CE",
         "purchased_power": "ADA10CE"},
    ),
)  # fmt: skip
"""All there are; heat rate and carbon run on both gateways, each with instruments of its own."""


class AppStore:
    """The packages of the demo's apps.

    Args:
        directory: Where packages and settings are written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._packages: dict[str, str] = {}

    def install(self, home: Path, tags: Sequence[str]) -> list[dict[str, Any]]:
        """Install on a gateway what its instruments allow.

        Args:
            home: The gateway's home, with its points.
            tags: The names of its points.

        Returns:
            What `catchment-edge app list --json` says of them.

        Raises:
            DemoError: One cannot be packed or installed.
        """
        for app, text in settings(tags):
            path = self._directory / f"{home.name}-{app}.toml"
            package = self._package(app)
            path.write_text(text, encoding="utf-8")
            _edge("install", package, "--home", str(home), "--settings", str(path))
        listed: list[dict[str, Any]] = json.loads(_edge("list", "--home", str(home), "--json"))["apps"]
        return listed

    def _package(self, app: str) -> str:
        if app not in self._packages:
            self._directory.mkdir(parents=True, exist_ok=True)
            # Their tests have run where they were made; here they would cost the start some seconds.
            command = ("pack", str(APPS / app), "--out", str(self._directory), "--no-test", "--json")
            self._packages[app] = json.loads(_edge(*command))["package"]
        return self._packages[app]


def settings(tags: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The settings of every app that a gateway with these tags can run: app, and TOML."""
    for app in dict.fromkeys(instance.app for instance in INSTANCES):
        tables = []
        for instance in INSTANCES:
            inputs = instance.on(tags) if instance.app == app else None
            if inputs is not None:
                table = f"[instance.{instance.name}]\ninputs = {_inline(inputs)}\n"
                if instance.parameters:
                    table += f"parameters = {_inline(instance.parameters)}\n"
                tables.append(table)
        if tables:
            yield app, "\n".join(tables)


def _inline(values: Mapping[str, str | float]) -> str:
    return "{" + ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items()) + "}"


def _edge(*arguments: str) -> str:
    """Run `catchment-edge app ...` here; returns what it printed."""
    with redirect_stdout(StringIO()) as said, redirect_stderr(StringIO()) as complained:
        code = invoke(["app", *arguments])
    if code != 0:
        shown = " ".join(arguments)
        raise DemoError(f"`catchment-edge app {shown}` ended with exit code {code}:\n{complained.getvalue()}")
    return said.getvalue()
