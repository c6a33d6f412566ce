"""Reads `app.toml` into a `Manifest`, or says all that is wrong with it.

Each table is read by itself, then they are compared with each other and with the files of
the package. Nothing here knows the rule language; see `edge_runtime.rules.apps.build`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from protocols import limits, units
from protocols.errors import InputError
from protocols.field.settings import Setting, SettingValue
from protocols.package import settings
from protocols.package.filecheck import check_file
from protocols.package.manifest import (
    AppClass,
    Manifest,
    Parameter,
    ParameterValue,
    Permissions,
    ProgramSpec,
    Resources,
    Texts,
)  # fmt: skip
from protocols.package.modelread import ModelReader
from protocols.tomlfile import KeyPath, Table, TomlFile

TABLES = (
    "app", "permissions", "parameters", "inputs", "outputs", "resources", "program", "model", "test",
)  # fmt: skip
LANGUAGES = ("en", "zh")
"""Languages of the portal; a text in at least one of them is asked for."""

_TIME = re.compile(r"(T|TIME)#[-+]?[0-9][0-9a-z_.]*", re.IGNORECASE)


def read_manifest(file: TomlFile, files: Collection[str]) -> Manifest:
    """Check a parsed `app.toml`.

    Args:
        file: The file.
        files: Names of all files of the package.

    Raises:
        InputError: With every problem.
    """
    reader = _Reader(file, files)
    manifest = reader.manifest()
    if file.problems or manifest is None:
        raise InputError(file.problems)
    return manifest


class _Reader:
    """Reads one document table by table."""

    def __init__(self, file: TomlFile, files: Collection[str]) -> None:
        self._file = file
        self._files = frozenset(files)

    def manifest(self) -> Manifest | None:
        """All of it; `None`, or of no use, when a problem was noted."""
        file = self._file
        file.known((), file.document, TABLES)
        app = file.table(("app",), file.document, required=True)
        values = self._settings(("app",), app, settings.APP, ("title", "summary"))
        title = self._texts(("app", "title"), app, required=True)
        summary = self._texts(("app", "summary"), app)
        period_ms = self._period(values["period_s"])
        resources = file.settings(
            ("resources",), file.table(("resources",), file.document), settings.RESOURCES
        )
        permissions, parameters = self._permissions(), self._parameters()
        inputs, outputs = self._titles("inputs"), self._titles("outputs")
        programs = self._programs()
        models = ModelReader(file, self._files).models()
        test = file.settings(("test",), file.table(("test",), file.document), settings.TEST)
        if not programs and not models and not {"program", "model"} & set(file.document):
            file.problem(("program",), "", "at least one table [[program]] or [[model]]")
        if file.problems:
            return None
        return Manifest(
            id=str(values["id"]),
            version=str(values["version"]),
            app_class=AppClass(str(values["class"])),
            publisher=str(values["publisher"]),
            title=title,
            language=_whole(values["language"]),
            period_ms=period_ms,
            summary=summary,
            permissions=permissions,
            parameters=parameters,
            inputs=inputs,
            outputs=outputs,
            resources=Resources(**{name: _whole(value) for name, value in resources.items()}),
            programs=programs,
            models=models,
            tolerance=_number(test["tolerance"]),
        )

    def _settings(
        self, path: KeyPath, table: Table, schema: Sequence[Setting], others: Collection[str] = ()
    ) -> dict[str, SettingValue]:
        """The settings of a table that also holds other keys."""
        own = {key: value for key, value in table.items() if key not in others}
        return self._file.settings(path, own, schema)

    # -- texts and names ---------------------------------------------------------------------------

    def _texts(self, path: KeyPath, parent: Table, required: bool = False) -> Texts:
        given = parent.get(str(path[-1]))
        example = '{en = "Gas detection", zh = "气体检测"}'
        if given is None and not required:
            return {}
        if not isinstance(given, dict) or not given:
            self._file.problem(path, "" if given is None else given, f"a text by language: {example}")
            return {}
        self._file.known(path, given, LANGUAGES)
        for language, text in given.items():
            right = isinstance(text, str) and 0 < len(text.strip()) and len(text) <= limits.APP_TEXT_CHARS_MAX
            if language in LANGUAGES and not right:
                expected = f"a text of 1 to {limits.APP_TEXT_CHARS_MAX} characters"
                self._file.problem((*path, language), text, expected)
        return {language: str(text) for language, text in given.items()}

    def _names(self, path: KeyPath, parent: Table) -> tuple[str, ...]:
        given = parent.get(str(path[-1]), [])
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            self._file.problem(path, given, 'a list of names: ["gas_a", "gas_b"]')
            return ()
        if len(given) > limits.APP_NAMES_MAX:
            self._file.problem(path, f"{len(given)} names", f"at most {limits.APP_NAMES_MAX} names")
        for name in given:
            if not settings.is_identifier(name):
                self._file.problem(path, name, settings.IDENTIFIER_EXPECTED)
        for name in sorted({name for name in given if given.count(name) > 1}):
            self._file.problem(path, name, "each name once")
        return tuple(given)

    def _named(self, section: str) -> Mapping[str, Table]:
        """The tables [section.NAME]; wrong ones are noted and left out."""
        tables = self._file.table((section,), self._file.document)
        if len(tables) > limits.APP_NAMES_MAX:
            found, expected = f"{len(tables)} tables", f"at most {limits.APP_NAMES_MAX} of them"
            self._file.problem((section,), found, expected)
            return {}
        found_tables: dict[str, Table] = {}
        for name, table in tables.items():
            if not isinstance(table, dict):
                self._file.problem((section, name), table, f"a table, written as [{section}.NAME]")
            elif not settings.is_identifier(name):
                self._file.problem((section, name), name, settings.IDENTIFIER_EXPECTED)
            else:
                found_tables[name] = table
        return found_tables

    def _titles(self, section: str) -> dict[str, Texts]:
        found: dict[str, Texts] = {}
        for name, table in self._named(section).items():
            self._file.known((section, name), table, ("title",))
            found[name] = self._texts((section, name, "title"), table, required=True)
        return found

    # -- tables ------------------------------------------------------------------------------------

    def _period(self, value: SettingValue) -> int:
        """Seconds as whole milliseconds."""
        if not isinstance(value, float):
            return 0
        ms = round(value * 1000)
        if abs(value * 1000 - ms) > 1e-6:
            self._file.problem(("app", "period_s"), value, f"whole milliseconds, such as {ms / 1000:g}")
        return ms

    def _permissions(self) -> Permissions:
        path: KeyPath = ("permissions",)
        table = self._file.table(path, self._file.document)
        self._file.known(path, table, ("read", "write", "events"))
        events = table.get("events", False)
        if not isinstance(events, bool):
            self._file.problem((*path, "events"), events, "true or false")
        return Permissions(
            self._names((*path, "read"), table), self._names((*path, "write"), table), events is True
        )

    def _parameters(self) -> dict[str, Parameter]:
        found: dict[str, Parameter] = {}
        for name, table in self._named("parameters").items():
            path: KeyPath = ("parameters", name)
            own = ("default", "low", "high", "title")
            self._file.known(path, table, (*own, *(setting.name for setting in settings.PARAMETER)))
            known = {key: value for key, value in table.items() if key == "unit"}
            unit = str(self._settings(path, known, settings.PARAMETER)["unit"])
            fault = units.check(unit)
            if fault is not None and fault.hopeless:
                self._file.problem((*path, "unit"), unit, f"a UCUM unit, got {fault.reason}")
            default, low, high = (self._value((*path, key), table) for key in own[:3])
            if "default" not in table:
                self._file.problem(
                    (*path, "default"), "", "a number, true or false, or a time such as 'T#5s'"
                )
            self._ordered(path, default, low, high)
            title = self._texts((*path, "title"), table)
            if default is not None:
                found[name] = Parameter(name, default, low, high, unit, title)
        return found

    def _value(self, path: KeyPath, table: Table) -> ParameterValue | None:
        value = table.get(str(path[-1]))
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, str) and _TIME.fullmatch(value):
            return value
        self._file.problem(path, value, "a finite number, true or false, or a time such as 'T#5s'")
        return None

    def _ordered(
        self,
        path: KeyPath,
        default: ParameterValue | None,
        low: ParameterValue | None,
        high: ParameterValue | None,
    ) -> None:
        """Numbers are compared here; times when they are known to be times."""
        for key, one, words, bound, other in (
            ("low", low, "at most", "high", high),
            ("default", default, "at least", "low", low),
            ("default", default, "at most", "high", high),
        ):
            if not isinstance(one, int | float) or not isinstance(other, int | float):
                continue
            if (one > other) if words == "at most" else (one < other):
                self._file.problem((*path, key), one, f"{words} {bound}, which is {other:g}")

    def _programs(self) -> tuple[ProgramSpec, ...]:
        tables = self._file.tables("program")
        if len(tables) > limits.APP_STEPS_MAX:
            found = f"{len(tables)} programs"
            self._file.problem(("program",), found, f"at most {limits.APP_STEPS_MAX} programs")
            return ()
        return tuple(self._program(("program", index), table) for index, table in enumerate(tables))

    def _program(self, path: KeyPath, table: Table) -> ProgramSpec:
        values = self._file.settings(path, table, settings.PROGRAM)
        file, threshold, name = values["file"], values["table"], values["name"]
        if (file is None) == (threshold is None):
            found = "both" if file is not None else ""
            self._file.problem(
                (*path, "file"), found, 'file = "programs/NAME.st" or table = "tables/NAME.csv"'
            )
        if threshold is not None and name is not None:
            self._file.problem(
                (*path, "name"), name, "no name beside a table; its file's name is the program's"
            )
        key, folder, suffixes = "file", "programs/", [".st"]
        if threshold is not None:
            key, folder, suffixes = "table", "tables/", [".csv", ".toml"]
        chosen = str(threshold or file or "")
        if chosen:
            check_file(self._file, (*path, key), chosen, self._files, folder, suffixes)
        if threshold is not None and not settings.is_identifier(PurePosixPath(chosen).stem):
            expected = "a file named as a program may be, such as tables/limits.csv"
            self._file.problem((*path, key), chosen, expected)
        return ProgramSpec(chosen, str(name or ""))


def _whole(value: SettingValue) -> int:
    assert isinstance(value, int)
    return value


def _number(value: SettingValue) -> float:
    assert isinstance(value, int | float)
    return float(value)
