"""Reads the tables `[[model]]` of `app.toml`; `modelspec` says what they mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from protocols import limits, units
from protocols.field.settings import Setting, SettingValue
from protocols.package import modelspec, settings
from protocols.package.filecheck import check_file
from protocols.package.modelspec import Mode, ModelInput, ModelOutput, ModelSpec
from protocols.tomlfile import KeyPath, Table, TomlFile


class ModelReader:
    """Reads all models of one document.

    Args:
        file: The parsed app.toml, which collects the problems.
        files: Names of all files of the package.
    """

    def __init__(self, file: TomlFile, files: Collection[str]) -> None:
        self._file = file
        self._files = files

    def models(self) -> tuple[ModelSpec, ...]:
        """The models; to be used only when no problem was noted."""
        tables = self._file.tables("model")
        if len(tables) > limits.APP_STEPS_MAX:
            self._file.problem(("model",), f"{len(tables)} models", f"at most {limits.APP_STEPS_MAX} models")
            return ()
        found = [self._model(("model", index), table) for index, table in enumerate(tables)]
        seen: set[str] = set()
        for index, spec in enumerate(found):
            if spec is not None and spec.name.upper() in seen:
                self._file.problem(("model", index, "name"), spec.name, "a name that no other model has")
            if spec is not None:
                seen.add(spec.name.upper())
        return tuple(spec for spec in found if spec is not None)

    def _model(self, path: KeyPath, table: Table) -> ModelSpec | None:
        before = len(self._file.problems)
        own = {key: value for key, value in table.items() if key not in ("input", "output")}
        values = self._file.settings(path, own, settings.MODEL)
        file = str(values["file"] or "")
        if file:
            check_file(self._file, (*path, "file"), file, self._files, "models/", (".onnx",))
        inputs = self._columns(path, table, "input", settings.MODEL_INPUT)
        outputs = self._columns(path, table, "output", settings.MODEL_OUTPUT)
        if len(self._file.problems) > before:
            return None
        spec = ModelSpec(
            name=str(values["name"]),
            file=file,
            inputs=tuple(_input(each) for each in inputs),
            outputs=tuple(
                ModelOutput(str(each["name"]), str(each["unit"]), _optional(each["fallback"]))
                for each in outputs
            ),
            time_budget_ms=_whole(values["time_budget_ms"]),
            mode=Mode(str(values["mode"])),
        )
        for place, value, expected in modelspec.faults(spec):
            self._file.problem(_path(path, place), value, expected)
        return spec

    def _columns(
        self, path: KeyPath, table: Table, what: str, schema: Sequence[Setting]
    ) -> list[Mapping[str, SettingValue]]:
        given = table.get(what, [])
        if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
            self._file.problem((*path, what), given, f"tables written as [[model.{what}]]")
            return []
        most = modelspec.INPUTS_MAX if what == "input" else modelspec.OUTPUTS_MAX
        if not 1 <= len(given) <= most:
            self._file.problem((*path, what), str(len(given)), f"1 to {most} [[model.{what}]] tables")
            return []
        found: list[Mapping[str, SettingValue]] = []
        for index, each in enumerate(given):
            place: KeyPath = (*path, what, index)
            values = self._file.settings(place, each, schema)
            fault = units.check(str(values["unit"] or ""))
            if fault is not None and fault.hopeless:
                self._file.problem((*place, "unit"), values["unit"], f"a UCUM unit, got {fault.reason}")
            found.append(values)
        return found


def _input(values: Mapping[str, SettingValue]) -> ModelInput:
    offset, scale = _optional(values["offset"]), _optional(values["scale"])
    assert offset is not None and scale is not None, "they have defaults"
    return ModelInput(
        name=str(values["name"]),
        unit=str(values["unit"]),
        offset=offset,
        scale=scale,
        low=_optional(values["low"]),
        high=_optional(values["high"]),
        window=_whole(values["window"]),
    )


def _path(path: KeyPath, place: str) -> KeyPath:
    """Where a fault of `modelspec` stands: `input 2, scale`, or a key of the model itself."""
    head, _, key = place.partition(", ")
    what, _, number = head.partition(" ")
    return (*path, what, int(number) - 1, key) if number else (*path, head)


def _optional(value: SettingValue) -> float | None:
    assert value is None or isinstance(value, int | float)
    return None if value is None else float(value)


def _whole(value: SettingValue) -> int:
    assert isinstance(value, int)
    return value
