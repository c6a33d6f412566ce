"""Signing in, sessions, tokens, links and second factors."""

from __future__ import annotations

import pyotp
import pytest
from sqlalchemy import Engine, text

from headquarters.accounts import tokens, totp
from headquarters.accounts.organisations import Organisations
from headquarters.accounts.own import OwnAccount
from headquarters.accounts.people import People
from headquarters.accounts.sealing import Sealer
from headquarters.accounts.sessions import Sessions
from headquarters.accounts.signin import Accepted, CodeNeededError, SignIn
from headquarters.accounts.store import User, Users
from headquarters.accounts.terms import DAY_US, GRACE_US, HOUR_US, LINK_US, MINUTE_US, ROTATE_US, Terms
from headquarters.audit.store import Audit, Filter
from headquarters.db.engine import reading, writing
from headquarters.errors import DeniedError, SignInError
from headquarters.tenancy import access
from protocols.errors import InputError, StoreDamagedError
from tests.stores.people_parts import CHEAP, NOW_US, PASSWORD, ROOT, acting, make_tenant, make_user

SEALER = Sealer(bytes(32))
TERMS = Terms()


def door(engine: Engine, terms: Terms = TERMS) -> SignIn:
    return SignIn(engine, terms, CHEAP, SEALER)


def own(engine: Engine, terms: Terms = TERMS) -> OwnAccount:
    return OwnAccount(engine, terms, CHEAP, SEALER)


def with_second_factor(engine: Engine, user: User, at_us: int = NOW_US) -> tuple[pyotp.TOTP, tuple[str, ...]]:
    sealed, uri = own(engine).begin_second_factor(user.id)
    authenticator = pyotp.parse_uri(uri)
    assert isinstance(authenticator, pyotp.TOTP)
    code = authenticator.at(at_us // 1_000_000)
    return authenticator, own(engine).confirm_second_factor(user.id, sealed, code, at_us=at_us)


def outcomes(engine: Engine, action: str) -> list[str]:
    with reading(engine) as session:
        entries = Audit(session).page(Filter(action=action))
    return [entry.content.outcome for entry in reversed(entries)]


def test_the_right_password_lets_in_and_the_wrong_one_does_not(engine: Engine) -> None:
    anna = make_user(engine, "anna", password=PASSWORD)
    assert door(engine).by_password(" Anna ", PASSWORD) == Accepted(anna.id, "password")
    for login, password in (
        ("anna", "wrong"),
        ("anna", ""),
        ("eve", PASSWORD),
        ("", ""),
        ("a\0b", "x\ud800"),
    ):
        with pytest.raises(SignInError, match="a login and its password"):
            door(engine).by_password(login, password)
    assert outcomes(engine, "sign-in.password") == ["done", *["denied"] * 5]


def test_a_user_without_a_password_is_let_in_by_none(engine: Engine) -> None:
    make_user(engine, "anna")
    with pytest.raises(SignInError):
        door(engine).by_password("anna", "of nobody")


def test_failures_lock_an_account_and_time_unlocks_it(engine: Engine) -> None:
    make_user(engine, "anna", password=PASSWORD)
    for _ in range(TERMS.lock_failures):
        with pytest.raises(SignInError):
            door(engine).by_password("anna", "wrong", at_us=NOW_US)
    locked_us = TERMS.lock_minutes * MINUTE_US
    with pytest.raises(SignInError):
        door(engine).by_password("anna", PASSWORD, at_us=NOW_US + locked_us - 1)
    with pytest.raises(SignInError):  # one more failure locks twice as long
        door(engine).by_password("anna", "wrong", at_us=NOW_US + locked_us)
    with pytest.raises(SignInError):
        door(engine).by_password("anna", PASSWORD, at_us=NOW_US + 3 * locked_us - 1)
    door(engine).by_password("anna", PASSWORD, at_us=NOW_US + 3 * locked_us)
    with reading(engine) as session:
        user = Users(session).by_login("anna")
        assert user is not None and user.lock.failures == 0


def test_who_is_disabled_is_let_in_by_nothing(engine: Engine) -> None:
    anna = make_user(engine, "anna", "viewer", password=PASSWORD)
    with writing(engine) as session:
        token = tokens.make(session, acting(engine, anna), "export", ["samples:read"], 30).text
    cookie = Sessions(engine, TERMS).begin(anna.id, "password", "", "")
    with writing(engine) as session:
        People(session, ROOT).set_disabled(anna.id, True)
    with pytest.raises(SignInError):
        door(engine).by_password("anna", PASSWORD)
    with pytest.raises(SignInError):
        tokens.authenticate(engine, token)
    assert Sessions(engine, TERMS).resume(cookie) is None


def test_a_second_factor_is_asked_for_and_its_code_serves_once(engine: Engine) -> None:
    anna = make_user(engine, "anna", password=PASSWORD)
    authenticator, _ = with_second_factor(engine, anna)
    later = NOW_US + 2 * totp.STEP_US
    code = authenticator.at(later // 1_000_000)
    with pytest.raises(CodeNeededError):
        door(engine).by_password("anna", PASSWORD, at_us=later)
    assert door(engine).by_password("anna", PASSWORD, code, at_us=later).by == "password+code"
    with pytest.raises(SignInError):
        door(engine).by_password("anna", PASSWORD, code, at_us=later)
    with pytest.raises(SignInError):
        door(engine).by_password("anna", "wrong", authenticator.at(later // 1_000_000 + 30), at_us=later)
    assert outcomes(engine, "sign-in.password+code") == ["done", "denied"]


def test_the_code_that_set_a_second_factor_up_does_not_sign_in(engine: Engine) -> None:
    anna = make_user(engine, "anna", password=PASSWORD)
    authenticator, _ = with_second_factor(engine, anna)
    with pytest.raises(SignInError):
        door(engine).by_password("anna", PASSWORD, authenticator.at(NOW_US // 1_000_000), at_us=NOW_US)


def test_a_recovery_code_serves_once_and_new_ones_replace_all(engine: Engine) -> None:
    anna = make_user(engine, "anna", password=PASSWORD)
    _, codes = with_second_factor(engine, anna)
    assert len(set(codes)) == 10
    assert door(engine).by_password("anna", PASSWORD, codes[0].upper()).by == "password+recovery"
    with pytest.raises(SignInError):
        door(engine).by_password("anna", PASSWORD, codes[0])
    new = own(engine).renew_recovery_codes(anna.id)
    with pytest.raises(SignInError):
        door(engine).by_password("anna", PASSWORD, codes[1])
    door(engine).by_password("anna", PASSWORD, new[1])


def test_a_second_factor_needs_a_right_code_and_its_own_secret(engine: Engine) -> None:
    anna, ben = make_user(engine, "anna"), make_user(engine, "ben")
    sealed, uri = own(engine).begin_second_factor(anna.id)
    authenticator = pyotp.parse_uri(uri)
    assert isinstance(authenticator, pyotp.TOTP)
    code = authenticator.at(NOW_US // 1_000_000)
    with pytest.raises(InputError, match="six figures"):
        own(engine).confirm_second_factor(anna.id, sealed, "000000", at_us=NOW_US + 10**12)
    with pytest.raises(StoreDamagedError):
        own(engine).confirm_second_factor(ben.id, sealed, code, at_us=NOW_US)
    own(engine).confirm_second_factor(anna.id, sealed, code, at_us=NOW_US)
    with pytest.raises(InputError, match="without a second factor"):
        own(engine).confirm_second_factor(anna.id, sealed, code, at_us=NOW_US)
    with writing(engine) as session:
        kept = session.execute(text("select totp from users where login = 'anna'")).scalar_one()
    assert pyotp.parse_uri(uri).byte_secret() not in bytes(kept)


def test_a_link_lets_in_once_and_not_for_ever(engine: Engine) -> None:
    anna = make_user(engine, "anna")
    with writing(engine) as session:
        people = People(session, ROOT, NOW_US)
        old, secret = people.link(anna.id), people.link(anna.id)
    found = door(engine).whose_link(secret, NOW_US)
    assert found is not None and found.login == "anna"
    for wrong, at in ((old, NOW_US), ("", NOW_US), (secret, NOW_US + LINK_US)):
        with pytest.raises(SignInError, match="a link"):
            door(engine).by_link(wrong, at_us=at)
    assert door(engine).by_link(secret, at_us=NOW_US) == Accepted(anna.id, "link")
    with pytest.raises(SignInError):
        door(engine).by_link(secret, at_us=NOW_US)


def test_a_link_asks_for_the_second_factor_and_is_not_used_up_by_the_question(engine: Engine) -> None:
    anna = make_user(engine, "anna")
    _, codes = with_second_factor(engine, anna)
    with writing(engine) as session:
        secret = People(session, ROOT, NOW_US).link(anna.id)
    with pytest.raises(CodeNeededError):
        door(engine).by_link(secret, at_us=NOW_US)
    assert door(engine).by_link(secret, codes[0], at_us=NOW_US).by == "link+recovery"


def test_a_new_password_ends_other_sessions_and_is_not_an_old_one(engine: Engine) -> None:
    anna = make_user(engine, "anna", password=PASSWORD)
    sessions = Sessions(engine, TERMS)
    here, there = (sessions.begin(anna.id, "password", "", "") for _ in range(2))
    resumed = sessions.resume(here)
    assert resumed is not None
    own(engine).set_password(anna.id, "Anders-Pferd-8", resumed.session.id)
    assert sessions.resume(here) is not None
    assert sessions.resume(there) is None
    for old in (PASSWORD, "Anders-Pferd-8"):
        with pytest.raises(InputError, match="had before"):
            own(engine).set_password(anna.id, old)
    with pytest.raises(InputError, match="12 to 128 characters"):
        own(engine).set_password(anna.id, "short")
    assert door(engine).confirms(anna.id, "Anders-Pferd-8")
    assert not door(engine).confirms(anna.id, PASSWORD)


def test_a_session_ends_when_it_is_idle_and_when_it_is_old(engine: Engine) -> None:
    anna = make_user(engine, "anna", "viewer")
    sessions = Sessions(engine, TERMS)
    idle_us = TERMS.idle_minutes * MINUTE_US
    token = sessions.begin(anna.id, "password", "10.0.0.7", "Browser/1\0", NOW_US)
    assert sessions.resume(token, NOW_US + idle_us) is None
    token, at = sessions.begin(anna.id, "password", "", "", NOW_US), NOW_US
    while at + idle_us // 2 < NOW_US + TERMS.session_hours * HOUR_US:
        at += idle_us // 2
        resumed = sessions.resume(token, at)
        assert resumed is not None and resumed.principal.roles == {"viewer"}
        token = resumed.token or token
    assert sessions.resume(token, NOW_US + TERMS.session_hours * HOUR_US) is None
    assert sessions.of_user(anna.id) == []


def test_a_sessions_token_is_rotated_and_the_old_one_betrays_its_thief(engine: Engine) -> None:
    anna = make_user(engine, "anna")
    sessions = Sessions(engine, TERMS)
    first = sessions.begin(anna.id, "password", "", "", NOW_US)
    rotated = sessions.resume(first, NOW_US + ROTATE_US)
    assert rotated is not None and rotated.token is not None
    under_way = sessions.resume(first, NOW_US + ROTATE_US + GRACE_US - 1)
    assert under_way is not None and under_way.token is None
    assert sessions.resume(rotated.token, NOW_US + ROTATE_US + GRACE_US) is not None
    assert sessions.resume(first, NOW_US + ROTATE_US + GRACE_US) is None
    assert sessions.resume(rotated.token, NOW_US + ROTATE_US + GRACE_US) is None
    assert outcomes(engine, "sessions.end") == ["denied"]


def test_sessions_are_listed_ended_and_rotated_by_their_owner(engine: Engine) -> None:
    anna, ben = make_user(engine, "anna"), make_user(engine, "ben")
    sessions = Sessions(engine, TERMS)
    one, two = (sessions.begin(anna.id, "password", "10.0.0.7", "Browser", NOW_US + at) for at in (0, 1))
    listed = sessions.of_user(anna.id)
    assert [row.created_us for row in listed] == [NOW_US + 1, NOW_US]
    assert not sessions.end_one(ben.id, listed[0].id)
    assert sessions.end_one(anna.id, listed[0].id)
    assert sessions.resume(two, NOW_US + 2) is None
    new = sessions.rotate(one, NOW_US + 2)
    assert new is not None and sessions.resume(new, NOW_US + 3) is not None
    assert sessions.rotate("nothing") is None
    sessions.end(new)
    assert sessions.resume(new, NOW_US + 4) is None
    assert outcomes(engine, "sessions.end") == ["done", "done"]


def test_while_there_are_duties_there_are_no_roles(engine: Engine) -> None:
    terms = Terms(password_days=90, second_factor="administrators")
    anna = make_user(engine, "anna", "system-administrator", password=PASSWORD)
    ben = make_user(engine, "ben", "viewer", password=PASSWORD)
    sessions = Sessions(engine, terms)
    cookies = [sessions.begin(user.id, "password", "", "", NOW_US) for user in (anna, ben)]
    resumed = [sessions.resume(cookie, NOW_US) for cookie in cookies]
    assert [each and each.duties for each in resumed] == [("second-factor",), ()]
    assert resumed[0] is not None and resumed[0].principal.roles == frozenset()
    late = NOW_US + 90 * DAY_US
    cookie = sessions.begin(ben.id, "password", "", "", late)
    old = sessions.resume(cookie, late)
    assert old is not None and (old.duties, old.principal.roles) == (("password",), frozenset())


def test_a_duty_is_not_got_round_by_a_token(engine: Engine) -> None:
    anna = make_user(engine, "anna", "viewer", password=PASSWORD)
    sessions = Sessions(engine, Terms(second_factor="everybody"))
    resumed = sessions.resume(sessions.begin(anna.id, "password", "", "", NOW_US), NOW_US)
    assert resumed is not None and resumed.duties == ("second-factor",)
    with pytest.raises(InputError, match="a permission that anna has"), writing(engine) as session:
        tokens.make(session, resumed.principal, "export", ["samples:read"], 30)


def test_a_token_does_what_its_owner_may_within_its_scopes_until_it_ends(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    anna = make_user(engine, "anna", "viewer", "operator", tenant="plant-a")
    with writing(engine) as session:
        made = tokens.make(
            session, acting(engine, anna), "export", ["samples:read", "queries:run"], 30, NOW_US
        )
    acts = tokens.authenticate(engine, made.text, NOW_US)
    assert (acts.kind, acts.id, acts.name) == ("token", anna.id, "anna/export")
    assert access.may(acts, "samples:read") and not access.may(acts, "alarms:read")
    with writing(engine) as session:
        People(session, ROOT).take_role(anna.id, "operator")
    assert not access.may(tokens.authenticate(engine, made.text, NOW_US), "queries:run")
    for wrong, at in ((made.text, NOW_US + 30 * DAY_US), (made.text[:-1] + "~", NOW_US), ("", NOW_US)):
        with pytest.raises(SignInError):
            tokens.authenticate(engine, wrong, at)
    changed = made.text[:-1] + ("A" if made.text[-1] != "A" else "B")
    with pytest.raises(SignInError):
        tokens.authenticate(engine, changed, NOW_US)
    with pytest.raises(DeniedError), writing(engine) as session:
        tokens.make(session, acts, "another", ["samples:read"], 30, NOW_US)
    with writing(engine) as session:
        tokens.revoke(session, acting(engine, anna), made.row.id, NOW_US)
    with pytest.raises(SignInError):
        tokens.authenticate(engine, made.text, NOW_US)


@pytest.mark.parametrize(
    ("name", "scopes", "days", "expected"),
    [
        ("", ["samples:read"], 30, "printable"),
        ("export", [], 30, "one permission at least"),
        ("export", ["samples:eat"], 30, "a permission such as"),
        ("export", ["users:write"], 30, "that anna has"),
        ("export", ["samples:read"], 0, "1 to 366 days"),
        ("export", ["samples:read"], 367, "1 to 366 days"),
    ],
)
def test_wrong_tokens_are_refused(
    engine: Engine, name: str, scopes: list[str], days: int, expected: str
) -> None:
    anna = acting(engine, make_user(engine, "anna", "viewer"))
    with pytest.raises(InputError, match=expected), writing(engine) as session:
        tokens.make(session, anna, name, scopes, days)


def test_others_tokens_are_the_security_administrators_affair(engine: Engine) -> None:
    anna = make_user(engine, "anna", "viewer")
    ben = acting(engine, make_user(engine, "ben", "system-administrator"))
    security = acting(engine, make_user(engine, "sec", "security-administrator"))
    with writing(engine) as session:
        made = tokens.make(session, security, "export", ["samples:read"], 30, user=anna.id)
    with pytest.raises(DeniedError), writing(engine) as session:
        tokens.revoke(session, ben, made.row.id)
    with writing(engine) as session:
        tokens.revoke(session, security, made.row.id)
    with pytest.raises(InputError), writing(engine) as session:
        tokens.revoke(session, security, made.row.id)


def test_a_disabled_tenants_sessions_end(engine: Engine) -> None:
    make_tenant(engine, "plant-a")
    anna = make_user(engine, "anna", tenant="plant-a", password=PASSWORD)
    cookie = Sessions(engine, TERMS).begin(anna.id, "password", "", "")
    with writing(engine) as session:
        Organisations(session, ROOT).set_disabled("plant-a", True)
    assert Sessions(engine, TERMS).resume(cookie) is None
    with pytest.raises(SignInError):
        door(engine).by_password("anna", PASSWORD)
