"""Passwords, one-time codes, CSRF tokens, sealed secrets: the pure parts of accounts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headquarters.accounts import csrf, password, sealing, totp
from headquarters.accounts.lockout import State, after_failure, is_locked
from headquarters.accounts.oidc import login_of, parse_roles, provider_of
from headquarters.accounts.password import Hasher
from headquarters.accounts.sealing import Sealer
from headquarters.accounts.terms import LOCK_US_MAX, Terms
from headquarters.config import OIDC
from protocols.errors import InputError, StoreDamagedError

CHEAP = Hasher(1, 8, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Korrekt-Pferd-7", ""),
        ("锅炉给水泵运行正常七号", "12 to 128"),
        ("锅炉给水泵运行正常七号机组-7", ""),
        ("short-A1", "12 to 128"),
        ("alllowercaseletters", "3 of"),
        ("aaaaaaaaaaaA1", "6 different"),
        ("Hello-anna-1234", "without the login"),
        ("Li-Wei-is-here-77", "without the login"),
        ("Password-1234", "common word"),
        ("P@ssw0rd-2026", "common word"),
        ("Catchment!2026", "common word"),
        ("x" * 129, "12 to 128"),
    ],
)
def test_good_and_bad_passwords(text: str, expected: str) -> None:
    found = password.faults(text, Terms(), "anna", "Li Wei Wei")
    assert [fault for fault in found if expected in fault] if expected else found == []


def test_a_refusal_never_shows_the_password() -> None:
    with pytest.raises(InputError) as caught:
        password.check("Secret-but-anna", Terms(password_classes_min=4), "anna", "Anna")
    assert "Secret-but" not in str(caught.value)


def test_the_same_password_typed_in_two_ways_is_one() -> None:
    kept = CHEAP.hash("Caf\u00e9-Korrekt-7")
    assert CHEAP.matches(kept, "Cafe\u0301-Korrekt-7")
    assert not CHEAP.matches(kept, "Cafe-Korrekt-7")
    assert kept.startswith("$argon2id$")
    assert not CHEAP.matches(None, "of nobody")
    assert not CHEAP.matches("no hash", "x")
    assert Hasher(2, 8, 1).is_outdated(kept) and not CHEAP.is_outdated(kept)


def test_the_costs_are_those_of_rfc_9106() -> None:
    assert "m=65536,t=3,p=4" in Hasher().hash("x")


def test_locks_grow_and_have_an_end() -> None:
    state, at = State(), 0
    for _ in range(40):
        state = after_failure(state, at, Terms())
        at = max(at, state.locked_until_us)
    assert state.failures == 40
    after = after_failure(state, at, Terms())
    assert after.locked_until_us - at == LOCK_US_MAX
    assert is_locked(after, at) and not is_locked(after, after.locked_until_us)


RFC_6238 = b"12345678901234567890"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
    ],
)
def test_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    at = seconds * 1_000_000
    step = totp.matching_step(RFC_6238, code, at, 0)
    assert step == seconds // 30
    assert totp.matching_step(RFC_6238, f" {code[:3]} {code[3:]}", at, 0) == step
    assert totp.matching_step(RFC_6238, code, at, seconds // 30) is None
    assert totp.matching_step(RFC_6238, code, at + 30_000_000, 0) == step
    assert totp.matching_step(RFC_6238, code, at + 60_000_000, 0) is None
    assert totp.matching_step(RFC_6238, code, at - 60_000_000, 0) is None


@pytest.mark.parametrize("code", ["", "1", "abcdef", "\ud800", "２８７０８２", "-87082"])
def test_what_is_no_code_matches_nothing(code: str) -> None:
    assert totp.matching_step(RFC_6238, code, 59_000_000, 0) is None


@given(st.text(), st.binary(min_size=16, max_size=16), st.text(max_size=100))
def test_a_csrf_token_is_of_its_session_and_garbage_is_none(session: str, salt: bytes, garbage: str) -> None:
    key = bytes(range(32))
    token = csrf.make(key, session, salt)
    assert csrf.holds(key, session, token)
    assert not csrf.holds(key, session + "x", token)
    assert not csrf.holds(bytes(32), session, token)
    assert not csrf.holds(key, session, garbage)
    for at in range(0, len(token), 7):
        changed = "A" if token[at] != "A" else "B"
        assert not csrf.holds(key, session, token[:at] + changed + token[at + 1 :])


@given(st.binary(max_size=64), st.text(max_size=20), st.integers(0, 200))
def test_what_is_sealed_is_bound_to_whose_it_is(secret: bytes, of: str, at: int) -> None:
    sealer = Sealer(bytes(32))
    sealed = sealer.seal(secret, of.encode("utf-8", "replace").decode())
    whose = of.encode("utf-8", "replace").decode()
    assert sealer.open(sealed, whose) == secret
    broken = bytearray(sealed)
    broken[at % len(broken)] ^= 1
    attempts: tuple[Callable[[], bytes], ...] = (
        lambda: sealer.open(sealed, whose + "x"),
        lambda: sealer.open(bytes(broken), whose),
        lambda: Sealer(bytes([1]) * 32).open(sealed, whose),
        lambda: sealer.open(b"", whose),
    )
    for wrong in attempts:
        with pytest.raises(StoreDamagedError):
            wrong()


def test_the_key_is_drawn_once_whoever_comes_first(tmp_path: Path) -> None:
    found: list[bytes] = []

    def load() -> None:
        found.append(sealing.load(tmp_path).derive(b"csrf"))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    path = tmp_path / sealing.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    path.write_text("no key")
    with pytest.raises(InputError, match="64 hexadecimal"):
        sealing.load(tmp_path)


@pytest.mark.parametrize(
    ("claims", "login"),
    [
        ({"sub": "1", "preferred_username": "Anna.Li"}, "anna.li"),
        ({"sub": "1", "email": "anna@example.org"}, "anna@example.org"),
        ({"sub": "auth0|77"}, "auth0-77"),
        ({"sub": "李"}, "user"),
    ],
)
def test_logins_of_new_users(claims: dict[str, str], login: str) -> None:
    assert login_of(claims) == login


def test_the_provider_that_the_settings_describe() -> None:
    defaults = {setting.name: setting.default for setting in OIDC}
    settings = defaults | {"issuer": "https://id.example.org", "client_secret": "s", "roles": "a=viewer"}
    provider = provider_of(settings)
    assert (provider.tenant, provider.roles, provider.makes_users) == ("group", {"a": "viewer"}, True)
    assert "client_secret" not in repr(provider)
    for change, expected in (
        ({"roles": "a"}, "VALUE=ROLE"),
        ({"roles": "a=king"}, "one of"),
        ({"issuer": "http://id.example.org"}, "https"),
    ):
        with pytest.raises(InputError, match=expected):
            provider_of(settings | change)
    assert parse_roles("") == {}
