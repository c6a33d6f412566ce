"""What `catchment-edge check` says: every problem, and what the gateway would do to its devices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.apps.home import settings_files
from edge_runtime.config import CONFIG, POINTS, DeviceConfig, GatewayConfig
from edge_runtime.configread import load
from protocols.errors import InputError, Problem
from protocols.field import registry
from protocols.field.base import Driver, DriverContext, FieldPoint
from protocols.points import Point

BYTES_A_SAMPLE = 1.1
"""On the wire and in the buffer, as measured with batches of 10,000 plant-like samples."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one scan class asks of one device.

    Args:
        device: The device.
        scan_class: The scan class.
        period_s: Its period.
        points: Points read in each scan.
        requests: Requests planned for each scan.
    """

    device: str
    scan_class: str
    period_s: float
    points: int
    requests: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All that a check found.

    Args:
        config: The configuration, or `None` when there are problems.
        problems: What keeps the gateway from running.
        warnings: What was perhaps not meant.
        loads: What is asked of the devices.
    """

    config: GatewayConfig | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    loads: tuple[Load, ...] = ()

    @property
    def values_per_s(self) -> float:
        """Values read in a second."""
        return sum(load.points / load.period_s for load in self.loads)

    @property
    def requests_per_s(self) -> float:
        """Requests sent in a second."""
        return sum(load.requests / load.period_s for load in self.loads)

    @property
    def bytes_per_day(self) -> int:
        """Bytes sent in a day when every value is kept."""
        return round(self.values_per_s * BYTES_A_SAMPLE * 86_400)

    @property
    def buffer_days(self) -> float | None:
        """How long the buffer lasts without a hub when every value is kept; `None` without values."""
        if self.config is None or not self.bytes_per_day:
            return None
        return self.config.buffer.quota_bytes / self.bytes_per_day

    def fields(self) -> dict[str, Any]:
        """The report for a machine."""
        return {
            "ok": not self.problems,
            "gateway": self.config.id if self.config else None,
            "points": len(self.config.points) if self.config else None,
            "problems": [problem_fields(problem) for problem in self.problems],
            "warnings": [problem_fields(problem) for problem in self.warnings],
            "loads": [
                {
                    "device": load.device,
                    "scan_class": load.scan_class,
                    "period_s": load.period_s,
                    "points": load.points,
                    "requests_per_scan": load.requests,
                }
                for load in self.loads
            ],
            "values_per_s": round(self.values_per_s, 3),
            "requests_per_s": round(self.requests_per_s, 3),
            "bytes_per_day": self.bytes_per_day,
            "buffer_days": None if self.buffer_days is None else round(self.buffer_days, 2),
        }


def problem_fields(problem: Problem) -> dict[str, str]:
    """A problem for a machine."""
    return {
        "file": problem.file,
        "place": problem.place,
        "value": problem.value,
        "expected": problem.expected,
    }


def check(home: Path) -> CheckReport:
    """Check a home directory without changing anything in it or talking to a device.

    Raises:
        StoreError: The ids given so far cannot be read.
    """
    from protocols.identity import Identity

    problems: list[Problem] = []
    config, loads = None, []
    told: list[Problem] = []
    try:
        Identity.load(home)
    except InputError as error:
        problems += error.problems
    try:
        config = load(home, assign_ids=False)
        loads = plan_loads(config)
        told += check_apps(config)
    except InputError as error:
        problems += error.problems
    if problems or config is None:
        return CheckReport(None, tuple(problems))
    return CheckReport(config, (), (*config.warnings, *told), tuple(loads))


def check_apps(config: GatewayConfig) -> list[Problem]:
    """Compile and bind the installed apps. Returns what was perhaps not meant.

    Raises:
        InputError: With every problem of all apps.
    """
    if not settings_files(config.home):
        return []
    from edge_runtime.apps.collisions import collisions  # the apps' compiler is large
    from edge_runtime.apps.loading import load_apps
    from edge_runtime.rules.models.model import load_models

    apps = load_apps(config)
    for app in apps:
        load_models(app.built.package)
    told = [*(warning for app in apps for warning in app.warnings), *collisions(config, apps)]
    owners = {grant.point.name: app.id for app in apps for grant in app.grants}
    for wanted in config.command_writes:
        if wanted.point in owners:
            expected = f"a point that no app writes; {owners[wanted.point]} does, and commands are refused"
            told.append(Problem(str(config.home / CONFIG), wanted.place, wanted.point, expected))
    return told


def plan_loads(config: GatewayConfig) -> list[Load]:
    """Ask the drivers which requests they would send.

    Raises:
        InputError: A driver refuses points that its address parser took one by one.
    """
    problems: list[Problem] = []
    loads: list[Load] = []
    by_group: dict[tuple[str, str], list[Point]] = {}
    for point in config.points:
        by_group.setdefault((point.device, point.scan_class), []).append(point)
    drivers = {name: make_driver(config, device) for name, device in config.devices.items()}
    for (device, scan_class), points in by_group.items():
        period_s = config.scan[scan_class].period_us / 1e6
        try:
            groups = drivers[device].plan([field_point(point) for point in points])
        except InputError as error:
            problems += [_at_point(config, points, problem) for problem in error.problems]
            continue
        requests = sum(group.requests for group in groups)
        loads.append(Load(device, scan_class, period_s, len(points), requests))
    if problems:
        raise InputError(problems)
    return loads


def make_driver(config: GatewayConfig, device: DeviceConfig) -> Driver:
    """The driver of a device, not connected.

    Raises:
        InputError: Its settings do not fit together.
    """
    context = DriverContext(device=device.name, gateway=config.id, keys=config.home / "keys")
    return registry.create(device.driver, device.settings, context)


def field_point(point: Point) -> FieldPoint:
    """The point as its driver knows it."""
    return FieldPoint(point.id, point.address, point.type)


def _at_point(config: GatewayConfig, points: list[Point], problem: Problem) -> Problem:
    """A driver names points by their ids; an operator knows them by their names."""
    named = {f"point {point.id}": point.name for point in points}
    point, _, rest = problem.place.partition(",")
    place = f"point {named[point]}{',' if rest else ''}{rest}" if point in named else problem.place
    return Problem(problem.file or str(config.home / POINTS), place, problem.value, problem.expected)
