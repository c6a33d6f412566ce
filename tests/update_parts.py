"""An update repository on a disk, a hub that may lie about it, and python-tuf's own client beside ours."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, Root
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from headquarters.updates import Updates
from headquarters.updates.keyfile import KeyPair
from headquarters.updates.repository import Disk
from protocols.calls import Caller, CallRefusedError
from protocols.updates import Pace, Piece, Shelf, Wanted, file_handler, hash_named, parse_wanted
from protocols.updates.client import Source

GATEWAY = "unit-1"
NOBODY = Caller(b"", None)
APP = "apps/acme/pump-1.0.0.capp"
DAY_S = 86_400


class Keys:
    """Keys of holders and roles, drawn once for all tests."""

    holders = (KeyPair.new(), KeyPair.new(), KeyPair.new())
    targets = KeyPair.new()
    firmware = KeyPair.new()
    acme = KeyPair.new()
    other = KeyPair.new()


class FastDisk(Disk):
    """Writes without flushing: nobody pulls a plug here."""

    def put(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(path.name + ".new").write_bytes(data)
        path.with_name(path.name + ".new").replace(path)

    def copy(self, source: Path, path: Path) -> None:
        self.put(path, source.read_bytes())


class World:
    """Headquarters' repository, with a publisher and a gateway's document.

    Args:
        folder: Where all of it is.
        now: Seconds since 1970.
        disk: What the repository writes to.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time, disk: Disk | None = None) -> None:
        self.folder = folder
        if now is time.time:
            shutil.copytree(_first_state(), folder / "hq")
        else:
            _begin(folder / "hq", now)
        self.desk = Updates(folder / "hq", 90, now=now, disk=disk or FastDisk())
        for key in (Keys.acme, Keys.targets, Keys.firmware):
            self.desk.keys.hold(key)
        self.root = self.desk.root()
        self.hub = Hub(self.desk.repository.public)

    def publish(self, data: bytes, path: str = APP) -> tuple[str, bytes, int]:
        """Publish bytes; returns what a desired document would say."""
        file = self.folder / "made"
        file.write_bytes(data)
        found = self.desk.add(file, path)
        return found.path, found.sha256, found.length

    def source(self, name: str = "gateway") -> Source:
        """Our client; the same name is the same disk."""
        return Source(self.folder / name, GATEWAY, self.root, self.hub.ask, Pace())

    def reference(self, name: str = "reference") -> Reference:
        """python-tuf's client; the same name is the same disk."""
        return Reference(self.folder / name, self.root, self.hub)


def _begin(home: Path, now: Callable[[], float]) -> None:
    desk = Updates(home, 90, now=now, disk=FastDisk())
    desk.begin([key.public for key in Keys.holders], 2, Keys.targets, Keys.firmware)
    assert desk.sign_root(Keys.holders[:2]) is None
    desk.keys.hold(Keys.acme)
    desk.add_publisher("acme", Keys.acme.public)


@cache
def _first_state() -> Path:
    """The state that every world begins with: made once, since it takes 70 signatures."""
    home = Path(tempfile.mkdtemp(prefix="updates-")) / "hq"
    atexit.register(shutil.rmtree, home.parent)
    _begin(home, time.time)
    return home


class Hub:
    """Serves the repository's files, and lies as it is told.

    Args:
        public: The repository's public folder.
    """

    def __init__(self, public: Path) -> None:
        self.public = public
        self.shelf = Shelf(public)
        self.lies: dict[str, bytes | None] = {}
        self.endless: set[str] = set()
        self.asked: list[Wanted] = []
        self.given = 0
        self.cut_after: int | None = None
        self.short = False
        self._handle = file_handler(self.read)

    def ask(self, verb: str, argument: object) -> Any:
        """What `CallClient.call` would give."""
        assert verb == "file"
        return self._handle(NOBODY, argument)

    def read(self, wanted: Wanted) -> tuple[bytes, int, bytes]:
        """A piece, honest or not."""
        self.asked.append(wanted)
        if self.cut_after is not None and len(self.asked) > self.cut_after:
            raise CallRefusedError("out-of-reach", "the cable is pulled")
        if wanted.path in self.endless:
            return bytes(wanted.length), 1 << 40, bytes(32)
        if wanted.path not in self.lies:
            piece = self.shelf.read(wanted)
        else:
            data = self.lies[wanted.path]
            if data is None:
                raise CallRefusedError("no-such-file", wanted.path)
            end = wanted.offset + wanted.length
            piece = Piece(data[wanted.offset : end], len(data), hashlib.sha256(data).digest())
        self.given += len(piece.data)
        return (piece.data[:-1] if self.short else piece.data), piece.total, piece.sha256

    def copy(self) -> dict[str, bytes]:
        """All that is served now, by path: what a hub may keep and show again."""
        return {
            str(file.relative_to(self.public)): file.read_bytes()
            for file in self.public.rglob("*")
            if file.is_file()
        }

    def whole(self, path: str) -> bytes | None:
        """A file as the hub shows it, in one piece; `None` if it says there is none."""
        if path in self.endless:
            return bytes(10 << 20)
        if path in self.lies:
            return self.lies[path]
        file = self.public / path
        return file.read_bytes() if file.is_file() else None


class _Fetcher(FetcherInterface):
    """For python-tuf's client: the hub's files without our call in between."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def _fetch(self, url: str) -> Iterator[bytes]:
        data = self._hub.whole(url.removeprefix("reference:/"))
        if data is None:
            raise DownloadHTTPError(url, 404)
        yield data


class Reference:
    """python-tuf's own client over the same files."""

    def __init__(self, folder: Path, root: bytes, hub: Hub) -> None:
        self._folder = folder
        self._root = root
        self._hub = hub
        (folder / "targets").mkdir(parents=True, exist_ok=True)

    def install(self, path: str) -> bytes | None:
        """Refresh, and fetch a target; `None` where no trusted role lists it."""
        updater = Updater(
            str(self._folder),
            "reference:/metadata/",
            str(self._folder / "targets"),
            "reference:/targets/",
            fetcher=_Fetcher(self._hub),
            bootstrap=self._root,
        )
        updater.refresh()
        info = updater.get_targetinfo(path)
        return None if info is None else Path(updater.download_target(info)).read_bytes()


def target_file(path: str, sha256: bytes) -> str:
    """Under which path a target is served."""
    return hash_named(path, sha256)


def wanted(path: str, offset: int = 0, length: int = 1 << 20) -> Wanted:
    """A question, as the server parses it."""
    return parse_wanted((path, offset, length))


def some_bytes(size: int) -> bytes:
    """Bytes that nothing compresses."""
    return os.urandom(size)


def forged_root(world: World, *signers: KeyPair) -> bytes:
    """A next root that gives everything to a thief's key."""
    found = Metadata[Root].from_bytes(world.root)
    found.signed.version += 1
    thief = KeyPair.new()
    for role in ("targets", "snapshot", "timestamp"):
        for keyid in list(found.signed.roles[role].keyids):
            found.signed.revoke_key(keyid, role)
        found.signed.add_key(thief.public, role)
    found.signatures.clear()
    for signer in signers:
        found.sign(signer.signer, append=True)
    return found.to_bytes()
