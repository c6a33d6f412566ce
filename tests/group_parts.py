"""An authority, its register and its desk without sockets: what tests of enrolment are built from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from headquarters.security import authority as authorities
from headquarters.security.authority import DAY_S
from headquarters.security.desk import Desk, Terms
from headquarters.security.office import Door, Office
from headquarters.security.publisher import Publisher
from headquarters.security.registry import AuditRow, Registry
from protocols.calls import Caller, CallTimeoutError
from protocols.certificates import Binding, Certificate, fingerprint
from protocols.enrolment import (
    Grant,
    Request,
    Token,
    Upstream,
    open_grant,
    parse_answer,
    sign_enrolment,
    unpack_link,
)
from protocols.identity import Identity, PublicIdentity
from protocols.joining import accept

NOW = 1_800_000_000.0
"""Some time in 2027."""

HUB = Identity.generate("hub-1", "hub")
CONFIG = '[gateway]\nid = "unit-1"\nsite = "plant-a"\n'


class Group:
    """Headquarters' side of enrolment, at a time that a test sets."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.now = NOW
        if authorities.exists(home):
            self.identity = Identity.load(home)
            self.authority = authorities.load(home, NOW)
        else:
            self.identity = Identity.create(home, "headquarters", "headquarters")
            self.authority = authorities.create(home, home / "root.key", "headquarters", NOW, None, None)
        self.registry = Registry(home / "security/registry.db")
        self.heard: list[AuditRow] = []
        self.terms = Terms(365, 90)
        self.open_desk()

    def open_desk(self) -> None:
        upstream = Upstream(HUB.public, "tcp://hub:7500", "tcp://hub:7501")
        self.desk = Desk(
            self.registry,
            self.authority,
            self.identity.public,
            lambda via: (upstream,) if via else (),
            self.terms,
            self.heard.append,
            lambda: self.now,
        )
        self.publisher = Publisher(self.registry, self.authority, 90, lambda: self.now)

    @property
    def office(self) -> Office:
        return Office(self.registry, "operator", self.now)

    @property
    def root_hash(self) -> bytes:
        return fingerprint(self.authority.root.der)

    @property
    def codes(self) -> list[str]:
        """Names of what was heard, in order."""
        return [row.event for row in self.heard]

    def invite(
        self, id: str = "unit-1", site: str = "plant-a", role: str = "gateway", valid_s: float = 3600.0
    ) -> Token:
        door = Door(HUB.public, "tcp://hub:7502")
        (invitation,) = self.office.invite(door, self.root_hash, [id], site, role, valid_s)
        return invitation.token

    def ask(self, token: Token, identity: Identity, via_hub: bool = True) -> Grant | None:
        """One `enrol` call of a node, verified as the node would."""
        request = Request(identity.public, self.now, os.urandom(16), token.token_id)
        caller = via(HUB.public) if via_hub else Caller(identity.public.link, None)
        answer = self.desk.enrol(caller, sign_enrolment(request, token.key(), identity.signing))
        _, _, signed = parse_answer(answer)
        return open_grant(signed, request.pack(), token.root, self.now) if signed else None

    def let_in(self, identity: Identity, id: str = "unit-1", site: str = "plant-a") -> Grant:
        """Invite, ask, approve and ask again."""
        token = self.invite(id, site, identity.public.role)
        assert self.ask(token, identity) is None
        self.office.approve(id)
        grant = self.ask(token, identity)
        assert grant is not None
        return grant

    def gateway(self, home: Path, id: str = "unit-1", site: str = "plant-a") -> Identity:
        """A gateway's home whose certificate is in force."""
        identity = Identity.create(home, id, "gateway", site)
        (home / "gateway.toml").write_text(CONFIG)
        accept(home, self.let_in(identity, id, site), identity.public, "gateway.toml", new_keys=False)
        return identity

    def issue(
        self, identity: PublicIdentity, *, level: int = 3, role: str = "", days: float = 365.0
    ) -> Certificate:
        """A certificate that the desk would perhaps not give."""
        binding = Binding(
            role or identity.role, level, identity.site, identity.id, unpack_link(identity.link)
        )
        return self.authority.issue(binding, identity.signing, self.now, days)


class DirectCalls:
    """The way to headquarters, without sockets: a node's calls through the hub."""

    def __init__(self, group: Group, caller: Caller | None = None) -> None:
        self.group = group
        self.caller = caller or Caller(b"", None)
        self.asked: list[str] = []
        self.dark = False
        self.lose_answer_to = ""

    def call(self, verb: str, argument: object = None, timeout_s: float | None = None) -> Any:
        self.asked.append(verb)
        if self.dark:
            raise CallTimeoutError("nobody there")
        answer: Any
        if verb == "directory":
            answer = self.group.publisher.directory(self.caller, argument)
        else:
            answer = getattr(self.group.desk, verb)(via(HUB.public), argument)
        if verb == self.lose_answer_to:
            raise CallTimeoutError("the answer was lost")
        return answer

    def close(self) -> None:
        pass


def via(hub: PublicIdentity) -> Caller:
    """A hub that passes something on."""
    return Caller(hub.link, hub)


def days(count: float) -> float:
    return count * DAY_S
