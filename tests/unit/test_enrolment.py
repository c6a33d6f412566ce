"""Tokens, requests, grants, and what the desk answers to them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headquarters.security import authority as authorities
from headquarters.security.office import listing
from headquarters.security.registry import KeyState, NodeStatus, RequestState
from protocols.calls import Caller, CallRefusedError
from protocols.certificates import WrongNodeError
from protocols.enrolment import (
    Grant,
    Request,
    State,
    Token,
    fingerprint,
    open_grant,
    parse_answer,
    parse_signed,
    sign_enrolment,
    sign_renewal,
)
from protocols.errors import InputError, IntegrityError, MalformedError, PeerError
from protocols.identity import Identity, SigningKey
from protocols.joining import accept
from protocols.renewal import Renewal, Step
from tests.group_parts import HUB, NOW, DirectCalls, Group, days, via

GATEWAY = Identity.generate("unit-1", "gateway", "plant-a")


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return Group(tmp_path / "hq")


def refused(code: str, call: Callable[[], object]) -> None:
    with pytest.raises(CallRefusedError) as found:
        call()
    assert found.value.code == code


class TestToken:
    def test_it_is_one_line_without_white_space(self, group: Group) -> None:
        text = group.invite().text()
        assert len(text) < 200 and not set(text) & set(" \n\t\"'$`\\")
        assert Token.parse(f"  {text[:40]}\n{text[40:]} ") == Token.parse(text)

    def test_a_character_that_is_wrong_or_missing_is_seen(self, group: Group) -> None:
        text = group.invite().text()
        for wrong in (text[:-1], text[1:], text[:50] + "A" + text[51:], text + "AAAA", "", "catchment."):
            if wrong != text:
                with pytest.raises(MalformedError):
                    Token.parse(wrong)

    def test_headquarters_keeps_nothing_that_lets_anybody_in(self, group: Group) -> None:
        token = group.invite()
        group.registry.close()
        for file in (group.home / "security").iterdir():
            content = file.read_bytes()
            assert token.secret not in content and token.text().encode() not in content

    def test_it_is_not_shown_by_accident(self, group: Group) -> None:
        token = group.invite()
        assert token.secret.hex() not in repr(token) and str(token.secret) not in repr(token)


class TestEnrolment:
    def test_a_token_and_an_approval_let_a_node_in(self, group: Group) -> None:
        grant = group.let_in(GATEWAY)
        assert [upstream.node.id for upstream in grant.upstreams] == ["hub-1"]
        assert grant.headquarters == group.identity.public
        assert group.codes == ["enrolment-asked", "enrolled"]

    def test_the_same_keys_get_the_same_certificate_however_often_they_ask(self, group: Group) -> None:
        token = group.invite()
        assert group.ask(token, GATEWAY) is None
        group.office.approve("unit-1")
        group.now += days(4)  # the token has expired since; it was used in time
        first, second = group.ask(token, GATEWAY), group.ask(token, GATEWAY)
        assert first is not None and second is not None and first.chain == second.chain

    def test_a_used_token_lets_no_other_keys_in(self, group: Group) -> None:
        token = group.invite()
        group.ask(token, GATEWAY)
        thief = Identity.generate("unit-1", "gateway", "plant-a")
        refused("used-token", lambda: group.ask(token, thief))
        group.office.approve("unit-1")
        refused("used-token", lambda: group.ask(token, thief))
        assert [row.event for row in group.registry.audited(2)] == ["used-token", "approved"]

    def test_a_token_is_worth_one_certificate(self, group: Group) -> None:
        token = group.invite()
        group.ask(token, GATEWAY)
        group.office.approve("unit-1")
        group.ask(token, GATEWAY)
        other = Identity.generate("unit-1", "gateway", "plant-a")
        group.let_in(other)
        refused("used-token", lambda: group.ask(token, GATEWAY))
        current = [row.node for row in group.registry.keys_of() if row.state is KeyState.CURRENT]
        assert current == [other.public], "retired keys put no others out"

    def test_keys_that_were_rotated_away_do_not_come_back_by_their_token(
        self, group: Group, tmp_path: Path
    ) -> None:
        token, home = group.invite(), tmp_path
        old = Identity.create(home, "unit-1", "gateway", "plant-a")
        (home / "gateway.toml").write_text('[gateway]\nid = "unit-1"\nsite = "plant-a"\n')
        group.ask(token, old)
        group.office.approve("unit-1")
        grant = group.ask(token, old)
        assert grant is not None
        accept(home, grant, old.public, "gateway.toml", new_keys=False)
        steps = [Renewal(home).step(DirectCalls(group), group.now, rotate) for rotate in (True, False)]
        assert steps == [Step.ROTATED, Step.CONFIRMED]
        refused("used-token", lambda: group.ask(token, old))
        states = [row.state for row in group.registry.keys_of()]
        assert states == [KeyState.RETIRED, KeyState.CURRENT]

    def test_no_used_token_ends_a_quarantine_or_the_offline_window(self, group: Group) -> None:
        token = group.invite()
        group.ask(token, GATEWAY)
        group.office.approve("unit-1")
        group.ask(token, GATEWAY)
        group.registry.set_status("unit-1", NodeStatus.QUARANTINED, "clone")
        group.now += days(365 + 91)
        refused("used-token", lambda: group.ask(token, GATEWAY))
        node = group.registry.node("unit-1")
        assert node is not None and node.state is NodeStatus.QUARANTINED

    def test_who_is_quarantined_between_asking_and_being_approved_is_not_let_in(self, group: Group) -> None:
        group.let_in(GATEWAY)
        token = group.invite()
        group.ask(token, GATEWAY)
        group.registry.set_status("unit-1", NodeStatus.QUARANTINED, "clone")
        group.office.approve("unit-1")
        group.now += days(366)
        refused("keys-out-of-force", lambda: group.ask(token, GATEWAY))

    def test_an_expired_token_is_refused(self, group: Group) -> None:
        token = group.invite(valid_s=3600)
        group.now += 3601
        refused("expired-token", lambda: group.ask(token, GATEWAY))

    def test_an_unknown_token_is_refused(self, group: Group) -> None:
        token = replace(group.invite(), secret=os.urandom(16))
        refused("unknown-token", lambda: group.ask(token, GATEWAY))

    @pytest.mark.parametrize(
        ("node", "code"),
        (
            (Identity.generate("unit-1", "gateway", "plant-b"), "wrong-site"),
            (Identity.generate("unit-2", "gateway", "plant-a"), "wrong-node"),
            (Identity.generate("unit-1", "hub", "plant-a"), "wrong-node"),
        ),
    )
    def test_a_token_of_another_node_or_site_is_refused(
        self, group: Group, node: Identity, code: str
    ) -> None:
        refused(code, lambda: group.ask(group.invite(), node))
        assert group.codes == [code] and group.ask(group.invite(), GATEWAY) is None

    def test_a_rejected_node_is_told_why(self, group: Group) -> None:
        token = group.invite()
        group.ask(token, GATEWAY)
        group.office.reject("unit-1", "not expected before May")
        with pytest.raises(CallRefusedError, match="not expected before May"):
            group.ask(token, GATEWAY)

    def test_a_hub_learns_nothing_that_lets_its_own_keys_in(self, group: Group) -> None:
        token = group.invite()
        request = Request(GATEWAY.public, NOW, os.urandom(16), token.token_id)
        argument = sign_enrolment(request, token.key(), GATEWAY.signing)
        own = Identity.generate("unit-1", "gateway", "plant-a")
        forged = Request(own.public, NOW, request.nonce, token.token_id)
        for wrong in (
            {**argument, "request": forged.pack()},
            {**argument, "request": forged.pack(), "own": own.signing.sign(b"", forged.pack())},
            sign_enrolment(forged, own.signing, own.signing),
        ):
            with pytest.raises(CallRefusedError):
                group.desk.enrol(via(HUB.public), wrong)

    def test_a_direct_caller_must_have_the_link_key_that_it_names(self, group: Group) -> None:
        token = group.invite()
        request = Request(GATEWAY.public, NOW, os.urandom(16), token.token_id)
        argument = sign_enrolment(request, token.key(), GATEWAY.signing)
        stranger = Caller(Identity.generate("x", "gateway").public.link, None)
        refused("wrong-link", lambda: group.desk.enrol(stranger, argument))
        assert group.ask(token, GATEWAY, via_hub=False) is None

    def test_keys_of_another_node_are_refused(self, group: Group) -> None:
        group.let_in(GATEWAY)
        twin = Identity(replace(GATEWAY.public, id="unit-2"), GATEWAY.signing, GATEWAY.link)
        refused("known-keys", lambda: group.ask(group.invite("unit-2"), twin))

    def test_a_later_request_takes_the_place_of_an_earlier_one(self, group: Group) -> None:
        first, second = group.invite(), group.invite()
        group.ask(first, GATEWAY)
        other = Identity.generate("unit-1", "gateway", "plant-a")
        group.ask(second, other)
        group.office.approve("unit-1")
        refused("used-token", lambda: group.ask(first, GATEWAY))
        assert group.ask(second, other) is not None

    def test_new_keys_retire_the_old_ones_whose_signatures_stay(self, group: Group) -> None:
        group.let_in(GATEWAY)
        other = Identity.generate("unit-1", "gateway", "plant-a")
        group.let_in(other)
        assert [row.state for row in group.registry.keys_of("unit-1")] == [KeyState.RETIRED, KeyState.CURRENT]

    def test_a_revoked_node_comes_back_with_new_keys_only(self, group: Group) -> None:
        group.let_in(GATEWAY)
        assert group.office.revoke("unit-1", "stolen") == 1
        refused("keys-out-of-force", lambda: group.ask(group.invite(), GATEWAY))
        group.let_in(Identity.generate("unit-1", "gateway", "plant-a"))
        node = group.registry.node("unit-1")
        assert node is not None and node.state is NodeStatus.ACTIVE

    @given(argument=st.one_of(st.none(), st.dictionaries(st.text(), st.binary()), st.binary()))
    def test_rubbish_is_refused(self, tmp_path_factory: pytest.TempPathFactory, argument: object) -> None:
        for name in ("token", "current"):
            with pytest.raises(PeerError):
                parse_signed(argument, name)


class TestGrant:
    def test_it_holds_for_one_request_one_root_and_one_set_of_keys(self, group: Group) -> None:
        token = group.invite()
        group.ask(token, GATEWAY)
        group.office.approve("unit-1")
        request = Request(GATEWAY.public, NOW, os.urandom(16), token.token_id)
        argument = sign_enrolment(request, token.key(), GATEWAY.signing)
        state, _, signed = parse_answer(group.desk.enrol(via(HUB.public), argument))
        assert state is State.GRANTED
        assert open_grant(signed, request.pack(), token.root, NOW).headquarters.id == "headquarters"
        never_set = 0.0
        assert open_grant(signed, request.pack(), token.root, never_set).headquarters.id == "headquarters"
        with pytest.raises(IntegrityError, match="another root"):
            open_grant(signed, request.pack(), bytes(32), NOW)
        with pytest.raises(IntegrityError, match="another request"):
            open_grant(signed, replace(request, nonce=bytes(16)).pack(), token.root, NOW)
        with pytest.raises(IntegrityError, match="replaced"):
            open_grant(signed, request.pack(), token.root, NOW, generation=2)
        for at in (0, 70, len(signed) - 3):
            damaged = bytearray(signed)
            damaged[at] ^= 1
            with pytest.raises(PeerError):
                open_grant(bytes(damaged), request.pack(), token.root, NOW)

    def test_a_certificate_of_another_node_in_it_is_refused(self, group: Group) -> None:
        other = Identity.generate("unit-2", "gateway", "plant-a").public
        request = Request(GATEWAY.public, NOW, bytes(16), bytes(8))
        packed = request.pack()
        chain = (group.issue(other).der, group.authority.certificate.der)
        grant = Grant(
            hashlib.sha256(packed).digest(), NOW, chain, group.authority.root.der, group.identity.public, ()
        )
        with pytest.raises(WrongNodeError):
            open_grant(grant.sign(group.authority.key), packed, group.root_hash, NOW)

    def test_a_hub_cannot_sign_one(self, group: Group, tmp_path: Path) -> None:
        token = group.invite()
        request = Request(GATEWAY.public, NOW, bytes(16), token.token_id)
        own = authorities.create(tmp_path / "evil", tmp_path / "evil.key", "evil", NOW, None, None)
        chain = (group.issue(GATEWAY.public).der, group.authority.certificate.der)
        grant = Grant(
            hashlib.sha256(request.pack()).digest(),
            NOW,
            chain,
            group.authority.root.der,
            HUB.public,
            (),
        )
        with pytest.raises(IntegrityError, match="not signed by the authority"):
            open_grant(grant.sign(own.key), request.pack(), token.root, NOW)


def renew(group: Group, current: Identity, wanted: Identity, serial: int, confirms: bool = False) -> object:
    request = Request(wanted.public, group.now, os.urandom(16), b"", serial, confirms)
    argument = sign_renewal(request, current.signing, wanted.signing)
    return parse_answer(group.desk.renew(via(HUB.public), argument))


class TestRenewal:
    def test_a_request_that_was_kept_back_puts_no_later_keys_out(self, group: Group, tmp_path: Path) -> None:
        """What a hub can do: withhold a renewal, and show it when the gateway has new keys."""
        home = tmp_path / "gw"
        home.mkdir()
        old = group.gateway(home)
        group.now += days(250)
        serial = group.registry.keys_of()[-1].serial
        kept_back = sign_renewal(
            Request(old.public, group.now, os.urandom(16), serial=serial), old.signing, old.signing
        )
        group.now += 60
        assert Renewal(home).step(DirectCalls(group), group.now, True) is Step.ROTATED
        refused("replayed-request", lambda: group.desk.renew(via(HUB.public), kept_back))
        assert Renewal(home).step(DirectCalls(group), group.now, False) is Step.CONFIRMED
        refused("out-of-force", lambda: group.desk.renew(via(HUB.public), kept_back))
        assert [row.state for row in group.registry.keys_of()] == [KeyState.RETIRED, KeyState.CURRENT]

    def serial(self, group: Group) -> int:
        return group.registry.keys_of("unit-1")[0].serial

    def test_both_certificates_are_good_until_the_new_one_is_confirmed(self, group: Group) -> None:
        group.let_in(GATEWAY)
        new = Identity.generate("unit-1", "gateway", "plant-a")
        renew(group, GATEWAY, new, self.serial(group))
        first, second = group.registry.keys_of("unit-1")
        assert (first.state, second.state) == (KeyState.CURRENT, KeyState.NEXT)
        renew(group, new, new, second.serial, confirms=True)
        assert [row.state for row in group.registry.keys_of("unit-1")] == [KeyState.RETIRED, KeyState.CURRENT]

    def test_an_answer_that_was_lost_is_given_again(self, group: Group) -> None:
        group.let_in(GATEWAY)
        new = Identity.generate("unit-1", "gateway", "plant-a")
        for _ in range(3):
            renew(group, GATEWAY, new, self.serial(group))
        assert len(group.registry.keys_of("unit-1")) == 2

    def test_keys_that_were_lost_are_replaced_by_others(self, group: Group) -> None:
        group.let_in(GATEWAY)
        for _ in range(2):
            new = Identity.generate("unit-1", "gateway", "plant-a")
            renew(group, GATEWAY, new, self.serial(group))
        states = [row.state for row in group.registry.keys_of("unit-1")]
        assert states == [KeyState.CURRENT, KeyState.RETIRED, KeyState.NEXT]

    def test_the_key_in_force_must_sign(self, group: Group) -> None:
        group.let_in(GATEWAY)
        thief = Identity.generate("unit-1", "gateway", "plant-a")
        refused("wrong-signature", lambda: renew(group, thief, thief, self.serial(group)))
        refused("unknown-certificate", lambda: renew(group, thief, thief, 4711))

    def test_nothing_but_the_keys_can_be_changed(self, group: Group) -> None:
        group.let_in(GATEWAY)
        moved = Identity.generate("unit-1", "gateway", "plant-b")
        refused("wrong-site", lambda: renew(group, GATEWAY, moved, self.serial(group)))
        risen = Identity.generate("unit-1", "hub", "plant-a")
        refused("wrong-site", lambda: renew(group, GATEWAY, risen, self.serial(group)))
        other = Identity.generate("unit-2", "gateway", "plant-a")
        refused("unknown-certificate", lambda: renew(group, GATEWAY, other, self.serial(group)))

    def test_a_certificate_that_expired_is_renewed_within_the_offline_window_only(self, group: Group) -> None:
        group.let_in(GATEWAY)
        group.now += days(365 + 89)
        renew(group, GATEWAY, GATEWAY, self.serial(group))
        group.now += days(2)
        refused("expired-too-long", lambda: renew(group, GATEWAY, GATEWAY, self.serial(group)))

    @pytest.mark.parametrize("what", ("revoked", "quarantined"))
    def test_a_node_out_of_force_renews_nothing(self, group: Group, what: str) -> None:
        group.let_in(GATEWAY)
        if what == "revoked":
            group.office.revoke("unit-1", "stolen")
            refused("out-of-force", lambda: renew(group, GATEWAY, GATEWAY, self.serial(group)))
        else:
            group.registry.set_status("unit-1", NodeStatus.QUARANTINED, "clone")
            refused("quarantined", lambda: renew(group, GATEWAY, GATEWAY, self.serial(group)))

    def test_retired_keys_renew_nothing(self, group: Group) -> None:
        group.let_in(GATEWAY)
        serial = self.serial(group)
        group.let_in(Identity.generate("unit-1", "gateway", "plant-a"))
        refused("out-of-force", lambda: renew(group, GATEWAY, GATEWAY, serial))

    def test_keys_that_were_in_use_before_are_not_taken_again(self, group: Group) -> None:
        group.let_in(GATEWAY)
        new = Identity.generate("unit-1", "gateway", "plant-a")
        group.let_in(new)
        serial = group.registry.keys_of("unit-1")[1].serial
        refused("known-keys", lambda: renew(group, new, GATEWAY, serial))


class TestOffice:
    def test_a_node_is_listed_through_all_its_states(self, group: Group) -> None:
        def state() -> object:
            return next(row["state"] for row in listing(group.registry, group.now) if row["id"] == "unit-1")

        token = group.invite()
        assert state() == "invited"
        group.ask(token, GATEWAY)
        (row,) = listing(group.registry, group.now)
        assert (row["state"], row["asks"], row["asks_via"]) == ("asks", fingerprint(GATEWAY.public), "hub-1")
        group.office.approve("unit-1")
        group.ask(token, GATEWAY)
        assert state() == "active"
        group.registry.set_status("unit-1", NodeStatus.QUARANTINED, "clone")
        assert state() == "quarantined"
        group.office.revoke("unit-1", "stolen")
        assert state() == "revoked"

    def test_who_did_not_ask_is_not_approved(self, group: Group) -> None:
        with pytest.raises(InputError, match="a request that waits"):
            group.office.approve("unit-1")

    def test_a_quarantined_node_needs_new_keys_to_be_approved(self, group: Group) -> None:
        group.let_in(GATEWAY)
        group.registry.set_status("unit-1", NodeStatus.QUARANTINED, "clone")
        with pytest.raises(InputError, match="new keys"):
            group.office.approve("unit-1")
        refused("keys-out-of-force", lambda: group.ask(group.invite(), GATEWAY))
        group.let_in(Identity.generate("unit-1", "gateway", "plant-a"))
        assert group.registry.keys_of("unit-1")[0].state is KeyState.RETIRED

    def test_headquarters_does_not_rotate_with_the_others(self, group: Group) -> None:
        group.desk.enrol_self()
        with pytest.raises(InputError, match="authority replace --new-keys"):
            group.office.rotate("headquarters")
        with pytest.raises(InputError, match="a node with a certificate"):
            group.office.rotate("nobody")

    def test_names_are_checked_before_a_token_is_made(self, group: Group) -> None:
        with pytest.raises(InputError, match="a node name"):
            group.invite("Unit 1")
        with pytest.raises(InputError, match="a site name"):
            group.invite("unit-1", "Plant A")
        assert group.registry.tokens() == []

    def test_requests_survive_a_restart(self, group: Group) -> None:
        token = group.invite()
        group.ask(token, GATEWAY)
        group.open_desk()
        request = group.registry.request("unit-1")
        assert request is not None and request.state is RequestState.PENDING
        assert SigningKey(bytes(32)).public != request.node.signing == GATEWAY.public.signing
