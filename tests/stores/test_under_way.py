"""What is under way: requests under keys, and sign-ins at a provider."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine

from headquarters.accounts.credentials import Externals, ExternalSignIn
from headquarters.api.store import FORGOTTEN_US, KEPT_US, Kept, Keys
from headquarters.db.engine import reading, writing
from headquarters.errors import ConflictError
from tests.stores.people_parts import NOW_US, make_user

REQUEST = bytes(range(32))


def begun(engine: Engine, key: str = "k", at_us: int = NOW_US, principal: str = "anna") -> Kept | None:
    with writing(engine) as session:
        return Keys(session).begin(principal, key, REQUEST, at_us)


def test_a_request_under_a_key_is_begun_once_and_its_answer_kept_for_a_day(engine: Engine) -> None:
    assert begun(engine) is None
    assert begun(engine) == Kept(REQUEST, None, "", b"")
    assert begun(engine, principal="ben") is None, "a key is of who asks"
    with writing(engine) as session:
        Keys(session).end("anna", "k", 201, "application/json", b'{"n": 1}')
    assert begun(engine, at_us=NOW_US + KEPT_US) == Kept(REQUEST, 201, "application/json", b'{"n": 1}')
    assert begun(engine, at_us=NOW_US + KEPT_US + 1) is None


def test_a_key_is_free_again_when_its_request_failed_or_was_cut(engine: Engine) -> None:
    assert begun(engine) is None
    with writing(engine) as session:
        Keys(session).forget("anna", "k")
    assert begun(engine) is None
    assert begun(engine, at_us=NOW_US + FORGOTTEN_US) is not None
    assert begun(engine, at_us=NOW_US + FORGOTTEN_US + 1) is None


def test_of_many_at_once_one_has_the_key(engine: Engine) -> None:
    found: list[Kept | None] = []
    threads = [threading.Thread(target=lambda: found.append(begun(engine))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and found.count(None) == 1


def test_a_sign_in_at_a_provider_comes_back_once_and_in_time(engine: Engine) -> None:
    row = ExternalSignIn("works", "nonce", b"sealed", b"browser", "/trends", NOW_US + 10)
    with writing(engine) as session:
        for state in ("one", "two"):
            Externals(session).begin(state, row)
    for state, at_us, came in (
        ("three", NOW_US, None), ("one", NOW_US, row), ("one", NOW_US, None), ("two", NOW_US + 10, None),
    ):  # fmt: skip
        with writing(engine) as session:
            assert Externals(session).take(state, at_us) == came, (state, at_us)


def test_a_subject_of_an_issuer_is_one_user(engine: Engine) -> None:
    anna, ben = make_user(engine, "anna"), make_user(engine, "ben")
    with writing(engine) as session:
        Externals(session).bind("https://id.example", "7", anna.id)
    with pytest.raises(ConflictError), writing(engine) as session:
        Externals(session).bind("https://id.example", "7", ben.id)
    with reading(engine) as session:
        assert Externals(session).user("https://id.example", "7") == anna.id
        assert Externals(session).user("https://other.example", "7") is None
    with writing(engine) as session:
        Externals(session).unbind(anna.id)
        assert Externals(session).user("https://id.example", "7") is None
