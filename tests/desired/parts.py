"""A disk whose power can be cut at every write, and a gateway's desired state on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from edge_runtime.desired.applier import Applier, Check
from edge_runtime.desired.firmware import Firmware, Image, Slots
from protocols.desired import AppSettings, Document, Drift, Grant, InstanceSettings, Item, ItemKind, ModelUse
from protocols.errors import PeerError, Problem
from protocols.identity import SigningKey, VerifyKey

GATEWAY = "unit-1"
KEY = SigningKey(b"k" * 32)

OWN_CONFIG = b"""
[gateway]
id = "unit-1"

[scan.fast]
period_s = 1

[[upstream]]
id = "hub"
address = "tcp://hub:7500"
"""


class PowerCutError(Exception):
    """The power failed."""


@dataclass
class _File:
    data: bytes


@dataclass
class TornDisk:
    """`Disk` in memory. After a cut, names that no `sync` made durable may be as before or not.

    Args:
        cut_at: The power fails within this call of a writing method; `None`: never.
    """

    cut_at: int | None = None
    calls: int = 0
    writes: int = 0
    _live: dict[str, _File] = field(default_factory=dict)
    _durable: dict[str, _File] = field(default_factory=dict)
    _pending: list[tuple[str, Callable[[dict[str, _File]], None]]] = field(default_factory=list)

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> TornDisk:
        disk = cls()
        disk._live = {path: _File(data) for path, data in files.items()}
        disk._durable = dict(disk._live)
        return disk

    def files(self) -> dict[str, bytes]:
        return {path: file.data for path, file in self._live.items()}

    def after_a_cut(self, chance: Random) -> TornDisk:
        """What is there when the power is back: of each folder's changes some first ones."""
        names = dict(self._durable)
        reached: dict[str, int] = {}
        for folder in sorted({folder for folder, _ in self._pending}):
            count = sum(each == folder for each, _ in self._pending)
            reached[folder] = chance.randint(0, count)
        for folder, change in self._pending:
            if reached[folder] > 0:
                reached[folder] -= 1
                change(names)
        return TornDisk.of({path: file.data for path, file in names.items()})

    # -- Disk --------------------------------------------------------------------------------------

    def read(self, path: str) -> bytes | None:
        return self._live[path].data if path in self._live else None

    def sha256(self, path: str) -> str | None:
        return hashlib.sha256(self._live[path].data).hexdigest() if path in self._live else None

    def names(self, folder: str) -> list[str]:
        return sorted(path.rpartition("/")[2] for path in self._live if path.rpartition("/")[0] == folder)

    def write(self, path: str, data: bytes, mode: int) -> None:
        file = self._live.get(path)
        if file is None:
            file = _File(b"")
            self._change(path, lambda names, file=file: names.__setitem__(path, file))  # type: ignore[misc]
        if self._is_cut():
            file.data = data[: len(data) // 2]
            raise PowerCutError
        file.data = data  # flushed: durable under whatever name it has

    def rename(self, source: str, target: str) -> None:
        self._cut()
        file = self._live[source]

        def change(names: dict[str, _File]) -> None:
            names.pop(source, None)
            names[target] = file

        self._change(target, change)

    def link(self, source: str, target: str) -> None:
        self._cut()
        assert target not in self._live, "a link does not replace"
        file = self._live[source]
        self._change(target, lambda names: names.__setitem__(target, file))

    def remove(self, path: str) -> None:
        if path in self._live:
            self._cut()
            self._change(path, lambda names: _pop(names, path))

    def sync(self, folder: str) -> None:
        self._cut()
        left = []
        for each, change in self._pending:
            if each == folder:
                change(self._durable)
            else:
                left.append((each, change))
        self._pending = left

    def _change(self, path: str, change: Callable[[dict[str, _File]], None]) -> None:
        self.writes += 1
        change(self._live)
        self._pending.append((path.rpartition("/")[0], change))

    def _is_cut(self) -> bool:
        self.calls += 1
        return self.calls == self.cut_at

    def _cut(self) -> None:
        if self._is_cut():
            raise PowerCutError


def _pop(names: dict[str, _File], path: str) -> None:
    names.pop(path, None)


class Shelf:
    """A `Source` of targets in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.document: Document | None = None
        self.dark: set[str] = set()
        self.fetched: list[str] = []
        folder.mkdir(exist_ok=True)

    def put(self, data: bytes) -> tuple[int, str]:
        """Keep content; returns length and hash."""
        sha256 = hashlib.sha256(data).hexdigest()
        (self._folder / sha256).write_bytes(data)
        return len(data), sha256

    def desired(self) -> bytes | None:
        return None if self.document is None else self.document.pack()

    def keep(self, hashes: Collection[bytes]) -> int:
        return len(hashes)

    def close(self) -> None:
        """Nothing is open."""

    def fetch(self, path: str, sha256: bytes, length: int) -> Path:
        if path in self.dark:
            raise PeerError("the hub does not answer")
        self.fetched.append(path)
        found = self._folder / sha256.hex()
        assert found.stat().st_size == length
        return found


class FakeSlots:
    """`Slots` whose supervisor is the test."""

    def __init__(self, version: str = "1.0") -> None:
        self.firmware: Firmware | None = Firmware("a", Image(version, "00" * 32))
        self.images: list[Path] = []

    def state(self) -> Firmware | None:
        return self.firmware

    def install(self, image: Path) -> None:
        self.images.append(image)


class World:
    """Items, a shelf and a disk."""

    def __init__(self, folder: Path, files: Mapping[str, bytes] | None = None) -> None:
        self.shelf = Shelf(folder / "shelf")
        self.disk = TornDisk.of({"gateway.toml": OWN_CONFIG} if files is None else files)
        self.slots = FakeSlots()
        self.check: Check = lambda files: []
        self.checked: list[set[str]] = []
        self.version = 0

    def applier(self, disk: TornDisk | None = None, slots: Slots | None = None) -> Applier:
        if disk is not None:
            self.disk = disk

        def check(files: Mapping[str, bytes | None]) -> Sequence[Problem]:
            self.checked.append(set(files))
            return self.check(files)

        verifier = VerifyKey(KEY.public)
        made = Applier(
            GATEWAY,
            self.disk,
            KEY,
            verifier,
            self.shelf,
            check,
            slots or self.slots,
        )
        made.open()
        return made

    def document(self, *items: Item) -> Document:
        self.version += 1
        return Document(GATEWAY, self.version, items)

    def settle(self, applier: Applier, document: Document) -> None:
        """Accept, apply, and let the gateway run."""
        applier.accept(document.pack())
        while applier.step(connected=False):
            applier.confirm()

    def config(self, text: bytes, version: str = "1", **more: object) -> Item:
        return self.item(ItemKind.CONFIG, "plant", version, f"config/plant-{version}.toml", text, **more)

    def points(self, text: bytes, version: str = "1", **more: object) -> Item:
        return self.item(ItemKind.POINTS, "plant", version, f"config/plant-{version}.csv", text, **more)

    def app(self, id: str, content: bytes, version: str = "1.0.0", **more: object) -> Item:
        settings = AppSettings(
            instances={"main": InstanceSettings({"x": "P1"}, {"limit": 2.5}, {"out": "P1.out"})},
            grants={"main": {"out": Grant("P2", 0.0, 1.0)}},
        )
        path = f"apps/own/{id}-{version}.capp"
        return self.item(ItemKind.APP, id, version, path, content, app=settings, **more)

    def model(self, id: str, app: str, content: bytes, version: str = "1", **more: object) -> Item:
        use = ModelUse(app, "pca")
        path = f"models/own/{id}-{version}.onnx"
        return self.item(ItemKind.MODEL, id, version, path, content, model=use, **more)

    def firmware(self, version: str, content: bytes = b"image", **more: object) -> Item:
        path = f"firmware/edge/catchment-{version}.cfw"
        return self.item(ItemKind.FIRMWARE, "catchment", version, path, content, **more)

    def item(self, kind: ItemKind, id: str, version: str, path: str, content: bytes, **more: object) -> Item:
        length, sha256 = self.shelf.put(content)
        return Item(kind, id, version, path, length, sha256, **more)  # type: ignore[arg-type]


OVERWRITE, KEEP_LOCAL, REPORT = Drift.OVERWRITE, Drift.KEEP_LOCAL, Drift.REPORT
