"""A hub that lies about updates, before a gateway that runs: what its refusals are told by.

The hub has a hub's own keys, everything it ever saw, and a repository that a test may spoil. It
answers the gateway's questions about files as it likes; data goes through the honest hub.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from tuf.api.exceptions import DownloadError, RepositoryError

from headquarters.lake.query import Engine
from protocols.calls import CallServer
from protocols.desired import AppSettings, Document, InstanceSettings, Item, ItemKind
from protocols.identity import AllowList, Identity
from protocols.package import archive
from protocols.updates import file_handler
from tests.app_parts import manifest
from tests.faults.river import Node, River
from tests.slot_parts import demo_image, demo_root
from tests.update_parts import GATEWAY, World

PROGRAM = b"""
PROGRAM calm
VAR_INPUT x : LREAL; END_VAR
VAR_OUTPUT y : LREAL; END_VAR
y := 0.5 * x;
END_PROGRAM
"""

CALM = "apps/acme/calm-1.0.0.capp"
"""The app that runs all the while."""

WAIT_S = 40.0


def app_files(version: str = "1.0.0") -> dict[str, bytes]:
    """The files of an honest app."""
    return {
        "app.toml": manifest("calm", version=version, period_s=0.2),
        "programs/calm.st": PROGRAM,
    }


class Attacked:
    """A gateway that collects and runs an app, below an honest hub and a lying one.

    Args:
        folder: Where all of it is.
    """

    def __init__(self, folder: Path) -> None:
        root = demo_root(folder, demo_image(folder))  # the machine's slots, so that firmware can come
        self.river = River(root)
        self.world = World(folder)
        self.headquarters = self.river.headquarters()
        self.hub = self.river.hub(self.headquarters)
        self.gateway = self.river.gateway(GATEWAY, self.river.plant(), [self.hub], self.headquarters)
        self.point = first_point(self.gateway)
        self._version = 0
        self._silent = threading.Lock()
        self._over = threading.Event()
        keys = Identity.load(self.hub.home)
        known = AllowList([Identity.load(self.gateway.home).public])
        lie = file_handler(self.world.hub.read)

        def answer(caller: Any, argument: Any) -> Any:
            with self._silent:
                return lie(caller, argument)

        self._server = CallServer("tcp://127.0.0.1:*", keys.link, known.by_link, {"file": answer})
        self._thread = threading.Thread(target=self._serve, daemon=True)
        config = self.gateway.home / "gateway.toml"
        upstream = f'id = "{self.hub.name}"\naddress = '
        text = config.read_text(encoding="utf-8")
        assert upstream in text
        text = text.replace(upstream, f'service = "{self._server.address}"\n{upstream}', 1)
        config.write_text(text + "\n[updates]\npoll_s = 0.5\n", encoding="utf-8")
        (self.gateway.home / "root.json").write_bytes(self.world.root)
        self.gateway.replaced("hasty", "edge")

    def __enter__(self) -> Attacked:
        self._thread.start()
        try:
            self.river.start()
            self.honest()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._server.close()
        self.river.__exit__(kind, error, trace)

    # -- what headquarters wants -------------------------------------------------------------------

    def app(self, version: str, data: bytes | None = None, id: str = "calm", path: str = "") -> Item:
        """Publish an app, as its publisher may, and give what a document would say of it."""
        content = data or archive.pack(app_files(version))
        target = self.world.publish(content, path or f"apps/acme/{id}-{version}.capp")
        return self.item(target, version, id)

    def item(self, target: tuple[str, bytes, int], version: str, id: str = "calm") -> Item:
        """What a document says of a target."""
        path, sha256, length = target
        settings = AppSettings(instances={"main": InstanceSettings(inputs={"x": self.point})})
        return Item(ItemKind.APP, id, version, path, length, sha256.hex(), app=settings)

    def desire(self, items: list[Item], version: int = 0) -> int:
        """Have headquarters sign a document."""
        self._version += not version
        version = version or self._version
        self.world.desk.direct({GATEWAY: Document(GATEWAY, version, tuple(items)).pack()})
        return version

    def settle(self, items: list[Item]) -> None:
        """Desire something, and wait until the gateway has the document in force and nothing on trial."""
        version = self.desire(items)

        def settled() -> bool:
            said = self.gateway.status().get("desired") or {}
            states = {item["state"] for item in said.get("items", ())}
            return said.get("document") == version and not said["trial"] and states <= {"active"}

        wait_until(f"document {version} to be in force", settled)

    # -- attacks -----------------------------------------------------------------------------------

    @contextmanager
    def refused(self, what: str, path: str = CALM, *, reference: bool | None = True) -> Iterator[None]:
        """Whatever is prepared within is refused for this reason, told, and changes nothing.

        Args:
            what: The reason, or a part of the text.
            path: A target that python-tuf's own client is asked for.
            reference: Whether that client raises (`True`), or says that there is no such target
                (`None`). `False`: to it all is well, because it knows no desired documents.
        """
        before, told = self.standing(), len(self.told(what))
        with self._silent:
            yield
        wait_until(f"the refusal ({what})", lambda: len(self.told(what)) > told)
        if reference:
            with pytest.raises((RepositoryError, DownloadError)):
                self.reference(path)
        else:
            assert (self.reference(path) is None) == (reference is None)
        self.goes_on()
        assert self.standing() == before

    def honest(self) -> None:
        """The hub lies no more, and the gateway believes what headquarters signs."""
        with self._silent:
            self.world.hub.lies.clear()
            self.world.hub.endless.clear()
        self.settle([self.app("1.0.0")])
        self.reference()

    def failed(self, *items: Item) -> dict[str, str]:
        """Wait until the gateway gave these items up, and give why, by ref."""
        wanted, found = {(item.ref, item.version) for item in items}, dict[tuple[str, str], str]()

        def gave_up() -> bool:
            rows = (self.gateway.status().get("desired") or {}).get("items", ())
            found.update(
                {(row["item"], row["version"]): row["why"] for row in rows if row["state"] == "failed"}
            )
            return found.keys() >= wanted

        wait_until(f"{sorted(wanted)} to fail", gave_up)
        return {ref: why for (ref, version), why in found.items() if (ref, version) in wanted}

    def told(self, what: str) -> list[str]:
        """The gateway's refusals with such a reason."""
        said = [line["why"] for line in self.gateway.logged("desired-refused")]
        return [why for why in said if what in why]

    def reference(self, path: str = CALM) -> bytes | None:
        """Ask python-tuf's own client, which holds what it held, over what the hub shows."""
        return self.world.reference().install(path)

    def goes_on(self) -> None:
        """Wait until the gateway has collected more."""
        before = self.gateway.status()["ledger"]["collected"]
        self.river.collected(self.gateway, before + 40)

    def standing(self) -> tuple[Any, ...]:
        """What must not change: the process, the apps that run, the sessions so far, the slots."""
        status = self.gateway.status()
        apps = [(app["app"], app["version"], app["state"]) for app in status["apps"]]
        sessions = len(self.gateway.logged("gateway-ready"))
        slots = json.loads((self.river.root / "slots" / "state").read_text())
        slots.pop("number")  # of writes
        return status["pid"], apps, sessions, slots, sorted(tree(self.gateway.home / "apps"))

    def _serve(self) -> None:
        while not self._over.is_set():
            self._server.step(0.05)


def tree(folder: Path) -> list[str]:
    """Names of the files below a folder."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*")]


def first_point(gateway: Node) -> str:
    """A point of its table."""
    rows = [line.split(",") for line in (gateway.home / "points.csv").read_text().splitlines()]
    return rows[1][rows[0].index("name")]


def in_lake(lake: Path, sql: str) -> list[str]:
    """One column of the lake, as text."""
    engine = Engine(lake)
    found = [str(text) for (text,) in engine.rows(sql)[1]]
    engine.close()
    return found


def wait_until(what: str, so: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Wait for something outside of this process."""
    end = time.monotonic() + timeout_s
    while not so():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
