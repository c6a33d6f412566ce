"""The directory: what nodes take, what they refuse, and the allow-list that it makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headquarters.security import authority as authorities
from headquarters.security.publisher import directories
from headquarters.security.registry import NodeStatus
from protocols.calls import Caller, CallRefusedError
from protocols.directory import (
    Assembly,
    Directory,
    Entry,
    NodeState,
    Part,
    Roster,
    Trusted,
    open_sealed,
    pieces,
    seal,
)
from protocols.enrolment import unpack_link
from protocols.errors import IntegrityError, MalformedError, PeerError
from protocols.held import HeldDirectory
from protocols.identity import Identity, PublicIdentity
from tests.group_parts import HUB, NOW, DirectCalls, Group, days, via

GATEWAY = Identity.generate("unit-1", "gateway", "plant-a").public
WINDOW_S = days(90)


def entry(node: PublicIdentity = GATEWAY, not_after: float = NOW + days(10), **others: object) -> Entry:
    return Entry(node, 7, int(NOW), int(not_after))._replace(**others)  # type: ignore[arg-type]


def directory(*entries: Entry, expires: float = NOW + days(90), **others: object) -> Directory:
    made = Directory(Part.GATEWAYS, 1, NOW, expires, WINDOW_S, entries)
    return replace(made, **others)  # type: ignore[arg-type]


def roster(*held: Directory, by_hand: tuple[PublicIdentity, ...] = (), now: float = NOW) -> Roster:
    return Roster(held, by_hand, now)


class TestRoster:
    def test_a_node_in_force_may_connect_and_sign(self) -> None:
        made = roster(directory(entry()))
        assert made.by_link(GATEWAY.link) == GATEWAY and not made.is_limited(GATEWAY.link)

    @pytest.mark.parametrize(
        ("after_days", "connects", "limited"),
        ((9, True, False), (11, True, True), (99, True, True), (101, False, False)),
    )
    def test_an_expired_certificate_delivers_until_the_window_is_over(
        self, after_days: float, connects: bool, limited: bool
    ) -> None:
        made = roster(directory(entry(), expires=NOW + days(900)), now=NOW + days(after_days))
        assert (made.by_link(GATEWAY.link) is not None, made.is_limited(GATEWAY.link)) == (connects, limited)
        assert made.by_key_id(Identity.generate("x", "hub").signing.key_id) is None

    def test_an_expired_directory_counts_as_expired_certificates(self) -> None:
        held = directory(entry(not_after=NOW + days(900)), expires=NOW + days(90))
        assert not roster(held, now=NOW + days(89)).is_limited(GATEWAY.link)
        assert roster(held, now=NOW + days(91)).is_limited(GATEWAY.link)
        assert roster(held, now=NOW + days(181)).by_link(GATEWAY.link) is None

    def test_it_says_when_it_is_another_one(self) -> None:
        held, now = directory(entry(), expires=NOW + days(900)), NOW
        seen = []
        for _ in range(6):
            made = roster(held, now=now)
            seen.append((made.by_link(GATEWAY.link) is not None, made.is_limited(GATEWAY.link)))
            now = made.changes_at
            if now == float("inf"):
                break
        assert seen[0] == (True, False) and (True, True) in seen and seen[-1] == (False, False)

    def test_the_better_of_two_certificates_counts(self) -> None:
        held = directory(entry(not_after=NOW - 1), entry(not_after=NOW + days(365), serial=8))
        for entries in (held.entries, held.entries[::-1]):
            assert not roster(replace(held, entries=entries)).is_limited(GATEWAY.link)

    def test_a_quarantined_node_may_not_connect_and_its_signatures_count(self) -> None:
        made = roster(directory(entry(state=NodeState.QUARANTINED)))
        assert made.by_link(GATEWAY.link) is None and made.quarantined == ("unit-1",)
        assert made.by_key_id(Identity.generate("unit-1", "gateway").signing.key_id) is None
        assert [known.id for known in made.retired] == ["unit-1"]

    def test_retired_keys_sign_and_do_not_connect(self) -> None:
        old = Identity.generate("unit-1", "gateway", "plant-a")
        made = roster(directory(entry(retired=(old.public.signing,))))
        assert made.verifier(old.signing.key_id) is not None
        assert made.by_link(old.public.link) is None

    def test_the_list_by_hand_stands_beside_it_but_for_nodes_that_it_names(self) -> None:
        by_hand, old = Identity.generate("unit-9", "gateway").public, Identity.generate("unit-1", "gateway")
        made = roster(directory(entry()), by_hand=(by_hand, old.public))
        assert made.by_link(by_hand.link) == by_hand
        assert made.by_link(old.public.link) is None

    def test_revoked_keys_are_not_let_in_by_the_list_by_hand(self) -> None:
        keys = (GATEWAY.signing, unpack_link(GATEWAY.link))
        again = replace(GATEWAY, id="unit-7")
        made = roster(directory(revoked=(keys,)), by_hand=(GATEWAY, again))
        assert made.by_link(GATEWAY.link) is None and not made.identities

    def test_what_is_barred_does_not_connect(self) -> None:
        made = roster(directory(entry()))
        made.bar({GATEWAY.link})
        assert made.by_link(GATEWAY.link) is None and made.verifier(_key_id(GATEWAY)) is not None


def _key_id(node: PublicIdentity) -> bytes:
    from protocols.identity import key_id_of

    return key_id_of(node.signing)


class TestSealed:
    @pytest.fixture
    def group(self, tmp_path: Path) -> Group:
        return Group(tmp_path / "hq")

    def trusted(self, group: Group, known: bool = True) -> Trusted:
        key = group.authority.key.public if known else b""
        return Trusted(key, group.authority.generation, group.authority.root.der)

    def sealed(self, group: Group) -> bytes:
        return seal(directory(entry()), group.authority.certificate.der, group.authority.key)

    @pytest.mark.parametrize("known", (True, False))
    def test_what_the_authority_signed_is_taken(self, group: Group, known: bool) -> None:
        found, trusted = open_sealed(self.sealed(group), self.trusted(group, known), NOW)
        assert found == directory(entry())
        assert trusted == self.trusted(group)

    def test_a_new_authority_is_taken_and_the_old_one_no_more(self, group: Group) -> None:
        old, before = group.authority, self.sealed(group)
        group.authority = authorities.replace(group.home, group.home / "root.key", NOW, None)
        _, trusted = open_sealed(self.sealed(group), self.trusted(group, known=False), NOW)
        assert trusted.generation == 2
        with pytest.raises(IntegrityError, match="authority 1, replaced by 2"):
            open_sealed(before, trusted, NOW)
        with pytest.raises(IntegrityError, match="authority 1"):
            open_sealed(seal(directory(), old.certificate.der, old.key), trusted, NOW)

    def test_another_groups_is_refused(self, group: Group, tmp_path: Path) -> None:
        other = Group(tmp_path / "other")
        with pytest.raises(IntegrityError):
            open_sealed(self.sealed(other), self.trusted(group), NOW)
        stolen = seal(directory(entry()), group.authority.certificate.der, other.authority.key)
        with pytest.raises(IntegrityError, match="does not hold"):
            open_sealed(stolen, self.trusted(group), NOW)

    @given(data=st.data())
    def test_damage_raises_only_the_peers_errors(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        sealed = bytearray(SEALED)
        sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
        with pytest.raises(PeerError):
            open_sealed(bytes(sealed), Trusted(SIGNER.signing.public, 1, b""), NOW)

    @given(st.binary(max_size=200))
    def test_rubbish_raises_only_the_peers_errors(self, data: bytes) -> None:
        for parse in (Directory.parse, lambda data: open_sealed(data, Trusted(bytes(32), 1, b""), NOW)):
            with pytest.raises(PeerError):
                parse(data)


SIGNER = Identity.generate("authority", "headquarters")
SEALED = seal(directory(entry()), b"", SIGNER.signing)


class TestHeld:
    @pytest.fixture
    def group(self, tmp_path: Path) -> Group:
        group = Group(tmp_path / "hq")
        group.gateway(tmp_path / "gw")
        return group

    def held(self, tmp_path: Path) -> HeldDirectory:
        return HeldDirectory(tmp_path / "gw", tmp_path / "gw/data", NOW)

    def test_it_is_refreshed_kept_and_asked_for_once(self, group: Group, tmp_path: Path) -> None:
        held, calls = self.held(tmp_path), DirectCalls(group)
        assert held.refresh(calls, Part.STATIONS, lambda: NOW)
        assert not held.refresh(calls, Part.STATIONS, lambda: NOW)
        assert self.held(tmp_path).version(Part.STATIONS) == held.version(Part.STATIONS) > 0

    def test_an_older_one_is_refused(self, group: Group, tmp_path: Path) -> None:
        held, calls = self.held(tmp_path), DirectCalls(group)
        held.refresh(calls, Part.STATIONS, lambda: NOW)
        old = held.sealed(Part.STATIONS)
        version = held.version(Part.STATIONS)
        group.office.rotate("unit-1")
        assert held.refresh(calls, Part.STATIONS, lambda: NOW) and held.rotates("unit-1")

        class Replaying(DirectCalls):
            def call(self, verb: str, argument: object = None, timeout_s: float | None = None) -> object:
                return {"version": held.version(Part.STATIONS) + 5, "total": len(old), "piece": old}

        with pytest.raises(IntegrityError, match=f"older than the one that is held: {version} after"):
            held.refresh(Replaying(group), Part.STATIONS, lambda: NOW)
        assert held.rotates("unit-1")

    def test_a_gateway_does_not_get_the_other_gateways(self, group: Group) -> None:
        node = Caller(GATEWAY.link, GATEWAY)
        with pytest.raises(CallRefusedError, match="not-yours"):
            group.publisher.directory(node, {"part": 1, "held": 0, "offset": 0})

    def test_a_damaged_copy_is_asked_for_anew(self, group: Group, tmp_path: Path) -> None:
        held, calls = self.held(tmp_path), DirectCalls(group)
        held.refresh(calls, Part.STATIONS, lambda: NOW)
        (tmp_path / "gw/data/directory/stations").write_bytes(b"torn")
        again = self.held(tmp_path)
        assert again.version(Part.STATIONS) == 0
        assert again.refresh(calls, Part.STATIONS, lambda: NOW)

    def test_a_replaced_authority_is_remembered(self, group: Group, tmp_path: Path) -> None:
        held, calls = self.held(tmp_path), DirectCalls(group)
        held.refresh(calls, Part.STATIONS, lambda: NOW)
        group.authority = authorities.replace(group.home, group.home / "root.key", NOW, None)
        group.open_desk()
        assert held.refresh(calls, Part.STATIONS, lambda: NOW)
        assert self.held(tmp_path).version(Part.STATIONS) == held.version(Part.STATIONS)


class TestPublisher:
    def test_a_change_makes_a_new_version_and_nothing_else_does(self, tmp_path: Path) -> None:
        group = Group(tmp_path / "hq")
        ask = {
            "part": 0,
            "held": 0,
            "offset": 0,
            "addresses": dict.fromkeys(("data", "service", "enrolment"), ""),
        }
        group.publisher.directory(via(HUB.public), ask)
        first = group.publisher.version
        group.publisher.directory(via(HUB.public), ask)
        assert group.publisher.version == first
        group.gateway(tmp_path / "gw")
        group.publisher.directory(via(HUB.public), ask)
        assert group.publisher.version > first

    def test_a_register_of_last_nights_backup_does_not_make_old_versions(self, tmp_path: Path) -> None:
        group = Group(tmp_path / "hq")
        for _ in range(5):
            group.now += 3600
            version = group.registry.next_version(group.now)
        assert version >= group.now, "versions follow the clock, which no backup sets back"

    def test_what_is_in_the_register_is_in_the_directory(self, tmp_path: Path) -> None:
        group = Group(tmp_path / "hq")
        group.gateway(tmp_path / "gw")
        new = Identity.generate("unit-1", "gateway", "plant-a")
        group.let_in(new)
        made = directories(group.registry, NOW, 5, 90)
        (found,) = made[Part.GATEWAYS].entries
        assert found.node == new.public and len(found.retired) == 1
        group.registry.set_status("unit-1", NodeStatus.QUARANTINED, "clone")
        (found,) = directories(group.registry, NOW, 5, 90)[Part.GATEWAYS].entries
        assert found.state is NodeState.QUARANTINED
        group.office.revoke("unit-1", "stolen")
        gone = directories(group.registry, NOW, 5, 90)[Part.GATEWAYS]
        assert gone.entries == () and len(gone.revoked) == 2

    def test_a_hub_tells_its_addresses(self, tmp_path: Path) -> None:
        group = Group(tmp_path / "hq")
        addresses = {"data": "tcp://h:1", "service": "tcp://h:2", "enrolment": ""}
        group.publisher.directory(
            via(HUB.public), {"part": 0, "held": 0, "offset": 0, "addresses": addresses}
        )
        node = group.registry.node("hub-1")
        assert node is not None and node.addresses == addresses
        wrong = {**addresses, "data": "http://h"}
        with pytest.raises(MalformedError, match="addresses"):
            group.publisher.directory(
                via(HUB.public), {"part": 0, "held": 0, "offset": 0, "addresses": wrong}
            )


def test_pieces_come_together_also_when_another_version_is_issued_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("protocols.directory.PIECE_BYTES", 10)
    first, second = bytes(range(25)), bytes(range(100, 133))
    assembly = Assembly(3)
    whole = None
    for turn in range(20):
        wanted = assembly.wanted(Part.GATEWAYS)
        sealed, version = (first, 4) if turn < 2 else (second, 5)
        whole = assembly.take(pieces(sealed, wanted["held"], version, wanted["offset"]))
        if whole is not None:
            break
    assert whole == second and assembly.done
    fresh = Assembly(5)
    assert fresh.take(pieces(second, 5, 5, 0)) is None and fresh.done
    with pytest.raises(MalformedError, match="do not fit"):
        Assembly(0).take({"version": 1, "total": 5, "piece": b"123456"})


def test_a_thousand_gateways_fit_one_answer() -> None:
    nodes = [Identity.generate(f"unit-{number}", "gateway", "plant-a").public for number in range(1000)]
    sealed = seal(directory(*(entry(node) for node in nodes)), bytes(400), SIGNER.signing)
    assert len(sealed) < 120_000
