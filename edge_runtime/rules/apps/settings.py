"""The settings of an app, `apps/<id>.toml`: its instances, read alike at gateways and at headquarters.

Rules:
1. What the app itself decides is checked here: how many instances there may be, the names of
   inputs, parameters and outputs, the ranges of parameters. Whether points exist and fit is
   for who has the points.
2. Every fault is noted in the file, with its line, and what is wrong is left out: the rest
   can still be held against points, so that all faults are told at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edge_runtime.rules.apps.build import BuiltApp
from edge_runtime.rules.checking.typed import Value
from edge_runtime.rules.program import Column
from protocols import limits
from protocols.tomlfile import KeyPath, Table, TomlFile, suggest

KEYS = ("package", "sha256", "scan", "instance", "grant")
INSTANCE_KEYS = ("inputs", "parameters", "outputs")

_INSTANCE = re.compile(r"\w[\w-]{0,62}")


class InstanceSettings(NamedTuple):
    """One instance as its settings have it.

    Args:
        name: Unique in the app.
        inputs: For each of the app's inputs, in their order, the name of its point.
        parameters: For each parameter, in their order, its value in the declared type.
        outputs: For each of `BuiltApp.outputs`, in their order, the derived point's name.
    """

    name: str
    inputs: Mapping[str, str]
    parameters: tuple[Value, ...]
    outputs: tuple[str, ...]


class SettingsReader:
    """Reads the instances of one app.

    Args:
        built: The app.
        file: Its settings, parsed; collects the problems.
    """

    def __init__(self, built: BuiltApp, file: TomlFile) -> None:
        self._built = built
        self._file = file

    def instances(self) -> list[InstanceSettings]:
        """Those that have a name, in the order of the file; whole when no problem is noted."""
        document = self._file.document
        self._file.known((), document, KEYS)
        tables = self._file.table(("instance",), document)
        most = self._built.package.manifest.resources.instances_max
        if not tables and isinstance(document.get("instance", {}), dict):
            self._file.problem(("instance",), "", "at least one table [instance.NAME] with inputs = {...}")
        if len(tables) > most:
            expected = f"at most {most} instances, instances_max of the app"
            self._file.problem(("instance",), f"{len(tables)} instances", expected)
            return []
        found = [self._instance(name, table) for name, table in tables.items()]
        return [instance for instance in found if instance is not None]

    def _instance(self, name: str, table: object) -> InstanceSettings | None:
        path: KeyPath = ("instance", name)
        if not isinstance(table, dict):
            self._file.problem(path, table, "a table, written as [instance.NAME]")
            return None
        if not _INSTANCE.fullmatch(name):
            self._file.problem(path, name, "a name of letters, digits, '_' and '-', such as area-1")
            return None
        self._file.known(path, table, INSTANCE_KEYS)
        inputs = self._inputs((*path, "inputs"), table)
        parameters = self._parameters((*path, "parameters"), table)
        outputs = self._outputs((*path, "outputs"), table, name)
        return InstanceSettings(name, inputs, tuple(parameters), tuple(outputs))

    def _inputs(self, path: KeyPath, parent: Table) -> dict[str, str]:
        declared = self._built.app.inputs
        given = self._file.table(path, parent)
        self._known(path, given, declared, "an input of the app")
        names: dict[str, str] = {}
        for name, column in declared.items():
            point = given.get(name)
            if point is None:
                self._file.problem((*path, name), "", f'a point: {name} = "POINT", {_words(column)}')
            elif not isinstance(point, str):
                self._file.problem((*path, name), point, f'the name of a point: {name} = "POINT"')
            else:
                names[name] = point
        return names

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


def _words(column: Column) -> str:
    return f"{column.type} in {column.unit!r}" if column.unit else str(column.type)
