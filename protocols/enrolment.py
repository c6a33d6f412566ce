"""How a node asks to be let in, and how it renews: tokens, signed requests, signed grants.

Rules:
1. A token is one line that an operator carries to the node. Its secret makes an Ed25519 key:
   headquarters keeps the public half only, so that its database lets nobody in, and a hub that
   passes a request on learns nothing that it could use for keys of its own.
2. A request names the node and its keys. It is signed by the token's key (it is meant by
   headquarters) and by the node's own signing key (it has that key). That the node has the CURVE
   key is seen where its connection ends.
3. A grant is signed by the authority and names the request that it answers. The node believes the
   authority because its certificate hangs below the root whose hash the token brought.
4. A renewal is a request signed by the key that is in force, and by the new one where there is one.
   The old keys stay good until the node has said, signed by the new ones, that it uses them.

>>> token = Token("tcp://hub:7502", bytes(32), bytes(32), bytes(16), "unit-1", "plant-a", "gateway")
>>> Token.parse(token.text()) == token
True
"""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgpack
import zmq.utils.z85 as z85

from protocols import limits
from protocols.addresses import is_address
from protocols.batch import Signer, is_name
from protocols.errors import IntegrityError, LimitError, MalformedError
from protocols.identity import ROLES, PublicIdentity, SigningKey, VerifyKey
from protocols.records.fields import Fields, parse_row

REQUEST_DOMAIN = b"catchment/enrol-request/v1\x00"
"""A node's own signature under a request."""
TOKEN_DOMAIN = b"catchment/enrol-token/v1\x00"
"""The token key's signature under a request."""
RENEWAL_DOMAIN = b"catchment/renew-request/v1\x00"
"""The signature of the keys in force under a renewal."""
GRANT_DOMAIN = b"catchment/grant/v1\x00"
"""The authority's signature under a grant."""

PREFIX = "catchment."
SECRET_BYTES = 16
"""128 bits: a token cannot be guessed (NIST SP 800-63B asks for 112 of a look-up secret)."""
CHECK_BYTES = 4
REQUEST_BYTES_MAX = 2048
"""A request: two names, two keys and a nonce, about 250 bytes."""
GRANT_BYTES_MAX = 32 << 10
"""A grant: three certificates, some upstreams, and a root that a few holders signed: about 5 kB."""
UPSTREAMS_MAX = 16
"""Upstreams that a node is told of."""


class State(StrEnum):
    """How a request stands."""

    PENDING = "pending"
    GRANTED = "granted"


@dataclass(frozen=True, slots=True)
class Token:
    """What an operator carries to a new node.

    Args:
        address: The enrolment socket to ask: `tcp://HOST:PORT`.
        link: The CURVE public key of whoever answers there, 32 bytes.
        root: SHA-256 of headquarters' root certificate.
        secret: 16 random bytes.
        id: The node that it lets in.
        site: Its site; may be empty.
        role: `gateway` or `hub`.
    """

    address: str
    link: bytes
    root: bytes
    secret: bytes = field(repr=False)
    id: str
    site: str
    role: str

    @property
    def token_id(self) -> bytes:
        """How headquarters finds it: 8 bytes that tell nothing of the secret."""
        return hashlib.sha256(b"catchment/token-id/v1\x00" + self.secret).digest()[:8]

    def key(self) -> SigningKey:
        """The key that its secret makes."""
        return SigningKey(hashlib.sha256(b"catchment/token-key/v1\x00" + self.secret).digest())

    def text(self) -> str:
        """One line to copy."""
        row = (
            1,
            self.address,
            self.link,
            self.root,
            self.secret,
            self.id,
            self.site,
            ROLES.index(self.role),
        )
        packed: bytes = msgpack.packb(row, use_bin_type=True)
        checked = packed + hashlib.sha256(packed).digest()[:CHECK_BYTES]
        return PREFIX + base64.urlsafe_b64encode(checked).decode("ascii").rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Token:
        """Read a token that a person pasted; white space around it does not matter.

        Raises:
            MalformedError: It is none, or was not copied whole.
        """
        text = "".join(text.split())
        if not text.startswith(PREFIX) or len(text) > 1000:
            raise MalformedError(f"expected a token that begins with {PREFIX!r}; copy the whole line")
        body = text[len(PREFIX) :]
        try:
            checked = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise MalformedError("the token has characters that none has; copy the whole line") from error
        packed, check = checked[:-CHECK_BYTES], checked[-CHECK_BYTES:]
        if hashlib.sha256(packed).digest()[:CHECK_BYTES] != check:
            raise MalformedError("the token was not copied whole, or a character is wrong")
        version, address, link, root, secret, id_, site, role = parse_row(packed, 8)
        if version != 1:
            raise MalformedError(f"expected a token of version 1, got {version!r:.20}; use a newer program")
        if not isinstance(address, str) or not is_address(address) or role not in (0, 1):
            raise MalformedError("expected an address and a role in the token")
        for value, size in ((link, 32), (root, 32), (secret, SECRET_BYTES)):
            if not isinstance(value, bytes) or len(value) != size:
                raise MalformedError("expected keys in the token")
        _check_names(id_, site)
        return cls(address, link, root, secret, id_, site, ROLES[role])


@dataclass(frozen=True, slots=True)
class Request:
    """A node asks to be let in, or for a new certificate.

    Args:
        node: Who it is, with the keys that it wants to use.
        time_s: By its own clock, seconds since 1970; of two renewals it tells the older.
        nonce: 16 random bytes, drawn once for each set of keys.
        token_id: Of the token; empty in a renewal.
        serial: Of the certificate that is in force; 0 in an enrolment.
        confirms: In a renewal: the keys in it are in use now, forget the ones before.
    """

    node: PublicIdentity
    time_s: float
    nonce: bytes
    token_id: bytes = b""
    serial: int = 0
    confirms: bool = False

    def pack(self) -> bytes:
        """The one encoding that is signed."""
        packed: bytes = msgpack.packb(
            {
                "v": 1,
                "id": self.node.id,
                "role": self.node.role,
                "site": self.node.site,
                "signing": self.node.signing,
                "link": z85.decode(self.node.link),
                "time": round(self.time_s),
                "nonce": self.nonce,
                "token": self.token_id,
                "serial": self.serial.to_bytes(20),
                "confirms": self.confirms,
            },
            use_bin_type=True,
        )
        return packed

    @classmethod
    def parse(cls, data: bytes) -> Request:
        """Read a request.

        Raises:
            MalformedError, LimitError: Not a request, or larger than one may be.
        """
        if len(data) > REQUEST_BYTES_MAX:
            raise LimitError(f"expected at most {REQUEST_BYTES_MAX} bytes of request, got {len(data)}")
        fields = Fields(data)
        if fields.value("v") != 1:
            raise MalformedError(f"expected a request of version 1, got {fields.value('v')!r:.20}")
        id_, site, role = fields.text("id"), fields.text("site"), fields.text("role")
        _check_names(id_, site)
        if role not in ROLES:
            raise MalformedError(f"unknown role {role!r:.40}")
        token, confirms = fields.value("token"), fields.value("confirms")
        if not isinstance(token, bytes) or len(token) not in (0, 8) or not isinstance(confirms, bool):
            raise MalformedError("expected a token's id and a flag in a request")
        node = PublicIdentity(
            id_, role, fields.octets("signing", 32), z85.encode(fields.octets("link", 32)), site
        )
        request = cls(
            node,
            float(fields.whole("time")),
            fields.octets("nonce", 16),
            token,
            int.from_bytes(fields.octets("serial", 20)),
            confirms,
        )
        if request.pack() != data:
            raise MalformedError("a request has one encoding, and this is another")
        return request


def fingerprint(node: PublicIdentity) -> str:
    """Both keys in a form that two people can compare: 20 digits of their hash.

    >>> fingerprint(PublicIdentity("a", "hub", bytes(32), b"0" * 40))
    '94072-32010-39966-88040'
    """
    digest = hashlib.sha256(b"catchment/fingerprint/v1\x00" + node.signing + node.link).digest()
    digits = f"{int.from_bytes(digest[:16]) % 10**20:020d}"
    return "-".join(digits[at : at + 5] for at in range(0, 20, 5))


def sign_enrolment(request: Request, token: SigningKey, signing: SigningKey) -> dict[str, bytes]:
    """The argument of an `enrol` call."""
    packed = request.pack()
    return {
        "request": packed,
        "token": token.sign(TOKEN_DOMAIN, packed),
        "own": signing.sign(REQUEST_DOMAIN, packed),
    }


def sign_renewal(request: Request, current: SigningKey, signing: SigningKey) -> dict[str, bytes]:
    """The argument of a `renew` call: signed by the key in force and by the one that is asked for."""
    packed = request.pack()
    return {
        "request": packed,
        "current": current.sign(RENEWAL_DOMAIN, packed),
        "own": signing.sign(REQUEST_DOMAIN, packed),
    }


@dataclass(frozen=True, slots=True)
class Signed:
    """The argument of an `enrol` or `renew` call, parsed; the node's own signature holds.

    Args:
        request: What is asked.
        packed: As it was signed.
        other: The other signature: of the token's key, or of the key in force.
    """

    request: Request
    packed: bytes
    other: bytes

    def holds(self, domain: bytes, key: bytes) -> bool:
        """Whether the other signature is by this key."""
        return VerifyKey(key).verify(domain, self.packed, self.other)


def parse_signed(argument: object, other: str) -> Signed:
    """Read the argument of a call.

    Args:
        argument: From a peer.
        other: The name of the other signature: `token` or `current`.

    Raises:
        MalformedError, LimitError: Not such an argument.
        IntegrityError: The node does not have the signing key that it names.
    """
    fields = Fields.of(argument)
    packed = fields.value("request")
    if not isinstance(packed, bytes):
        raise MalformedError("expected the request's bytes")
    request = Request.parse(packed)
    if not verify_key(request.node.signing).verify(REQUEST_DOMAIN, packed, fields.octets("own", 64)):
        raise IntegrityError("the request is not signed by the key that it names")
    return Signed(request, packed, fields.octets(other, 64))


def verify_key(public: bytes) -> VerifyKey:
    """A key that a peer named.

    Raises:
        MalformedError: It is none.
    """
    try:
        return VerifyKey(public)
    except ValueError as error:
        raise MalformedError("expected an Ed25519 public key") from error


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a node sends and calls.

    Args:
        node: Who that is.
        address: Its data socket.
        service: Its service socket; empty if it has none.
    """

    node: PublicIdentity
    address: str
    service: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What a node gets.

    Args:
        request: SHA-256 of the request that it answers.
        time_s: When it was given, by headquarters' clock.
        chain: The node's certificate and its authority's, DER.
        root: The root certificate, DER.
        headquarters: Whose receipts count.
        upstreams: Where to send; empty in a renewal.
        updates_root: The TUF root that trust in updates begins with; empty while there is none.
    """

    request: bytes
    time_s: float
    chain: tuple[bytes, bytes]
    root: bytes
    headquarters: PublicIdentity
    upstreams: tuple[Upstream, ...]
    updates_root: bytes = b""

    def sign(self, authority: Signer) -> bytes:
        """The signature, then the grant."""
        packed: bytes = msgpack.packb(
            {
                "v": 1,
                "request": self.request,
                "time": round(self.time_s),
                "chain": self.chain,
                "root": self.root,
                "headquarters": _node_row(self.headquarters),
                "upstreams": [(_node_row(up.node), up.address, up.service) for up in self.upstreams],
                "updates": self.updates_root,
            },
            use_bin_type=True,
        )
        return authority.sign(GRANT_DOMAIN, packed) + packed

    @classmethod
    def parse(cls, data: bytes) -> Grant:
        """Read a grant; what it says is not verified yet: see `open_grant`.

        Raises:
            MalformedError, LimitError: Not a grant, or larger than one may be.
        """
        if len(data) > GRANT_BYTES_MAX:
            raise LimitError(f"expected at most {GRANT_BYTES_MAX} bytes of grant, got {len(data)}")
        fields = Fields(data[64:])
        chain, upstreams = fields.array("chain"), fields.array("upstreams")
        if fields.value("v") != 1 or len(chain) != 2 or len(upstreams) > UPSTREAMS_MAX:
            raise MalformedError("expected a grant with two certificates")
        if not all(isinstance(der, bytes) for der in (*chain, fields.value("root"), fields.value("updates"))):
            raise MalformedError("expected certificates and a root of updates in a grant")
        return cls(
            fields.octets("request", 32),
            float(fields.whole("time")),
            (chain[0], chain[1]),
            fields.value("root"),
            _parse_node(fields.value("headquarters")),
            tuple(_parse_upstream(row) for row in upstreams),
            fields.value("updates"),
        )


def open_grant(data: bytes, request: bytes, root: bytes, now: float, generation: int = 0) -> Grant:
    """Read and verify a grant.

    Args:
        data: From a peer.
        request: What was asked, as it was signed.
        root: SHA-256 of the root certificate that is trusted.
        now: Seconds since 1970; a clock that was never set is overruled by the grant's own time.
        generation: The least that the authority must be of.

    Raises:
        MalformedError, LimitError: Not a grant.
        IntegrityError: Another root, another request, other keys, an authority out of force, or a
            signature that does not hold.
    """
    from protocols import certificates

    grant = Grant.parse(data)
    if certificates.fingerprint(grant.root) != root:
        raise IntegrityError("the grant hangs below another root than the one that is trusted here")
    if grant.request != hashlib.sha256(request).digest():
        raise IntegrityError("the grant answers another request")
    found = certificates.parse(grant.root)
    # Its signature is checked below: an authority of this root says that it is at least so late.
    node = certificates.verify(grant.chain, found, max(now, grant.time_s))
    authority = certificates.parse(grant.chain[1])
    if not VerifyKey(authority.key).verify(GRANT_DOMAIN, data[64:], data[:64]):
        raise IntegrityError("the grant is not signed by the authority whose certificate is in it")
    if not authority.generation or authority.generation < generation:
        raise IntegrityError(f"the grant's authority was replaced: expected generation {generation} at least")
    asked = Request.parse(request).node
    bound = node.node
    if (bound.role, bound.site, bound.id, z85.encode(bound.link), node.key) != (
        asked.role,
        asked.site,
        asked.id,
        asked.link,
        asked.signing,
    ):
        raise certificates.WrongNodeError("the certificate is for another node or other keys")
    return grant


def parse_answer(answer: object) -> tuple[State, str, bytes]:
    """(state, why, signed grant or nothing) of an answer to `enrol` or `renew`.

    Raises:
        MalformedError: Anything else.
    """
    fields = Fields.of(answer)
    grant = fields.value("grant")
    if not isinstance(grant, bytes):
        raise MalformedError("expected a grant's bytes")
    return fields.choice("state", State), fields.text("why")[: limits.EVENT_TEXT_CHARS_MAX], grant


def pending(why: str) -> dict[str, Any]:
    """The answer to a request that waits."""
    return {"state": State.PENDING.value, "why": why, "grant": b""}


def granted(grant: bytes) -> dict[str, Any]:
    """The answer to a request that was approved."""
    return {"state": State.GRANTED.value, "why": "", "grant": grant}


def iso(seconds: float) -> str:
    """UTC to the second, for people."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def unpack_link(link: bytes) -> bytes:
    """A CURVE key in Z85 as 32 bytes."""
    decoded: bytes = z85.decode(link)
    return decoded


def _check_names(id_: object, site: object) -> None:
    if not isinstance(id_, str) or not is_name(id_):
        raise MalformedError(f"expected a node name, got {id_!r:.80}")
    if not isinstance(site, str) or (site and not is_name(site)):
        raise MalformedError(f"expected a site, got {site!r:.80}")


def _node_row(node: PublicIdentity) -> tuple[str, str, str, bytes, bytes]:
    return node.id, node.role, node.site, node.signing, unpack_link(node.link)


def _parse_node(row: object) -> PublicIdentity:
    if not isinstance(row, tuple) or len(row) != 5:
        raise MalformedError("expected (id, role, site, signing, link) of a node")
    id_, role, site, signing, link = row
    _check_names(id_, site)
    if role not in ROLES:
        raise MalformedError(f"unknown role {role!r:.40}")
    for key in (signing, link):
        if not isinstance(key, bytes) or len(key) != 32:
            raise MalformedError("expected keys of 32 bytes")
    verify_key(signing)
    return PublicIdentity(id_, role, signing, z85.encode(link), site)


def _parse_upstream(row: object) -> Upstream:
    if not isinstance(row, tuple) or len(row) != 3:
        raise MalformedError("expected (node, address, service) of an upstream")
    node, address, service = row
    for text in (address, service or address):
        if not isinstance(text, str) or not is_address(text):
            raise MalformedError(f"expected an upstream's address, got {text!r:.80}")
    if not isinstance(service, str):
        raise MalformedError("expected a text as service address")
    return Upstream(_parse_node(node), address, service)
