"""Settings of a driver, declared once: they drive validation, documentation and forms.

>>> port = Setting("port", Kind.INTEGER, "TCP port.", default=502, low=1, high=65535)
>>> validate((port,), {"prot": 5020}, "gateway.toml", "[device.plc1]")[1][0].expected
"a known setting; did you mean 'port'?"
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from protocols.errors import Problem

SettingValue = str | int | float | bool | None


SECRET = re.compile(r"pas+w|passphrase|pswd|pwd|secret|token", re.IGNORECASE)
"""Keys whose values are never shown, however they are spelt."""


class Kind(StrEnum):
    """The kind of value that a setting takes."""

    TEXT = "text"
    SECRET = "secret"  # noqa: S105 - the kind, not one
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "true or false"


class Form(NamedTuple):
    """What a text has to look like.

    Args:
        fits: Whether a text does.
        expected: A right one, in words.
    """

    fits: Callable[[str], bool]
    expected: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Args:
        name: Its key in the configuration.
        kind: What it takes.
        help: One or two sentences.
        default: Its value when it is left out; `None` for a text that may be absent.
        required: Whether it must be there.
        low: Least number, or least length of a text.
        high: Greatest number, or greatest length of a text.
        choices: All that is allowed, for a text of few values.
        unit: The unit of a number, for people.
        form: What a text has to look like, beyond its length.
    """

    name: str
    kind: Kind
    help: str
    default: SettingValue = None
    required: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    form: Form | None = None

    @property
    def expected(self) -> str:
        """What a right value is, in words.

        >>> Setting("timeout_s", Kind.NUMBER, "", low=0.01, high=60, unit="s").expected
        'a number from 0.01 to 60 (s)'
        """
        if self.form is not None:
            return self.form.expected
        if self.choices:
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        if self.kind is Kind.BOOLEAN:
            return "true or false"
        if self.kind in (Kind.TEXT, Kind.SECRET):
            length = self._bounds().removeprefix("of ").removeprefix("from ")
            return f"a text of {length} characters" if length else "a text"
        noun = "a whole number" if self.kind is Kind.INTEGER else "a number"
        bounds = f" {self._bounds()}" if self._bounds() else ""
        return noun + bounds + (f" ({self.unit})" if self.unit else "")

    def _bounds(self) -> str:
        if self.low is not None and self.high is not None:
            return f"from {self.low:g} to {self.high:.15g}"
        if self.low is not None:
            return f"of at least {self.low:g}"
        return f"of at most {self.high:.15g}" if self.high is not None else ""

    def accept(self, value: object) -> tuple[bool, SettingValue]:
        """Whether `value` is right, and the value to use: a float wherever a number is due."""
        if self.kind is Kind.BOOLEAN:
            return (True, value) if isinstance(value, bool) else (False, None)
        if self.kind in (Kind.TEXT, Kind.SECRET):
            if not isinstance(value, str) or (self.choices and value not in self.choices):
                return False, None
            fits = self.form is None or self.form.fits(value)
            return fits and self._within(len(value)), value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False, None
        if self.kind is Kind.INTEGER:
            return isinstance(value, int) and self._within(value), value
        return math.isfinite(value) and self._within(value), float(value)

    def _within(self, number: float) -> bool:
        return (self.low is None or number >= self.low) and (self.high is None or number <= self.high)


class Settings:
    """Complete and checked settings, read by type.

    >>> Settings({"port": 502}).integer("port")
    502
    """

    def __init__(self, values: Mapping[str, SettingValue]) -> None:
        self._values = dict(values)

    def __repr__(self) -> str:
        return f"Settings({', '.join(sorted(self._values))})"

    def text(self, name: str) -> str:
        """A text; empty when it was left out."""
        value = self._values[name]
        assert value is None or isinstance(value, str)
        return value or ""

    def integer(self, name: str) -> int:
        """A whole number."""
        value = self._values[name]
        assert isinstance(value, int)
        return value

    def number(self, name: str) -> float:
        """A number."""
        value = self._values[name]
        assert isinstance(value, (int, float))
        return float(value)

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self._values[name]
        assert isinstance(value, bool)
        return value


def validate(
    settings: Sequence[Setting], given: Mapping[str, object], file: str, place: str
) -> tuple[Settings, list[Problem]]:
    """Check what an operator wrote, and fill in what was left out.

    Args:
        settings: What may be set.
        given: What was set.
        file: The operator's file, for the problems.
        place: The table in it, such as `[device.plc1]`.

    Returns:
        The complete settings, and every problem found; with problems the settings are not
        to be used.
    """
    problems: list[Problem] = []
    complete: dict[str, SettingValue] = {}
    known = {setting.name for setting in settings}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "known are " + ", ".join(sorted(known))
            shown = "(secret)" if SECRET.search(name) else str(given[name])
            problems.append(Problem(file, f"{place} {name}", shown, f"a known setting; {hint}"))
    for setting in settings:
        if setting.name not in given:
            complete[setting.name] = setting.default
            if setting.required:
                problems.append(Problem(file, f"{place} {setting.name}", "", setting.expected))
            continue
        right, value = setting.accept(given[setting.name])
        complete[setting.name] = value
        if not right:
            shown = "(secret)" if setting.kind is Kind.SECRET else str(given[setting.name])
            problems.append(Problem(file, f"{place} {setting.name}", shown, setting.expected))
    return Settings(complete), problems
