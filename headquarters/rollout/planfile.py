"""Reads the plan of a roll-out: TOML.

::

    name = "gas-1.2"

    [change.app.gas-detection]            # as for: catchment-hq desired set
    target = "apps/acme/gas-detection-1.2.0.capp"

    [change]
    remove = ["app/old"]                  # items that go
    having = ["app/gas-detection"]        # only gateways that have these

    [[ring]]
    name = "canary"
    gateways = ["unit-1", "unit-2"]
    soak_s = 3600

    [[ring]]
    name = "plant-a"
    sites = ["plant-a"]
    percent = 50

    [halt]
    failures_max = 1
    rate_min = 0.95

    [[window]]
    zone = "Asia/Shanghai"
    days = ["sat", "sun"]
    from = "01:00"
    to = "05:00"
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from headquarters.desired.targets import Target
from headquarters.desired.wanted import WantedReader
from headquarters.rollout.plan import Change, Plan, Ring, Rules, Selector
from headquarters.rollout.windows import DAY_MINUTES, DAYS, Window, is_zone
from protocols.batch import is_name
from protocols.errors import InputError
from protocols.tomlfile import KeyPath, TomlFile

MISSING = "the plan of a roll-out; see: catchment-hq rollout plan --help"

SECONDS_MAX = 366 * 86_400.0
"""A year: what soaks longer is not watched."""

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")


def read_plan(path: Path, targets: Mapping[str, Target]) -> Plan:
    """A plan from a file.

    Args:
        path: The file.
        targets: Of the update repository, by path.

    Raises:
        InputError: With every problem.
    """
    file = TomlFile(path, MISSING)
    plan = _PlanReader(file, targets).plan()
    if file.problems:
        raise InputError(file.problems)
    return plan


class _PlanReader:
    def __init__(self, file: TomlFile, targets: Mapping[str, Target]) -> None:
        self._file = file
        self._targets = targets

    def plan(self) -> Plan:
        document = self._file.document
        self._file.known((), document, ("name", "change", "ring", "halt", "window"))
        name = document.get("name", "")
        if not isinstance(name, str) or not is_name(name):
            self._file.problem(("name",), name, "a name of lower-case letters, digits, '-', '_' and '.'")
        return Plan(str(name), self._change(), self._rings(), self._rules(), self._windows())

    def _change(self) -> Change:
        table = self._file.table(("change",), self._file.document, required=True)
        items = WantedReader(self._file, self._targets).items(("change",), table, ("remove", "having"))
        remove = self._texts(("change", "remove"), table)
        having = self._texts(("change", "having"), table)
        if not items and not remove and not self._file.problems:
            self._file.problem(("change",), "", "something to change: an item, or remove = [...]")
        return Change(tuple(items), remove, having)

    def _rings(self) -> tuple[Ring, ...]:
        tables = self._file.tables("ring")
        if not tables:
            self._file.problem(("ring",), "", "at least one table [[ring]]")
        return tuple(self._ring(index, table) for index, table in enumerate(tables))

    def _ring(self, index: int, table: Mapping[str, Any]) -> Ring:
        path: KeyPath = ("ring", index)
        self._file.known(path, table, ("name", "gateways", "sites", "tags", "percent", "soak_s"))
        lists = {key: self._texts((*path, key), table) for key in ("gateways", "sites", "tags")}
        percent = self._number((*path, "percent"), table, 100.0, 0.0, 100.0)
        soak_s = self._number((*path, "soak_s"), table, 3600.0, 0.0, SECONDS_MAX)
        name = table.get("name", f"ring {index + 1}")
        if not isinstance(name, str) or not name.isprintable():
            self._file.problem((*path, "name"), name, "a text")
        return Ring(str(name), Selector(**lists, percent=percent or 0.0), soak_s or 0.0)

    def _rules(self) -> Rules:
        table = self._file.table(("halt",), self._file.document)
        known = {field.name: field.default for field in fields(Rules)}
        self._file.known(("halt",), table, known)
        values: dict[str, Any] = {}
        for name in known:
            if table.get(name) == "off" and known[name] is not None and name.endswith(("_min", "loss_max")):
                values[name] = None
            elif name in table:
                values[name] = self._number(("halt", name), table, None, 0.0, 1e9)
        if "failures_max" in values:
            values["failures_max"] = int(values["failures_max"] or 0)
        return Rules(**values)

    def _windows(self) -> tuple[Window, ...]:
        found = [self._window(index, table) for index, table in enumerate(self._file.tables("window"))]
        return tuple(window for window in found if window is not None)

    def _window(self, index: int, table: Mapping[str, Any]) -> Window | None:
        path: KeyPath = ("window", index)
        self._file.known(path, table, ("zone", "days", "from", "to"))
        before = len(self._file.problems)
        zone = table.get("zone", "UTC")
        if not isinstance(zone, str) or not is_zone(zone):
            self._file.problem((*path, "zone"), zone, "a time zone such as Asia/Shanghai")
        days = self._texts((*path, "days"), table)
        if set(days) - set(DAYS):
            self._file.problem((*path, "days"), ", ".join(days), f"days of {', '.join(DAYS)}")
        minutes = [self._minute((*path, key), table) for key in ("from", "to")]
        if len(self._file.problems) > before:
            return None
        return Window(str(zone), days, *minutes)

    def _minute(self, path: KeyPath, table: Mapping[str, Any]) -> int:
        text = table.get(str(path[-1]), "")
        if not isinstance(text, str) or not _CLOCK.fullmatch(text):
            self._file.problem(path, text, 'a time such as "01:30"')
            return 0
        hours, _, minutes = text.partition(":")
        return min(60 * int(hours) + int(minutes), DAY_MINUTES)

    def _texts(self, path: KeyPath, table: Mapping[str, Any]) -> tuple[str, ...]:
        found = table.get(str(path[-1]), [])
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            self._file.problem(path, found, 'a list of texts: ["a", "b"]')
            return ()
        return tuple(found)

    def _number(
        self, path: KeyPath, table: Mapping[str, Any], default: float | None, low: float, high: float
    ) -> float | None:
        value = table.get(str(path[-1]), default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self._file.problem(path, value, f"a number from {low:g} to {high:g}")
            return default
        return float(value)


def rings_of(
    plan: Plan, gateways: Sequence[str], site_of: Mapping[str, str], tags: Mapping[str, set[str]]
) -> dict[str, int]:
    """For each gateway that a ring selects the ring's index."""
    found = {
        gateway: plan.ring_of(gateway, site_of.get(gateway, ""), tags.get(gateway, set()))
        for gateway in gateways
    }
    return {gateway: ring for gateway, ring in found.items() if ring is not None}
