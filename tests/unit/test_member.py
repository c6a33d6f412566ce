"""A gateway follows its hub through a change of keys, a revocation and a return, by its directory alone."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime import home as homes
from edge_runtime.configread import load
from edge_runtime.provision.membership import AGAIN_S, Member
from headquarters.security import authority as authorities
from headquarters.security import rekey
from headquarters.security.registry import KeyState
from protocols.calls import REPLACED, CallRefusedError, CallTimeoutError
from protocols.daemon import EventLog
from protocols.enrolment import pending
from protocols.identity import Identity
from protocols.joining import accept
from tests.group_parts import HUB, NOW, DirectCalls, Group, days


class World:
    """Headquarters, a hub that enrolled, and a gateway below it."""

    def __init__(self, root: Path) -> None:
        self.group = Group(root / "hq")
        self.group.desk.enrol_self()
        self.group.let_in(HUB, "hub-1", "")
        self.home = root / "gw"
        homes.create(self.home, "unit-1", "plant-a")
        identity = Identity.load(self.home)
        accept(self.home, self.group.let_in(identity), identity.public, "gateway.toml", new_keys=False)
        self.calls = DirectCalls(self.group)
        self.log = io.StringIO()
        self.anew: list[str] = []
        self.begin()

    def begin(self) -> None:
        """Another session."""
        self.anew.clear()
        self.member = Member(load(self.home), EventLog(stream=self.log), lambda: self.group.now)
        self.config = self.member.current()

    def turn(self) -> float:
        return self.member.turn(self.calls, self.anew.append)

    def links(self) -> list[bytes]:
        return [upstream.link for upstream in self.config.upstreams]

    def other_hub(self) -> Identity:
        """The hub's next keys, in force."""
        other = Identity.generate("hub-1", "hub")
        self.group.let_in(other, "hub-1", "")
        return other


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_session_goes_on_while_its_upstream_has_the_keys_that_it_had(world: World) -> None:
    world.turn()
    world.turn()
    assert world.links() == [HUB.link.public] and not world.anew
    world.group.office.rotate("hub-1")
    world.turn()
    assert not world.anew


def test_the_keys_of_the_directory_take_the_place_of_those_in_the_file(world: World) -> None:
    world.turn()
    other = world.other_hub()
    written = (world.home / "gateway.toml").read_text()
    world.turn()
    assert world.anew == ["an upstream is out of force, or has other keys"]
    world.begin()
    assert world.links() == [other.link.public]
    assert [address.link for address in world.member.addresses()] == [other.link.public]
    world.turn()
    assert not world.anew and (world.home / "gateway.toml").read_text() == written


def test_a_revoked_hub_is_not_used_and_still_asked_by_its_last_keys(world: World) -> None:
    world.turn()
    second = world.other_hub()
    world.turn()
    world.begin()
    world.group.office.revoke("hub-1", "stolen")
    world.turn()
    assert world.anew
    world.begin()
    assert world.links() == [] and "upstream-revoked" in world.log.getvalue()
    assert [address.link for address in world.member.addresses()] == [second.link.public]
    third = world.other_hub()
    world.turn()
    world.begin()
    assert world.links() == [third.link.public]


def test_a_hub_that_is_deaf_may_have_switched_to_the_other_keys(world: World) -> None:
    other = Identity.generate("hub-1", "hub")
    held = world.group.registry.keys_of("hub-1")[-1]
    row = replace(held, serial=held.serial + 1, node=other.public, state=KeyState.NEXT)
    world.group.registry.add_keys(row, NOW)
    world.turn()
    assert not world.anew, "the keys in use are still in force"
    world.calls.dark = True
    assert world.turn() == AGAIN_S
    assert world.anew == ["an upstream may have other keys"]
    world.begin()
    assert world.links() == [HUB.link.public, other.link.public]
    world.turn()
    assert not world.anew, "both are tried already"


def test_headquarters_with_new_keys_is_used_by_the_next_session(world: World) -> None:
    world.turn()
    group = world.group
    group.authority = authorities.replace(group.home, group.home / "root.key", NOW, None)
    new = rekey.draw(group.home, group.registry, "operator", NOW)
    group.identity = Identity.load(group.home)
    group.open_desk()
    group.desk.enrol_self()
    world.turn()
    assert world.anew
    world.begin()
    assert world.config.headquarters is not None and world.config.headquarters.signing == new.signing


def test_a_renewal_is_asked_for_until_headquarters_answers(world: World) -> None:
    world.turn()
    world.group.now = NOW + days(300)

    class Hub(DirectCalls):
        out_of_reach = True

        def call(self, verb: str, argument: object = None, timeout_s: float | None = None) -> object:
            if verb == "renew" and self.out_of_reach:
                self.out_of_reach = False
                return pending("headquarters is out of reach")
            if verb == "renew" and self.asked.count("renew") == 0:
                self.asked.append(verb)
                raise CallTimeoutError("nobody there")
            return super().call(verb, argument, timeout_s)

    world.calls = Hub(world.group)
    for asked in (1, 2):
        assert world.turn() == AGAIN_S and world.member.renewals_waiting == asked
    assert world.log.getvalue().count("renewal-waits") == 1
    world.turn()
    assert world.member.renewals_waiting == 0 and "certificate-renewed" in world.log.getvalue()


def test_behind_a_former_key_nothing_is_renewed_and_nothing_is_wrong(world: World) -> None:
    world.turn()
    world.group.authority = authorities.replace(world.group.home, world.group.home / "root.key", NOW, None)
    world.group.open_desk()

    class Door(DirectCalls):
        def call(self, verb: str, argument: object = None, timeout_s: float | None = None) -> object:
            if verb == "renew":
                raise CallRefusedError(REPLACED, "another key")
            return super().call(verb, argument, timeout_s)

    world.calls = Door(world.group)
    assert world.turn() == AGAIN_S and "renewal-failed" not in world.log.getvalue()
