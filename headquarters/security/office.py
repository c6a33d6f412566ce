"""What an operator decides about nodes: invite, approve, reject, revoke, rotate; and how they stand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from headquarters.security.registry import (
    AuditRow,
    KeyRow,
    KeyState,
    NodeStatus,
    Registry,
    RequestRow,
    RequestState,
    TokenRow,
)
from protocols.batch import is_name
from protocols.enrolment import SECRET_BYTES, Token, fingerprint, iso, unpack_link
from protocols.errors import InputError, Problem
from protocols.identity import PublicIdentity

TOKENS_MAX = 10_000
"""Tokens made in one go: a large group's gateways."""


class Door(NamedTuple):
    """Where new nodes ask.

    Args:
        node: Whose socket it is.
        address: The enrolment socket as nodes reach it.
    """

    node: PublicIdentity
    address: str


class Invitation(NamedTuple):
    """A token as it is given out.

    Args:
        token: With its secret, which nobody keeps.
        expires: Seconds since 1970.
    """

    token: Token
    expires: float

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "id": self.token.id,
            "site": self.token.site,
            "role": self.token.role,
            "address": self.token.address,
            "expires": iso(self.expires),
            "token": self.token.text(),
        }


class Office:
    """Decisions, each with a line in the audit.

    Args:
        registry: The register.
        operator: Who decides, for the audit.
        now: Seconds since 1970.
    """

    def __init__(self, registry: Registry, operator: str, now: float) -> None:
        self._registry = registry
        self._operator = operator
        self._now = now

    def invite(
        self, door: Door, root: bytes, ids: list[str], site: str, role: str, valid_s: float
    ) -> list[Invitation]:
        """Make one token for each node.

        Args:
            door: Where the nodes ask.
            root: SHA-256 of the root certificate.
            ids: Names of the nodes.
            site: Their site; may be empty.
            role: `gateway` or `hub`.
            valid_s: How long the tokens are valid.

        Raises:
            InputError: A name or the site is not allowed.
            StoreError: The disk failed.
        """
        problems = [
            Problem("command line", "--id", id_, "a node name such as 'unit-1'")
            for id_ in ids
            if not is_name(id_)
        ]
        if site and not is_name(site):
            problems.append(Problem("command line", "--site", site, "a site name such as 'plant-a'"))
        if len(ids) > TOKENS_MAX:
            problems.append(
                Problem("command line", "--count", str(len(ids)), f"at most {TOKENS_MAX} at a time")
            )
        if problems:
            raise InputError(problems)
        made: list[Invitation] = []
        with self._registry.change():
            for id_ in ids:
                secret = os.urandom(SECRET_BYTES)
                token = Token(door.address, unpack_link(door.node.link), root, secret, id_, site, role)
                expires = self._now + valid_s
                self._registry.add_token(
                    TokenRow(
                        token.token_id, token.key().public, id_, role, site, self._now, expires, None, None
                    )
                )
                self._note("invited", id_, f"{role} of site {site!r}, until {iso(expires)}")
                made.append(Invitation(token, expires))
        return made

    def approve(self, id_: str) -> str:
        """Let a node in that asked; gives the fingerprint of its keys.

        Raises:
            InputError: It did not ask, or asked with keys that are out of force.
            StoreError: The disk failed.
        """
        request = self._request(id_)
        with self._registry.change():
            self._registry.decide(id_, RequestState.APPROVED)
            self._note("approved", id_, fingerprint(request.node))
        return fingerprint(request.node)

    def reject(self, id_: str, why: str) -> None:
        """Turn a node away that asked.

        Raises:
            InputError: It did not ask.
            StoreError: The disk failed.
        """
        self._request(id_)
        with self._registry.change():
            self._registry.decide(id_, RequestState.REJECTED, why)
            self._note("rejected", id_, why)

    def revoke(self, id_: str, why: str) -> int:
        """Put all keys of a node out of force, for good; gives how many sets of them.

        Raises:
            InputError: It has no certificate.
            StoreError: The disk failed.
        """
        self._node(id_)
        keys = [row for row in self._registry.keys_of(id_) if row.state is not KeyState.REVOKED]
        with self._registry.change():
            for row in keys:
                self._registry.move_keys(row.serial, KeyState.REVOKED, self._now)
            self._registry.set_status(id_, NodeStatus.REVOKED, why)
            if self._registry.request(id_) is not None:
                self._registry.decide(id_, RequestState.REJECTED, f"revoked: {why}")
            self._note("revoked", id_, why)
        return len(keys)

    def rotate(self, id_: str) -> None:
        """Ask a gateway or hub to make new keys at its next refresh.

        Raises:
            InputError: It has no certificate in force, or is headquarters.
            StoreError: The disk failed.
        """
        node = self._node(id_)
        if node.role == "headquarters":
            expected = (
                "a gateway or a hub; headquarters has new keys by: catchment-hq authority replace --new-keys"
            )
            raise InputError([Problem("command line", id_, node.role, expected)])
        with self._registry.change():
            self._registry.set_rotate(id_, True)
            self._note("rotation-asked", id_, "")

    def _request(self, id_: str) -> RequestRow:
        request = self._registry.request(id_)
        if request is None or request.state is not RequestState.PENDING:
            found = "" if request is None else f"a request that was {request.state}"
            node = self._registry.node(id_)
            expected = "a request that waits; see: catchment-hq gateways list"
            if node is not None and node.state is NodeStatus.QUARANTINED:
                expected = (
                    "a request with new keys: gateways invite, then enroll --new-keys on the true machine"
                )
            raise InputError([Problem("command line", id_, found, expected)])
        return request

    def _node(self, id_: str) -> PublicIdentity:
        keys = self._registry.keys_of(id_)
        if not keys:
            expected = "a node with a certificate; see: catchment-hq gateways list"
            raise InputError([Problem("command line", id_, "", expected)])
        return keys[-1].node

    def _note(self, event: str, node: str, detail: str) -> None:
        self._registry.audit(AuditRow(self._now, event, node, self._operator, detail))


def listing(registry: Registry, now: float, role: str | None = None) -> list[dict[str, Any]]:
    """Every node and everyone who asks or was invited, by name.

    Args:
        registry: The register.
        now: Seconds since 1970.
        role: Only nodes of this role; `None` for all.
    """
    found: dict[str, dict[str, Any]] = {}
    for token in registry.tokens():
        if token.used_by is None and now <= token.expires:
            found.setdefault(token.node, _row(token.node, token.role, token.site, "invited"))
    for node in registry.nodes():
        row = _row(node.id, node.role, node.site, node.state.value)
        row |= {"via": node.via, "why": node.why, "rotate": node.rotate}
        found[node.id] = row
    for keys in registry.keys_of():
        if keys.state in (KeyState.CURRENT, KeyState.NEXT) and keys.node.id in found:
            found[keys.node.id] |= _certificate(keys, now)
    for request in registry.requests():
        if request.state is RequestState.PENDING:
            asking = request.node
            row = found.setdefault(asking.id, _row(asking.id, asking.role, asking.site, "asks"))
            row |= {"asks": fingerprint(asking), "asked": iso(request.asked), "asks_via": request.via}
    return [row for _, row in sorted(found.items()) if role is None or row["role"] == role]


def _row(id_: str, role: str, site: str, state: str) -> dict[str, Any]:
    return {"id": id_, "role": role, "site": site, "state": state, "via": "", "why": "", "asks": ""}


def _certificate(row: KeyRow, now: float) -> Mapping[str, Any]:
    return {
        "fingerprint": fingerprint(row.node),
        "serial": f"{row.serial:x}",
        "expires": iso(row.not_after),
        "expired": now > row.not_after,
    }
