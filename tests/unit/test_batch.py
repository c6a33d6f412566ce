"""Headers, signatures and tombstones."""

from __future__ import annotations

import msgpack
import pytest

from protocols import limits
from protocols.batch import (
    Batch,
    Chain,
    Header,
    Stream,
    bury,
    check_payload,
    check_signature,
    header_hash,
    is_name,
    seal,
)
from protocols.errors import IntegrityError, LimitError, MalformedError, PeerError
from protocols.identity import SigningKey, VerifyKey
from tests.chains import GATEWAY_KEY, make_header

KEY = VerifyKey(GATEWAY_KEY.public)
HEADER = make_header(Chain("unit-1", Stream.DATA, 5), 3, bytes(32))
SEALED = seal(HEADER, b"payload", GATEWAY_KEY)


def changed(**fields: object) -> bytes:
    values = {**Header.parse(SEALED.header)._asdict(), **fields}
    return bytes(msgpack.packb(list(values.values()), use_bin_type=True))


def test_a_header_survives_its_round_trip() -> None:
    header = Header.parse(SEALED.header)
    assert header.pack() == SEALED.header
    assert header.chain == Chain("unit-1", Stream.DATA, 5)
    assert (header.seq, header.payload_bytes, header.key_id) == (3, 7, GATEWAY_KEY.key_id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("version", "1"),
        ("flags", 2),
        ("flags", -1),
        ("gateway", ""),
        ("gateway", "Unit 1"),
        ("gateway", "../etc"),
        ("gateway", "a" * 64),
        ("gateway", b"unit-1"),
        ("stream", 3),
        ("epoch", -1),
        ("epoch", 2**63),
        ("seq", True),
        ("seq", 1.0),
        ("kind", 8),
        ("t_min_us", 2**63),
        ("boot_id", bytes(15)),
        ("clock_state", 3),
        ("table_hash", bytes(33)),
        ("key_id", "12345678"),
        ("previous", None),
        ("payload_hash", b""),
    ],
)
def test_a_wrong_field_is_malformed(field: str, value: object) -> None:
    with pytest.raises(MalformedError):
        Header.parse(changed(**{field: value}))


@pytest.mark.parametrize(
    ("field", "value"), [("n", limits.BATCH_SAMPLES_MAX + 1), ("payload_bytes", limits.PAYLOAD_BYTES_MAX + 1)]
)
def test_a_claim_beyond_the_limits_is_refused(field: str, value: int) -> None:
    with pytest.raises(LimitError):
        Header.parse(changed(**{field: value}))


def test_another_encoding_of_the_same_header_is_refused() -> None:
    wide_seq = SEALED.header.replace(b"\x05\x03", b"\x05\xcd\x00\x03", 1)
    assert msgpack.unpackb(wide_seq) == msgpack.unpackb(SEALED.header)
    with pytest.raises(MalformedError, match="canonical"):
        Header.parse(wide_seq)


def test_every_truncation_and_any_trailing_byte_is_refused() -> None:
    for end in range(len(SEALED.header)):
        with pytest.raises(PeerError):
            Header.parse(SEALED.header[:end])
    with pytest.raises(PeerError):
        Header.parse(SEALED.header + b"\x00")


def test_a_header_larger_than_any_is_not_even_read() -> None:
    with pytest.raises(LimitError):
        Header.parse(b"\x93" * (limits.HEADER_BYTES_MAX + 1))


def test_a_sealed_batch_holds_under_its_key_and_no_other() -> None:
    check_signature(SEALED, KEY)
    check_payload(Header.parse(SEALED.header), SEALED)
    with pytest.raises(IntegrityError):
        check_signature(SEALED, VerifyKey(SigningKey(b"x" * 32).public))


@pytest.mark.parametrize("length", [0, 63, 65, 127, 129])
def test_signatures_of_odd_length_do_not_hold(length: int) -> None:
    with pytest.raises(IntegrityError, match="signature bytes"):
        check_signature(SEALED._replace(signature=bytes(length)), KEY)


def test_a_tombstone_keeps_the_header_and_needs_the_gateway_s_second_signature() -> None:
    tombstone = bury(SEALED.header, SEALED.signature, GATEWAY_KEY)
    check_signature(tombstone, KEY)
    check_payload(Header.parse(tombstone.header), tombstone)
    assert header_hash(tombstone.header) == header_hash(SEALED.header)
    forged = Batch(SEALED.header, b"", SEALED.signature * 2)
    with pytest.raises(IntegrityError, match="tombstone"):
        check_signature(forged, KEY)


def test_a_tombstone_with_a_payload_is_refused() -> None:
    tombstone = bury(SEALED.header, SEALED.signature, GATEWAY_KEY)._replace(payload=b"payload")
    with pytest.raises(IntegrityError):
        check_payload(Header.parse(tombstone.header), tombstone)


@pytest.mark.parametrize("name", ["a", "0", "unit-1.boiler_2", "a" * 63])
def test_names_that_are_allowed(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "-a", ".a", "A", "a b", "a/b", "ü", "a" * 64, "a\n"])
def test_names_that_are_not(name: str) -> None:
    assert not is_name(name)
