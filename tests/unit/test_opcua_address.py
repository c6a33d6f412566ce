"""Addresses of OPC UA points, and the certificate that introduces a gateway."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from protocols.errors import InputError
from protocols.field._opcua_address import BrowsePath, NodeName, escaped, parse
from protocols.field._opcua_certificate import existing, make, uri_of

NOW_US = 1_800_000_000_000_000


@pytest.mark.parametrize(
    ("address", "expected"),
    (
        ("i=2258", NodeName(0, "", "i", "2258")),
        ("ns=2;s=Boiler.T1", NodeName(2, "", "s", "Boiler.T1")),
        (" ns=2;s=a;b=c ", NodeName(2, "", "s", "a;b=c")),
        ("nsu=urn:plant;i=7", NodeName(0, "urn:plant", "i", "7")),
        (
            "ns=1;g=12345678-1234-5678-1234-567812345678",
            NodeName(1, "", "g", "12345678-1234-5678-1234-567812345678"),
        ),
        ("ns=1;b=AQI=", NodeName(1, "", "b", "AQI=")),
        ("/2:Boiler/3:T1", BrowsePath(((2, "Boiler"), (3, "T1")))),
        ("/Server/2:a&/b&&c", BrowsePath(((0, "Server"), (2, "a/b&c")))),
    ),
)
def test_an_address_is_a_node_id_or_a_path(address: str, expected: object) -> None:
    assert parse(address) == expected


@pytest.mark.parametrize(
    "address",
    (
        "",
        "Boiler.T1",
        "ns=2",
        "ns=70000;i=1",
        "i=x",
        "i=4294967296",
        "s=",
        "g=12",
        "b=*",
        "/",
        "//a",
        "/a/",
        "/70000:a",
        "/a&",
        "/2:",
    ),
)
def test_a_wrong_address_is_told_what_was_expected(address: str) -> None:
    with pytest.raises(ValueError, match=r"^(a|at most) "):
        parse(address)


def test_a_name_survives_a_path() -> None:
    name = "a/b.c:d&e"
    assert parse(f"/2:{escaped(name)}") == BrowsePath(((2, name),))


def test_a_gateway_makes_its_certificate_once_and_keeps_its_key_private(tmp_path: Path) -> None:
    assert existing(tmp_path) is None
    made = make(tmp_path / "keys", "unit-1", NOW_US)
    assert existing(tmp_path / "keys") == made
    assert made.uri == "urn:catchment:unit-1"
    assert made.key.stat().st_mode & 0o777 == 0o600
    certificate = x509.load_der_x509_certificate(made.certificate.read_bytes())
    now = datetime.fromtimestamp(NOW_US / 1e6, UTC)
    assert certificate.not_valid_before_utc <= now - timedelta(hours=23)
    assert certificate.not_valid_after_utc >= now + timedelta(days=3600)
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey) and key.key_size == 2048


def test_a_damaged_certificate_is_the_operator_s_to_mend(tmp_path: Path) -> None:
    (tmp_path / "c.der").write_bytes(b"not a certificate")
    with pytest.raises(InputError, match="an application certificate"):
        uri_of(tmp_path / "c.der")
