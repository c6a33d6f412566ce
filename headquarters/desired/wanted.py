"""What an operator writes to say what gateways should run: TOML, or a few options.

::

    [config]
    target = "config/plant-a-3.toml"

    [app.gas-detection]
    target = "apps/acme/gas-detection-1.2.0.capp"
    needs = ["points"]
    drift = "keep-local"

    [app.gas-detection.instance.hall-1]
    inputs = {ch4 = "QT-101"}

    [app.gas-detection.grant.hall-1.trip]
    point = "XV-104"

    [model.pca-3]
    target = "models/acme/pca-3-1.0.onnx"
    app = "process-monitoring"
    name = "pca"

    [write.SP-7]
    low = 20
    high = 60

Lengths and hashes are those of the update repository; versions are in the names of targets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from headquarters.desired.targets import Target
from protocols.desired import SINGLE, AppSettings, Drift, Item, ItemKind, WriteRange
from protocols.desired.document import check_items, parse_item, parse_range
from protocols.desired.reading import Reader
from protocols.errors import InputError, PeerError, Problem
from protocols.tomlfile import KeyPath, TomlFile, suggest

WRITE = "write"
"""The table of what commands may write; with a point, as `write/SP-7`, what is removed of it."""

MISSING = "a file that says what is desired; see: catchment-hq desired set --help"

_NAME = re.compile(r"(?P<id>[a-z0-9][a-z0-9._-]*)-(?P<version>[0-9][0-9A-Za-z.+-]*)")
_SUFFIXES = {
    ".toml": (ItemKind.CONFIG, "config"),
    ".csv": (ItemKind.POINTS, "config"),
    ".capp": (ItemKind.APP, "apps"),
    ".onnx": (ItemKind.MODEL, "models"),
    ".cfw": (ItemKind.FIRMWARE, "firmware"),
}


def kind_of(path: str) -> tuple[ItemKind, str, str] | None:
    """What a target is: its kind, id and version; `None` for none that a gateway can have.

    >>> kind_of("apps/acme/gas-detection-1.2.0.capp")
    (<ItemKind.APP: 'app'>, 'gas-detection', '1.2.0')
    >>> kind_of("models/acme/pca-3-1.0.onnx")
    (<ItemKind.MODEL: 'model'>, 'pca-3', '1.0')
    >>> kind_of("config/plant-a-3.csv")
    (<ItemKind.POINTS: 'points'>, 'plant-a', '3')
    """
    folder, _, rest = path.partition("/")
    name = rest.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    kind, expected = _SUFFIXES.get(dot + suffix, (None, ""))
    match = _NAME.fullmatch(stem)
    if kind is None or folder != expected or match is None:
        return None
    if kind is ItemKind.FIRMWARE and not rest.startswith("edge/"):
        return None
    return kind, match["id"], match["version"]


def items_of(
    paths: Iterable[str], targets: Mapping[str, Target], drift: str, place: str, option: str
) -> list[Item]:
    """The items of targets of the update repository.

    Args:
        paths: Their paths.
        targets: All that there are.
        drift: What becomes of files that were changed at the gateway; empty for what is usual.
        place: Where the paths were given, for the message.
        option: By what, likewise.

    Raises:
        InputError: One is not there, or nothing that a gateway can have.
    """
    settings: dict[str, Any] = {"drift": Drift(drift)} if drift else {}
    items = []
    for path in paths:
        target, found = targets.get(path), kind_of(path)
        if target is None or found is None:
            expected = f"a target that a gateway can have; {suggest(path, list(targets))}"
            raise InputError([Problem(place, option, path, expected)])
        kind, id, version = found
        own = {**settings, "app": AppSettings()} if kind is ItemKind.APP else settings
        items.append(Item(kind, id, version, path, target.length, target.sha256, **own))
    return items


def read_wanted(path: Path, targets: Mapping[str, Target]) -> tuple[tuple[Item, ...], dict[str, WriteRange]]:
    """All that a file desires: items, and what commands may write.

    Raises:
        InputError: With every problem.
    """
    file = TomlFile(path, MISSING)
    items = WantedReader(file, targets).items((), file.document, (WRITE,))
    writes = _writes(file)
    if file.problems:
        raise InputError(file.problems)
    try:
        check_items(items)
    except PeerError as error:
        raise InputError([Problem(str(path), "items", "", str(error).removeprefix("expected "))]) from error
    return tuple(items), writes


def _writes(file: TomlFile) -> dict[str, WriteRange]:
    found: dict[str, WriteRange] = {}
    for point, table in file.table((WRITE,), file.document).items():
        try:
            found[point] = parse_range(Reader(table, f"write.{point}"))
        except PeerError as error:
            file.problem((WRITE, point), "", str(error).removeprefix("expected "))
    return found


def write_option(text: str) -> tuple[str, WriteRange]:
    """What commands may write, as it stands on a command line.

    Raises:
        InputError: It does not stand there so.

    >>> write_option("SP-7=20:60")
    ('SP-7', WriteRange(low=20.0, high=60.0))
    """
    point, _, range = text.partition("=")
    try:
        low, high = (float(bound) for bound in range.split(":"))
        if not point or not low <= high or not isfinite(high - low):
            raise ValueError(text)
    except ValueError as error:
        expected = "POINT=LOW:HIGH, such as SP-7=20:60"
        raise InputError([Problem("command line", "--write", text, expected)]) from error
    return point, WriteRange(low, high)


def rewritten(
    writes: Mapping[str, WriteRange], more: Mapping[str, WriteRange], remove: Sequence[str]
) -> dict[str, WriteRange]:
    """What commands may write after a change.

    Args:
        writes: What they may now.
        more: What they may as well, or within another range.
        remove: Points that they may no longer write.

    Raises:
        InputError: One of those is not there.
    """
    left = {**writes, **more}
    wrong = [point for point in remove if left.pop(point, None) is None]
    if wrong:
        expected = f"a point that may be written: {', '.join(sorted(left)) or 'there is none'}"
        raise InputError([Problem("command line", "--remove", point, expected) for point in wrong])
    return left


class WantedReader:
    """Reads items from tables of a TOML file.

    Args:
        file: The file; collects the problems.
        targets: Of the update repository, by path.
    """

    def __init__(self, file: TomlFile, targets: Mapping[str, Target]) -> None:
        self._file = file
        self._targets = targets

    def items(self, prefix: KeyPath, document: Mapping[str, Any], others: Sequence[str] = ()) -> list[Item]:
        """The items of a table that are right; what is wrong with others is noted.

        Args:
            prefix: Where the table is.
            document: The table.
            others: What else may be in it.
        """
        self._file.known(prefix, document, [*(str(kind) for kind in ItemKind), *others])
        found: list[Item | None] = []
        found += [
            self._item((*prefix, str(kind)), kind, self._file.table((*prefix, str(kind)), document))
            for kind in SINGLE
            if str(kind) in document
        ]
        for kind in (ItemKind.APP, ItemKind.MODEL):
            for id, table in self._file.table((*prefix, str(kind)), document).items():
                path: KeyPath = (*prefix, str(kind), id)
                if not isinstance(table, dict):
                    self._file.problem(path, table, f"a table, written as [{kind}.{id}]")
                    continue
                found.append(self._item(path, kind, table, id))
        return [item for item in found if item is not None]

    def _item(self, path: KeyPath, kind: ItemKind, table: Mapping[str, Any], id: str = "") -> Item | None:
        own = {ItemKind.APP: ("scan", "instance", "grant"), ItemKind.MODEL: ("app", "name")}.get(kind, ())
        self._file.known(path, table, ("target", "needs", "drift", *own))
        name = table.get("target", "")
        target = self._targets.get(name) if isinstance(name, str) else None
        if target is None:
            expected = f"a target of the update repository; {suggest(str(name), list(self._targets))}"
            self._file.problem((*path, "target"), name, expected)
            return None
        found = kind_of(name)
        if found is None or found[0] is not kind or (id and found[1] != id):
            expected = f"a target of {'.'.join(map(str, path))}, named ID-VERSION with the right suffix"
            self._file.problem((*path, "target"), name, expected)
            return None
        before = len(self._file.problems)
        fields: dict[str, Any] = {
            "kind": str(kind),
            "id": found[1],
            "version": found[2],
            "path": name,
            "length": target.length,
            "sha256": target.sha256,
            "needs": table.get("needs", []),
            "drift": table.get("drift", str(Drift.REPORT)),
        }
        if kind is ItemKind.APP:
            fields["app"] = self._app(path, table)
        elif kind is ItemKind.MODEL:
            fields["model"] = {key: table.get(key, "") for key in ("app", "name")}
        if len(self._file.problems) > before:
            return None
        try:
            return parse_item(fields)
        except PeerError as error:
            self._file.problem(path, "", str(error).removeprefix("expected "))
            return None

    def _app(self, path: KeyPath, table: Mapping[str, Any]) -> dict[str, Any]:
        instances: dict[str, Any] = {}
        for name, given in self._tables((*path, "instance"), table):
            self._file.known((*path, "instance", name), given, ("inputs", "parameters", "outputs"))
            instances[name] = {key: given.get(key, {}) for key in ("inputs", "parameters", "outputs")}
        grants: dict[str, Any] = {}
        for instance, outputs in self._tables((*path, "grant"), table):
            place: KeyPath = (*path, "grant", instance)
            if instance not in instances:
                self._file.problem(place, instance, f"an instance of the app; {suggest(instance, instances)}")
            for output, given in outputs.items():
                if not isinstance(given, dict):
                    self._file.problem((*place, output), given, "a table with point, low and high")
                    continue
                self._file.known((*place, output), given, ("point", "low", "high"))
                bounds = {key: given.get(key) for key in ("point", "low", "high")}
                grants.setdefault(instance, {})[output] = bounds
        return {"scan": table.get("scan", ""), "instances": instances, "grants": grants}

    def _tables(self, path: KeyPath, parent: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
        tables = self._file.table(path, parent)
        found: list[tuple[str, Mapping[str, Any]]] = []
        for name, table in tables.items():
            if isinstance(table, dict):
                found.append((name, table))
            else:
                self._file.problem((*path, name), table, "a table")
        return found


def changed(items: Sequence[Item], put: Sequence[Item], remove: Sequence[str]) -> tuple[Item, ...]:
    """Items of a gateway with some put in place, and some removed.

    Settings of an app, needs and drift policy stay when only its target is another one.

    Args:
        items: What is desired now.
        put: Items to have; one without settings of its own takes over those of its predecessor.
        remove: Refs that go.

    Raises:
        InputError: A ref is not there, or what is left does not fit together.
    """
    known = {item.ref: item for item in items}
    problems = [
        Problem("command line", "remove", ref, f"an item of the document; {suggest(ref, known)}")
        for ref in remove
        if ref not in known
    ]
    if problems:
        raise InputError(problems)
    for item in put:
        known[item.ref] = _inherit(known.get(item.ref), item)
    for ref in remove:
        known.pop(ref, None)
    left = tuple(known.values())
    try:
        check_items(left)
    except PeerError as error:
        raise InputError(
            [Problem("command line", "items", "", str(error).removeprefix("expected "))]
        ) from error
    return left


def _inherit(before: Item | None, item: Item) -> Item:
    if before is None:
        return item
    app = before.app if item.app is None or item.app == AppSettings() else item.app
    return replace(
        item,
        needs=item.needs or before.needs,
        drift=before.drift if item.drift is Drift.REPORT else item.drift,
        app=app if item.kind is ItemKind.APP else None,
        model=item.model or before.model,
    )
