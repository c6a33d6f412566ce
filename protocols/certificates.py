"""X.509 certificates of nodes: what they bind, and whether a chain of them holds.

Rules:
1. Every key is Ed25519 (RFC 8410). Root signs authority, authority signs nodes, nodes sign no
   certificate: a chain is always (node, authority) below a root that is known already.
2. A node's certificate has exactly one subject alternative name, a URI that binds everything at
   once, so that no part of it can be taken from another certificate:
   `catchment:1:ROLE:LEVEL:SITE:ID:LINK`, where LINK is the CURVE key in hexadecimal digits.
   An authority's is `catchment:1:authority:GENERATION`: a node that has seen a generation takes no
   lower one, which is how a stolen authority key is put out of force.
3. Nothing is believed that was not asked for: an unknown critical extension, a second name or a
   second encoding of the same name is refused.
4. The time is handed in. Nothing here reads a file or a clock.

Source: RFC 5280 (sections 4 and 6), RFC 8410.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from protocols.batch import is_name
from protocols.errors import IntegrityError, LimitError, MalformedError
from protocols.identity import LEVEL_OF, ROLES, VerifyKey

CERTIFICATE_BYTES_MAX = 4096
"""One certificate, DER: ours have about 500 bytes."""

CLOCK_TOLERANCE_S = 300.0
"""How far the clock of whoever looks at a new certificate may be behind: Kerberos' five minutes."""

_NODE = re.compile(r"catchment:1:([a-z]+):([123]):([^:]*):([^:]+):([0-9a-f]{64})")
_AUTHORITY = re.compile(r"catchment:1:authority:([1-9][0-9]{0,8})")
_KNOWN = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    )
)


class CertificateError(IntegrityError):
    """A certificate that parses and does not hold; the subclass says why."""


class ExpiredError(CertificateError):
    """Its time is over."""


class NotYetValidError(CertificateError):
    """Its time has not begun."""


class WrongIssuerError(CertificateError):
    """Whoever it names as its issuer did not sign it."""


class NotAnAuthorityError(CertificateError):
    """It signed a certificate and may not."""


class WrongRoleError(CertificateError):
    """It is of another role."""


class WrongLevelError(CertificateError):
    """It is of another level."""


class WrongSiteError(CertificateError):
    """It is of another site."""


class WrongNodeError(CertificateError):
    """It is of another node, or of other keys."""


class ForeignAlgorithmError(CertificateError):
    """Its key or its signature is not Ed25519."""


class Binding(NamedTuple):
    """What a node's certificate says of it.

    Args:
        role: `gateway`, `hub` or `headquarters`.
        level: 3, 2 or 1.
        site: The site of a gateway; may be empty.
        id: The node's name.
        link: Its CURVE public key, 32 bytes.
    """

    role: str
    level: int
    site: str
    id: str
    link: bytes

    def uri(self) -> str:
        """As it stands in the certificate.

        >>> Binding("gateway", 3, "plant-a", "unit-1", bytes(32)).uri()[:40]
        'catchment:1:gateway:3:plant-a:unit-1:000'
        """
        return f"catchment:1:{self.role}:{self.level}:{self.site}:{self.id}:{self.link.hex()}"

    @classmethod
    def parse(cls, uri: str) -> Binding:
        """Read what `uri` wrote.

        Raises:
            MalformedError: Anything else.
        """
        match = _NODE.fullmatch(uri)
        if match is None:
            raise MalformedError(f"expected catchment:1:ROLE:LEVEL:SITE:ID:LINK, got {uri!r:.120}")
        role, level, site, id_, link = match.groups()
        if role not in ROLES or (site and not is_name(site)) or not is_name(id_):
            raise MalformedError(f"expected a role, a site and a node name, got {uri!r:.120}")
        return cls(role, int(level), site, id_, bytes.fromhex(link))


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate, read.

    Args:
        der: As it travels.
        subject: Whose it is, in DER: compared byte by byte.
        issuer: Who signed it, in DER.
        serial: Unique below one authority.
        not_before: Seconds since 1970.
        not_after: Seconds since 1970.
        key: Its Ed25519 public key, 32 bytes.
        signs: How many certificates may stand below what it signs; `None` if it signs none.
        binding: What a node's says; `None` for an authority.
        generation: Of an authority; 0 for a root, `None` for a node.
    """

    der: bytes
    subject: bytes
    issuer: bytes
    serial: int
    not_before: float
    not_after: float
    key: bytes
    signs: int | None
    binding: Binding | None
    generation: int | None
    _signed: bytes
    _signature: bytes

    @property
    def node(self) -> Binding:
        """The binding of a node's certificate."""
        assert self.binding is not None
        return self.binding

    def signed_by(self, key: bytes) -> bool:
        """Whether this Ed25519 key signed it."""
        return VerifyKey(key).verify(b"", self._signed, self._signature)


def parse(der: bytes) -> Certificate:
    """Read one certificate from a peer; nothing is verified but its form.

    Raises:
        MalformedError, LimitError: Not a certificate of ours, or larger than one may be.
        ForeignAlgorithmError: Its key or signature is not Ed25519.
    """
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise LimitError(f"expected at most {CERTIFICATE_BYTES_MAX} bytes of certificate, got {len(der)}")
    try:
        with warnings.catch_warnings():  # of forms that are refused below
            warnings.simplefilter("ignore")
            return _parse(der)
    except IntegrityError:
        raise
    except MalformedError:
        raise
    except Exception as error:  # the parser raises many kinds for bad bytes, none of them ours
        raise MalformedError(f"expected an X.509 certificate: {error!s:.120}") from error


def verify(
    chain: Sequence[bytes],
    root: Certificate,
    now: float,
    *,
    role: str | None = None,
    level: int | None = None,
    site: str | None = None,
    expired_s: float = 0.0,
) -> Certificate:
    """Verify a node's chain, from the root downward.

    Args:
        chain: (node, authority) in DER.
        root: What is trusted.
        now: Seconds since 1970.
        role: Which role it must be of, if that matters.
        level: Which level it must be of, if that matters.
        site: Which site it must be of, if that matters.
        expired_s: For how long after its end the node's own certificate is still taken.

    Returns:
        The node's certificate.

    Raises:
        MalformedError, LimitError: It does not parse, or is no such chain.
        CertificateError: It does not hold; the subclass says why.
    """
    if len(chain) != 2:
        raise MalformedError(f"expected a certificate and its authority's, got {len(chain)}")
    node, authority = parse(chain[0]), parse(chain[1])
    verify_authority(authority, root, now)
    _check_issuer(node, authority)
    _check_time(node, now, "the certificate", expired_s)
    if node.binding is None:
        raise WrongRoleError("expected the certificate of a node, got that of an authority")
    binding = node.binding
    if LEVEL_OF[binding.role] != binding.level:
        raise WrongLevelError(
            f"expected level {LEVEL_OF[binding.role]} for a {binding.role}, got {binding.level}"
        )
    for error, what, wanted, found in (
        (WrongRoleError, "role", role, binding.role),
        (WrongLevelError, "level", level, binding.level),
        (WrongSiteError, "site", site, binding.site),
    ):
        if wanted is not None and wanted != found:
            raise error(f"expected a certificate of {what} {wanted!r}, got {found!r} of {binding.id!r}")
    return node


def verify_authority(authority: Certificate, root: Certificate, now: float) -> None:
    """Verify an authority's certificate below a root.

    Raises:
        CertificateError: It does not hold; the subclass says why.
    """
    if root.generation != 0 or not root.signed_by(root.key):
        raise NotAnAuthorityError("expected a root that signs itself")
    if authority.signs is None or not authority.generation:
        raise NotAnAuthorityError("expected the certificate of an authority between root and node")
    _check_time(root, now, "the root certificate")
    _check_issuer(authority, root)
    _check_time(authority, now, "the authority's certificate")


def fingerprint(der: bytes) -> bytes:
    """SHA-256 of a certificate: how a root is known before it is seen."""
    from hashlib import sha256

    return sha256(der).digest()


def to_pem(chain: Sequence[bytes]) -> str:
    """Certificates as text (RFC 7468)."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode("ascii") for der in chain
    )


def from_pem(text: str) -> list[bytes]:
    """The certificates in a text, in DER.

    Raises:
        MalformedError: There is none, or one cannot be read.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        begin = max(0, text.find("-----BEGIN CERTIFICATE"))
        found = x509.load_pem_x509_certificates(text[begin:].encode("ascii"))
    except ValueError as error:
        raise MalformedError(f"expected certificates in PEM: {error!s:.120}") from error
    return [certificate.public_bytes(Encoding.DER) for certificate in found]


def _check_issuer(certificate: Certificate, issuer: Certificate) -> None:
    if issuer.signs is None:
        raise NotAnAuthorityError("the issuer's certificate may not sign certificates")
    if certificate.issuer != issuer.subject or not certificate.signed_by(issuer.key):
        raise WrongIssuerError("the certificate was not signed by the authority that is known here")


def _check_time(certificate: Certificate, now: float, what: str, expired_s: float = 0.0) -> None:
    if now + CLOCK_TOLERANCE_S < certificate.not_before:
        early_s = certificate.not_before - now
        raise NotYetValidError(f"{what} is valid only in {early_s:.0f} s; set this machine's clock")
    if now > certificate.not_after + expired_s:
        raise ExpiredError(f"{what} expired {now - certificate.not_after:.0f} s ago")


def _parse(der: bytes) -> Certificate:
    found = x509.load_der_x509_certificate(der)
    key = found.public_key()
    if (
        not isinstance(key, Ed25519PublicKey)
        or found.signature_algorithm_oid != SignatureAlgorithmOID.ED25519
    ):
        raise ForeignAlgorithmError("expected Ed25519 for key and signature")
    if found.version is not x509.Version.v3:
        raise MalformedError("expected an X.509 certificate of version 3")
    if found.serial_number <= 0:
        raise MalformedError("expected a positive serial number")
    for extension in found.extensions:
        if extension.critical and extension.oid not in _KNOWN:
            raise MalformedError(f"unknown critical extension {extension.oid.dotted_string}")
    uri = _uri(found)
    authority = None if uri is None else _AUTHORITY.fullmatch(uri)
    signs = _signs(found)
    binding = None
    generation = None
    if uri is None:
        generation = 0
    elif authority is not None:
        generation = int(authority[1])
    else:
        binding = Binding.parse(uri)
    if (signs is None) == (binding is None):
        raise NotAnAuthorityError("an authority signs certificates, and a node signs none")
    return Certificate(
        der=der,
        subject=found.subject.public_bytes(),
        issuer=found.issuer.public_bytes(),
        serial=found.serial_number,
        not_before=found.not_valid_before_utc.timestamp(),
        not_after=found.not_valid_after_utc.timestamp(),
        key=key.public_bytes_raw(),
        signs=signs,
        binding=binding,
        generation=generation,
        _signed=found.tbs_certificate_bytes,
        _signature=found.signature,
    )


def _uri(certificate: x509.Certificate) -> str | None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    listed = list(names)
    if len(listed) != 1 or not isinstance(listed[0], x509.UniformResourceIdentifier):
        raise MalformedError(f"expected one URI as subject alternative name, got {len(listed)} names")
    return listed[0].value


def _signs(certificate: x509.Certificate) -> int | None:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as error:
        raise MalformedError("expected basic constraints and key usage in a certificate") from error
    if constraints.ca != usage.key_cert_sign:
        raise NotAnAuthorityError("basic constraints and key usage disagree on signing certificates")
    if not constraints.ca:
        return None
    return 8 if constraints.path_length is None else constraints.path_length
