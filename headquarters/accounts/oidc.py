"""Signing in by an OpenID provider: authorization code with state, nonce and PKCE.

Rules:
1. A sign-in under way is kept here, bound to the browser that began it, and serves once, for ten minutes.
2. The provider's answer counts when its ID token is signed by the provider's keys, for us, now, with
   our nonce (OpenID Connect Core 1.0, section 3.1.3.7), and names the issuer (RFC 9207) that was asked.
3. A user is known by issuer and subject, never by a login or an e-mail address: those can be had by
   somebody else tomorrow. A login that is taken here already is not taken over.
4. Roles that the configuration maps from a claim follow the claim at each sign-in; others stay. The
   three administrators stay apart here as well.

::

    begun = oidc.begin("https://hq/sign-in/oidc", "/trends")    # redirect to begun.url, set begun.cookie
    accepted = oidc.finish(query_of_the_redirect, cookie, "https://hq/sign-in/oidc").accepted
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from headquarters.accounts.credentials import Externals, ExternalSignIn, draw, hash_of
from headquarters.accounts.people import People
from headquarters.accounts.sealing import Sealer
from headquarters.accounts.signin import Accepted
from headquarters.accounts.store import User, Users
from headquarters.accounts.terms import MINUTE_US
from headquarters.audit.trail import record
from headquarters.db.base import now_us
from headquarters.db.engine import writing
from headquarters.errors import SignInError
from headquarters.tenancy.permissions import ROLES
from headquarters.tenancy.principal import Principal, machine
from protocols.errors import InputError, PeerError, Problem

UNDER_WAY_US = 10 * MINUTE_US
"""How long somebody may take at the provider."""

KEPT_S = 600.0
"""How long the provider's metadata and keys are believed without asking again."""

LEEWAY_S = 60
"""How far the provider's clock may be from ours."""

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384")
"""What ID tokens may be signed with: public keys only, so that our own secret signs none."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID provider.

    Args:
        name: What it is called here.
        issuer: Its URL, as in its tokens.
        client_id: What we are called there.
        client_secret: Our secret there.
        tenant: The tenant that its users are members of.
        scopes: What is asked for.
        roles_claim: The claim that roles come from; empty: none do.
        roles: From the claim's values to roles.
        makes_users: Whether somebody who is not known yet becomes a user.
    """

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    tenant: str
    scopes: str = "openid profile email"
    roles_claim: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    makes_users: bool = True


class Begun(NamedTuple):
    """Where the browser is sent, and the cookie that it must come back with."""

    url: str
    cookie: str


class Finished(NamedTuple):
    """Somebody who was let in, and the path to go to."""

    accepted: Accepted
    next: str


Fetch = Callable[[str, Mapping[str, str] | None, tuple[str, str] | None], Any]
"""Gets a URL, or posts a form to it with basic authentication, and gives the JSON that came.

Raises `PeerError` when no JSON came."""


class Oidc:
    """Sign-in by one provider.

    Args:
        engine: The metadata store.
        provider: The provider.
        sealer: Of what a sign-in under way keeps.
        fetch: How the provider is asked.
        monotonic: A clock, for how long its answers are kept.
    """

    def __init__(
        self,
        engine: Engine,
        provider: Provider,
        sealer: Sealer,
        fetch: Fetch,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider = provider
        self._engine = engine
        self._sealer = sealer
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Any]] = {}

    def begin(self, redirect_uri: str, next: str, at_us: int | None = None) -> Begun:
        """Begin a sign-in.

        Args:
            redirect_uri: Where the provider sends the browser back to.
            next: A path of ours to go to afterwards.
            at_us: When; `None`: now.

        Raises:
            PeerError: The provider does not answer, or not as one.
            StoreError: The database failed.
        """
        at = now_us() if at_us is None else at_us
        endpoint = self._metadata()["authorization_endpoint"]
        state, nonce, browser, verifier = draw(), draw(), draw(), secrets.token_urlsafe(48)
        sealed = self._sealer.seal(verifier.encode(), state)
        row = ExternalSignIn(
            self.provider.name, nonce, sealed, hash_of(browser), _path(next), at + UNDER_WAY_US
        )
        with writing(self._engine) as session:
            Externals(session).begin(state, row)
        url = prepare_grant_uri(
            endpoint,
            self.provider.client_id,
            "code",
            redirect_uri,
            self.provider.scopes,
            state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return Begun(str(url), browser)

    def finish(
        self, answer: Mapping[str, str], cookie: str, redirect_uri: str, at_us: int | None = None
    ) -> Finished:
        """Let somebody in whom the provider sent back.

        Args:
            answer: The parameters of the redirect.
            cookie: From the browser.
            redirect_uri: The same as at the beginning.
            at_us: When; `None`: now.

        Raises:
            SignInError: Nobody is let in; recorded with its reason.
            PeerError: The provider does not answer, or not as one.
            StoreError: The database failed.
        """
        at = now_us() if at_us is None else at_us
        with writing(self._engine) as session:
            row = Externals(session).take(answer.get("state", ""), at)
        try:
            claims = self._claims(row, answer, cookie, redirect_uri, at)
            with writing(self._engine) as session:
                user = self._user(session, claims, at)
                self._map_roles(session, user, claims, at)
                by = f"oidc:{self.provider.name}"
                principal = Principal(user.id, user.login, "user", user.tenant, frozenset())
                record(session, principal, "sign-in.oidc", user.login, detail={"by": by}, at_us=at)
        except (SignInError, InputError) as error:
            self._note_refusal(str(error), at)
            raise SignInError(f"{self.provider.name}: {error}") from error
        return Finished(Accepted(user.id, by), row.next if row is not None else "/")

    # -- what the provider says ------------------------------------------------------------------------

    def _claims(
        self, row: ExternalSignIn | None, answer: Mapping[str, str], cookie: str, redirect_uri: str, at: int
    ) -> CodeIDToken:
        if row is None or row.provider != self.provider.name or row.browser != hash_of(cookie):
            raise SignInError("expected a sign-in that this browser began within ten minutes; try again")
        if answer.get("iss", self.provider.issuer) != self.provider.issuer:
            raise SignInError("expected an answer of the provider that was asked (RFC 9207)")
        if "error" in answer or not answer.get("code"):
            raise SignInError(f"expected a code, got {answer.get('error', 'none')[:60]!r}")
        form = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": redirect_uri,
            "code_verifier": self._sealer.open(row.verifier, answer["state"]).decode(),
        }
        basic = (self.provider.client_id, self.provider.client_secret)
        tokens = self._fetch(self._metadata()["token_endpoint"], form, basic)
        if not isinstance(tokens, dict) or not isinstance(tokens.get("id_token"), str):
            raise SignInError("expected an ID token, the provider gave none")
        return self._verified(tokens["id_token"], tokens.get("access_token"), row.nonce, at)

    def _verified(self, token: str, access_token: object, nonce: str, at: int) -> CodeIDToken:
        try:
            try:
                decoded = jwt.decode(token, self._keys(), algorithms=ALGORITHMS)
            except (JoseError, ValueError):  # the provider may have new keys
                decoded = jwt.decode(token, self._keys(anew=True), algorithms=ALGORITHMS)
            params = {"nonce": nonce, "client_id": self.provider.client_id, "access_token": access_token}
            options = {"iss": {"value": self.provider.issuer}, "aud": {"value": self.provider.client_id}}
            claims = CodeIDToken(decoded.claims, decoded.header, options, params)
            claims.validate(at // 1_000_000, LEEWAY_S)
        except (JoseError, ValueError, TypeError) as error:
            raise SignInError(f"expected an ID token for us, signed by the provider: {error}") from error
        if not isinstance(claims["sub"], str) or not 1 <= len(claims["sub"]) <= 255:
            raise SignInError("expected a subject of 1 to 255 characters in the ID token")
        return claims

    def _metadata(self) -> dict[str, Any]:
        issuer = self.provider.issuer

        def get() -> dict[str, Any]:
            found = self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration", None, None)
            if not isinstance(found, dict) or found.get("issuer") != issuer:
                raise PeerError(f"expected metadata of {issuer}, got that of another; see [oidc] issuer")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not is_safe_url(str(found.get(name, ""))):
                    raise PeerError(f"expected {name} of {issuer} as an https URL, got {found.get(name)!r}")
            return found

        return dict(self._keep("metadata", get))

    def _keys(self, anew: bool = False) -> KeySet:
        def get() -> KeySet:
            found = self._fetch(self._metadata()["jwks_uri"], None, None)
            try:
                return KeySet.import_key_set(found)
            except (JoseError, KeyError, TypeError, ValueError) as error:
                raise PeerError(f"expected a set of keys of {self.provider.issuer}: {error}") from error

        if anew:
            with self._lock:
                self._kept.pop("keys", None)
        keys: KeySet = self._keep("keys", get)
        return keys

    def _keep(self, name: str, get: Callable[[], Any]) -> Any:
        with self._lock:
            since, value = self._kept.get(name, (0.0, None))
        if value is None or self._monotonic() - since >= KEPT_S:
            value = get()
            with self._lock:
                self._kept[name] = (self._monotonic(), value)
        return value

    # -- whom we make of it ------------------------------------------------------------------------------

    def _user(self, session: Session, claims: Mapping[str, Any], at: int) -> User:
        externals, users = Externals(session), Users(session)
        known = externals.user(self.provider.issuer, claims["sub"])
        if known is None:
            if not self.provider.makes_users:
                raise SignInError("expected a user who is known here; ask the system administrator")
            login = login_of(claims)
            if users.by_login(login) is not None:
                raise SignInError(
                    f"expected a login that is free here, {login} is somebody's; ask the system administrator"
                )
            name = str(claims.get("name") or login)[:80]
            email = str(claims.get("email") or "") if claims.get("email_verified") is True else ""
            people = People(session, machine(f"oidc:{self.provider.name}"), at)
            known = people.add(self.provider.tenant, login, name, email).id
            externals.bind(self.provider.issuer, claims["sub"], known)
        user = users.get(known)
        if user is None or not users.is_let_in(known):
            raise SignInError("expected a user who is let in; this one is disabled")
        return user

    def _map_roles(self, session: Session, user: User, claims: Mapping[str, Any], at: int) -> None:
        if not self.provider.roles_claim:
            return
        given = claims.get(self.provider.roles_claim, [])
        values = given if isinstance(given, list) else [given]
        wanted = {self.provider.roles[value] for value in values if value in self.provider.roles}
        people = People(session, machine(f"oidc:{self.provider.name}"), at)
        own = Users(session).own_roles(user.id)
        for role in sorted(set(self.provider.roles.values()) & own - wanted):
            people.take_role(user.id, role)
        for role in sorted(wanted - own):
            people.give_role(user.id, role)

    def _note_refusal(self, why: str, at: int) -> None:
        principal = Principal("", self.provider.name, "user", self.provider.tenant, frozenset())
        with writing(self._engine) as session:
            record(session, principal, "sign-in.oidc", self.provider.issuer, "denied", {"why": why}, at_us=at)


def login_of(claims: Mapping[str, Any]) -> str:
    """The login that a new user gets.

    >>> login_of({"sub": "248289761001", "preferred_username": "Anna Li"})
    'anna-li'
    """
    told = str(claims.get("preferred_username") or claims.get("email") or claims["sub"]).lower()
    return re.sub(r"[^a-z0-9._@-]+", "-", told).strip("-._@")[:64] or "user"


def is_safe_url(url: str) -> bool:
    """Whether a secret may be sent there: over TLS, or to this machine.

    >>> is_safe_url("https://id.example.org/x"), is_safe_url("http://127.0.0.1:3000/x"), is_safe_url("http://id/x")
    (True, True, False)
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))


_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _path(next: str) -> str:
    """A path of ours, and nowhere else: `//other.example` and `/\\\\other.example` are elsewhere."""
    here = next.startswith("/") and not next.startswith(("//", "/\\")) and next.isprintable()
    return next if here else "/"


def parse_roles(text: str) -> dict[str, str]:
    """The mapping of `[oidc] roles`.

    >>> parse_roles("plant-operators=operator, data=engineer")
    {'plant-operators': 'operator', 'data': 'engineer'}

    Raises:
        ValueError: It is none.
    """
    pairs = [part.strip().split("=") for part in text.split(",") if part.strip()]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise ValueError(text)
    return {value.strip(): role.strip() for value, role in pairs}


def provider_of(settings: Mapping[str, Any]) -> Provider:
    """The provider that `[oidc]` describes.

    Raises:
        InputError: Its roles are none.
    """
    known = dict(settings)
    text = known.pop("roles") or ""
    try:
        roles = parse_roles(text)
    except ValueError as error:
        raise InputError([Problem("[oidc]", "roles", text, "VALUE=ROLE, VALUE=ROLE")]) from error
    expected = f"one of {', '.join(ROLES)}"
    strange = sorted(set(roles.values()) - ROLES.keys())
    unknown = [Problem("[oidc]", "roles", role, expected) for role in strange]
    if not is_safe_url(known["issuer"]):
        unknown.append(Problem("[oidc]", "issuer", known["issuer"], "an https URL"))
    if unknown:
        raise InputError(unknown)
    texts = {name: value or "" for name, value in known.items() if name != "makes_users"}
    return Provider(**texts, roles=roles, makes_users=known["makes_users"])


def json_of(body: bytes, url: str) -> Any:
    """The JSON of an answer.

    Raises:
        PeerError: It is none.
    """
    try:
        return json.loads(body)
    except ValueError as error:
        raise PeerError(f"expected JSON from {url}, got something else") from error
