"""Power fails at every step of making keys, enrolling, renewing and rotating: no key is ever torn."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headquarters.security.registry import KeyState
from protocols import certificates, keyfiles
from protocols.errors import InputError
from protocols.identity import Identity
from protocols.joining import accept, keys_for
from protocols.renewal import Renewal, Step, are_drawn
from protocols.standing import read_standing
from tests.faults.power import Recorded, recorded
from tests.group_parts import DirectCalls, Group, days

TRIES = 2
"""At each step, because what was not flushed may be there or not."""


class World:
    """Headquarters as it is at the end, and a gateway's home as it may be after a cut."""

    def __init__(self, root: Path, headquarters: Path, record: Recorded, upto: int, chance: random.Random):
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(headquarters, root / "hq")
        self.group = Group(root / "hq")
        self.home = root / "gw"
        record.after_a_cut(upto, self.home, chance)

    def check(self) -> Identity:
        """The keys load, and belong to the certificate beside them."""
        identity = Identity.load(self.home)
        standing = read_standing(self.home)
        if standing is not None:
            chain = certificates.from_pem((self.home / keyfiles.CERTIFICATE).read_text())
            node = certificates.parse(chain[0])
            assert node.serial == standing.serial
            assert node.key == identity.public.signing
        return identity


def every_cut(root: Path, headquarters: Path, record: Recorded, check: Callable[[World], None]) -> None:
    assert len(record.steps) > 10
    for upto in range(len(record.steps) + 1):
        for number in range(TRIES):
            world = World(root, headquarters, record, upto, random.Random(f"{upto}/{number}"))
            try:
                check(world)
            except BaseException as error:
                done = [step[:3] for step in record.steps[:upto]]
                raise AssertionError(f"cut before step {upto} ({number}) of {done}") from error
            finally:
                world.group.registry.close()


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return Group(tmp_path / "hq")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "gw"
    home.mkdir()
    return home


def test_keys_that_are_being_made_are_there_whole_or_not_at_all(
    group: Group, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded(home, monkeypatch) as record:
        made = Identity.create(home, "unit-1", "gateway", "plant-a")
    group.registry.close()
    found: set[bool] = set()

    def check(world: World) -> None:
        try:
            identity = Identity.load(world.home)
        except InputError:
            found.add(False)
            identity = Identity.create(world.home, "unit-1", "gateway", "plant-a")
            assert Identity.load(world.home).public == identity.public
        else:
            found.add(True)
            assert identity.public == made.public

    every_cut(tmp_path / "cut", group.home, record, check)
    assert found == {True, False}


def test_a_grant_takes_effect_whole_or_not_at_all(
    group: Group, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = group.gateway(home)
    token = group.invite()
    with recorded(home, monkeypatch) as record:
        new = keys_for(home, token, new_keys=True)
        assert group.ask(token, new) is None
        group.office.approve("unit-1")
        grant = group.ask(token, new)
        assert grant is not None
        accept(home, grant, new.public, "gateway.toml", new_keys=True, token=token.token_id)
    group.registry.close()
    found: set[str] = set()

    def check(world: World) -> None:
        identity = world.check()
        assert identity.public in (old.public, new.public)
        found.add("new" if identity.public == new.public else "old")
        # The operator types the same command again.
        again = keys_for(world.home, token, new_keys=True)
        if again.public == new.public:
            grant = world.group.ask(token, again)
            assert grant is not None
            accept(world.home, grant, again.public, "gateway.toml", new_keys=True, token=token.token_id)
            assert world.check().public == new.public
            assert not are_drawn(world.home), "no other keys are drawn beside those in force"
            assert 'id = "hub-1"' in (world.home / "gateway.toml").read_text()
        else:
            assert identity.public == old.public, "cut before the new keys were drawn whole"

    every_cut(tmp_path / "cut", group.home, record, check)
    assert found == {"old", "new"}


@pytest.mark.parametrize("rotate", (True, False))
def test_a_renewal_that_is_cut_is_finished_after_the_next_start(
    group: Group, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rotate: bool
) -> None:
    old = group.gateway(home)
    now = group.now if rotate else group.now + days(300)
    group.now = now
    with recorded(home, monkeypatch) as record:
        steps = [Renewal(home).step(DirectCalls(group), now, rotate) for _ in range(2)]
    assert steps == [Step.ROTATED if rotate else Step.RENEWED, Step.CONFIRMED]
    group.registry.close()
    before_the_confirmation = tmp_path / "before"
    shutil.copytree(group.home, before_the_confirmation)
    unconfirm(before_the_confirmation)
    keys: set[bytes] = set()

    def check(world: World) -> None:
        world.group.now = now
        keys.add(world.check().public.signing)
        calls, wanted = DirectCalls(world.group), rotate
        for _ in range(4):
            step = Renewal(world.home).step(calls, now, wanted)
            wanted = wanted and step is not Step.ROTATED
            if step is Step.NOTHING:
                break
            wanted = False
        identity = world.check()
        states = [row.state for row in world.group.registry.keys_of("unit-1") if row.node == identity.public]
        assert KeyState.CURRENT in states, "headquarters knows the keys that are in force here"
        assert step is Step.NOTHING

    every_cut(tmp_path / "cut", before_the_confirmation, record, check)
    assert old.public.signing in keys and len(keys) == (2 if rotate else 1)


def unconfirm(home: Path) -> None:
    """Headquarters as it was before it heard that the new certificate is in use."""
    group = Group(home)
    first, second = group.registry.keys_of("unit-1")
    group.registry.move_keys(first.serial, KeyState.CURRENT, group.now)
    group.registry.move_keys(second.serial, KeyState.NEXT, group.now)
    group.registry.close()
