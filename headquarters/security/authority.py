"""The authority: an offline root, and the online key below it that signs nodes and directories.

Rules:
1. The root's private key is written to one file outside of what headquarters needs, to be taken
   away. It is needed again only to replace the online authority: when that expires, or is stolen.
2. The online authority's key lies in the home, 0600, sealed where that is asked for, in one file with
   its certificate: a cut while it is replaced leaves the old one or the new one.
3. Each authority has a generation. Nodes take none below the highest that they have seen.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from protocols import keyfiles
from protocols.certificates import Binding, Certificate, from_pem, parse, to_pem, verify_authority
from protocols.durable import make_folder_durably, write_durably
from protocols.errors import InputError, MalformedError, Problem
from protocols.identity import SigningKey

FOLDER = "security"
ROOT = f"{FOLDER}/root.pem"
AUTHORITY = f"{FOLDER}/authority.key"
"""The private key on the first line, the certificate below."""

DAY_S = 86_400.0
ROOT_DAYS = 30 * 365
"""The life of a plant."""
AUTHORITY_DAYS = 5 * 365
"""The root is fetched from its safe so often."""
BACKDATED_S = 60.0
"""A certificate is valid a little before it is made: clocks of a group differ by so much."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The online authority.

    Args:
        root: The root's certificate.
        certificate: Its own.
        key: Signs certificates, grants and directories.
    """

    root: Certificate
    certificate: Certificate
    key: SigningKey = field(repr=False)
    _private: Ed25519PrivateKey = field(repr=False)

    @property
    def generation(self) -> int:
        """How many authorities this root has had."""
        assert self.certificate.generation is not None
        return self.certificate.generation

    def issue(self, binding: Binding, signing: bytes, now: float, days: float) -> Certificate:
        """A certificate for a node.

        Args:
            binding: What it says.
            signing: The node's Ed25519 key.
            now: Seconds since 1970.
            days: How long it is valid; never beyond the authority's own end.
        """
        end = min(now + days * DAY_S, self.certificate.not_after)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, binding.id)])
        issuer = x509.load_der_x509_certificate(self.certificate.der).subject
        key = Ed25519PublicKey.from_public_bytes(signing)
        builder = _builder(subject, issuer, key, now, end, binding.uri(), None)
        return parse(builder.sign(self._private, None).public_bytes(Encoding.DER))


def exists(home: Path) -> bool:
    """Whether this home has an authority."""
    return (home / AUTHORITY).exists()


def create(
    home: Path, root_key: Path, id: str, now: float, root_passphrase: str | None, passphrase: str | None
) -> Authority:
    """Make a root and an authority below it.

    Args:
        home: The home of headquarters.
        root_key: Where the root's private key goes; must not be there yet.
        id: The name of headquarters, for the certificates' subjects.
        now: Seconds since 1970.
        root_passphrase: Seals the root's key; `None` leaves it readable by its owner.
        passphrase: Seals the authority's key.

    Raises:
        InputError: There is an authority already, or a file at `root_key`.
        StoreError: The disk failed.
    """
    if exists(home):
        raise InputError([Problem(str(home / AUTHORITY), "", "an authority", "a home without one")])
    seed = secrets.token_bytes(32)
    private = Ed25519PrivateKey.from_private_bytes(seed)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Catchment root of {id}")])
    builder = _builder(name, name, private.public_key(), now, now + ROOT_DAYS * DAY_S, None, 1)
    root = builder.sign(private, None).public_bytes(Encoding.DER)
    _write_new(root_key, keyfiles.private_text(seed.hex(), root_passphrase))
    make_folder_durably(home / FOLDER, 0o700)
    write_durably(home / ROOT, to_pem([root]))
    return _make_online(home, private, root, 1, now, passphrase)


def replace(home: Path, root_key: Path, now: float, passphrase: str | None) -> Authority:
    """Make a new online authority, with the root's key at hand; the one before is out of force.

    Args:
        home: The home of headquarters.
        root_key: The file that `create` wrote.
        now: Seconds since 1970.
        passphrase: Seals the new authority's key.

    Raises:
        InputError: There is no root, or that is not its key, or its passphrase is missing.
        StoreError: The disk failed.
    """
    root, before = _read_certificate(home / ROOT), _read_certificate(home / AUTHORITY)
    private = Ed25519PrivateKey.from_private_bytes(_seed(root_key))
    if private.public_key().public_bytes_raw() != root.key:
        raise InputError([Problem(str(root_key), "", "another key", "the key of the root in this home")])
    return _make_online(home, private, root.der, (before.generation or 0) + 1, now, passphrase)


def load(home: Path, now: float) -> Authority:
    """The authority of a home.

    Raises:
        InputError: There is none, a file is damaged or readable by others, or it expired.
    """
    root, certificate = _read_certificate(home / ROOT), _read_certificate(home / AUTHORITY)
    seed = _seed(home / AUTHORITY)
    private = Ed25519PrivateKey.from_private_bytes(seed)
    try:
        verify_authority(certificate, root, now)
    except Exception as error:
        expected = "an authority in force; replace it with: catchment-hq authority replace --root-key FILE"
        raise InputError([Problem(str(home / AUTHORITY), "", str(error), expected)]) from error
    if private.public_key().public_bytes_raw() != certificate.key:
        expected = "the key of the certificate below it"
        raise InputError([Problem(str(home / AUTHORITY), "line 1", "another key", expected)])
    return Authority(root, certificate, SigningKey(seed), private)


def _make_online(
    home: Path, root: Ed25519PrivateKey, root_der: bytes, generation: int, now: float, passphrase: str | None
) -> Authority:
    seed = secrets.token_bytes(32)
    private = Ed25519PrivateKey.from_private_bytes(seed)
    root_certificate = parse(root_der)
    issuer = x509.load_der_x509_certificate(root_der).subject
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Catchment authority {generation}")])
    end = min(now + AUTHORITY_DAYS * DAY_S, root_certificate.not_after)
    uri = f"catchment:1:authority:{generation}"
    builder = _builder(name, issuer, private.public_key(), now, end, uri, 0)
    der = builder.sign(root, None).public_bytes(Encoding.DER)
    write_durably(home / AUTHORITY, keyfiles.private_text(seed.hex(), passphrase) + to_pem([der]), 0o600)
    return Authority(root_certificate, parse(der), SigningKey(seed), private)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: Ed25519PublicKey,
    now: float,
    end: float,
    uri: str | None,
    below: int | None,
) -> x509.CertificateBuilder:
    signs = below is not None
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(int(now - BACKDATED_S), UTC))
        .not_valid_after(datetime.fromtimestamp(int(end), UTC))
        .add_extension(x509.BasicConstraints(signs, below), critical=True)
        .add_extension(usage, critical=True)
    )
    if uri is not None:
        name = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(name, critical=False)
    return builder


def _write_new(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InputError([Problem(str(path), "", "a file", "no file there yet; choose another")]) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read_certificate(path: Path) -> Certificate:
    try:
        (der,) = from_pem(path.read_text(encoding="ascii"))
        return parse(der)
    except FileNotFoundError as error:
        expected = "an authority; make one with: catchment-hq authority create"
        raise InputError([Problem(str(path), "", "", expected)]) from error
    except (OSError, UnicodeDecodeError, ValueError, MalformedError) as error:
        raise InputError(
            [Problem(str(path), "", str(error), "the certificate that was made here")]
        ) from error


def _seed(path: Path) -> bytes:
    text = keyfiles.read_private(path)
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise InputError([Problem(str(path), "", "a damaged key", "64 hexadecimal digits, or a sealed key")])
    return seed
