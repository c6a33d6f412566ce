"""Binds an app to the points of a gateway as its settings say, or says all that is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_runtime.apps.installed import Grant, InstalledApp, Instance, is_thinned
from edge_runtime.apps.outputs import raw_value
from edge_runtime.apps.pointfit import type_fault
from edge_runtime.config import GatewayConfig, ScanClass
from edge_runtime.desired.accepted import grants_of
from edge_runtime.rules.apps.build import BuiltApp
from edge_runtime.rules.apps.settings import InstanceSettings, SettingsReader
from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.program import Column
from protocols.errors import Problem
from protocols.field import registry
from protocols.points import Point
from protocols.tomlfile import KeyPath, Table, TomlFile, suggest

GRANT_KEYS = ("point", "low", "high")


class Binder:
    """Reads the settings of one app.

    Args:
        config: The gateway.
        built: The app.
        file: Its settings, parsed; collects the problems.
    """

    def __init__(self, config: GatewayConfig, built: BuiltApp, file: TomlFile) -> None:
        self._config = config
        self._built = built
        self._file = file
        self._points = {point.name: point for point in config.points}
        self._warnings: list[Problem] = []

    def bind(self, sha256: str) -> InstalledApp | None:
        """The installed app; `None` when a problem was noted."""
        before = len(self._file.problems)
        instances = self._instances()
        grants = self._grants(instances)
        scan = self._scan(instances)
        if len(self._file.problems) > before or scan is None:
            return None
        self._warn(instances, scan)
        granted = [grant for grant in grants if self._is_granted(grant)]
        ungranted = [grant for grant in grants if grant not in granted]
        for grant in ungranted:
            expected = (
                "a grant of the desired document, which alone counts on a managed gateway; "
                "have it set at headquarters"
            )
            self._warn_at(("grant", grant.instance, grant.output), grant.point.name, expected)
        path = self._config.home / "apps" / f"{self._built.app.id}.toml"
        return InstalledApp(
            path,
            sha256,
            self._built,
            scan,
            tuple(instances),
            tuple(granted),
            tuple(self._warnings),
            tuple(ungranted),
        )

    # -- instances ---------------------------------------------------------------------------------

    def _instances(self) -> list[Instance]:
        read = SettingsReader(self._built, self._file).instances()
        found = [self._instance(settings) for settings in read]
        return [instance for instance in found if instance is not None]

    def _instance(self, settings: InstanceSettings) -> Instance | None:
        path: KeyPath = ("instance", settings.name)
        points: list[Point] = []
        for input_, name in settings.inputs.items():
            place = (*path, "inputs", input_)
            point = self._point(place, name)
            if point is not None:
                self._fit(place, point, self._built.app.inputs[input_])
                points.append(point)
        for output, name in zip(self._built.outputs, settings.outputs, strict=True):
            if name in self._points:
                place = (*path, "outputs", output)
                self._file.problem(place, name, "a name that no point of points.csv has")
        if len(points) < len(self._built.app.inputs):
            return None
        return Instance(settings.name, tuple(points), settings.parameters, settings.outputs)

    def _point(self, path: KeyPath, name: object) -> Point | None:
        point = self._points.get(name) if isinstance(name, str) else None
        if point is None:
            expected = f"a point of points.csv; {suggest(str(name), self._points)}"
            self._file.problem(path, name, expected)
        return point

    def _fit(self, path: KeyPath, point: Point, column: Column) -> None:
        fault = type_fault(point, column.type)
        if fault:
            self._file.problem(path, f"{point.name} ({point.type})", fault)
        elif point.unit and column.unit and point.unit != column.unit:
            expected = f"a point in {column.unit!r}; scale it in points.csv, or bind another"
            self._file.problem(path, f"{point.name} ({point.unit})", expected)
        elif column.unit and not point.unit and column.type is not Type.BOOL:
            expected = f"a unit in points.csv: the app takes its values as {column.unit!r}"
            self._warn_at(path, point.name, expected)

    # -- what it may write, and when it runs -------------------------------------------------------

    def _grants(self, instances: Sequence[Instance]) -> list[Grant]:
        tables = self._file.table(("grant",), self._file.document)
        names = [instance.name for instance in instances]
        defined = self._file.document.get("instance")
        found: list[Grant] = []
        for instance, outputs in tables.items():
            path: KeyPath = ("grant", instance)
            if not isinstance(outputs, dict) or not all(isinstance(each, dict) for each in outputs.values()):
                self._file.problem(path, outputs, "tables written as [grant.INSTANCE.OUTPUT]")
            elif not isinstance(defined, dict) or instance not in defined:
                self._file.problem(path, instance, f"an instance of the app; {suggest(instance, names)}")
            else:
                granted = [self._grant((*path, name), table) for name, table in outputs.items()]
                found += [grant for grant in granted if grant is not None]
        return found

    def _is_granted(self, grant: Grant) -> bool:
        """Whether a grant of the settings counts: on a managed gateway only one that was signed."""
        document = self._config.managed
        if document is None:
            return True
        signed = grants_of(document, self._built.app.id).get((grant.instance, grant.output))
        if signed is None or signed.point != grant.point.name:
            return False
        low = 0.0 if signed.low is None else signed.low
        high = 1.0 if signed.high is None else signed.high
        return (low, high) == (grant.low, grant.high)

    def _grant(self, path: KeyPath, table: Table) -> Grant | None:
        before = len(self._file.problems)
        instance, output = str(path[1]), str(path[2])
        self._file.known(path, table, GRANT_KEYS)
        allowed = self._built.package.manifest.permissions.write
        column = self._built.app.outputs.get(output)
        if column is None or output not in allowed:
            expected = f"an output that the app asks to write (permissions.write); {suggest(output, allowed)}"
            self._file.problem(path, output, expected)
            return None
        point = self._point((*path, "point"), table.get("point", ""))
        low, high = (
            self._bound((*path, "low"), table, column, 0.0),
            self._bound((*path, "high"), table, column, 1.0),
        )
        if point is None:
            return None
        self._fit((*path, "point"), point, column)
        if low > high:
            self._file.problem((*path, "low"), low, f"at most high, which is {high:g}")
        for key, value, bound, beyond in (
            ("low", low, point.low, point.low is not None and low < point.low),
            ("high", high, point.high, point.high is not None and high > point.high),
        ):
            if beyond:
                self._file.problem(
                    (*path, key), value, f"within the point's own range, which ends at {bound:g}"
                )
        if len(self._file.problems) == before:
            self._check_writable(path, grant := Grant(instance, output, point, low, high))
        return grant if len(self._file.problems) == before else None

    def _check_writable(self, path: KeyPath, grant: Grant) -> None:
        """Note what keeps values from being written there, as far as it shows without the device."""
        point = grant.point
        kind = registry.driver_type(self._config.devices[point.device].driver)
        expected = kind.writable(point.address, point.type)
        if expected:
            self._file.problem((*path, "point"), f"{point.name} ({point.address})", expected)
            return
        for key, bound in (("low", grant.low), ("high", grant.high)):
            if raw_value(grant, bound) is None:
                expected = f"a bound that {point.type}, the point's type at the device, can hold"
                self._file.problem((*path, key), bound, expected)

    def _bound(self, path: KeyPath, table: Table, column: Column, of_bool: float) -> float:
        value = table.get(str(path[-1]))
        if value is None and column.type is Type.BOOL:
            return of_bool
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            expected = "a finite number: the bound of what may be written"
            self._file.problem(path, "" if value is None else value, expected)
            return 0.0
        return float(value)

    def _scan(self, instances: Sequence[Instance]) -> ScanClass | None:
        classes = self._config.scan
        if "scan" in self._file.document:
            name = self._file.document["scan"]
            scan = classes.get(name) if isinstance(name, str) else None
            if scan is None:
                self._file.problem(
                    ("scan",), name, f"a scan class of gateway.toml; {suggest(str(name), classes)}"
                )
            return scan
        period_ms = self._built.package.manifest.period_ms
        for scan in classes.values():
            if scan.period_ms == period_ms:
                return scan
        used = {point.scan_class for instance in instances for point in instance.points} or set(classes)
        return min((classes[name] for name in used), key=lambda scan: (scan.period_us, scan.name))

    # -- warnings ----------------------------------------------------------------------------------

    def _warn(self, instances: Sequence[Instance], scan: ScanClass) -> None:
        period_ms = self._built.package.manifest.period_ms
        if scan.period_ms != period_ms:
            expected = f"a scan class of {period_ms / 1000:g} s, the period that the app is made for"
            self._warn_at(("scan",), f"{scan.name} ({scan.period_ms / 1000:g} s)", expected)
        for instance in instances:
            for name, point in zip(self._built.app.inputs, instance.points, strict=True):
                if is_thinned(point):
                    expected = (
                        "a point whose report is 'always' or 'change': not every value that the app reads "
                        "is kept, so it can be replayed approximately only"
                    )
                    self._warn_at(
                        ("instance", instance.name, "inputs", name),
                        f"{point.name} ({point.report})",
                        expected,
                    )

    def _warn_at(self, path: KeyPath, value: str, expected: str) -> None:
        self._warnings.append(Problem(self._file.file, self._file.place(path), value, expected))
