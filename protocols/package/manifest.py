"""What an app says of itself: the content of `app.toml`, checked.

`manifestread` reads it. Whether programs, tables and models agree with it is known only
when they are compiled: `edge_runtime.rules.apps.build`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from protocols.package.modelspec import ModelSpec

Texts = Mapping[str, str]
"""A text by language: `en`, `zh`."""

ParameterValue = bool | int | float | str
"""As written; a time is a text such as `T#5s`."""


class AppClass(StrEnum):
    """What an app is for; the store sorts by it."""

    OPERATIONS = "operations"
    EQUIPMENT = "equipment"
    BUSINESS = "business"
    SAFETY = "safety"


@dataclass(frozen=True, slots=True)
class Permissions:
    """What an app asks for; a gateway grants it by binding points.

    Args:
        read: Inputs that may be bound to points.
        write: Outputs that may be written to devices, where the gateway grants it.
        events: Whether it may emit events and alarms.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    events: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """A VAR_INPUT CONSTANT of the programs.

    Args:
        name: As declared there.
        default: Its value where an instance gives none.
        low: Least value, or `None`.
        high: Greatest value, or `None`.
        unit: UCUM code, or empty.
        title: For people.
    """

    name: str
    default: ParameterValue
    low: ParameterValue | None = None
    high: ParameterValue | None = None
    unit: str = ""
    title: Texts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resources:
    """The most that an app may cost; a gateway counts before it runs it.

    Args:
        operations_max: Of one scan of one instance, all programs together.
        state_bytes_max: Of one instance.
        instances_max: On one gateway.
    """

    operations_max: int = 5000
    state_bytes_max: int = 4096
    instances_max: int = 100


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """One step of a scan.

    Args:
        file: Structured Text or a threshold table, as named in the package.
        name: Which PROGRAM of the file; empty when there is one.
    """

    file: str
    name: str = ""

    @property
    def is_table(self) -> bool:
        """Whether it is a threshold table."""
        return self.file.startswith("tables/")


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of `app.toml`.

    Args:
        id: Lower-case letters, digits and hyphens.
        version: Semantic version 2.0.0, without build metadata.
        app_class: What it is for.
        publisher: Whose it is; an id.
        title: Its name for people.
        language: Version of the rule language it is written in.
        period_ms: Scan period it is made for.
        summary: What it does, in a sentence or two.
        permissions: What it asks for.
        parameters: By name.
        inputs: Titles of inputs, by name.
        outputs: Titles of outputs, by name.
        resources: The most it may cost.
        programs: In the order in which they run.
        models: Evaluated before the programs.
        tolerance: By which a real output of a test may differ: `|got - expected| <=
            tolerance * max(1, |expected|)`.
    """

    id: str
    version: str
    app_class: AppClass
    publisher: str
    title: Texts
    language: int = 1
    period_ms: int = 1000
    summary: Texts = field(default_factory=dict)
    permissions: Permissions = field(default_factory=Permissions)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    inputs: Mapping[str, Texts] = field(default_factory=dict)
    outputs: Mapping[str, Texts] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    programs: tuple[ProgramSpec, ...] = ()
    models: tuple[ModelSpec, ...] = ()
    tolerance: float = 0.0

    @property
    def archive(self) -> str:
        """Name of the package's file: `gas-detection-1.2.0.capp`."""
        return f"{self.id}-{self.version}{SUFFIX}"


SUFFIX = ".capp"


def local(texts: Texts, language: str = "en") -> str:
    """A text in a language, or in the one there is.

    >>> local({"zh": "气体检测"}), local({"en": "Gas", "zh": "气体"}, "zh"), local({})
    ('气体检测', '气体', '')
    """
    return texts.get(language) or texts.get("en") or next(iter(texts.values()), "")
