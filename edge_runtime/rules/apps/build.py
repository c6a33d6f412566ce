"""From a package to an app that can run: compiled, wired, and checked against its manifest.

Rules:
1. An input of a program is, in this order: an output of that name of an earlier program; the
   output `t2` of the model `pca` where the input is called `pca_t2`; else an input of the
   app, which is bound to a point and must be in `permissions.read`.
2. No two of outputs, model outputs and inputs of an app may have the same name, so that this
   order never has to decide; nor may two alarms of different programs. Names are the same in
   app.toml and in the programs, capitals too.
3. Everything is checked before anything is raised: one `InputError` names every fault, with
   the file in the package.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_runtime.rules.apps.app import CompiledApp, WiredProgram
from edge_runtime.rules.apps.parameters import ParameterRange, convert, expected
from edge_runtime.rules.apps.wire import Wiring
from edge_runtime.rules.checking.typed import Value
from edge_runtime.rules.models.onnxfile import RefusedError, inspect
from edge_runtime.rules.program import LANGUAGE, Budget, Column, Program, compile_program
from edge_runtime.rules.thresholds.lower import lower_thresholds, program_name
from protocols.errors import InputError, Problem
from protocols.package import Package, Parameter, ParameterValue, ProgramSpec
from protocols.package.names import APP
from protocols.tomlfile import TomlFile, suggest


@dataclass(frozen=True, slots=True)
class BuiltApp:
    """A package, compiled.

    Args:
        package: What it was made of.
        app: What runs.
        files: For each program of `app` its file.
        parameters: What an instance may give, by name.
        translations: Alarm texts in Chinese, by the English in the programs.
    """

    package: Package
    app: CompiledApp
    files: tuple[str, ...]
    parameters: Mapping[str, ParameterRange]
    translations: Mapping[str, str]

    @property
    def outputs(self) -> tuple[str, ...]:
        """All that it records: outputs of programs, then of models."""
        models = self.package.manifest.models
        return (*self.app.outputs, *(signal for model in models for signal in model.signals))


def build(package: Package) -> BuiltApp:
    """Compile and wire a package.

    Raises:
        InputError: With every fault of its programs, tables and models.
    """
    return _Builder(package).build()


class _Builder:
    """Builds one package; collects what is wrong."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._manifest = package.manifest
        # Parsed again for its lines: a manifest knows values and not where they stood.
        self._toml = TomlFile(Path(package.place(APP)), "", package.text(APP))
        self._problems: list[Problem] = []
        self._translations: dict[str, str] = {}

    def build(self) -> BuiltApp:
        manifest = self._manifest
        if manifest.language > LANGUAGE:
            expected_ = f"at most {LANGUAGE}, the language that this version of Catchment knows; upgrade it"
            self._toml.problem(("app", "language"), manifest.language, expected_)
        self._inspect_models()
        compiled = [self._compile(spec) for spec in manifest.programs]
        programs = [program for program in compiled if program is not None]
        if len(programs) == len(compiled):
            built = self._wire(programs)
            if not self._problems and not self._toml.problems:
                return built
        raise InputError([*self._toml.problems, *self._problems])

    # -- steps -------------------------------------------------------------------------------------

    def _inspect_models(self) -> None:
        for index, spec in enumerate(self._manifest.models):
            try:
                inspect(self._package.files[spec.file])
            except RefusedError as error:
                self._problems.append(Problem(self._package.place(spec.file), "file", "", _rest(error)))
                self._toml.problem(("model", index, "file"), spec.file, "a model that can be run; see above")

    def _compile(self, spec: ProgramSpec) -> Program | None:
        file = self._package.place(spec.file)
        resources = self._manifest.resources
        budget = Budget(resources.operations_max, resources.state_bytes_max)
        try:
            text = self._package.text(spec.file)
            if spec.is_table:
                lowered = lower_thresholds(text, file, program_name(PurePosixPath(spec.file).stem))
                self._translations.update(lowered.translations)
                text = lowered.source
            return compile_program(text, spec.name or None, file, budget)
        except InputError as error:
            self._problems += error.problems
            return None

    def _wire(self, programs: list[Program]) -> BuiltApp:
        files = [spec.file for spec in self._manifest.programs]
        ranges = self._parameters(programs)
        wiring = Wiring(self._manifest.models, self._package.place)
        wired = []
        for program, file in zip(programs, files, strict=True):
            columns = tuple(
                ranges[each.name].column if each.name in ranges else each for each in program.parameters
            )
            sources = wiring.add(program, self._package.place(file))
            wired.append(WiredProgram(program._replace(parameters=columns), sources))
        wiring.refuse_clashes()
        self._problems += wiring.problems
        self._refuse_shared_alarms(programs)
        self._check_permissions(wiring.inputs, wiring.outputs, programs)
        app = CompiledApp(
            self._manifest.id,
            self._manifest.version,
            tuple(wired),
            wiring.inputs,
            {name: each.column for name, each in ranges.items()},
            wiring.outputs,
        )
        self._check_resources(app)
        return BuiltApp(self._package, app, tuple(files), ranges, self._translations)

    def _refuse_shared_alarms(self, programs: list[Program]) -> None:
        """An alarm is known by app, instance and path: two with one path would be one alarm."""
        owners: dict[str, Program] = {}
        for program, spec in zip(programs, self._manifest.programs, strict=True):
            for site in program.events:
                if site.kind == "alarm" and owners.setdefault(site.path, program) is not program:
                    other = owners[site.path].name
                    expected_ = f"a name of its own for the alarm: the program {other!r} has one of this name"
                    file = self._package.place(spec.file)
                    self._problems.append(Problem(file, f"alarm {site.path}", site.path, expected_))

    # -- against the manifest ----------------------------------------------------------------------

    def _check_permissions(
        self, inputs: Mapping[str, Column], outputs: Mapping[str, Column], programs: list[Program]
    ) -> None:
        asked, toml = self._manifest.permissions, self._toml
        for name in inputs:
            if name not in asked.read:
                expected_ = f"{name!r} among the names: it is an input that nothing in the app provides"
                toml.problem(("permissions", "read"), "", expected_)
        self._known(("permissions", "read"), asked.read, inputs, "an input that is bound to a point")
        self._known(("permissions", "write"), asked.write, outputs, "an output of a program")
        for name in self._manifest.inputs:
            self._known(("inputs", name), [name], inputs, "an input that is bound to a point")
        signals = [signal for model in self._manifest.models for signal in model.signals]
        for name in self._manifest.outputs:
            self._known(("outputs", name), [name], [*outputs, *signals], "an output of a program or model")
        if not asked.events and any(program.events for program in programs):
            toml.problem(("permissions", "events"), asked.events, "true, because a program emits events")

    def _known(
        self, path: tuple[str, ...], names: Collection[str], known: Collection[str], what: str
    ) -> None:
        for name in names:
            if name not in known:
                self._toml.problem(path, name, f"{what}; {suggest(name, known)}")

    def _parameters(self, programs: list[Program]) -> dict[str, ParameterRange]:
        declared: dict[str, Column] = {}
        for program, spec in zip(programs, self._manifest.programs, strict=True):
            for column in program.parameters:
                first = declared.setdefault(column.name, column)
                if (first.type, first.unit) != (column.type, column.unit):
                    place, expected_ = (
                        f"VAR_INPUT CONSTANT {column.name}",
                        f"{_typed(first)} as in an earlier program",
                    )
                    problem = Problem(self._package.place(spec.file), place, _typed(column), expected_)
                    self._problems.append(problem)
        given = self._manifest.parameters
        for name, column in declared.items():
            if name not in given:
                expected_ = f"the table [parameters.{name}] with default, low and high: {_typed(column)}"
                self._toml.problem(("parameters", name), "", expected_)
        for name in given:
            self._known(("parameters", name), [name], declared, "a VAR_INPUT CONSTANT of a program")
        both = [(given[name], column) for name, column in declared.items() if name in given]
        return {parameter.name: self._range(parameter, column) for parameter, column in both}

    def _range(self, parameter: Parameter, column: Column) -> ParameterRange:
        path = ("parameters", parameter.name)
        if parameter.unit and column.unit and parameter.unit != column.unit:
            self._toml.problem((*path, "unit"), parameter.unit, f"{column.unit!r} as in the program")
        default = self._value((*path, "default"), parameter.default, column)
        low = self._value((*path, "low"), parameter.low, column)
        high = self._value((*path, "high"), parameter.high, column)
        unit = column.unit or parameter.unit or None
        typed = column._replace(unit=unit, initial=column.initial if default is None else (default,))
        found = ParameterRange(typed, low, high)
        if default is not None and found.accept(parameter.default) is None:
            self._toml.problem((*path, "default"), parameter.default, found.expected)
        return found

    def _value(self, path: tuple[str, ...], value: ParameterValue | None, column: Column) -> Value | None:
        if value is None:
            return None
        typed = convert(value, column.type)
        if typed is None:
            self._toml.problem(path, value, f"{expected(column.type)}: it is declared {column.type}")
        return typed

    def _check_resources(self, app: CompiledApp) -> None:
        resources = self._manifest.resources
        for key, found, most in (
            ("operations_max", app.operations, resources.operations_max),
            ("state_bytes_max", app.state_bytes, resources.state_bytes_max),
        ):
            if found > most:
                self._toml.problem(
                    ("resources", key), most, f"at least {found}, what all programs need together"
                )


def _typed(column: Column) -> str:
    return f"{column.type} {{unit {column.unit!r}}}" if column.unit else str(column.type)


def _rest(error: RefusedError) -> str:
    return str(error).removeprefix("expected ")
