"""Which input of which program comes from where; see the rules of `appbuild`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge_runtime.rules.apps.app import Origin, Source
from edge_runtime.rules.checking.types import Type
from edge_runtime.rules.program import Column, Program
from protocols.errors import Problem
from protocols.package import ModelSpec


class _Provider(NamedTuple):
    """What provides a name.

    Args:
        source: Where it comes from.
        column: Its type and unit.
        words: For people.
    """

    source: Source
    column: Column
    words: str


class Wiring:
    """Wires programs one after the other; collects what is wrong.

    Args:
        models: The app's models, which come before its programs.
        place: From a file of the package to its name in messages.
    """

    def __init__(self, models: Sequence[ModelSpec], place: Callable[[str], str]) -> None:
        self.inputs: dict[str, Column] = {}
        """What is bound to points, by name."""
        self.outputs: dict[str, Column] = {}
        """Of all programs, by name."""
        self.problems: list[Problem] = []
        self._steps = 0
        self._providers: dict[str, _Provider] = {}
        self._users: dict[str, str] = {}
        self._untyped: set[str] = set()
        """Inputs that only models have used so far; those read any number."""
        for step, model in enumerate(models):
            for at, (signal, output) in enumerate(zip(model.signals, model.outputs, strict=True)):
                column = Column(signal, Type.LREAL, output.unit or None, (0.0,))
                provider = _Provider(Source(Origin.MODEL, "", step, at), column, f"model {model.name!r}")
                self._provide(signal, provider, place(model.file))
        for model in models:
            for each in model.inputs:
                self._use(Column(each.name, Type.LREAL, each.unit or None, (0.0,)), place(model.file))
        self._untyped.update(self.inputs)

    def add(self, program: Program, file: str) -> tuple[Source, ...]:
        """Wire the next program.

        Args:
            program: The program.
            file: Its file, for messages.

        Returns:
            A source for each of its inputs.
        """
        sources = tuple(self._source(column, file) for column in program.inputs)
        for at, column in enumerate(program.outputs):
            words = f"program {program.name!r}"
            source = Source(Origin.OUTPUT, column.name, self._steps, at)
            self._provide(column.name, _Provider(source, column, words), file)
            self.outputs.setdefault(column.name, column)
        self._steps += 1
        return sources

    def refuse_clashes(self) -> None:
        """Note names that stand for two things; called when all programs were added."""
        folded = {name.upper(): name for name in self.inputs}
        for key, provider in self._providers.items():
            if key in folded:
                expected = f"another name: it is also an output of {provider.words}"
                self._say(self._users[folded[key]], f"input {folded[key]}", folded[key], expected)

    def _provide(self, name: str, provider: _Provider, file: str) -> None:
        first = self._providers.setdefault(name.upper(), provider)
        if first is not provider:
            self._say(file, f"VAR_OUTPUT {name}", name, f"a name that {first.words} does not have already")

    def _source(self, column: Column, file: str) -> Source:
        provider = self._providers.get(column.name.upper())
        if provider is None:
            return self._use(column, file)
        given = provider.column
        if given.name != column.name:
            self._spelling(column, file, given.name)
        elif given.type is not column.type:
            self._say(
                file, f"VAR_INPUT {column.name}", column.type, f"{given.type}, as {provider.words} gives it"
            )
        elif given.unit and column.unit and given.unit != column.unit:
            expected = f"the unit {given.unit!r}, as {provider.words} gives it"
            self._say(file, f"VAR_INPUT {column.name}", column.unit, expected)
        return provider.source

    def _use(self, column: Column, file: str) -> Source:
        """An input that is bound to a point: one type and one unit wherever it is used."""
        near = {name.upper(): name for name in self.inputs}.get(column.name.upper(), column.name)
        if near != column.name:
            self._spelling(column, file, near)
        first = self.inputs.get(near)
        if first is None:
            self.inputs[column.name] = column
            self._users[column.name] = file
            return Source(Origin.POINT, column.name)
        if first.unit and column.unit and first.unit != column.unit:
            self._say(
                file, f"input {column.name}", column.unit, f"the unit {first.unit!r}, as elsewhere in the app"
            )
        if near in self._untyped:
            self._untyped.discard(near)
            first = first._replace(type=column.type, initial=column.initial)
        self.inputs[near] = first._replace(unit=first.unit or column.unit)
        if first.type is not column.type:
            expected = f"{first.type}, as elsewhere in the app"
            self._say(file, f"VAR_INPUT {column.name}", column.type, expected)
        return Source(Origin.POINT, near)

    def _spelling(self, column: Column, file: str, other: str) -> None:
        self._say(
            file,
            f"VAR_INPUT {column.name}",
            column.name,
            f"{other!r}, the same capitals everywhere in an app",
        )

    def _say(self, file: str, place: str, value: str, expected: str) -> None:
        self.problems.append(Problem(file, place, value, expected))
