"""Signing in by a provider that is not ours, and everything that must not let anybody in."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from click.testing import CliRunner
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import Engine, text

from headquarters import cli
from headquarters.accounts.oidc import Begun, Fetch, Oidc, Provider
from headquarters.accounts.oidcfetch import fetch
from headquarters.accounts.sealing import Sealer
from headquarters.accounts.store import User, Users
from headquarters.accounts.terms import MINUTE_US
from headquarters.audit.store import Audit, Filter
from headquarters.config import CONFIG, load
from headquarters.db.base import now_us
from headquarters.db.engine import reading, writing
from headquarters.errors import SignInError
from headquarters.metadata import open_metadata
from headquarters.web import opened
from protocols.daemon import Stop
from protocols.errors import PeerError
from tests.peers.foreign import SERVERS, ForeignServer, MissingPeerError, free_port
from tests.web.client import InProcess

PORTAL = "http://127.0.0.1:8600"
BACK = f"{PORTAL}/sign-in/oidc"
ROLES = {
    "operators": "operator",
    "admins": "system-administrator",
    "auditors": "audit-administrator",
}
SECRET = "of the tests, 32 characters long"


class Peer(NamedTuple):
    """oidc-provider on loopback, and the file of its users' claims."""

    issuer: str
    claims: Path

    def set_groups(self, *groups: str) -> None:
        """The groups that anna is in from now on."""
        anna = {"name": "Anna Li", "preferred_username": "Anna.Li", "groups": groups}
        self.claims.write_text(json.dumps({"248289": anna, "7": {"preferred_username": "anna.li"}}))


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    node = shutil.which("node")
    if node is None or not (SERVERS / "node_modules" / "oidc-provider").exists():
        raise MissingPeerError(
            "expected node and oidc-provider in tests/peers/servers; run `make peers`, or leave these"
            " tests out with `make test PEERS=0`"
        )
    folder = tmp_path_factory.mktemp("oidc-provider")
    claims = folder / "claims.json"
    claims.write_text("{}")
    command = [node, str(SERVERS / "oidc_server.mjs"), str(free_port()), str(claims), BACK]
    with ForeignServer(command, folder) as server:
        yield Peer(server.ready.strip(), claims)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = open_metadata(tmp_path, None)
    yield found
    found.dispose()


def make(engine: Engine, peer: Peer, ask: Fetch = fetch, **changes: Any) -> Oidc:
    settings: dict[str, Any] = {
        "name": "works",
        "issuer": peer.issuer,
        "client_id": "catchment",
        "client_secret": SECRET,
        "tenant": "group",
        "roles_claim": "groups",
        "roles": {
            "operators": "operator",
            "admins": "system-administrator",
            "auditors": "audit-administrator",
        },
    }
    return Oidc(engine, Provider(**settings | changes), Sealer(bytes(32)), ask)


def at_the_provider(begun: Begun, login: str = "248289") -> dict[str, str]:
    """What a person and a browser do there; gives the parameters of the redirect back to us."""
    with httpx.Client() as browser:
        answer = browser.get(begun.url)
        for _ in range(12):
            if answer.is_redirect:
                target = str(answer.next_request.url) if answer.next_request else ""
                if target.startswith(BACK):
                    return dict(parse_qsl(urlsplit(target).query))
                answer = browser.get(target)
                continue
            assert answer.status_code == 200, answer.text
            form = re.search(r'action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="([^"]+)"', answer.text)
            assert form and prompt, answer.text
            data = {"prompt": prompt[1], "login": login, "password": "any"}
            answer = browser.post(form[1], data=data)
    raise AssertionError("the provider never sent us back")


def user(engine: Engine, login: str) -> tuple[User, frozenset[str]]:
    with reading(engine) as session:
        found = Users(session).by_login(login)
        assert found is not None
        return found, Users(session).roles(found.id)


def refusals(engine: Engine) -> list[str]:
    with reading(engine) as session:
        entries = Audit(session).page(Filter(action="sign-in.oidc", outcome="denied"))
    return [json.loads(entry.content.detail)["why"] for entry in entries]


def test_somebody_new_becomes_a_user_and_is_known_again_by_issuer_and_subject(
    engine: Engine, peer: Peer
) -> None:
    peer.set_groups("operators", "others")
    oidc = make(engine, peer)
    begun = oidc.begin(BACK, "/trends?series=7")
    finished = oidc.finish(at_the_provider(begun), begun.cookie, BACK)
    anna, roles = user(engine, "anna.li")
    assert (finished.accepted.user, finished.next) == (anna.id, "/trends?series=7")
    assert (anna.name, roles) == ("Anna Li", frozenset({"operator"}))
    peer.set_groups("auditors")
    begun = oidc.begin(BACK, "//elsewhere.example")
    again = oidc.finish(at_the_provider(begun), begun.cookie, BACK)
    assert (again.accepted.user, again.next) == (anna.id, "/")
    assert user(engine, "anna.li")[1] == {"audit-administrator"}
    # Another subject of the same login is somebody else.
    begun = oidc.begin(BACK, "/")
    with pytest.raises(SignInError, match=r"anna\.li is somebody's"):
        oidc.finish(at_the_provider(begun, "7"), begun.cookie, BACK)


def test_an_answer_serves_once_in_its_own_browser_in_time(engine: Engine, peer: Peer) -> None:
    peer.set_groups()
    oidc = make(engine, peer)
    begun = oidc.begin(BACK, "/")
    answer = at_the_provider(begun)
    with pytest.raises(SignInError, match="this browser began"):
        oidc.finish(answer, "another browser's cookie", BACK)
    with pytest.raises(SignInError, match="this browser began"):
        oidc.finish(answer, begun.cookie, BACK)  # the attempt used it up
    begun = oidc.begin(BACK, "/")
    answer = at_the_provider(begun)
    oidc.finish(answer, begun.cookie, BACK)
    with pytest.raises(SignInError, match="this browser began"):
        oidc.finish(answer, begun.cookie, BACK)
    begun = oidc.begin(BACK, "/")
    with pytest.raises(SignInError, match="this browser began"):
        oidc.finish(at_the_provider(begun), begun.cookie, BACK, now_us() + 10 * MINUTE_US)
    for answer in ({}, {"state": ""}, {"state": "\0", "code": "x"}):
        with pytest.raises(SignInError, match="this browser began"):
            oidc.finish(answer, begun.cookie, BACK)
    assert len(refusals(engine)) == 7


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"iss": "https://other.example"}, "provider that was asked"),
        ({"error": "access_denied"}, "access_denied"),
        ({"code": ""}, "expected a code"),
    ],
)
def test_other_answers_are_refused(engine: Engine, peer: Peer, change: dict[str, str], expected: str) -> None:
    peer.set_groups()
    oidc = make(engine, peer)
    begun = oidc.begin(BACK, "/")
    with pytest.raises(SignInError, match=expected):
        oidc.finish(at_the_provider(begun) | change, begun.cookie, BACK)


def test_the_nonce_must_be_ours(engine: Engine, peer: Peer) -> None:
    peer.set_groups()
    oidc = make(engine, peer)
    begun = oidc.begin(BACK, "/")
    answer = at_the_provider(begun)
    with writing(engine) as session:
        session.execute(text("update external_sign_ins set nonce = 'another'"))
    with pytest.raises(SignInError, match="nonce"):
        oidc.finish(answer, begun.cookie, BACK)


def test_the_provider_refuses_another_verifier_and_a_wrong_secret(engine: Engine, peer: Peer) -> None:
    peer.set_groups()
    oidc = make(engine, peer)
    begun = oidc.begin(BACK, "/")
    answer = at_the_provider(begun)
    sealed = Sealer(bytes(32)).seal(b"x" * 64, answer["state"])
    with writing(engine) as session:
        session.execute(text("update external_sign_ins set verifier = :sealed"), {"sealed": sealed})
    with pytest.raises(PeerError, match="invalid_grant"):
        oidc.finish(answer, begun.cookie, BACK)
    begun = oidc.begin(BACK, "/")
    answer = at_the_provider(begun)
    with pytest.raises(PeerError, match="401"):
        make(engine, peer, client_secret="wrong").finish(answer, begun.cookie, BACK)


def claims_of(peer: Peer, nonce: str) -> dict[str, Any]:
    now = now_us() // 1_000_000
    who = {"iss": peer.issuer, "aud": "catchment", "sub": "248289", "nonce": nonce}
    return who | {"exp": now + 300, "iat": now}


@pytest.mark.parametrize("forgery", ["another key", "no signature", "our secret", "expired", "for another"])
def test_forged_tokens_are_refused(engine: Engine, peer: Peer, forgery: str) -> None:
    peer.set_groups()
    key = RSAKey.generate_key(2048, {"kid": "forged"}, private=True)
    nonces: list[str] = []

    def ask(url: str, form: Mapping[str, str] | None, basic: tuple[str, str] | None) -> Any:
        found = fetch(url, form, basic)
        if form is None:
            if url.endswith("/jwks") and forgery in ("expired", "for another"):
                return {"keys": [key.as_dict(private=False)]}
            return found
        claims = claims_of(peer, nonces[0])
        if forgery == "expired":
            claims["exp"] = claims["iat"] - 61
        if forgery == "for another":
            claims["aud"] = "somebody-else"
        if forgery == "no signature":
            head, body, _ = found["id_token"].split(".")
            none = jwt.encode({"alg": "RS256"}, claims, key).split(".")
            return found | {"id_token": f"eyJhbGciOiJub25lIn0.{none[1]}."}
        if forgery == "our secret":
            head, body, _ = found["id_token"].split(".")
            return found | {"id_token": f"eyJhbGciOiJIUzI1NiJ9.{body}.{head}"}
        return found | {"id_token": jwt.encode({"alg": "RS256", "kid": "forged"}, claims, key)}

    oidc = make(engine, peer, ask)
    begun = oidc.begin(BACK, "/")
    nonces.append(dict(parse_qsl(urlsplit(begun.url).query))["nonce"])
    with pytest.raises(SignInError, match="signed by the provider"):
        oidc.finish(at_the_provider(begun), begun.cookie, BACK)
    with reading(engine) as session:
        assert Users(session).all() == []


def test_the_administrators_stay_apart_whatever_the_provider_says(engine: Engine, peer: Peer) -> None:
    peer.set_groups("admins", "auditors")
    oidc = make(engine, peer)
    begun = oidc.begin(BACK, "/")
    with pytest.raises(SignInError, match="three people"):
        oidc.finish(at_the_provider(begun), begun.cookie, BACK)
    with reading(engine) as session:
        assert Users(session).all() == []


def test_who_is_unknown_or_disabled_stays_out(engine: Engine, peer: Peer) -> None:
    peer.set_groups("operators")
    closed = make(engine, peer, makes_users=False)
    begun = closed.begin(BACK, "/")
    with pytest.raises(SignInError, match="known here"):
        closed.finish(at_the_provider(begun), begun.cookie, BACK)
    oidc = make(engine, peer)
    begun = oidc.begin(BACK, "/")
    anna = oidc.finish(at_the_provider(begun), begun.cookie, BACK).accepted.user
    with writing(engine) as session:
        Users(session).set_disabled(anna, True)
    begun = oidc.begin(BACK, "/")
    with pytest.raises(SignInError, match="disabled"):
        oidc.finish(at_the_provider(begun), begun.cookie, BACK)


def test_only_the_issuer_itself_is_believed(engine: Engine, peer: Peer) -> None:
    def other(url: str, form: Mapping[str, str] | None, basic: tuple[str, str] | None) -> Any:
        return fetch(url, form, basic) | {"issuer": "https://other.example"}

    def plain(url: str, form: Mapping[str, str] | None, basic: tuple[str, str] | None) -> Any:
        return fetch(url, form, basic) | {"token_endpoint": "http://id.example/token"}

    with pytest.raises(PeerError, match="that of another"):
        make(engine, peer, other).begin(BACK, "/")
    with pytest.raises(PeerError, match="as an https URL"):
        make(engine, peer, plain).begin(BACK, "/")
    with pytest.raises(PeerError, match="expected an answer"):
        make(engine, peer, issuer=f"http://127.0.0.1:{free_port()}").begin(BACK, "/")


@pytest.fixture
def portal(tmp_path: Path, peer: Peer) -> Iterator[InProcess]:
    """The portal of a headquarters that is to sign people in by the provider."""
    home = tmp_path / "hq"
    assert CliRunner().invoke(cli.main, ["init", "--home", str(home), "--id", "hq"]).exit_code == 0
    web, oidc = (
        f'[web]\nbind = "{urlsplit(BACK).netloc}"\n',
        f'[oidc]\nname = "works"\nissuer = "{peer.issuer}"\n',
    )
    oidc += f'client_id = "catchment"\nclient_secret = "{SECRET}"\nroles_claim = "groups"\n'
    config = home / CONFIG
    config.write_text(f'{config.read_text()}\n{web}\n{oidc}roles = "operators=operator"\n')
    with opened(load(home), Stop()) as app:
        transport = InProcess(app)
        yield transport
        transport.end()


def test_a_browser_goes_to_the_provider_and_comes_back_signed_in(portal: InProcess, peer: Peer) -> None:
    peer.set_groups("operators")
    with httpx.Client(transport=portal, base_url=PORTAL) as browser:
        form = browser.get("/sign-in?back=/points")
        [link] = re.findall(r'href="(/sign-in/oidc/begin[^"]+)"', form.text)
        answer = at_the_provider(Begun(browser.get(link).headers["location"], ""))
        with httpx.Client(transport=portal, base_url=PORTAL) as other:
            assert other.get("/sign-in/oidc", params=answer).status_code == 401, "another browser"
        assert browser.get("/sign-in/oidc", params=answer).status_code == 401, "a state serves once"

        answer = at_the_provider(Begun(browser.get(link).headers["location"], ""))
        back = browser.get("/sign-in/oidc", params=answer)
        assert (back.status_code, back.headers["location"]) == (303, "/points")
        assert browser.get("/points").status_code == 200
        assert [name for name in browser.cookies if name.endswith("-oidc")] == []
