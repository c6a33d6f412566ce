"""The desired state of one gateway: one versioned document that names everything it should run.

Rules:
1. The document is a target of the update repository, `gateways/<gateway>/desired.json`: the
   repository's signatures and its refusal of older versions are its trust, and it holds none.
2. It is JSON in one canonical form: keys sorted, no blanks, UTF-8, whole. What parses and would
   be written otherwise is refused, so that equal documents are equal bytes with equal hashes,
   and setting what is already set publishes nothing. JSON, because operators read targets.
3. It is whole: what is not in it is not wanted. A gateway that was away for weeks compares it
   with its disk once, whatever came in between.
4. Beside items it names the points that commands may write, each with its range. On an enrolled
   gateway no other writes of commands count.
5. An item is known by its *ref*: `config`, `points` and `firmware`, of which there is one each;
   `app/<id>` and `model/<id>`. Items that need each other in a circle are refused.

>>> item = Item(ItemKind.POINTS, "unit-1", "3", "config/unit-1-3.csv", 10, "00" * 32)
>>> document = Document("unit-1", 7, (item,))
>>> parse_document(document.pack()) == document, item.ref
(True, 'points')
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from protocols.desired.reading import Reader, canonical, load
from protocols.errors import LimitError, MalformedError
from protocols.limits import (
    DESIRED_ITEMS_MAX,
    DESIRED_NEEDS_MAX,
    INT63_MAX,
)

FORMAT = 1

Scalar = bool | int | float | str


class ItemKind(StrEnum):
    """What an item is, in the order in which kinds are applied."""

    CONFIG = "config"
    """The gateway's `gateway.toml`."""
    POINTS = "points"
    """Its point table, `points.csv`."""
    APP = "app"
    MODEL = "model"
    """An ONNX file that takes the place of one in an app."""
    FIRMWARE = "firmware"


SINGLE = (ItemKind.CONFIG, ItemKind.POINTS, ItemKind.FIRMWARE)
"""Kinds of which a gateway has one."""


class Drift(StrEnum):
    """What becomes of a file that somebody changed at the gateway."""

    REPORT = "report"
    """It stays, even against a newer desired version, and is shown until somebody decides."""
    KEEP_LOCAL = "keep-local"
    """It stays until a newer version is desired."""
    OVERWRITE = "overwrite"
    """The desired content takes its place at once."""


@dataclass(frozen=True, slots=True)
class Grant:
    """An output of an app that may be written to a device.

    Args:
        point: Where.
        low: Least value, in the point's unit; `None` for a BOOL.
        high: Greatest value.
    """

    point: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class WriteRange:
    """What commands may write to a point.

    Args:
        low: Least value, in the point's unit.
        high: Greatest value.
    """

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class InstanceSettings:
    """One instance of an app.

    Args:
        inputs: For each input the name of its point.
        parameters: What differs from the app's own defaults.
        outputs: Names of derived points, where they are not the usual ones.
    """

    inputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AppSettings:
    """How an app runs.

    Args:
        scan: Scan class; empty for the one that fits.
        instances: By name.
        grants: By instance and output. On a managed gateway no other grant counts.
    """

    scan: str = ""
    instances: Mapping[str, InstanceSettings] = field(default_factory=dict)
    grants: Mapping[str, Mapping[str, Grant]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Where a model belongs.

    Args:
        app: Id of the app.
        name: Of the app's model whose file it replaces.
    """

    app: str
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a gateway should have.

    Args:
        kind: What it is.
        id: Its name; of an app the app's id.
        version: For people, and of an app and firmware part of its file's name.
        path: The target in the update repository.
        length: Bytes.
        sha256: Lower-case hexadecimal.
        needs: Refs of items of this document that must be active first.
        drift: What becomes of local changes.
        app: Of an app.
        model: Of a model.
    """

    kind: ItemKind
    id: str
    version: str
    path: str
    length: int
    sha256: str
    needs: tuple[str, ...] = ()
    drift: Drift = Drift.REPORT
    app: AppSettings | None = None
    model: ModelUse | None = None

    @property
    def ref(self) -> str:
        """Its name within a document."""
        return str(self.kind) if self.kind in SINGLE else f"{self.kind}/{self.id}"

    @property
    def digest(self) -> str:
        """A hash of all that decides what is installed: the content and its settings."""
        fields = self.fields()
        for name in ("needs", "drift"):
            fields.pop(name)
        return hashlib.sha256(canonical(fields)).hexdigest()

    @property
    def all_needs(self) -> tuple[str, ...]:
        """`needs`, and what follows from what it is: a model needs its app."""
        implied = () if self.model is None else (f"{ItemKind.APP}/{self.model.app}",)
        return tuple(dict.fromkeys((*self.needs, *implied)))

    def fields(self) -> dict[str, Any]:
        """As it stands in the document."""
        found: dict[str, Any] = {
            "kind": str(self.kind),
            "id": self.id,
            "version": self.version,
            "path": self.path,
            "length": self.length,
            "sha256": self.sha256,
            "needs": list(self.needs),
            "drift": str(self.drift),
        }
        if self.app is not None:
            found["app"] = _app_fields(self.app)
        if self.model is not None:
            found["model"] = {"app": self.model.app, "name": self.model.name}
        return found


@dataclass(frozen=True, slots=True)
class Document:
    """All that one gateway should run.

    Args:
        gateway: Whose it is.
        version: Counted up from 1; a gateway takes no lower one than it had.
        items: In any order.
        writes: What commands may write, by the point's name.
    """

    gateway: str
    version: int
    items: tuple[Item, ...] = ()
    writes: Mapping[str, WriteRange] = field(default_factory=dict)

    @property
    def by_ref(self) -> dict[str, Item]:
        """Items by their refs."""
        return {item.ref: item for item in self.items}

    @property
    def content(self) -> bytes:
        """All but the version: equal when the same is desired."""
        return canonical(self._fields() | {"version": 0})

    def pack(self) -> bytes:
        """The one encoding."""
        return canonical(self._fields())

    @property
    def sha256(self) -> str:
        """Hash of the encoding, in hexadecimal."""
        return hashlib.sha256(self.pack()).hexdigest()

    def _fields(self) -> dict[str, Any]:
        items = [item.fields() for item in sorted(self.items, key=lambda item: item.ref)]
        fields = {"format": FORMAT, "gateway": self.gateway, "version": self.version, "items": items}
        if self.writes:
            fields["writes"] = {
                point: {"low": range.low, "high": range.high} for point, range in self.writes.items()
            }
        return fields


def target_of(gateway: str) -> str:
    """Where a gateway's document is in the repository.

    >>> target_of("unit-1")
    'gateways/unit-1/desired.json'
    """
    return f"gateways/{gateway}/desired.json"


def parse_document(data: bytes) -> Document:
    """Read a document.

    Raises:
        MalformedError: It is not one, or not in its canonical form.
        LimitError: It is larger than one may be.
    """
    reader = Reader(load(data), "document")
    reader.only(("format", "gateway", "version", "items", "writes"))
    if reader.whole("format", 1, INT63_MAX) != FORMAT:
        raise MalformedError(f"expected a document of format {FORMAT}, got a newer one; upgrade this node")
    rows = reader.rows("items", DESIRED_ITEMS_MAX)
    document = Document(
        reader.name("gateway"),
        reader.whole("version", 1, INT63_MAX),
        tuple(parse_item(row) for row in rows),
        _writes(reader) if reader.has("writes") else {},
    )
    check_items(document.items)
    if document.pack() != data:
        raise MalformedError(
            "expected a document in its canonical form, with items in the order of their refs"
        )
    return document


def check_items(items: Iterable[Item]) -> None:
    """Hold items against each other.

    Raises:
        MalformedError: A ref is there twice, needs are missing or go in a circle.
        LimitError: There are too many.
    """
    known: dict[str, Item] = {}
    for item in items:
        if item.ref in known:
            raise MalformedError(f"expected one item {item.ref}, got two")
        known[item.ref] = item
    if len(known) > DESIRED_ITEMS_MAX:
        raise LimitError(f"expected at most {DESIRED_ITEMS_MAX} items, got {len(known)}")
    replaced: dict[ModelUse, str] = {}
    for item in known.values():
        for need in item.all_needs:
            if need not in known:
                raise MalformedError(f"expected {need}, which {item.ref} needs, in the same document")
        if item.model is not None:
            first = replaced.setdefault(item.model, item.ref)
            if first != item.ref:
                raise MalformedError(f"expected one model for {item.model.app}/{item.model.name}, got two")
    in_order(known.values())


def in_order(items: Iterable[Item]) -> list[Item]:
    """Items so that each comes after what it needs, else by kind and id.

    Raises:
        MalformedError: They need each other in a circle.
    """
    kinds = list(ItemKind)
    waiting = sorted(items, key=lambda item: (kinds.index(item.kind), item.id))
    refs = {item.ref for item in waiting}
    placed: dict[str, Item] = {}
    while waiting:
        ready = next(
            (item for item in waiting if all(need in placed or need not in refs for need in item.all_needs)),
            None,
        )
        if ready is None:
            circle = ", ".join(item.ref for item in waiting)
            raise MalformedError(f"expected items that can be put in an order, got a circle among {circle}")
        placed[ready.ref] = ready
        waiting.remove(ready)
    return list(placed.values())


def _app_fields(app: AppSettings) -> dict[str, Any]:
    return {
        "scan": app.scan,
        "instances": {
            name: {
                "inputs": dict(instance.inputs),
                "parameters": dict(instance.parameters),
                "outputs": dict(instance.outputs),
            }
            for name, instance in app.instances.items()
        },
        "grants": {
            instance: {
                output: {"point": grant.point, "low": grant.low, "high": grant.high}
                for output, grant in outputs.items()
            }
            for instance, outputs in app.grants.items()
        },
    }


def parse_item(row: object) -> Item:
    """Read one item.

    Raises:
        MalformedError, LimitError: It is none.
    """
    reader = Reader(row, "item")
    kind = reader.choice("kind", ItemKind)
    optional = {ItemKind.APP: ("app",), ItemKind.MODEL: ("model",)}.get(kind, ())
    reader.only(("kind", "id", "version", "path", "length", "sha256", "needs", "drift", *optional))
    return Item(
        kind,
        reader.name("id"),
        reader.version("version"),
        reader.path("path"),
        reader.whole("length", 0, INT63_MAX),
        reader.digest("sha256"),
        reader.texts("needs", DESIRED_NEEDS_MAX),
        reader.choice("drift", Drift),
        app=_app(reader.table("app")) if kind is ItemKind.APP else None,
        model=_model(reader.table("model")) if kind is ItemKind.MODEL else None,
    )


def parse_range(reader: Reader) -> WriteRange:
    """Read a range of what commands may write.

    Raises:
        MalformedError: It is none.
    """
    reader.only(("low", "high"))
    low, high = reader.number("low"), reader.number("high")
    if low is None or high is None or low > high:
        raise MalformedError(f"expected a range whose low is at most its high, got {low} and {high}")
    return WriteRange(float(low), float(high))


def _writes(reader: Reader) -> dict[str, WriteRange]:
    return {point: parse_range(table) for point, table in reader.tables("writes")}


def _model(reader: Reader) -> ModelUse:
    reader.only(("app", "name"))
    return ModelUse(reader.name("app"), reader.label("name"))


def _app(reader: Reader) -> AppSettings:
    reader.only(("scan", "instances", "grants"))
    instances = {}
    for name, table in reader.tables("instances"):
        table.only(("inputs", "parameters", "outputs"))
        instances[name] = InstanceSettings(
            table.labels("inputs"), table.scalars("parameters"), table.labels("outputs")
        )
    grants: dict[str, dict[str, Grant]] = {}
    for instance, outputs in reader.tables("grants"):
        grants[instance] = {}
        for output, table in outputs.all_tables():
            table.only(("point", "low", "high"))
            low, high = table.number("low"), table.number("high")
            if low is not None and high is not None and low > high:
                raise MalformedError(f"expected a grant whose low is at most its high, got {low} and {high}")
            grants[instance][output] = Grant(table.label("point"), low, high)
    return AppSettings(reader.label("scan", empty=True), instances, grants)
