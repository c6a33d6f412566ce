"""OPC UA answers: decoded as the library decodes them, and converted without loss."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from asyncua import ua as library_ua
from asyncua.ua.ua_binary import struct_to_binary

from protocols.errors import MalformedError
from protocols.field import _opcua_wire as wire
from protocols.field._opcua_subscription import Completeness
from protocols.field._opcua_values import (
    Columns,
    field_type,
    overflowed,
    source_times,
)
from protocols.field.base import FieldPoint, FieldType, Lost
from protocols.samples import (
    BAD,
    BAD_NO_COMMUNICATION,
    BAD_NO_DATA,
    BAD_OUT_OF_RANGE,
    BAD_SENSOR_FAILURE,
    BAD_TYPE_MISMATCH,
    NO_SOURCE_TIME,
    UNCERTAIN,
)

ua: Any = library_ua
AT = datetime(2026, 1, 2, 3, 4, 5, 678_901)  # noqa: DTZ001 - the library wants it so
AT_US = int(datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC).timestamp() * 1_000_000)


def value(content: Any, kind: str, status: int = 0, at: datetime | None = AT) -> Any:
    return ua.DataValue(ua.Variant(content, ua.VariantType[kind]), ua.StatusCode(status), at)


def read_answer(values: list[Any]) -> bytes:
    response = ua.ReadResponse()
    response.Results = values
    return bytes(struct_to_binary(response))


def publication(values: list[Any], sequence: int = 1, status: int | None = None) -> bytes:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 7
    response.Parameters.AvailableSequenceNumbers = [1, 2, 3]
    message = response.Parameters.NotificationMessage
    message.SequenceNumber = sequence
    response.Parameters.MoreNotifications = False
    message.NotificationData = []
    if values:
        change = ua.DataChangeNotification()
        change.MonitoredItems = [
            ua.MonitoredItemNotification(ClientHandle=handle, Value=each)
            for handle, each in enumerate(values)
        ]
        message.NotificationData.append(change)
    if status is not None:
        message.NotificationData.append(ua.StatusChangeNotification(Status=ua.StatusCode(status)))
    return bytes(struct_to_binary(response))


MIXED = [
    value(1.5, "Double"),
    value(2.5, "Double"),
    value("锅炉", "String"),
    value([1, 2, 3], "Int32"),
    value(ua.NodeId("x", 2), "NodeId"),
    value(ua.LocalizedText("boiler", "en"), "LocalizedText"),
    value(ua.QualifiedName("q", 1), "QualifiedName"),
    value(b"bytes", "ByteString"),
    value([ua.Variant(5, ua.VariantType.Int16)], "Variant"),
    value(AT, "DateTime"),
    value(True, "Boolean", BAD_SENSOR_FAILURE),
    value(-3, "Int16", UNCERTAIN, None),
    value(None, "Null"),
    value(["a", "b"], "String"),
    value(7, "UInt64"),
]


def flat(runs: list[wire.Values]) -> list[tuple[int, int, Any, int]]:
    return [
        (handle, run.type, each, status)
        for run in runs
        for handle, each, status in zip(
            run.handles.tolist(), run.values.tolist(), run.status.tolist(), strict=True
        )
    ]


def test_values_of_every_kind_are_decoded_or_stepped_over() -> None:
    for runs in (wire.read_response(read_answer(MIXED)), wire.publish_response(publication(MIXED)).values):
        rows = flat(runs)
        assert [handle for handle, *_ in rows] == list(range(len(MIXED)))
        kinds = {0: 11, 1: 11, 2: 12, 5: 21, 10: 1, 11: 4, 14: 9}
        assert [kind for _, kind, _, _ in rows] == [
            kinds.get(i, wire.NOT_COLLECTED) for i in range(len(MIXED))
        ]
        assert [rows[i][2] for i in kinds] == [1.5, 2.5, "锅炉", "boiler", 1, -3, 7]
        assert rows[10][3] == BAD_SENSOR_FAILURE and rows[11][3] == UNCERTAIN


def test_many_alike_are_decoded_together() -> None:
    runs = wire.read_response(read_answer([value(float(i), "Double") for i in range(1000)]))
    assert len(runs) < 10
    assert np.concatenate([run.values for run in runs]).tolist() == list(range(1000))


def test_a_publication_tells_whose_it_is_and_what_else_there_is() -> None:
    told = wire.publish_response(publication([value(1.0, "Double")], sequence=9))
    assert (told.subscription, told.sequence, told.more, told.empty, told.status) == (
        7,
        9,
        False,
        False,
        None,
    )
    assert wire.publish_response(publication([])).empty
    assert wire.publish_response(publication([], status=0x800A0000)).status == 0x800A0000


@pytest.mark.parametrize("cut", range(0, 160, 7))
def test_an_answer_that_is_cut_short_is_malformed(cut: int) -> None:
    whole = read_answer(MIXED)
    with pytest.raises(MalformedError):
        wire.read_response(whole[: len(whole) * cut // 160])


def test_an_answer_to_something_else_is_malformed() -> None:
    with pytest.raises(MalformedError, match="634"):
        wire.read_response(publication([]))


def test_a_claim_of_many_values_is_not_believed() -> None:
    head = read_answer([])[:-8]
    with pytest.raises(MalformedError, match="at most"):
        wire.read_response(head + struct.pack("<i", 2**31 - 1))


def test_nesting_is_followed_only_so_far() -> None:
    head = read_answer([])[:-8] + struct.pack("<i", 1)
    for depth, right in ((10, True), (40, False)):
        answer = head + b"\x01" + b"\x18" * depth + b"\x01\x01" + struct.pack("<i", 0)
        if right:
            [run] = wire.read_response(answer)
            assert run.type == wire.NOT_COLLECTED
        else:
            with pytest.raises(MalformedError, match="nesting"):
                wire.read_response(answer)


# -- values --------------------------------------------------------------------------------


def converted(type: FieldType, each: Any) -> tuple[Any, int]:
    [block] = Columns([FieldPoint(1, "i=1", type)]).blocks(wire.read_response(read_answer([each])), 5)
    return block.value.tolist()[0], int(block.quality[0])


@pytest.mark.parametrize(
    ("type", "content", "kind", "expected"),
    (
        (FieldType.F64, 0.1, "Double", (0.1, 0)),
        (FieldType.F64, -3, "Int16", (-3.0, 0)),
        (FieldType.F64, 0.5, "Float", (0.5, 0)),
        (FieldType.F32, 0.5, "Float", (0.5, 0)),
        (FieldType.INT16, -128, "SByte", (-128, 0)),
        (FieldType.INT32, 65535, "UInt16", (65535, 0)),
        (FieldType.UINT16, 70000, "Int32", (0, BAD_OUT_OF_RANGE)),
        (FieldType.UINT16, -1, "Int16", (0, BAD_OUT_OF_RANGE)),
        (FieldType.INT64, 2**63, "UInt64", (0, BAD_OUT_OF_RANGE)),
        (FieldType.UINT64, 2**63 - 1, "UInt64", (2**63 - 1, 0)),
        (FieldType.BOOL, True, "Boolean", (1, 0)),
        (FieldType.BOOL, 1, "Int16", (0, BAD_TYPE_MISMATCH)),
        (FieldType.STRING, "x", "String", ("x", 0)),
        (FieldType.STRING, 1.0, "Double", ("", BAD_TYPE_MISMATCH)),
        (FieldType.INT16, 1.0, "Double", (0, BAD_TYPE_MISMATCH)),
        (FieldType.INT16, [1], "Int16", (0, BAD_NO_DATA)),
    ),
)
def test_widening_is_exact_and_loss_is_bad(type: FieldType, content: Any, kind: str, expected: Any) -> None:
    assert converted(type, value(content, kind)) == expected


def test_double_into_single_precision_is_refused() -> None:
    got, quality = converted(FieldType.F32, value(0.1, "Double"))
    assert np.isnan(got) and quality == BAD_TYPE_MISMATCH


def test_a_bad_status_takes_the_value_and_wins_over_conversion() -> None:
    assert converted(FieldType.INT16, value(1.0, "Double", BAD_SENSOR_FAILURE)) == (0, BAD_SENSOR_FAILURE)
    assert converted(FieldType.INT16, value(5, "Int16", UNCERTAIN)) == (5, UNCERTAIN)


def test_a_text_too_long_for_a_sample_is_cut_and_uncertain() -> None:
    got, quality = converted(FieldType.STRING, value("锅" * 30_000, "String"))
    assert got == "锅" * 21_845 and quality == UNCERTAIN


def test_transport_bits_leave_the_quality_and_limit_bits_stay() -> None:
    assert converted(FieldType.INT16, value(5, "Int16", 0x0000_0480)) == (5, 0)
    assert converted(FieldType.INT16, value(5, "Int16", 0x4000_0580))[1] == 0x4000_0500


def test_overflow_needs_both_its_bits() -> None:
    status = np.array([0x480, 0x080, 0x400, 0x8000_0480, 0], np.uint32)
    assert overflowed(status).tolist() == [True, False, False, True, False]


def test_source_times_are_microseconds_since_1970() -> None:
    [run] = wire.read_response(read_answer([value(1.0, "Double")]))
    assert source_times(run.source_ticks).tolist() == [AT_US]
    assert source_times(np.array([0, 2**63 - 1], np.int64)).tolist() == [NO_SOURCE_TIME] * 2


def test_rows_have_every_point_once_whatever_came() -> None:
    points = [
        FieldPoint(5, "i=1", FieldType.F64),
        FieldPoint(2, "i=2", FieldType.F64),
        FieldPoint(9, "i=3", FieldType.BOOL),
    ]
    missing = np.array([BAD, BAD_NO_COMMUNICATION, BAD], np.uint32)
    [floats, bools] = Columns(points).rows(
        wire.read_response(read_answer([value(1.5, "Double")])), missing, 7
    )
    assert floats.point.tolist() == [5, 2] and floats.value.tolist()[0] == 1.5
    assert floats.quality.tolist() == [0, BAD_NO_COMMUNICATION] and bools.quality.tolist() == [BAD]
    assert floats.source_time is not None and floats.source_time.tolist() == [AT_US, NO_SOURCE_TIME]


def test_handles_that_nobody_has_are_left_out() -> None:
    runs = wire.read_response(read_answer([value(1.5, "Double"), value(2.5, "Double")]))
    [block] = Columns([FieldPoint(1, "i=1", FieldType.F64)]).blocks(runs, 0)
    assert block.value.tolist() == [1.5]


def test_types_that_can_be_collected_have_a_point_type() -> None:
    assert field_type(wire.SBYTE) is FieldType.INT16 and field_type(wire.XML) is FieldType.STRING
    assert field_type(wire.DATETIME) is None and field_type(wire.NOT_COLLECTED) is None


# -- completeness ----------------------------------------------------------------------------

POINTS = [FieldPoint(70, "i=1", FieldType.F64), FieldPoint(71, "i=2", FieldType.F64)]


def message(
    sequence: int, handles: list[int] | None = None, status: int = 0, **other: Any
) -> wire.Publication:
    rows = handles or []
    run = wire.Values(
        np.array(rows, np.uint32),
        wire.DOUBLE,
        np.zeros(len(rows)),
        np.full(len(rows), status, np.uint32),
        np.zeros(len(rows), np.int64),
    )
    return wire.Publication(1, sequence, False, not rows, [run], None)._replace(**other)


def begun() -> Completeness:
    whole = Completeness(POINTS)
    whole.begun(1_000)
    whole.queues([0, 1], [3, 1])
    return whole


def test_messages_and_keep_alives_in_order_lose_nothing() -> None:
    whole = begun()
    story = [message(1, [0]), message(2), message(2), message(2, [1]), message(3, [0, 1])]
    assert [whole.heard(each, 2_000 + k) for k, each in enumerate(story)] == [[]] * 5


def test_a_missing_message_loses_everything_since_the_one_before() -> None:
    whole = begun()
    whole.heard(message(1, [0]), 2_000)
    [lost] = whole.heard(message(3, [0]), 3_000)
    assert lost == Lost((70, 71), 2_000, 3_000, "message 2 was expected, 3 came")
    assert whole.heard(message(4, [0]), 4_000) == []


def test_a_keep_alive_reveals_a_missing_message() -> None:
    whole = begun()
    whole.heard(message(1, [0]), 2_000)
    assert len(whole.heard(message(3), 3_000)) == 1


def test_sequence_numbers_begin_again_at_one() -> None:
    whole = begun()
    whole.heard(message(2**32 - 1), 1_500)
    whole.heard(message(2**32 - 1, [0]), 2_000)
    assert whole.heard(message(1, [0]), 3_000) == []


def test_an_overflow_loses_only_its_point() -> None:
    whole = begun()
    whole.heard(message(1, [0, 1]), 2_000)
    [lost] = whole.heard(message(2, [1], status=0x480), 3_000)
    assert (lost.points, lost.from_us, lost.to_us) == ((71,), 2_000, 3_000)


def test_a_queue_that_comes_full_may_have_overflowed_and_a_queue_of_one_is_meant_to() -> None:
    whole = begun()
    assert whole.heard(message(1, [0, 0, 1, 1]), 2_000) == []
    [lost] = whole.heard(message(2, [0, 1, 0, 0]), 3_000)
    assert lost.points == (70,) and "full" in lost.why


def test_values_of_one_sending_may_come_in_several_messages() -> None:
    whole = begun()
    assert whole.heard(message(1, [0, 0], more=True), 2_000) == []
    [lost] = whole.heard(message(2, [0]), 2_500)
    assert (lost.points, lost.from_us) == ((70,), 1_000)


def test_an_outage_lasts_until_values_come_again() -> None:
    whole = begun()
    whole.heard(message(1, [0]), 2_000)
    assert whole.ended("cable cut", 5_000) == [Lost((70, 71), 2_000, 5_000, "cable cut")]
    assert whole.ended("cannot connect", 6_000) == []
    whole.begun(8_000)
    assert whole.heard(message(1), 8_500) == []
    assert whole.heard(message(1, [0, 1]), 9_000) == [Lost((70, 71), 5_000, 9_000, "cable cut")]
    assert whole.heard(message(2, [0]), 9_500) == []


def test_what_never_began_has_lost_nothing() -> None:
    whole = Completeness(POINTS)
    assert whole.ended("never there", 4_000) == []
    whole.begun(5_000)
    assert whole.heard(message(1, [0, 1]), 6_000) == []
