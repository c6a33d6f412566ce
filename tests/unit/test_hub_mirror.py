"""The hub's mirror: one transfer for many, a quota, resuming, and headquarters that is dark."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.mirror import WAIT_S, Mirror
from hub.mirrorstore import MirrorStore
from protocols.calls import CallClient, Caller, CallRefusedError, CallServer, CallTimeoutError, Later
from protocols.daemon import EventLog, Stop
from protocols.errors import PeerError, StoreFullError
from protocols.identity import AllowList, Identity
from protocols.updates import Wanted, file_handler, parse_wanted
from protocols.updates.client import Source
from tests.update_parts import GATEWAY, Keys, World, some_bytes, target_file, wanted

TIMESTAMP = wanted("metadata/timestamp.json")


class Region:
    """A hub's mirror below the world's headquarters, with a clock of its own."""

    def __init__(self, folder: Path, quota_bytes: int = 64 << 20) -> None:
        self.world = World(folder)
        self.folder = folder / "mirror"
        self.now = 1000.0
        self.dark = False
        self.quota_bytes = quota_bytes
        self.events: list[str] = []
        self.gateways = [GATEWAY, "unit-2"]
        self.begin()

    def begin(self) -> None:
        """Start the hub, or start it again."""
        log = EventLog(stream=None)
        for level in ("info", "warning", "error"):
            setattr(log, level, lambda event, **fields: self.events.append(event))
        self.store = MirrorStore(self.folder, self.quota_bytes)
        self.mirror = Mirror(
            self.store,
            self._ask,
            lambda: list(self.gateways),
            log,
            Stop(),
            refresh_s=10,
            clock=lambda: self.now,
        )
        self._handle = file_handler(self.mirror.read)

    def _ask(self, verb: str, argument: object) -> Any:
        if self.dark:
            raise CallTimeoutError("headquarters did not answer")
        return self.world.hub.ask(verb, argument)

    def ask(self, verb: str, argument: object) -> Any:
        """What a gateway's call gives; the mirror works meanwhile."""
        result = self._handle(self._caller(), argument)
        for _ in range(1000):
            if not isinstance(result, Later):
                return result
            found = result.check()
            if found is not None:
                return found
            self.mirror.step()
            self.now += 0.05
        raise AssertionError("the answer never came")

    def _caller(self) -> Any:
        return Caller(b"", Identity.generate(GATEWAY, "gateway").public)

    def source(self, name: str = "gateway") -> Source:
        """A gateway below the hub."""
        return Source(self.world.folder / name, GATEWAY, self.world.root, self.ask)

    def settle(self) -> None:
        """Let time pass until the mirror has the newest state."""
        self.now += 61
        while self.mirror.step():
            pass


@pytest.fixture
def region(tmp_path: Path) -> Region:
    return Region(tmp_path)


def test_a_gateway_installs_through_the_mirror(region: Region) -> None:
    found = region.world.publish(some_bytes(1_000_000))
    region.world.desk.direct({GATEWAY: b"document"})
    source = region.source()
    assert source.desired() == b"document"
    assert hashlib.sha256(source.fetch(*found).read_bytes()).digest() == found[1]


def test_headquarters_sends_once_whatever_many_ask_for(region: Region) -> None:
    data = some_bytes(1_000_000)
    path, sha256, _ = region.world.publish(data)
    region.settle()
    region.world.hub.given = 0
    served = target_file(path, sha256)
    later = [
        region.mirror.read(parse_wanted((served, offset, 100_000))) for offset in range(0, 1_000_000, 100_000)
    ]
    later += [region.mirror.read(parse_wanted((served, 0, 1000))) for _ in range(50)]
    assert all(isinstance(each, Later) for each in later)
    while region.mirror.step():
        pass
    pieces: list[Any] = [each.check() for each in later if isinstance(each, Later)]
    assert b"".join(piece.data for piece in pieces[:10]) == data
    for number in range(20):
        region.source(f"gateway-{number}").fetch(path, sha256, len(data))
    assert region.world.hub.given < 1_050_000


def test_pieces_are_handed_on_as_they_come(region: Region) -> None:
    path, sha256, _ = region.world.publish(some_bytes(1_000_000))
    region.settle()
    served = target_file(path, sha256)
    first = region.mirror.read(parse_wanted((served, 0, 100_000)))
    last = region.mirror.read(parse_wanted((served, 900_000, 100_000)))
    assert isinstance(first, Later) and isinstance(last, Later)
    region.mirror.step()
    region.mirror.step()
    assert first.check() is not None
    assert last.check() is None


def test_a_new_state_is_shown_when_all_of_it_is_here(region: Region) -> None:
    region.settle()
    before = region.ask("file", tuple(TIMESTAMP))
    region.world.desk.direct({GATEWAY: b"another"})
    version = region.world.desk.repository.versions()
    name = next(name for name in version if version[name] > 1 and name.startswith("bin-"))
    region.world.hub.lies = {f"metadata/{version[name]}.{name}.json": None}  # not to be had yet
    region.settle()
    assert region.ask("file", tuple(TIMESTAMP)) == before
    region.world.hub.lies = {}
    region.settle()
    assert region.ask("file", tuple(TIMESTAMP)) != before


def test_while_headquarters_is_dark_gateways_reboot_and_install_what_is_mirrored(region: Region) -> None:
    found = region.world.publish(some_bytes(500_000))
    region.world.desk.direct({GATEWAY: b"document"})
    region.settle()
    region.source("first").fetch(*found)
    region.dark = True
    region.settle()
    assert "mirror-headquarters-silent" in region.events
    region.begin()  # the hub restarts as well
    source = region.source("rebooted")
    assert source.desired() == b"document"
    assert len(source.fetch(*found).read_bytes()) == 500_000


def test_the_document_of_a_gateway_that_was_let_in_since_is_fetched_ahead(region: Region) -> None:
    region.gateways = ["unit-2"]
    region.world.desk.direct({GATEWAY: b"document"})
    region.settle()
    region.gateways.append(GATEWAY)
    region.settle()
    region.dark = True
    assert region.source().desired() == b"document"


def test_what_is_not_mirrored_is_refused_at_once_while_headquarters_is_dark(region: Region) -> None:
    found = region.world.publish(b"never asked for")
    region.settle()
    region.dark = True
    region.settle()
    served = (target_file(*found[:2]), 0, 100)
    with pytest.raises(CallRefusedError, match="headquarters has been silent") as caught:
        region.mirror.read(parse_wanted(served))
    assert caught.value.code == "out-of-reach"
    region.dark = False
    region.settle()
    assert region.ask("file", served)[0] == b"never asked for"
    assert region.events.count("mirror-headquarters-silent") == 1
    assert "mirror-headquarters-back" in region.events


def test_a_broken_transfer_goes_on_where_it_ended(region: Region) -> None:
    path, sha256, length = region.world.publish(some_bytes(2_000_000))
    region.settle()
    served = target_file(path, sha256)
    region.mirror.read(parse_wanted((served, 0, 1)))
    for _ in range(6):
        region.mirror.step()
    region.dark = True
    region.mirror.step()
    have = region.store.partial_bytes(sha256)
    assert 500_000 < have < 1_000_000
    region.begin()  # and the hub is restarted, too
    region.dark = False
    region.settle()
    region.world.hub.given = 0
    source = region.source()
    assert source.fetch(path, sha256, length).stat().st_size == length
    assert region.world.hub.given < length - have + 100_000


def test_a_partial_file_that_a_power_cut_damaged_is_fetched_anew(region: Region) -> None:
    path, sha256, length = region.world.publish(some_bytes(600_000))
    region.store.append(sha256, bytes(400_000))
    assert region.source().fetch(path, sha256, length).stat().st_size == length


def test_a_wrong_hash_from_above_is_never_kept(region: Region) -> None:
    path, sha256, _ = region.world.publish(b"right")
    region.settle()
    served = target_file(path, sha256)
    read = region.world.hub.shelf.read

    def lie(asked: Wanted) -> Any:
        piece = read(asked)
        return piece._replace(data=b"wrong"[: len(piece.data)]) if asked.path == served else piece

    region.world.hub.shelf.read = lie  # type: ignore[assignment,method-assign]
    later = region.mirror.read(parse_wanted((served, 0, 5)))
    assert isinstance(later, Later)
    while region.mirror.step():
        pass
    with pytest.raises(CallRefusedError, match="its log says more"):
        later.check()
    assert region.store.partial_bytes(sha256) == 0
    assert region.store.targets == 0
    assert "mirror-failed" in region.events


def test_the_least_recently_used_makes_room_and_documents_stay(tmp_path: Path) -> None:
    region = Region(tmp_path, quota_bytes=1_000_000)
    found = [region.world.publish(some_bytes(300_000), f"apps/acme/a-{n}.capp") for n in range(4)]
    region.world.desk.direct({GATEWAY: b"document"})
    source = region.source()
    assert source.desired() == b"document"
    for target in found[:3]:
        source.fetch(*target)
    again = region.source("another")
    again.fetch(*found[0])  # used again: the second is now the oldest
    source.fetch(*found[3])
    held = [region.store.read(Wanted(target_file(*each[:2]), 0, 0)) is not None for each in found]
    assert held == [True, False, True, True]
    assert region.store.used_bytes <= 1_000_000
    region.begin()
    region.dark = True
    assert region.source("third").desired() == b"document", "the oldest of all, and wanted by whoever reboots"
    with pytest.raises(StoreFullError, match="raise \\[mirror\\] quota_mb"):
        region.store.make_room(bytes(32), 1_000_001)


def test_a_file_that_headquarters_has_not_is_asked_for_once(region: Region) -> None:
    region.settle()
    region.world.hub.asked.clear()
    for _ in range(5):
        with pytest.raises(CallRefusedError, match="no-such-file"):
            region.ask("file", ("metadata/99.snapshot.json", 0, 100))
    assert len([each for each in region.world.hub.asked if "99.snapshot" in each.path]) == 1
    region.now += 61
    with pytest.raises(CallRefusedError, match="no-such-file"):
        region.ask("file", ("metadata/99.snapshot.json", 0, 100))
    assert len([each for each in region.world.hub.asked if "99.snapshot" in each.path]) == 2


def test_the_next_root_costs_no_question_to_headquarters(region: Region) -> None:
    region.settle()
    region.world.hub.asked.clear()
    with pytest.raises(CallRefusedError, match="no-such-file"):
        region.ask("file", ("metadata/2.root.json", 0, 100))
    assert not region.world.hub.asked
    assert region.world.desk.sign_root(Keys.holders[:2]) is None
    region.settle()
    assert region.ask("file", ("metadata/2.root.json", 0, 100))


def test_old_metadata_goes_but_roots_stay(region: Region) -> None:
    region.settle()
    for number in range(4):
        region.world.desk.direct({GATEWAY: b"document %d" % number})
        region.settle()
    names = [file.name for file in (region.folder / "metadata").iterdir()]
    assert "1.root.json" in names
    assert sum(name.endswith("snapshot.json") for name in names) == 2


def test_nonsense_from_above_ends_nothing(region: Region) -> None:
    region.settle()
    before = region.ask("file", tuple(TIMESTAMP))
    for lie in (b"", b"{}", b"[1]", b'{"signed": 5}', b'{"signed": {"meta": {"snapshot.json": 1}}}', b"\xff"):
        region.world.hub.lies = {TIMESTAMP.path: lie}
        region.settle()
    assert region.ask("file", tuple(TIMESTAMP)) == before
    assert region.events.count("mirror-failed") == 6


def test_a_question_waits_no_longer_than_its_caller(region: Region) -> None:
    path, sha256, _ = region.world.publish(b"x")
    region.settle()
    later = region.mirror.read(parse_wanted((target_file(path, sha256), 0, 1)))
    assert isinstance(later, Later)
    region.now += WAIT_S + 0.1
    with pytest.raises(CallRefusedError, match="ask again") as caught:
        later.check()
    assert caught.value.code == "not-yet"


# -- over real sockets ------------------------------------------------------------------------------


@contextmanager
def served(server: CallServer) -> Iterator[CallServer]:
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            server.step(0.05)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join()
        server.close()


def test_gateways_at_once_over_sockets_and_headquarters_dies(tmp_path: Path) -> None:
    world = World(tmp_path)
    data = some_bytes(2_000_000)
    found = world.publish(data)
    headquarters, hub = Identity.generate("hq", "headquarters"), Identity.generate("hub", "hub")
    gateways = [Identity.generate(f"unit-{number}", "gateway") for number in range(1, 9)]
    world.desk.direct({each.id: each.id.encode() for each in gateways})
    known, below = AllowList([hub.public]), AllowList(each.public for each in gateways)
    above = CallServer(
        "tcp://127.0.0.1:*", headquarters.link, known.by_link, {"file": file_handler(world.hub.shelf.read)}
    )
    stop = Stop()
    results: list[bytes | None] = []
    fetched: list[bytes] = []

    def install(identity: Identity, address: str) -> None:
        with CallClient(address, hub.link.public, identity.link) as client:
            source = Source(tmp_path / identity.id, identity.id, world.root, client.call)
            results.append(source.desired())
            fetched.append(source.fetch(*found).read_bytes())

    upward = CallClient(above.address, headquarters.link.public, hub.link, timeout_s=1.0)
    mirror = Mirror(
        MirrorStore(tmp_path / "mirror", 64 << 20),
        upward.call,
        lambda: [each.id for each in gateways],
        EventLog(stream=None),
        stop,
        refresh_s=0.2,
    )
    handlers = {"file": file_handler(mirror.read)}
    with served(CallServer("tcp://127.0.0.1:*", hub.link, below.by_link, handlers)) as server:
        with served(above):
            mirror.start()
            threads = [threading.Thread(target=install, args=(each, server.address)) for each in gateways[:6]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert mirror.fetched_bytes < 2_300_000
        for each in gateways[6:]:  # headquarters is gone: all that they need is at the hub
            install(each, server.address)
        stop.ask()
        mirror.close()
    upward.close()
    assert sorted(results, key=str) == [each.id.encode() for each in gateways]
    assert all(each == data for each in fetched) and len(fetched) == 8


def test_a_lying_hub_over_the_mirror_is_refused(region: Region) -> None:
    """What the attack tests show of a hub holds for a mirror whose disk was tampered with."""
    path, sha256, length = region.world.publish(some_bytes(300_000))
    region.source("first").fetch(path, sha256, length)
    (region.folder / "targets" / sha256.hex()).write_bytes(bytes(300_000))
    source = region.source("second")
    with pytest.raises(PeerError, match="altered on the way"):
        source.fetch(path, sha256, length)
