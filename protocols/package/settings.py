"""The settings of `app.toml`, declared once: they drive checking and documentation."""

from __future__ import annotations

import re

from protocols import limits
from protocols.field.settings import Form, Kind, Setting
from protocols.package import modelspec
from protocols.package.manifest import AppClass, Resources
from protocols.package.modelspec import Mode

_RESOURCES = Resources()
_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_PART = rf"(?:{_NUMBER}|[0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PART}(\.{_PART})*)?")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def is_id(text: str) -> bool:
    """Whether a text can be the id of an app or a publisher, or the name of an instance.

    >>> is_id("gas-detection"), is_id("Gas"), is_id("a--b")
    (True, False, False)
    """
    return len(text) <= limits.NAME_CHARS_MAX and _ID.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Whether a text is a semantic version (2.0.0, clauses 2 and 9) without build metadata.

    >>> is_version("1.2.0"), is_version("1.2.0-rc.1"), is_version("1.2"), is_version("01.2.0")
    (True, True, False, False)
    """
    return len(text) <= limits.NAME_CHARS_MAX and _VERSION.fullmatch(text) is not None


def is_identifier(text: str) -> bool:
    """Whether a text can be a variable of the rule language."""
    return _IDENTIFIER.fullmatch(text) is not None


ID_EXPECTED = "lower-case letters, digits and single hyphens, a letter first, such as 'gas-detection'"
IDENTIFIER_EXPECTED = "a name of the rule language: letters, digits and '_', such as 'gas_a'"
_ID_FORM = Form(is_id, ID_EXPECTED)
_VERSION_FORM = Form(is_version, "a semantic version such as '1.2.0' or '1.2.0-rc.1'")
_IDENTIFIER_FORM = Form(is_identifier, IDENTIFIER_EXPECTED)

APP = (
    Setting("id", Kind.TEXT, "The app's id.", required=True, form=_ID_FORM),
    Setting("version", Kind.TEXT, "Its semantic version.", required=True, form=_VERSION_FORM),
    Setting(
        "class", Kind.TEXT, "What it is for.", required=True, choices=tuple(each.value for each in AppClass)
    ),
    Setting("publisher", Kind.TEXT, "Whose it is.", required=True, form=_ID_FORM),
    Setting("language", Kind.INTEGER, "Version of the rule language.", default=1, low=1, high=1000),
    Setting(
        "period_s", Kind.NUMBER, "The scan period it is made for, in whole ms.",
        default=1.0, low=0.01, high=86_400, unit="s",
    ),
)  # fmt: skip

PARAMETER = (Setting("unit", Kind.TEXT, "UCUM code of its values.", default="", high=limits.UNIT_CHARS_MAX),)
"""Beside `default`, `low` and `high`, whose type is that of the declaration, and `title`."""

RESOURCES = (
    Setting(
        "operations_max", Kind.INTEGER, "Most operations of one scan of one instance.",
        default=_RESOURCES.operations_max, low=1, high=10_000_000,
    ),
    Setting(
        "state_bytes_max", Kind.INTEGER, "Most bytes of state of one instance.",
        default=_RESOURCES.state_bytes_max, low=0, high=64 << 20,
    ),
    Setting(
        "instances_max", Kind.INTEGER, "Most instances on one gateway.",
        default=_RESOURCES.instances_max, low=1, high=limits.APP_INSTANCES_MAX,
    ),
)  # fmt: skip

PROGRAM = (
    Setting("file", Kind.TEXT, "A program of the package: programs/NAME.st.", low=1),
    Setting("table", Kind.TEXT, "Or a threshold table: tables/NAME.csv or .toml.", low=1),
    Setting("name", Kind.TEXT, "Which PROGRAM of the file, when there are several.", form=_IDENTIFIER_FORM),
)

MODEL = (
    Setting("name", Kind.TEXT, "Programs read NAME_OUTPUT.", required=True, form=_IDENTIFIER_FORM),
    Setting("file", Kind.TEXT, "A graph of the package: models/NAME.onnx.", required=True, low=1),
    Setting(
        "time_budget_ms", Kind.INTEGER, "For one scan of all instances.",
        default=50, low=1, high=modelspec.TIME_BUDGET_MS_MAX, unit="ms",
    ),
    Setting(
        "mode", Kind.TEXT, "Whether programs see what it says, or it is only recorded.",
        default=Mode.ACTIVE.value, choices=tuple(mode.value for mode in Mode),
    ),
)  # fmt: skip

MODEL_INPUT = (
    Setting("name", Kind.TEXT, "The app's input.", required=True, form=_IDENTIFIER_FORM),
    Setting("unit", Kind.TEXT, "UCUM code.", default="", high=limits.UNIT_CHARS_MAX),
    Setting("offset", Kind.NUMBER, "Subtracted from the value.", default=0.0),
    Setting("scale", Kind.NUMBER, "The value less offset is divided by it.", default=1.0),
    Setting("low", Kind.NUMBER, "Least value that the model was trained with."),
    Setting("high", Kind.NUMBER, "Greatest one."),
    Setting(
        "window", Kind.INTEGER, "How many scans, the newest included.",
        default=1, low=1, high=modelspec.WINDOW_MAX,
    ),
)  # fmt: skip

MODEL_OUTPUT = (
    Setting("name", Kind.TEXT, "Of the graph's output.", required=True, form=_IDENTIFIER_FORM),
    Setting("unit", Kind.TEXT, "UCUM code.", default="", high=limits.UNIT_CHARS_MAX),
    Setting("fallback", Kind.NUMBER, "What programs see when it gives nothing; else the last value."),
)

TEST = (
    Setting(
        "tolerance", Kind.NUMBER, "By which a real output may differ, relative above 1; 0 is exact.",
        default=0.0, low=0, high=1,
    ),
)  # fmt: skip
