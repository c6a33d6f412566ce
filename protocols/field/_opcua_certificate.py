"""The certificate with which a gateway introduces itself to OPC UA servers.

Made once, self-signed, and kept beside the gateway's other keys; the operator lets each
server trust it. Servers compare the application URI with the one in the certificate.

Source: OPC UA Part 6 (1.05), clause 6.2.2.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocols.errors import InputError, Problem

KEY_FILE = "opcua.key"
CERTIFICATE_FILE = "opcua.der"

VALID_DAYS = 3650
"""Ten years: each renewal has to be trusted by hand at every server of the plant."""

KEY_BITS = 2048
"""What all four current security policies accept (Part 7, 6.6.161 and following)."""


class ClientCertificate(NamedTuple):
    """Where a certificate and its key are, and the application URI that it names."""

    certificate: Path
    key: Path
    uri: str


def application_uri(gateway: str) -> str:
    """The URI that a gateway goes by."""
    return f"urn:catchment:{gateway}"


def make(keys: Path, gateway: str, now_us: int) -> ClientCertificate:
    """Make key and certificate; takes about a tenth of a second.

    Args:
        keys: Directory for them.
        gateway: The gateway's name.
        now_us: From when it is valid (one day earlier, for servers whose clock is behind).
    """
    uri = application_uri(gateway)
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Catchment"),
            x509.NameAttribute(NameOID.COMMON_NAME, gateway),
        ]
    )
    begin = datetime.fromtimestamp(now_us // 1_000_000, UTC) - timedelta(days=1)
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName(socket.gethostname())]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(keys / CERTIFICATE_FILE, certificate.public_bytes(serialization.Encoding.DER), 0o644)
    _write(keys / KEY_FILE, pem, 0o600)
    return ClientCertificate(keys / CERTIFICATE_FILE, keys / KEY_FILE, uri)


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    temporary.replace(path)


def existing(keys: Path) -> ClientCertificate | None:
    """What `make` made earlier, or `None`.

    Raises:
        InputError: The files are damaged.
    """
    certificate, key = keys / CERTIFICATE_FILE, keys / KEY_FILE
    if not (certificate.exists() and key.exists()):
        return None
    return ClientCertificate(certificate, key, uri_of(certificate))


def uri_of(path: Path) -> str:
    """The application URI that a certificate file names (DER or PEM).

    Raises:
        InputError: It is not a certificate, or names none.
    """
    try:
        raw = path.read_bytes()
        load = x509.load_pem_x509_certificate if raw.startswith(b"-----") else x509.load_der_x509_certificate
        names = load(raw).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        problem = Problem(str(path), "", str(error), "an application certificate (DER or PEM) with a URI")
        raise InputError([problem]) from error
    if not uris:
        raise InputError([Problem(str(path), "subjectAltName", "", "the application's URI")])
    return uris[0]
