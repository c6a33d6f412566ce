"""Chains of certificates: what holds, and what is refused with which error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from headquarters.security import authority as authorities
from protocols import certificates
from protocols.certificates import (
    Binding,
    ExpiredError,
    ForeignAlgorithmError,
    NotAnAuthorityError,
    NotYetValidError,
    WrongIssuerError,
    WrongLevelError,
    WrongRoleError,
    WrongSiteError,
    from_pem,
    parse,
    to_pem,
    verify,
)
from protocols.errors import InputError, LimitError, MalformedError, PeerError
from protocols.identity import Identity
from tests.group_parts import NOW, Group, days

GATEWAY = Identity.generate("unit-1", "gateway", "plant-a").public


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    return Group(tmp_path_factory.mktemp("group") / "hq")


@pytest.fixture(scope="module")
def whole(group: Group) -> bytes:
    """One certificate, the same for every example."""
    return group.issue(GATEWAY).der


def chain(group: Group, node: certificates.Certificate) -> list[bytes]:
    return [node.der, group.authority.certificate.der]


def test_a_chain_from_node_to_root_holds_and_says_who_it_is(group: Group) -> None:
    found = verify(
        chain(group, group.issue(GATEWAY)), group.authority.root, NOW, role="gateway", level=3, site="plant-a"
    )
    assert found.node.id == "unit-1" and found.key == GATEWAY.signing
    assert parse(found.der) == found


def test_a_certificate_is_good_from_its_first_to_its_last_second(group: Group) -> None:
    made = group.issue(GATEWAY, days=10)
    for now in (made.not_before - 299, made.not_before, made.not_after):
        verify(chain(group, made), group.authority.root, now)
    with pytest.raises(NotYetValidError, match="set this machine's clock"):
        verify(chain(group, made), group.authority.root, made.not_before - 301)
    with pytest.raises(ExpiredError, match="expired 1 s ago"):
        verify(chain(group, made), group.authority.root, made.not_after + 1)
    verify(chain(group, made), group.authority.root, made.not_after + 1, expired_s=days(90))


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    (
        ({"site": "plant-b"}, WrongSiteError, "of site 'plant-b', got 'plant-a'"),
        ({"level": 2}, WrongLevelError, "of level 2, got 3"),
        ({"role": "hub"}, WrongRoleError, "of role 'hub', got 'gateway'"),
    ),
)
def test_a_certificate_of_another_site_level_or_role_is_refused(
    group: Group, asked: dict[str, str | int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        verify(chain(group, group.issue(GATEWAY)), group.authority.root, NOW, **asked)  # type: ignore[arg-type]


def test_a_level_that_is_not_that_of_the_role_is_refused(group: Group) -> None:
    with pytest.raises(WrongLevelError, match="expected level 3 for a gateway, got 1"):
        verify(chain(group, group.issue(GATEWAY, level=1)), group.authority.root, NOW)


def test_another_groups_certificate_is_refused(group: Group, tmp_path: Path) -> None:
    other = Group(tmp_path / "other")
    theirs = other.issue(GATEWAY)
    with pytest.raises(WrongIssuerError):
        verify(chain(other, theirs), group.authority.root, NOW)
    with pytest.raises(WrongIssuerError):
        verify([theirs.der, group.authority.certificate.der], group.authority.root, NOW)


def test_a_node_cannot_make_others(group: Group) -> None:
    node = group.issue(GATEWAY)
    with pytest.raises(NotAnAuthorityError):
        verify([node.der, node.der], group.authority.root, NOW)


def test_an_authority_is_no_node_and_a_root_is_no_authority(group: Group) -> None:
    authority, root = group.authority.certificate.der, group.authority.root.der
    with pytest.raises((WrongRoleError, WrongIssuerError)):
        verify([authority, authority], group.authority.root, NOW)
    with pytest.raises((NotAnAuthorityError, WrongIssuerError)):
        verify([group.issue(GATEWAY).der, root], group.authority.root, NOW)
    with pytest.raises(NotAnAuthorityError, match="a root that signs itself"):
        verify(chain(group, group.issue(GATEWAY)), group.authority.certificate, NOW)


def test_an_expired_authority_takes_its_nodes_with_it(group: Group) -> None:
    end = group.authority.certificate.not_after
    with pytest.raises(ExpiredError, match="the authority's certificate"):
        verify(chain(group, group.issue(GATEWAY)), group.authority.root, end + 1, expired_s=1e12)


def test_one_or_three_certificates_are_no_chain(group: Group) -> None:
    node = group.issue(GATEWAY).der
    for wrong in ([node], [node] * 3, []):
        with pytest.raises(MalformedError, match="a certificate and its authority's"):
            verify(wrong, group.authority.root, NOW)


def made_by_hand(
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder], key: object = None
) -> bytes:
    """A certificate that no authority of ours makes."""
    private = Ed25519PrivateKey.generate() if key is None else key
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())  # type: ignore[attr-defined]
        .serial_number(1)
        .not_valid_before(datetime.fromtimestamp(NOW, UTC))
        .not_valid_after(datetime.fromtimestamp(NOW + 1000, UTC))
    )
    algorithm = None if key is None else hashes.SHA256()
    return change(builder).sign(private, algorithm).public_bytes(Encoding.DER)  # type: ignore[arg-type]


def usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, signs, signs, False, False)


def names(*uris: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])


NODE_URI = Binding("gateway", 3, "plant-a", "unit-1", bytes(32)).uri()


@pytest.mark.parametrize(
    ("change", "error"),
    (
        (lambda builder: builder, MalformedError),
        (
            lambda builder: builder.add_extension(x509.BasicConstraints(False, None), True).add_extension(
                usage(True), True
            ),
            NotAnAuthorityError,
        ),
        (
            lambda builder: (
                builder.add_extension(x509.BasicConstraints(False, None), True)
                .add_extension(usage(False), True)
                .add_extension(names(NODE_URI, NODE_URI), False)
            ),
            MalformedError,
        ),
        (
            lambda builder: (
                builder.add_extension(x509.BasicConstraints(False, None), True)
                .add_extension(usage(False), True)
                .add_extension(names(NODE_URI.replace(":3:", ":9:")), False)
            ),
            MalformedError,
        ),
        (
            lambda builder: (
                builder.add_extension(x509.BasicConstraints(True, 0), True)
                .add_extension(usage(True), True)
                .add_extension(names(NODE_URI), False)
            ),
            NotAnAuthorityError,
        ),
        (
            lambda builder: (
                builder.add_extension(x509.BasicConstraints(False, None), True)
                .add_extension(usage(False), True)
                .add_extension(names(NODE_URI), False)
                .add_extension(
                    x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), critical=True
                )
            ),
            MalformedError,
        ),
    ),
    ids=[
        "without extensions",
        "signs and is no authority",
        "two names",
        "unknown level",
        "an authority that is a node",
        "unknown critical extension",
    ],
)
def test_a_certificate_of_another_form_is_refused(
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder], error: type[PeerError]
) -> None:
    with pytest.raises(error):
        parse(made_by_hand(change))


def test_a_foreign_key_algorithm_is_refused() -> None:
    with pytest.raises(ForeignAlgorithmError, match="expected Ed25519"):
        parse(made_by_hand(lambda builder: builder, ec.generate_private_key(ec.SECP256R1())))


def test_sizes_are_bounded() -> None:
    with pytest.raises(LimitError):
        parse(bytes(certificates.CERTIFICATE_BYTES_MAX + 1))


def test_text_and_back(group: Group) -> None:
    made = chain(group, group.issue(GATEWAY))
    assert from_pem(to_pem(made)) == made
    with pytest.raises(MalformedError):
        from_pem("nothing")


@given(st.data())
def test_a_damaged_certificate_raises_only_the_peers_errors_and_never_passes(
    group: Group, whole: bytes, data: st.DataObject
) -> None:
    der = bytearray(whole)
    at = data.draw(st.integers(0, len(der) - 1))
    der[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PeerError):
        verify([bytes(der), group.authority.certificate.der], group.authority.root, NOW)


@given(st.binary(max_size=600))
def test_bytes_that_are_no_certificate_raise_only_the_peers_errors(data: bytes) -> None:
    with pytest.raises(PeerError):
        parse(data)


class TestAuthority:
    def test_what_was_created_is_loaded(self, tmp_path: Path) -> None:
        made = authorities.create(tmp_path, tmp_path / "root.key", "hq", NOW, None, None)
        found = authorities.load(tmp_path, NOW)
        assert found.certificate == made.certificate and found.generation == 1
        for file in (tmp_path / "root.key", tmp_path / authorities.AUTHORITY):
            assert file.stat().st_mode & 0o777 == 0o600
        assert "private" not in repr(found).lower()

    def test_keys_are_sealed_when_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        authorities.create(tmp_path, tmp_path / "root.key", "hq", NOW, "root pass", "home pass")
        with pytest.raises(InputError, match="CATCHMENT_PASSPHRASE"):
            authorities.load(tmp_path, NOW)
        monkeypatch.setenv("CATCHMENT_PASSPHRASE", "wrong")
        with pytest.raises(InputError, match="does not open it"):
            authorities.load(tmp_path, NOW)
        monkeypatch.setenv("CATCHMENT_PASSPHRASE", "home pass")
        authorities.load(tmp_path, NOW)
        with pytest.raises(InputError, match="does not open it"):
            authorities.replace(tmp_path, tmp_path / "root.key", NOW, None)
        monkeypatch.setenv("CATCHMENT_PASSPHRASE", "root pass")
        assert authorities.replace(tmp_path, tmp_path / "root.key", NOW, None).generation == 2

    def test_nothing_is_overwritten(self, tmp_path: Path) -> None:
        authorities.create(tmp_path / "a", tmp_path / "root.key", "hq", NOW, None, None)
        with pytest.raises(InputError, match="a home without one"):
            authorities.create(tmp_path / "a", tmp_path / "other.key", "hq", NOW, None, None)
        with pytest.raises(InputError, match="no file there yet"):
            authorities.create(tmp_path / "b", tmp_path / "root.key", "hq", NOW, None, None)

    def test_only_the_own_root_replaces_it(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            authorities.create(tmp_path / name, tmp_path / f"{name}.key", "hq", NOW, None, None)
        with pytest.raises(InputError, match="the key of the root in this home"):
            authorities.replace(tmp_path / "a", tmp_path / "b.key", NOW, None)

    def test_an_expired_authority_says_how_it_is_replaced(self, tmp_path: Path) -> None:
        made = authorities.create(tmp_path, tmp_path / "root.key", "hq", NOW, None, None)
        with pytest.raises(InputError, match="authority replace --root-key"):
            authorities.load(tmp_path, made.certificate.not_after + 1)
