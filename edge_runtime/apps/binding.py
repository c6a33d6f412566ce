"""Binds an app to the points of a gateway as its settings say, or says all that is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from edge_runtime.apps.installed import Grant, InstalledApp, Instance
from edge_runtime.apps.pointfit import type_fault
from edge_runtime.config import GatewayConfig, ScanClass
from edge_runtime.rules.appbuild import BuiltApp
from edge_runtime.rules.program import Column
from edge_runtime.rules.typed import Value
from edge_runtime.rules.types import Type
from protocols import limits
from protocols.errors import Problem
from protocols.points import Point, Report
from protocols.tomlfile import KeyPath, Table, TomlFile, suggest

KEYS = ("package", "sha256", "scan", "instance", "grant")
INSTANCE_KEYS = ("inputs", "parameters", "outputs")
GRANT_KEYS = ("point", "low", "high")

_INSTANCE = re.compile(r"\w[\w-]{0,62}")


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
        document = self._file.document
        self._file.known((), document, KEYS)
        instances = self._instances()
        grants = self._grants(instances)
        scan = self._scan(instances)
        if len(self._file.problems) > before or scan is None:
            return None
        self._warn(instances, scan)
        path = self._config.home / "apps" / f"{self._built.app.id}.toml"
        return InstalledApp(
            path, sha256, self._built, scan, tuple(instances), tuple(grants), tuple(self._warnings)
        )

    # -- instances ---------------------------------------------------------------------------------

    def _instances(self) -> list[Instance]:
        tables = self._file.table(("instance",), self._file.document)
        most = self._built.package.manifest.resources.instances_max
        if not tables and isinstance(self._file.document.get("instance", {}), dict):
            self._file.problem(("instance",), "", "at least one table [instance.NAME] with inputs = {...}")
        if len(tables) > most:
            expected = f"at most {most} instances, instances_max of the app"
            self._file.problem(("instance",), f"{len(tables)} instances", expected)
            return []
        found = [self._instance(name, table) for name, table in tables.items()]
        return [instance for instance in found if instance is not None]

    def _instance(self, name: str, table: object) -> Instance | None:
        path: KeyPath = ("instance", name)
        if not isinstance(table, dict):
            self._file.problem(path, table, "a table, written as [instance.NAME]")
            return None
        if not _INSTANCE.fullmatch(name):
            self._file.problem(path, name, "a name of letters, digits, '_' and '-', such as area-1")
            return None
        self._file.known(path, table, INSTANCE_KEYS)
        before = len(self._file.problems)
        points = self._inputs((*path, "inputs"), table)
        parameters = self._parameters((*path, "parameters"), table)
        outputs = self._outputs((*path, "outputs"), table, name)
        if len(self._file.problems) > before:
            return None
        return Instance(name, tuple(points), tuple(parameters), tuple(outputs))

    def _inputs(self, path: KeyPath, parent: Table) -> list[Point]:
        declared = self._built.app.inputs
        given = self._file.table(path, parent)
        self._known(path, given, declared, "an input of the app")
        points: list[Point] = []
        for name, column in declared.items():
            place = (*path, name)
            if name not in given:
                self._file.problem(place, "", f'a point: {name} = "POINT", {_words(column)}')
                continue
            point = self._point(place, given[name])
            if point is not None:
                self._fit(place, point, column)
                points.append(point)
        return points

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

    def _parameters(self, path: KeyPath, parent: Table) -> list[Value]:
        ranges = self._built.parameters
        given = self._file.table(path, parent)
        self._known(path, given, ranges, "a parameter of the app")
        values: list[Value] = []
        for name, range_ in ranges.items():
            value: Value | None = range_.column.initial[0]
            if name in given:
                written = given[name]
                value = range_.accept(written) if isinstance(written, bool | int | float | str) else None
                if value is None:
                    self._file.problem((*path, name), written, range_.expected)
                    continue
            assert value is not None
            values.append(value)
        return values

    def _outputs(self, path: KeyPath, parent: Table, instance: str) -> list[str]:
        given = self._file.table(path, parent)
        self._known(path, given, self._built.outputs, "an output of the app")
        names: list[str] = []
        for output in self._built.outputs:
            name = given.get(output, f"{self._built.app.id}.{instance}.{output}")
            right = isinstance(name, str) and name.isprintable() and name == name.strip()
            if not right or not 0 < len(str(name)) <= limits.POINT_NAME_CHARS_MAX:
                expected = f"a name of a point of 1 to {limits.POINT_NAME_CHARS_MAX} printable characters"
                self._file.problem((*path, output), name, expected)
            elif name in self._points:
                self._file.problem((*path, output), name, "a name that no point of points.csv has")
            elif name in names:
                self._file.problem((*path, output), name, "a name that no other output has")
            names.append(str(name))
        return names

    def _known(
        self, path: KeyPath, given: Table, known: Mapping[str, Any] | Sequence[str], what: str
    ) -> None:
        for name in given:
            if name not in known:
                self._file.problem((*path, name), given[name], f"{what}; {suggest(name, list(known))}")

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
        return Grant(instance, output, point, low, high) if len(self._file.problems) == before else None

    def _bound(self, path: KeyPath, table: Table, column: Column, of_bool: float) -> float:
        value = table.get(str(path[-1]))
        if value is None and column.type is Type.BOOL:
            return of_bool
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            self._file.problem(
                path, "" if value is None else value, "a number: the bound of what may be written"
            )
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
                if point.report is not Report.ALWAYS:
                    expected = (
                        "a point whose report is 'always': not every value that the app reads is kept, "
                        "so it can be replayed approximately only"
                    )
                    self._warn_at(
                        ("instance", instance.name, "inputs", name),
                        f"{point.name} ({point.report})",
                        expected,
                    )

    def _warn_at(self, path: KeyPath, value: str, expected: str) -> None:
        self._warnings.append(Problem(self._file.file, self._file.place(path), value, expected))


def _words(column: Column) -> str:
    return f"{column.type} in {column.unit!r}" if column.unit else str(column.type)
