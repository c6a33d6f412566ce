"""The field drivers and their settings as tables, the heading first."""

from __future__ import annotations

import json
from dataclasses import replace

from protocols.errors import InputError
from protocols.field import registry

Rows = list[tuple[str, ...]]


def driver_rows() -> Rows:
    """Every driver; one whose package is missing is listed as such."""
    rows: Rows = [("name", "title", "maturity")]
    for name in registry.names():
        try:
            kind = registry.driver_type(name)
            rows.append((name, kind.title, kind.maturity))
        except InputError as error:
            rows.append((name, "not installed", error.problems[0].expected))
    return rows


def setting_rows(name: str) -> Rows:
    """Everything that can be set for one driver.

    Raises:
        InputError: There is no such driver, or its package is missing.
    """
    rows: Rows = [("setting", "takes", "default", "what it does")]
    try:
        kind = registry.driver_type(name)
    except InputError as error:
        raise InputError([replace(problem, file="command line") for problem in error.problems]) from error
    for setting in kind.settings:
        absent = "required" if setting.required else "-"
        default = absent if setting.default is None else json.dumps(setting.default)
        rows.append((setting.name, setting.expected, default, setting.help))
    return rows
