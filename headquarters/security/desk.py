"""The enrolment desk: what headquarters answers to nodes that ask to be let in, or for new certificates.

Rules:
1. Every refusal has a code, and a line in the register's audit and in the log. What is decided is
   in one transaction with its line.
2. A question may be asked again: the same keys get the same certificate, so that an answer which was
   lost costs nothing.
3. Keys belong to one node for ever: nobody gets in with keys that another node has or had.
4. A site, a level and a role are given by the token and never changed by a renewal.
5. A token and its approval are worth one certificate: who has it and lost it in time gets it again, but
   no other one in its place. Keys that were retired, or whose time is over, are not brought back by them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from headquarters.security.authority import DAY_S, Authority
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
from protocols.calls import Caller, CallRefusedError
from protocols.certificates import Binding
from protocols.enrolment import (
    RENEWAL_DOMAIN,
    TOKEN_DOMAIN,
    Grant,
    Request,
    Signed,
    Upstream,
    fingerprint,
    granted,
    parse_signed,
    pending,
    unpack_link,
)
from protocols.errors import IntegrityError, PeerError
from protocols.identity import LEVEL_OF, PublicIdentity


@dataclass(frozen=True, slots=True)
class Terms:
    """What certificates are given for.

    Args:
        certificate_days: How long one is valid.
        offline_days: For how long after its end it may still be renewed.
    """

    certificate_days: float
    offline_days: float


class Desk:
    """Answers `enrol` and `renew`.

    Args:
        registry: The register.
        authority: Signs.
        headquarters: Ourselves, as nodes know us.
        upstreams_of: Where a node sends that was let in through a hub (empty: directly).
        terms: What certificates are given for.
        heard: Told each line of the audit, for the log.
        clock: Seconds since 1970.
        updates_root: Gives the TUF root that a new node begins with; empty while there is none.
    """

    def __init__(
        self,
        registry: Registry,
        authority: Authority,
        headquarters: PublicIdentity,
        upstreams_of: Callable[[str], tuple[Upstream, ...]],
        terms: Terms,
        heard: Callable[[AuditRow], None],
        clock: Callable[[], float],
        updates_root: Callable[[], bytes] = bytes,
    ) -> None:
        self._registry = registry
        self._authority = authority
        self._headquarters = headquarters
        self._upstreams_of = upstreams_of
        self._terms = terms
        self._heard = heard
        self._clock = clock
        self._updates_root = updates_root
        self._lock = threading.Lock()

    def enrol(self, caller: Caller, argument: Any) -> dict[str, Any]:
        """Answer an `enrol` call.

        Args:
            caller: The node itself, or a hub that passes its request on.
            argument: See `protocols.enrolment.sign_enrolment`.

        Raises:
            CallRefusedError: It is not let in.
        """
        with self._lock:
            return self._enrol(*self._read(caller, argument, "token"), self._clock())

    def renew(self, caller: Caller, argument: Any) -> dict[str, Any]:
        """Answer a `renew` call.

        Args:
            caller: The node itself, or a hub that passes its request on.
            argument: See `protocols.enrolment.sign_renewal`.

        Raises:
            CallRefusedError: It gets no certificate.
        """
        with self._lock:
            signed, via = self._read(caller, argument, "current")
            now = self._clock()
            held = self._held(signed, via, now)
            if signed.request.confirms:
                self._confirm(held, now)
                return granted(b"")
            return granted(self._grant(signed, self._renewed(signed.request, held, via, now), None, now))

    # -- enrolment ---------------------------------------------------------------------------------

    def _enrol(self, signed: Signed, via: str, now: float) -> dict[str, Any]:
        request = signed.request
        token = self._token(signed, via)
        if token.used_by is None:
            self._first(signed, token, via, now)
        elif token.used_by != _keys_hash(request.node):
            self._refuse(
                "used-token", request.node.id, via, "a token lets one set of keys in; ask for another token"
            )
        row = self._registry.request(request.node.id)
        if row is None or row.token != request.token_id:
            self._refuse(
                "used-token", request.node.id, via, "a later request took its place; ask for another token"
            )
        if row.state is RequestState.REJECTED:
            why = f"headquarters rejected the request: {row.why or 'no reason given'}"
            self._refuse("rejected", request.node.id, via, why)
        if row.state is RequestState.PENDING:
            return pending(f"waits for approval of {fingerprint(request.node)} at headquarters")
        return granted(self._grant(signed, self._enrolled(row, now), row.via, now))

    def _read(self, caller: Caller, argument: Any, other: str) -> tuple[Signed, str]:
        """The request, and the hub that passes it on; empty when the node asks for itself."""
        known = caller.identity
        asking = "" if known is None else known.id
        try:
            signed = parse_signed(argument, other)
        except PeerError as error:
            code = "wrong-signature" if isinstance(error, IntegrityError) else "wrong-request"
            self._refuse(code, asking, "", str(error))
        node = signed.request.node
        via = asking if known is not None and known.role == "hub" and asking != node.id else ""
        # A node in force may be asking, over its old connection, for new keys.
        if not via and caller.link != node.link and asking != node.id:
            why = "the connection is not made with the link key of the request"
            self._refuse("wrong-link", node.id, via, why)
        return signed, via

    def _token(self, signed: Signed, via: str) -> TokenRow:
        request = signed.request
        node = request.node
        token = self._registry.token(request.token_id)
        if token is None:
            self._refuse("unknown-token", node.id, via, "no such token was given out; ask for one")
        if not signed.holds(TOKEN_DOMAIN, token.verify):
            self._refuse("unknown-token", node.id, via, "the request is not signed by the token's secret")
        if node.id != token.node or node.role != token.role:
            why = f"the token is for {token.role} {token.node!r}, not for {node.role} {node.id!r}"
            self._refuse("wrong-node", node.id, via, why)
        if node.site != token.site:
            why = f"the token is for site {token.site!r}, not for {node.site!r}"
            self._refuse("wrong-site", node.id, via, why)
        return token

    def _first(self, signed: Signed, token: TokenRow, via: str, now: float) -> None:
        node = signed.request.node
        if now > token.expires:
            late_s = now - token.expires
            why = f"the token expired {late_s / 3600:.1f} h ago; ask for another"
            self._refuse("expired-token", node.id, via, why)
        self._refuse_known(node, via)
        with self._registry.change():
            self._registry.use_token(token.token, _keys_hash(node), now)
            self._registry.file_request(RequestRow(node, token.token, via, now, RequestState.PENDING, ""))
            line = self._audit("enrolment-asked", node.id, via, fingerprint(node))
        self._heard(line)

    def _refuse_known(self, node: PublicIdentity, via: str) -> None:
        others = self._registry.whose(node) - {node.id}
        if others:
            self._refuse("known-keys", node.id, via, "these keys are those of another node; make new ones")
        for row in self._registry.keys_of(node.id):
            same = node.signing == row.node.signing or node.link == row.node.link
            node_row = self._registry.node(node.id)
            guarded = node_row is not None and node_row.state is not NodeStatus.ACTIVE
            if same and (guarded or row.state is KeyState.REVOKED):
                why = "these keys are out of force; make new ones: enroll --new-keys"
                self._refuse("keys-out-of-force", node.id, via, why)

    def _enrolled(self, request: RequestRow, now: float) -> KeyRow:
        """The certificate of a node that was approved; the same one however often it asks."""
        node, via = request.node, request.via
        for row in self._registry.keys_of(node.id):
            in_force = row.state in (KeyState.CURRENT, KeyState.NEXT)
            if in_force and row.node == node and now < row.not_after:
                return row
        if request.state is RequestState.GRANTED:
            why = "the certificate that it was good for is out of force; ask for another token"
            self._refuse("used-token", node.id, via, why)
        self._refuse_known(node, via)
        with self._registry.change():
            self._registry.decide(node.id, RequestState.GRANTED)
            self._retire(node.id, now)
            self._registry.put_node(node, via)
            row = self._issue(node, KeyState.CURRENT, now)
            line = self._audit("enrolled", node.id, via, fingerprint(node))
        self._heard(line)
        return row

    def enrol_self(self) -> KeyRow:
        """Headquarters' own certificate, made when there is none for its keys.

        Raises:
            StoreError: The disk failed.
        """
        now, node = self._clock(), self._headquarters
        for row in self._registry.keys_of(node.id):
            if row.state is KeyState.CURRENT and row.node == node and now < _renew_at(row):
                return row
        with self._registry.change():
            self._retire(node.id, now)
            self._registry.put_node(node, "")
            return self._issue(node, KeyState.CURRENT, now)

    # -- renewal -----------------------------------------------------------------------------------

    def _held(self, signed: Signed, via: str, now: float) -> KeyRow:
        """The keys in force that a renewal is signed by."""
        request = signed.request
        node = request.node
        held = self._registry.keys_by_serial(request.serial)
        if held is None or held.node.id != node.id:
            self._refuse("unknown-certificate", node.id, via, "no certificate of that number; enrol anew")
        if not signed.holds(RENEWAL_DOMAIN, held.node.signing):
            self._refuse(
                "wrong-signature", node.id, via, "the renewal is not signed by the key of that certificate"
            )
        if (node.role, node.site) != (held.node.role, held.node.site):
            why = f"expected {held.node.role} of site {held.node.site!r}, got {node.role} of {node.site!r}"
            self._refuse("wrong-site", node.id, via, why)
        status = self._registry.node(node.id)
        if held.state in (KeyState.REVOKED, KeyState.RETIRED) or status is None:
            self._refuse("out-of-force", node.id, via, "this certificate is out of force; enrol anew")
        if status.state is not NodeStatus.ACTIVE:
            why = f"the node is {status.state}: {status.why}; it needs new keys and a new token"
            self._refuse(status.state.value, node.id, via, why)
        over_s = now - held.not_after - self._terms.offline_days * DAY_S
        if over_s > 0:
            why = f"the certificate expired {over_s / DAY_S:.0f} days too long ago; enrol anew"
            self._refuse("expired-too-long", node.id, via, why)
        return held

    def _confirm(self, held: KeyRow, now: float) -> None:
        if held.state is KeyState.NEXT:
            with self._registry.change():
                self._retire(held.node.id, now, but=held.serial)
                self._registry.move_keys(held.serial, KeyState.CURRENT, now)
                self._registry.forget_asked(held.serial)
                line = self._audit("renewed", held.node.id, "", fingerprint(held.node))
            self._heard(line)

    def _renewed(self, request: Request, held: KeyRow, via: str, now: float) -> KeyRow:
        node = request.node
        for row in self._registry.keys_of(node.id):
            if row.state is not KeyState.NEXT:
                continue
            if row.node == node and now < _renew_at(row):
                return row  # the answer was lost: here it is again
            if request.time_s < self._registry.asked(row.serial):
                # The node may be using that one by now: nobody puts it out by what was said before it.
                why = "the node has asked for another certificate since"
                self._refuse("replayed-request", node.id, via, why)
        if node != held.node and self._registry.whose(node):
            self._refuse("known-keys", node.id, via, "these keys were in use before; make new ones")
        with self._registry.change():
            # Whoever asks for something else now has not got, or has lost, what it asked for before.
            self._retire(node.id, now, but=held.serial, only=KeyState.NEXT)
            if node != held.node:
                self._registry.set_rotate(node.id, False)
            row = self._issue(node, KeyState.NEXT, now)
            self._registry.note_asked(row.serial, request.time_s)
            return row

    def _retire(self, node: str, now: float, but: int = 0, only: KeyState | None = None) -> None:
        for row in self._registry.keys_of(node):
            in_force = row.state in (KeyState.CURRENT, KeyState.NEXT) if only is None else row.state is only
            if in_force and row.serial != but:
                self._registry.move_keys(row.serial, KeyState.RETIRED, now)
                self._registry.forget_asked(row.serial)

    # -- leaves ------------------------------------------------------------------------------------

    def _issue(self, node: PublicIdentity, state: KeyState, now: float) -> KeyRow:
        binding = Binding(node.role, LEVEL_OF[node.role], node.site, node.id, unpack_link(node.link))
        made = self._authority.issue(binding, node.signing, now, self._terms.certificate_days)
        row = KeyRow(made.serial, node, made.not_before, made.not_after, made.der, state)
        self._registry.add_keys(row, now)
        return row

    def _grant(self, signed: Signed, row: KeyRow, via: str | None, now: float) -> bytes:
        grant = Grant(
            hashlib.sha256(signed.packed).digest(),
            now,
            (row.der, self._authority.certificate.der),
            self._authority.root.der,
            self._headquarters,
            () if via is None else self._upstreams_of(via),
            b"" if via is None else self._updates_root(),
        )
        return grant.sign(self._authority.key)

    def _refuse(self, code: str, node: str, via: str, why: str) -> NoReturn:
        self._heard(self._audit(code, node, via, why))
        raise CallRefusedError(code, why)

    def _audit(self, event: str, node: str, via: str, detail: str) -> AuditRow:
        """Keep a line; of a change within it, so that a power cut parts nothing from its line."""
        row = AuditRow(self._clock(), event, node, via, detail[:512])
        self._registry.audit(row)
        return row


def _keys_hash(node: PublicIdentity) -> bytes:
    return hashlib.sha256(node.signing + node.link).digest()


def _renew_at(row: KeyRow) -> float:
    """With a third of its life left, a certificate is renewed."""
    return row.not_after - (row.not_after - row.not_before) / 3
