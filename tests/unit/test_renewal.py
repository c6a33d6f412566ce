"""A node renews by itself: what it asks, what it keeps, and what a lost answer costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.cli import invoke
from headquarters.security.registry import KeyState
from protocols import keyfiles, sealing
from protocols.calls import CallTimeoutError
from protocols.errors import InputError
from protocols.identity import LINK_KEY, SIGNING_KEY, Identity
from protocols.joining import accept
from protocols.renewal import Renewal, Step
from protocols.standing import read_standing
from tests.group_parts import NOW, DirectCalls, Group, days


class Node:
    """A gateway's home, and its way to headquarters."""

    def __init__(self, root: Path) -> None:
        self.group = Group(root / "hq")
        self.home = root / "gw"
        self.group.gateway(self.home)
        self.calls = DirectCalls(self.group)
        self.renewal = Renewal(self.home)

    def step(self, rotate: bool = False) -> Step:
        return self.renewal.step(self.calls, self.group.now, rotate)

    @property
    def serial(self) -> int:
        standing = read_standing(self.home)
        assert standing is not None
        return standing.serial

    @property
    def states(self) -> list[KeyState]:
        return [row.state for row in self.group.registry.keys_of("unit-1")]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_nothing_is_asked_while_nothing_is_due(node: Node) -> None:
    node.group.now += days(365 * 2 / 3 - 1)
    assert node.step() is Step.NOTHING and node.calls.asked == []


def test_a_certificate_is_renewed_with_a_third_of_its_life_left(node: Node) -> None:
    before, keys = node.serial, Identity.load(node.home).public
    node.group.now += days(365 * 2 / 3 + 1)
    assert node.step() is Step.RENEWED
    assert node.serial != before and Identity.load(node.home).public == keys
    assert node.step() is Step.CONFIRMED and node.step() is Step.NOTHING
    assert node.states == [KeyState.RETIRED, KeyState.CURRENT]


def test_it_goes_on_from_year_to_year(node: Node) -> None:
    for _ in range(6):
        node.group.now += days(300)
        while node.step() is not Step.NOTHING:
            pass
    assert node.states == [*[KeyState.RETIRED] * 6, KeyState.CURRENT]


def test_new_keys_are_made_when_headquarters_asks(node: Node) -> None:
    before = Identity.load(node.home).public
    assert node.step(rotate=True) is Step.ROTATED
    after = Identity.load(node.home).public
    assert after.signing != before.signing and after.link != before.link
    assert (after.id, after.role, after.site) == (before.id, before.role, before.site)
    for name in (SIGNING_KEY, LINK_KEY):
        assert (node.home / name).stat().st_mode & 0o777 == 0o600
    assert node.step() is Step.CONFIRMED
    assert not (node.home / keyfiles.NEXT).exists()


def test_an_answer_that_was_lost_costs_nothing(node: Node) -> None:
    node.calls.lose_answer_to = "renew"
    for _ in range(3):
        with pytest.raises(CallTimeoutError):
            node.step(rotate=True)
    assert node.states == [KeyState.CURRENT, KeyState.NEXT], "always for the same keys"
    node.calls.lose_answer_to = ""
    assert node.step(rotate=False) is Step.ROTATED, "it goes on although nobody asks any more"
    assert node.step() is Step.CONFIRMED


def test_a_confirmation_that_was_lost_is_given_again(node: Node) -> None:
    node.step(rotate=True)
    node.calls.lose_answer_to = "renew"
    with pytest.raises(CallTimeoutError):
        node.step()
    node.calls.lose_answer_to = ""
    assert node.step() is Step.CONFIRMED
    assert node.states == [KeyState.RETIRED, KeyState.CURRENT]


def test_a_node_that_was_away_renews_with_its_expired_certificate(node: Node) -> None:
    node.group.now += days(365 + 80)
    assert node.step() is Step.RENEWED and node.step() is Step.CONFIRMED


def test_sealed_keys_are_replaced_by_sealed_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group, home = Group(tmp_path / "hq"), tmp_path / "gw"
    monkeypatch.setenv(sealing.PASSPHRASE, "correct horse")
    identity = Identity.create(home, "unit-1", "gateway", "plant-a", passphrase="correct horse")
    (home / "gateway.toml").write_text('[gateway]\nid = "unit-1"\n')
    accept(home, group.let_in(identity), identity.public, "gateway.toml", new_keys=False)
    assert Renewal(home).step(DirectCalls(group), NOW, True) is Step.ROTATED
    for name in (SIGNING_KEY, LINK_KEY):
        assert keyfiles.is_sealed(home / name)
    Identity.load(home)
    monkeypatch.delenv(sealing.PASSPHRASE)
    with pytest.raises(InputError, match="CATCHMENT_PASSPHRASE"):
        Identity.load(home)


def test_half_a_set_of_new_keys_never_takes_effect(node: Node) -> None:
    keyfiles.place_next(node.home, {"signing.key": "00" * 32 + "\n"})
    before = Identity.load(node.home).public
    node.group.now += days(300)
    assert node.step() is Step.RENEWED
    assert Identity.load(node.home).public == before


class TestSealing:
    @pytest.mark.parametrize("text", ("sealed-1", "sealed-1 16384 00 00 00", "sealed-1 3 " + "00" * 16, "x"))
    def test_a_damaged_text_is_a_wrong_passphrase(self, text: str) -> None:
        with pytest.raises(sealing.WrongPassphraseError):
            sealing.unseal(text, "any")

    def test_it_does_not_compute_for_ever_for_a_hostile_text(self) -> None:
        text = f"sealed-1 {1 << 40} {'00' * 16} {'00' * 12} {'00' * 40}"
        with pytest.raises(sealing.WrongPassphraseError):
            sealing.unseal(text, "any")

    def test_the_passphrase_comes_from_the_environment_a_file_or_a_credential(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("from a file\n")
        (tmp_path / sealing.CREDENTIAL).write_text("from systemd")
        assert sealing.passphrase({}) is None
        given = {sealing.CREDENTIALS: str(tmp_path)}
        assert sealing.passphrase(given) == "from systemd"
        given[sealing.PASSPHRASE_FILE] = str(tmp_path / "file")
        assert sealing.passphrase(given) == "from a file"
        given[sealing.PASSPHRASE] = "given"
        assert sealing.passphrase(given) == "given"
        with pytest.raises(InputError, match="a file with the passphrase"):
            sealing.passphrase({sealing.PASSPHRASE_FILE: str(tmp_path / "none")})
        (tmp_path / "file").write_text("\n")
        with pytest.raises(InputError, match="on its first line"):
            sealing.passphrase({sealing.PASSPHRASE_FILE: str(tmp_path / "file")})


def test_the_commands_make_sealed_keys_and_say_where_the_passphrase_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--home", str(tmp_path / "gw"), "--id", "unit-1", "--seal")
    monkeypatch.delenv(sealing.PASSPHRASE, raising=False)
    assert invoke(("init", *arguments)) == 2
    assert sealing.PASSPHRASE_FILE in capsys.readouterr().err
    monkeypatch.setenv(sealing.PASSPHRASE, "correct horse")
    assert invoke(("init", *arguments)) == 0
    assert keyfiles.is_sealed(tmp_path / "gw" / SIGNING_KEY)
    assert Identity.load(tmp_path / "gw").id == "unit-1"
