"""Records survive their round trip, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgpack
import pytest

from protocols import limits, records
from protocols.batch import Chain, Stream
from protocols.errors import IntegrityError, LimitError, MalformedError, PeerError
from protocols.identity import VerifyKey
from protocols.samples import ValueType
from tests.chains import HEADQUARTERS_KEY, HUB_KEY

CHAIN = Chain("unit-1", Stream.DATA, 5)
OPENING = records.Opening(records.OpenReason.FORK, 4, 17)
GAP = records.Gap(records.GapCause.QUOTA, 10, 20, (1, 2), 4, 5, 6, 7, "disk full for an hour")
EVENT = records.EventRecord(
    10,
    records.EventType.ALARM,
    *("gas", "hall", "high", "CH4 超限", 1, "raised", "unacknowledged", 20.5, 1, "li", "seen", 7),
    {"limit": 20, "unit": "%", "test": False},
)
DEFINITION = records.PointDefinition(
    7, "10LBA10CP001", ValueType.F32, "MPa", 500, 0.01, 0.0, 25.0, "主蒸汽压力"
)
STATEMENT = records.Statement(1, 10, 2, 3, 4, {"overflow": 1}, {"quota": 2}, ((2, 5, 6, 4),))
HUB_STATEMENT = records.HubStatement(1, (("unit-1", 2, 5, 0, 6, 6, 60, 1, 2),))
STORE_USE = records.StoreUse("store", 70, 100, 48, -5, (None, 12.5, 30.0))
REPORTED = replace(HUB_STATEMENT, report=records.HubReport("0.1.0", (STORE_USE,)))


def reported(*row: object) -> bytes:
    """A hub's statement whose report has one store."""
    report = {"program": "0.1.0", "stores": [row or STORE_USE.row()]}
    packed = msgpack.packb({"time": 1, "hub": [], "report": report})
    assert isinstance(packed, bytes)
    return packed


CORRECTION = records.Correction(bytes(16), 0, 10, -250)
RECEIPT = records.Receipt(CHAIN, 17, bytes(32), records.Mark.BACKED_UP, 99)
REFUSAL = records.Refusal(CHAIN, 16, bytes(32), records.RefusalReason.PAYLOAD, "not a zstd frame", "hq")


def parse_one_gap(data: bytes) -> records.Gap:
    return records.parse_gaps(data)[0]


def parse_one_event(data: bytes) -> records.EventRecord:
    return records.parse_events(data)[0]


def parse_one_definition(data: bytes) -> records.PointDefinition:
    return records.parse_definitions(data)[0]


ROUND_TRIPS: list[tuple[bytes, Callable[[bytes], object], object]] = [
    (OPENING.pack(), records.Opening.parse, OPENING),
    (records.pack_gaps([GAP]), parse_one_gap, GAP),
    (next(records.pack_events([EVENT])).data, parse_one_event, EVENT),
    (records.pack_definitions([DEFINITION]), parse_one_definition, DEFINITION),
    (STATEMENT.pack(), records.parse_statement, STATEMENT),
    (HUB_STATEMENT.pack(), records.parse_statement, HUB_STATEMENT),
    (REPORTED.pack(), records.parse_statement, REPORTED),
    (CORRECTION.pack(), records.Correction.parse, CORRECTION),
    (RECEIPT.pack(), records.Receipt.parse, RECEIPT),
    (REFUSAL.pack(), records.Refusal.parse, REFUSAL),
]
NAMES = [type(expected).__name__ for _, _, expected in ROUND_TRIPS]


@pytest.mark.parametrize(("data", "parse", "expected"), ROUND_TRIPS, ids=NAMES)
def test_a_record_survives_its_round_trip(
    data: bytes, parse: Callable[[bytes], object], expected: object
) -> None:
    assert parse(data) == expected


@pytest.mark.parametrize(("data", "parse", "expected"), ROUND_TRIPS, ids=NAMES)
def test_what_is_cut_short_or_altered_is_the_peer_s_fault_or_another_record(
    data: bytes, parse: Callable[[bytes], object], expected: object
) -> None:
    for at in range(len(data)):
        with pytest.raises(PeerError):
            parse(data[:at])
        for flip in (0x01, 0x80, 0xFF):
            altered = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            try:
                assert parse(altered) is not expected
            except PeerError:
                continue


@pytest.mark.parametrize(
    ("data", "parse"),
    [
        (msgpack.packb({"reason": "boredom", "follows": None, "next": None}), records.Opening.parse),
        (msgpack.packb({"reason": "first", "follows": "4", "next": None}), records.Opening.parse),
        (msgpack.packb({"reason": "first", "follows": 4}), records.Opening.parse),
        (msgpack.packb({"gaps": [1]}), records.parse_gaps),
        (msgpack.packb({"gaps": [{**GAP.fields(), "points": [-1]}]}), records.parse_gaps),
        (msgpack.packb({"gaps": [{**GAP.fields(), "cause": "whim"}]}), records.parse_gaps),
        (msgpack.packb({"events": [{**EVENT.fields(), "type": "mood"}]}), records.parse_events),
        (msgpack.packb({"events": [{**EVENT.fields(), "priority": 5}]}), records.parse_events),
        (msgpack.packb({"events": [{**EVENT.fields(), "value": "20"}]}), records.parse_events),
        (msgpack.packb({"events": [{**EVENT.fields(), "quality": 3}]}), records.parse_events),
        (msgpack.packb({"events": [{**EVENT.fields(), "no": -1}]}), records.parse_events),
        (
            msgpack.packb({"events": [{**EVENT.fields(), "detail": {"a": float("inf")}}]}),
            records.parse_events,
        ),
        (msgpack.packb({"events": [{**EVENT.fields(), "detail": {"a": [1]}}]}), records.parse_events),
        (msgpack.packb({"points": [[1, "a", 9, "", 1000, 0, None, None, ""]]}), records.parse_definitions),
        (msgpack.packb({"points": [[1, "a", 0, "", 0, 0, None, None, ""]]}), records.parse_definitions),
        (msgpack.packb({"points": [[True, "a", 0, "", 1, 0, None, None, ""]]}), records.parse_definitions),
        (msgpack.packb({"points": [[1, "a"]]}), records.parse_definitions),
        (msgpack.packb({"time": 1, "hub": [["gw", 2, 5, 0, 6, 6, 60, 1]]}), records.parse_statement),
        (msgpack.packb({"time": 1, "hub": [["GW", 2, 5, 0, 6, 6, 60, 1, 2]]}), records.parse_statement),
        (msgpack.packb({"time": 1, "hub": [], "report": 7}), records.parse_statement),
        (msgpack.packb({"time": 1, "hub": [], "report": {"stores": []}}), records.parse_statement),
        (reported("store", 1, 2), records.parse_statement),
        (reported("store", -1, 2, 0, None, None, None, None), records.parse_statement),
        (reported("store", 1, 2, 0, 0.5, None, None, None), records.parse_statement),
        (reported("store", 1, 2, 0, None, None, float("nan"), None), records.parse_statement),
        (reported("x" * 64, 1, 2, 0, None, None, None, None), records.parse_statement),
        (msgpack.packb(["unit-1", 2, 5, 17, bytes(32), 0, 99]), records.Receipt.parse),
        (msgpack.packb(["unit-1", 2, 5, 17, bytes(31), 1, 99]), records.Receipt.parse),
        (msgpack.packb(["unit-1", 3, 5, 17, bytes(32), 1, 99]), records.Receipt.parse),
        (msgpack.packb(["unit-1", 2, 5, 17, bytes(32), 7, "text", "hq"]), records.Refusal.parse),
        (b"", records.Opening.parse),
        (b"\xc1", records.Opening.parse),
        (msgpack.packb({1: 2}), records.Opening.parse),
    ],
)
def test_what_is_no_such_record_is_malformed(data: bytes, parse: Callable[[bytes], object]) -> None:
    with pytest.raises(MalformedError):
        parse(data)


def test_a_record_larger_than_any_is_not_even_read() -> None:
    with pytest.raises(LimitError):
        records.unpack(bytes(limits.RECORD_BYTES_MAX + 1))


def test_a_claim_of_four_thousand_million_entries_allocates_nothing() -> None:
    with pytest.raises(MalformedError):
        records.unpack(b"\xdd\xff\xff\xff\xff")


def test_definitions_are_ordered_by_id_so_that_equal_tables_have_equal_hashes() -> None:
    other = records.PointDefinition(3, "10LBA10CT001", ValueType.F64)
    assert records.pack_definitions([DEFINITION, other]) == records.pack_definitions([other, DEFINITION])


def test_a_signed_record_holds_only_under_its_signer_and_as_its_own_kind() -> None:
    signed = records.sign_record(RECEIPT, HEADQUARTERS_KEY)
    key = VerifyKey(HEADQUARTERS_KEY.public)
    assert records.open_record(records.Receipt, signed, key) == RECEIPT
    with pytest.raises(IntegrityError):
        records.open_record(records.Receipt, signed, VerifyKey(HUB_KEY.public))
    with pytest.raises(IntegrityError):
        records.open_record(records.Refusal, signed, key)
    with pytest.raises(IntegrityError):
        records.open_record(records.Receipt, signed[:64], key)


def test_a_flood_of_events_goes_into_as_few_batches_as_it_fits() -> None:
    flood = [replace(EVENT, time_us=at, number=at) for at in range(limits.EVENTS_PER_BATCH_MAX + 10)]
    payloads = list(records.pack_events(flood))
    assert [payload.events for payload in payloads] == [limits.EVENTS_PER_BATCH_MAX, 10]
    assert (payloads[1].t_min_us, payloads[1].t_max_us) == (flood[-10].time_us, flood[-1].time_us)
    assert [event for payload in payloads for event in records.parse_events(payload.data)] == flood
    assert list(records.pack_events([])) == []


def test_more_events_than_a_batch_may_hold_are_refused() -> None:
    entries = [EVENT.fields()] * (limits.EVENTS_PER_BATCH_MAX + 1)
    with pytest.raises(LimitError):
        records.parse_events(msgpack.packb({"events": entries}))


def test_whatever_an_app_says_is_made_fit_to_travel() -> None:
    wild = records.EventRecord(
        2**70,
        records.EventType.EVENT,
        "a" * 1000,
        text="half a character \ud83d " + "x" * 1000,
        value=float("nan"),
        quality=9,
        detail={str(i): value for i, value in enumerate([2**80, float("-inf"), "y" * 2000, *range(30)])},
    )
    clean = records.clean_event(wild)
    [read] = records.parse_events(next(records.pack_events([clean])).data)
    assert (len(read.app), len(read.text), read.quality) == (128, 512, 2)
    assert read.detail["1"] == "-inf" and len(read.detail) == limits.EVENT_DETAIL_ITEMS_MAX


def test_the_largest_event_fits_into_a_record() -> None:
    wide = "\U0001f525" * 1000
    largest = records.EventRecord(
        *(1, records.EventType.ALARM, wide, wide, wide, wide, 1, wide, wide, 1.0, 2, wide, wide, 1),
        {f"{i}{wide}": wide for i in range(100)},
    )
    [payload] = records.pack_events([records.clean_event(largest)])
    assert len(payload.data) < limits.RECORD_BYTES_MAX - limits.EVENTS_BYTES_MAX
