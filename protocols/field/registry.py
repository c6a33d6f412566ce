"""Which drivers there are: entry points of the group `catchment.drivers`, and the built-in ones.

A driver's module is imported when the driver is first used, so that a gateway pays only
for the protocols it speaks.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import cast

from protocols.errors import InputError, Problem
from protocols.field.base import Driver, DriverContext, DriverType
from protocols.field.settings import Settings
from protocols.field.settings import validate as validate_settings

GROUP = "catchment.drivers"

BUILT_IN = {
    "modbus-tcp": "protocols.field.modbus:MODBUS_TCP",
    "opcua": "protocols.field.opcua:OPCUA",
}
"""Used when the distribution's entry points are not installed, and before them otherwise."""


def names() -> list[str]:
    """Names of all drivers, in alphabetical order."""
    from importlib.metadata import entry_points

    return sorted(BUILT_IN.keys() | {entry.name for entry in entry_points(group=GROUP)})


def driver_type(name: str) -> DriverType:
    """The driver called `name`.

    Raises:
        InputError: There is none, or the package it needs is not installed.
    """
    try:
        if name in BUILT_IN:
            module, _, attribute = BUILT_IN[name].partition(":")
            return cast("DriverType", getattr(importlib.import_module(module), attribute))
        # Costs 15 ms and 1 MB, which a gateway with our own drivers need not pay.
        from importlib.metadata import entry_points

        for entry in entry_points(group=GROUP, name=name):
            return cast("DriverType", entry.load())
    except ImportError as error:
        expected = f"the package it needs ({error}); install catchment[edge]"
        raise InputError([Problem("", "driver", name, expected)]) from error
    near = difflib.get_close_matches(name, names(), 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError([Problem("", "driver", name, "one of " + ", ".join(names()) + hint)])


def validate(
    kind: DriverType, given: Mapping[str, object], file: str, place: str
) -> tuple[Settings, list[Problem]]:
    """Check what an operator set for a driver, and fill in what was left out.

    Args:
        kind: The driver.
        given: The keys of `[device.NAME]` without `driver` and whatever else is the gateway's.
        file: The operator's file, for the problems.
        place: The table in it, such as `[device.plc1]`.

    Returns:
        The complete settings, and every problem found; with problems the settings are not
        to be used.
    """
    settings, problems = validate_settings(kind.settings, given, file, place)
    if not problems:
        for name, expected in kind.check(settings):
            problems.append(Problem(file, f"{place} {name}", str(given.get(name, "")), expected))
    return settings, problems


def create(name: str, settings: Mapping[str, object], context: DriverContext | None = None) -> Driver:
    """Make a driver.

    Raises:
        InputError: The driver is not known, or its settings are wrong.
    """
    kind = driver_type(name)
    context = context or DriverContext()
    complete, problems = validate(kind, settings, "", f"[device.{context.device}]")
    if problems:
        raise InputError(problems)
    return kind.create(complete, context)
