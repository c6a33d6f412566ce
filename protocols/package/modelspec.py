"""What an app declares about one of its models (`[[model]]` in app.toml).

Rules:
1. The features of the model's one input tensor are the declared inputs in their order, each
   with its last `window` values, oldest first; each is `(value - offset) / scale`.
2. A value outside `low`..`high` makes the model's outputs uncertain: there it was not trained.
3. Programs read an output as an input named `<model>_<output>`.

>>> spec = ModelSpec("pca", "models/pca.onnx", (ModelInput("flow", "m3/h", 100.0, 5.0, window=2),),
...                  (ModelOutput("t2"),))
>>> spec.features, spec.depth, spec.signals
(2, 2, ('pca_t2',))
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

WINDOW_MAX = 1000
"""Rows of one input: three quarters of an hour at one scan a second, with some room."""

FEATURES_MAX = 10_000
"""Numbers in one row of the tensor: 80 kB of state an instance."""

INPUTS_MAX = 500
OUTPUTS_MAX = 100
"""Columns that a model declares: whole units have some hundreds of measurements."""

TIME_BUDGET_MS_MAX = 10_000
"""A model that needs longer does not belong into a scan."""


class Mode(Enum):
    """Whether programs see what a model says."""

    ACTIVE = "active"
    SHADOW = "shadow"
    """Evaluated and recorded; programs see its fallback, bad."""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One input.

    Args:
        name: The app's input.
        unit: UCUM code.
        offset: Subtracted first.
        scale: Then divided by; not 0.
        low: Least value of the validity envelope; `None`: no bound.
        high: Greatest value of it; `None`: no bound.
        window: How many scans, the newest included.
    """

    name: str
    unit: str = ""
    offset: float = 0.0
    scale: float = 1.0
    low: float | None = None
    high: float | None = None
    window: int = 1


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """One output.

    Args:
        name: Of the graph's output, or of a column of its only one.
        unit: UCUM code.
        fallback: What programs see when the model gives nothing; `None`: the last value.
    """

    name: str
    unit: str = ""
    fallback: float | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model.

    Args:
        name: Unique in the app.
        file: Within the package.
        inputs: In the order of the tensor's features.
        outputs: In any order; by name.
        time_budget_ms: For one scan of all instances.
        mode: See `Mode`.
    """

    name: str
    file: str
    inputs: tuple[ModelInput, ...]
    outputs: tuple[ModelOutput, ...]
    time_budget_ms: int = 50
    mode: Mode = Mode.ACTIVE

    @property
    def features(self) -> int:
        """Numbers in one row of the tensor."""
        return sum(each.window for each in self.inputs)

    @property
    def depth(self) -> int:
        """Scans that the longest window spans."""
        return max(each.window for each in self.inputs)

    @property
    def signals(self) -> tuple[str, ...]:
        """The outputs as programs and the lake name them."""
        return tuple(f"{self.name}_{output.name}" for output in self.outputs)


def faults(spec: ModelSpec) -> list[tuple[str, str, str]]:
    """What is wrong in a declaration beyond the types of its values.

    Returns:
        Place (such as `input 2, scale`), value and what was expected; empty when it is right.
    """
    found: list[tuple[str, str, str]] = []
    _count(found, "input", len(spec.inputs), INPUTS_MAX)
    _count(found, "output", len(spec.outputs), OUTPUTS_MAX)
    _unique(found, "input", [each.name for each in spec.inputs])
    _unique(found, "output", [each.name for each in spec.outputs])
    if not 1 <= spec.time_budget_ms <= TIME_BUDGET_MS_MAX:
        found.append(("time_budget_ms", str(spec.time_budget_ms), f"1 to {TIME_BUDGET_MS_MAX} ms"))
    for number, each in enumerate(spec.inputs, 1):
        found += [(f"input {number}, {key}", value, expected) for key, value, expected in _of_input(each)]
    for number, output in enumerate(spec.outputs, 1):
        if output.fallback is not None and not math.isfinite(output.fallback):
            found.append((f"output {number}, fallback", str(output.fallback), "a finite number"))
    if spec.features > FEATURES_MAX:
        found.append(("input", f"{spec.features} values in all windows", f"at most {FEATURES_MAX}"))
    return found


def _of_input(each: ModelInput) -> list[tuple[str, str, str]]:
    found = []
    if not math.isfinite(each.offset):
        found.append(("offset", str(each.offset), "a finite number"))
    if each.scale == 0.0 or not math.isfinite(each.scale):
        found.append(("scale", str(each.scale), "a finite number other than 0"))
    for key, bound in (("low", each.low), ("high", each.high)):
        if bound is not None and not math.isfinite(bound):
            found.append((key, str(bound), "a finite number, or nothing where there is no bound"))
    if each.low is not None and each.high is not None and each.low > each.high:
        found.append(("low", str(each.low), f"at most high, which is {each.high}"))
    if not 1 <= each.window <= WINDOW_MAX:
        found.append(("window", str(each.window), f"1 to {WINDOW_MAX} scans"))
    return found


def _count(found: list[tuple[str, str, str]], what: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        found.append((what, str(count), f"1 to {most} [[model.{what}]] tables"))


def _unique(found: list[tuple[str, str, str]], what: str, names: list[str]) -> None:
    for number, name in enumerate(names, 1):
        if name in names[: number - 1]:
            found.append((f"{what} {number}, name", name, "a name that stands once"))
