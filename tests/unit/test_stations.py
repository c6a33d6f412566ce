"""Stations change their keys: who believes which, and how the former key opens the door to the directory."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headquarters.security import authority as authorities
from headquarters.security import rekey
from protocols import keyfiles
from protocols.calls import (
    REPLACED,
    CallClient,
    Caller,
    CallRefusedError,
    CallThreads,
    CallTimeoutError,
    Former,
    read_former,
)
from protocols.calls.former import OFTEN_S, PERIOD_S, TURN_S, is_open
from protocols.daemon import EventLog
from protocols.directory import Directory, Entry, NodeState, Part
from protocols.enrolment import unpack_link
from protocols.errors import InputError
from protocols.held import HeldDirectory
from protocols.identity import AllowList, Identity, PublicIdentity
from protocols.joining import accept
from protocols.keyfiles import FORMER_KEY
from protocols.renewal import Renewal, Step
from protocols.stations import Pin, StationKeys, keys_of
from tests.group_parts import NOW, DirectCalls, Group

OLD = Identity.generate("hub-1", "hub").public
NEW = Identity.generate("hub-1", "hub").public
HQ = Identity.generate("headquarters", "headquarters").public
THIEF = Identity.generate("headquarters", "headquarters").public
WRITTEN = StationKeys(OLD.link, OLD.signing)


def directory(*nodes: PublicIdentity, revoked: tuple[PublicIdentity, ...] = ()) -> Directory:
    entries = tuple(Entry(node, 1, 0, 1 << 35, NodeState.ACTIVE) for node in nodes)
    gone = tuple((node.signing, unpack_link(node.link)) for node in revoked)
    return Directory(Part.STATIONS, 1, NOW, NOW + 1, 1.0, entries, gone)


@pytest.mark.parametrize(
    ("held", "found"),
    (
        (None, [OLD]),
        (directory(HQ), [OLD]),
        (directory(OLD), [OLD]),
        (directory(OLD, NEW), [OLD, NEW]),
        (directory(NEW), [NEW]),
        (directory(NEW, revoked=(OLD,)), [NEW]),
        (directory(HQ, revoked=(OLD,)), []),
        (directory(NEW, NEW), [NEW]),
    ),
    ids=("none held", "not named", "the same", "both", "another", "replaced", "revoked", "renewed"),
)
def test_the_directory_says_which_keys_a_station_has(
    held: Directory | None, found: list[PublicIdentity]
) -> None:
    assert keys_of("hub-1", WRITTEN, held, None) == tuple(
        StationKeys(each.link, each.signing) for each in found
    )


class TestHeadquartersKey:
    """It moves with an authority of a higher generation, which takes the root, and in no other way."""

    def test_a_stolen_authority_cannot_name_another_headquarters(self) -> None:
        pin = Pin(HQ.signing, 2)
        for generation in (1, 2):
            assert pin.follow(directory(THIEF), generation) == pin
        held = directory(THIEF)
        written = StationKeys(HQ.link, HQ.signing)
        assert keys_of("headquarters", written, held, pin) == (written,)

    def test_not_even_after_a_new_authority_that_named_the_true_one(self) -> None:
        pin = Pin(HQ.signing, 2).follow(directory(HQ), 3)
        assert pin == Pin(HQ.signing, 3)
        assert pin.follow(directory(THIEF), 3) == pin

    def test_a_new_authority_may(self) -> None:
        assert Pin(HQ.signing, 2).follow(directory(THIEF), 3) == Pin(THIEF.signing, 3)

    def test_two_of_them_are_none(self) -> None:
        other = Identity.generate("headquarters-2", "headquarters").public
        assert Pin(HQ.signing, 2).follow(directory(THIEF, other), 3) == Pin(HQ.signing, 2)


class World:
    """A group and a gateway that holds its directory."""

    def __init__(self, root: Path) -> None:
        self.group = Group(root / "hq")
        self.group.desk.enrol_self()
        self.home = root / "gw"
        self.group.gateway(self.home)
        self.calls = DirectCalls(self.group)
        self.first = self.group.identity.public

    def held(self) -> HeldDirectory:
        held = HeldDirectory(self.home, self.home / "data", self.group.now, self.first.signing)
        held.refresh(self.calls, Part.STATIONS, lambda: self.group.now)
        return held

    def replace(self, *, new_keys: bool) -> None:
        """`authority replace`, and a start."""
        group = self.group
        group.authority = authorities.replace(group.home, group.home / "root.key", group.now, None)
        if new_keys:
            rekey.draw(group.home, group.registry, "operator", group.now)
            group.identity = Identity.load(group.home)
        group.open_desk()
        group.desk.enrol_self()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_headquarters_with_new_keys_is_believed_and_remembered(world: World) -> None:
    assert world.held().headquarters == world.first.signing
    world.replace(new_keys=True)
    now = world.group.identity.public
    assert now != world.first
    for _ in range(2):
        held = world.held()
        assert held.headquarters == now.signing
        written = StationKeys(world.first.link, world.first.signing)
        assert held.keys_of("headquarters", written) == (StationKeys(now.link, now.signing),)


def test_without_a_new_authority_they_are_not(world: World) -> None:
    world.held()
    rekey.draw(world.group.home, world.group.registry, "thief", NOW)
    world.group.identity = Identity.load(world.group.home)
    world.group.open_desk()
    world.group.desk.enrol_self()
    assert world.held().headquarters == world.first.signing


def test_a_node_whose_authority_was_replaced_renews_at_once(world: World) -> None:
    renewal, held = Renewal(world.home), world.held()
    assert not held.outdated()
    world.replace(new_keys=False)
    held.refresh(world.calls, Part.STATIONS, lambda: NOW)
    assert held.outdated()
    assert renewal.step(world.calls, NOW, rotate=False, renew=held.outdated()) is Step.RENEWED
    assert renewal.step(world.calls, NOW, rotate=False, renew=held.outdated()) is Step.CONFIRMED
    assert not held.outdated()


def test_what_was_known_below_another_root_does_not_count(world: World, tmp_path: Path) -> None:
    world.replace(new_keys=False)
    assert world.held().version(Part.STATIONS)
    other = Group(tmp_path / "other")
    identity = Identity.load(world.home)
    grant = other.let_in(identity)
    known = f'[headquarters]\nid = "headquarters"\nsigning = "{world.first.signing.hex()}"\n'
    (world.home / "gateway.toml").write_text(known)
    with pytest.raises(InputError, match="no other headquarters"):
        accept(world.home, grant, identity.public, "gateway.toml", new_keys=False)
    (world.home / "gateway.toml").write_text('[gateway]\nid = "unit-1"\n')
    accept(world.home, grant, identity.public, "gateway.toml", new_keys=False)
    world.calls = DirectCalls(other)
    held = HeldDirectory(world.home, world.home / "data", NOW, other.identity.public.signing)
    assert held.version(Part.STATIONS) == 0 and held.headquarters == other.identity.public.signing
    assert held.refresh(world.calls, Part.STATIONS, lambda: NOW), "of the other root's first authority"


def test_a_gateway_that_enrols_anew_takes_the_keys_that_headquarters_has_now(world: World) -> None:
    world.held()
    world.replace(new_keys=True)
    fresh = Identity.generate("unit-1", "gateway", "plant-a")
    accept(world.home, world.group.let_in(fresh), fresh.public, "gateway.toml", new_keys=False)
    assert world.group.identity.public.signing.hex() in (world.home / "gateway.toml").read_text()


def test_a_station_keeps_its_former_link_key_and_a_gateway_does_not(world: World, tmp_path: Path) -> None:
    hub = Identity.create(tmp_path / "hub", "hub-1", "hub")
    (tmp_path / "hub/hub.toml").write_text('[hub]\nid = "hub-1"\n')
    accept(tmp_path / "hub", world.group.let_in(hub, "hub-1", ""), hub.public, "hub.toml", new_keys=False)
    assert read_former(tmp_path / "hub") is None
    for home in (tmp_path / "hub", world.home):
        assert Renewal(home).step(world.calls, NOW, rotate=True) is Step.ROTATED
    former = read_former(tmp_path / "hub")
    assert former is not None and former[0] == hub.link
    assert (tmp_path / "hub" / FORMER_KEY).stat().st_mode & 0o777 == 0o600
    assert read_former(world.home) is None


# -- the door ------------------------------------------------------------------------------------------


class Door:
    """A service socket of a station whose keys were changed, at a time that the test sets."""

    def __init__(self, home: Path) -> None:
        self.gateway = Identity.generate("unit-1", "gateway")
        self.before, self.now = Identity.generate("hub-1", "hub"), Identity.generate("hub-1", "hub")
        self.at = 0.0
        self.expected = {"unit-1"}
        self.ready = True
        self.file = home / FORMER_KEY
        self.file.parent.mkdir(parents=True)
        self.file.write_text(keyfiles.private_text(self.before.link.secret.decode(), None))
        self.file.chmod(0o600)
        self.former = Former(
            home,
            self.before.link,
            0.0,
            90 * 86_400,
            lambda: self.expected,
            lambda: self.ready,
            lambda: self.at,
        )
        log = EventLog(stream=io.StringIO())
        known = AllowList([self.gateway.public])
        self.calls = CallThreads("hub.toml", "[hub]", self.now.link, known.by_link, log, formerly=self.former)
        handlers = {"directory": self.directory, "commands": self.directory}
        self.calls.open_service("tcp://127.0.0.1:*", handlers)
        self.address = self.calls.addresses()["service"]

    def directory(self, caller: Caller, argument: object) -> object:
        return "signed"

    def ask(self, station: Identity, verb: str = "directory", timeout_s: float = 5.0) -> object:
        key, link = station.link.public, self.gateway.link
        with CallClient(self.address, key, link, timeout_s=timeout_s) as client:
            return client.call(verb)


@contextmanager
def opened(home: Path) -> Iterator[Door]:
    door = Door(home)
    door.calls.start()
    try:
        yield door
    finally:
        door.calls.close()


def test_behind_the_former_key_there_is_the_directory_and_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path) as door:
        assert door.ask(door.before) == "signed"
        with pytest.raises(CallRefusedError, match=REPLACED):
            door.ask(door.before, "commands")
        assert not door.former.is_over, "whoever was told has not yet come by the new key"
        door.at = TURN_S
        assert door.ask(door.now, "commands") == "signed"
        until_over(door)
        assert not door.file.exists()
        door.at = 0.0
        with pytest.raises(CallTimeoutError):
            door.ask(door.before, timeout_s=0.5)
        assert door.ask(door.now) == "signed"


def until_over(door: Door) -> None:
    end = time.monotonic() + 10
    while not door.former.is_over:
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def test_it_waits_for_the_directory_and_ends_with_the_window(tmp_path: Path) -> None:
    door = Door(tmp_path)
    try:
        door.ready = False
        assert not door.former.opens()
        door.ready = True
        assert door.former.opens() and door.file.exists()
        door.at = 90 * 86_400 + 1.0
        assert not door.former.opens() and door.former.is_over and not door.file.exists()
    finally:
        door.calls.close()


def test_no_call_waits_longer_than_a_turn_and_who_pauses_finds_it_open() -> None:
    """Calls wait 10 s, and a gateway without an answer pauses 20 s: each finds the key that it knows."""
    for begin in (0.0, OFTEN_S / 2 + 0.3):
        for at in range(200):
            window = [is_open(begin + at * 0.1 + within * 0.1) for within in range(100)]
            assert any(window) and not all(window)
    seldom = OFTEN_S - OFTEN_S % PERIOD_S + PERIOD_S
    for first in range(300):
        attempts = [seldom + first * 0.1 + 30 * number for number in range(2)]
        assert any(is_open(at + within * 0.1) for at in attempts for within in range(100))
    assert not any(is_open(seldom + 61 + at) for at in range(int(PERIOD_S) - 62))
