"""Addresses of Modbus points, in both notations."""

from __future__ import annotations

import pytest

from protocols.field._modbus_address import Order, Span, parse
from protocols.field.base import FieldType
from protocols.field.modbus import MODBUS_TCP
from protocols.field.registry import validate
from protocols.wire import modbus as wire

ABCD, CDAB, BADC, DCBA = Order.ABCD, Order.CDAB, Order.BADC, Order.DCBA


@pytest.mark.parametrize(
    ("address", "type", "span"),
    (
        ("holding:100", FieldType.F32, Span(1, wire.READ_HOLDING, 100, 2, ABCD)),
        (" input:5#CDAB ", FieldType.UINT32, Span(1, wire.READ_INPUT, 5, 2, CDAB)),
        ("7!input:5#DCBA", FieldType.F64, Span(7, wire.READ_INPUT, 5, 4, DCBA)),
        ("coil:3", FieldType.BOOL, Span(1, wire.READ_COILS, 3, 1, ABCD)),
        ("discrete:65535", FieldType.BOOL, Span(1, wire.READ_DISCRETE, 65535, 1, ABCD)),
        ("holding:9.15", FieldType.BOOL, Span(1, wire.READ_HOLDING, 9, 1, ABCD, bit=15)),
        ("holding:9.7", FieldType.STRING, Span(1, wire.READ_HOLDING, 9, 4, ABCD, text="H", text_bytes=7)),
        ("holding:9.7E", FieldType.STRING, Span(1, wire.READ_HOLDING, 9, 7, ABCD, text="E", text_bytes=7)),
        ("1!40001#BB", FieldType.F32, Span(1, wire.READ_HOLDING, 0, 2, DCBA)),
        ("1!40001#BL", FieldType.INT32, Span(1, wire.READ_HOLDING, 0, 2, CDAB)),
        ("1!40001#LB", FieldType.INT32, Span(1, wire.READ_HOLDING, 0, 2, BADC)),
        ("1!40001#LL", FieldType.INT32, Span(1, wire.READ_HOLDING, 0, 2, ABCD)),
        ("2!400010.4", FieldType.BOOL, Span(2, wire.READ_HOLDING, 9, 1, ABCD, bit=4)),
        ("1!300004#B", FieldType.INT16, Span(1, wire.READ_INPUT, 3, 1, DCBA)),
        ("1!465536", FieldType.UINT16, Span(1, wire.READ_HOLDING, 65535, 1, ABCD)),
        ("1!000001", FieldType.BOOL, Span(1, wire.READ_COILS, 0, 1, ABCD)),
        ("1!10008", FieldType.BOOL, Span(1, wire.READ_DISCRETE, 7, 1, ABCD)),
        ("1!400001.20L", FieldType.STRING, Span(1, wire.READ_HOLDING, 0, 10, ABCD, text="L", text_bytes=20)),
    ),
)
def test_an_address_says_where_and_how(address: str, type: FieldType, span: Span) -> None:
    assert parse(address, type, 1, 0, ABCD) == span


def test_what_an_address_leaves_out_comes_from_the_device() -> None:
    assert parse("holding:1", FieldType.F32, 9, 1, CDAB) == Span(9, wire.READ_HOLDING, 0, 2, CDAB)


def test_the_base_is_not_for_neuron_s_numbers_which_always_begin_with_one() -> None:
    assert parse("1!40001", FieldType.INT16, 1, 1, ABCD).start == 0


@pytest.mark.parametrize(
    ("address", "type", "expected"),
    (
        ("", FieldType.F32, "an address such as"),
        ("register:5", FieldType.F32, "an address such as"),
        ("holding:-1", FieldType.F32, "an address such as"),
        ("holding:65535", FieldType.F32, "within the table's 65536"),
        ("holding:65536", FieldType.INT16, "within the table's 65536"),
        ("1!40000", FieldType.INT16, "within the table's 65536"),
        ("256!holding:1", FieldType.INT16, "a unit from 0 to 255"),
        ("holding:1#ABDC", FieldType.F32, "a byte order of"),
        ("holding:1", FieldType.BOOL, "the bit of the register"),
        ("holding:1.16", FieldType.BOOL, "the bit of the register"),
        ("holding:1.3", FieldType.INT16, "no dot for type int16"),
        ("holding:1.3H", FieldType.INT16, "no letter"),
        ("coil:1", FieldType.INT16, "type bool"),
        ("coil:1.2", FieldType.BOOL, "no dot"),
        ("coil:1.2", FieldType.STRING, "a text in registers"),
        ("holding:1", FieldType.STRING, "a text's size"),
        ("holding:1.251", FieldType.STRING, "a text's size"),
        ("holding:1.126D", FieldType.STRING, "a text's size"),
        ("1!20001", FieldType.INT16, "an address such as"),
        ("1!400", FieldType.INT16, "an address such as"),
    ),
)
def test_a_wrong_address_is_told_what_was_expected(address: str, type: FieldType, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse(address, type, 1, 0, ABCD)


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    (
        (("holding:10", FieldType.UINT32), ("holding:11", FieldType.UINT16), True),
        (("holding:10", FieldType.UINT32), ("1!40011", FieldType.UINT16), True),
        (("holding:10", FieldType.UINT32), ("holding:12", FieldType.UINT16), False),
        (("holding:10.3", FieldType.BOOL), ("holding:10.4", FieldType.BOOL), False),
        (("holding:10.3", FieldType.BOOL), ("holding:10", FieldType.INT16), True),
        (("coil:10", FieldType.BOOL), ("holding:10.0", FieldType.BOOL), False),
        (("coil:10", FieldType.BOOL), ("2!coil:10", FieldType.BOOL), False),
    ),
)
def test_two_points_that_share_a_bit_collide(
    one: tuple[str, FieldType], other: tuple[str, FieldType], collide: bool
) -> None:
    settings, _ = validate(MODBUS_TCP, {"host": "127.0.0.1"}, "", "")
    places = [MODBUS_TCP.places(address, type, settings) for address, type in (one, other)]
    assert bool(places[0] & places[1]) is collide


@pytest.mark.parametrize("address", ("input:5", "discrete:7", "1!30006"))
def test_tables_that_can_only_be_read_are_not_writable(address: str) -> None:
    type = FieldType.BOOL if "disc" in address else FieldType.UINT16
    assert "only be read" in str(MODBUS_TCP.writable(address, type))
