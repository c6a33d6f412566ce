"""Addresses of Modbus points, in two notations.

Ours: `[UNIT!]TABLE:NUMBER[.BIT | .LENGTH[H|L|D|E]][#ORDER]`, with the number as the device's
protocol sees it (from 0, or from `address_base`)::

    holding:100            coil:3            2!input:5#CDAB
    holding:100.3          discrete:7        holding:200.16

Neuron's: `UNIT!NUMBER[...]` with a number of five or six digits whose first one is the
table (0 coils, 1 discrete inputs, 3 input registers, 4 holding registers) and whose others
count from 1: `1!40001#BB`, `1!400001.20L`.

`.BIT` chooses a bit of a register, 0 the lowest. `.LENGTH` is a text's size in bytes; the
letter says how they lie in the registers: H high byte first (usual), L low byte first, D
only high bytes, E only low bytes. `#ORDER` is the order of the bytes on the wire, ABCD
being big-endian; Neuron's LL, LB, BL, BB (and L, B) mean ABCD, BADC, CDAB, DCBA.

Source: EMQ, "Neuron documentation", chapter Modbus TCP (2.9).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from protocols.field.base import FieldType
from protocols.wire import modbus as wire


class Order(StrEnum):
    """How the bytes of a value lie on the wire; `A` is the most significant byte."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"

    @property
    def swaps_bytes(self) -> bool:
        """Whether each register has its low byte first."""
        return self in (Order.BADC, Order.DCBA)

    @property
    def swaps_words(self) -> bool:
        """Whether the least significant register comes first."""
        return self in (Order.CDAB, Order.DCBA)


@dataclass(frozen=True, slots=True)
class Span:
    """Where a value lies and how.

    Args:
        unit: Unit id.
        function: The function that reads its table.
        start: First coil or register, counted from 0.
        count: How many.
        order: The order of its bytes.
        bit: The bit of a register, or `None`.
        text: How a text lies in its registers: `H`, `L`, `D` or `E`; empty for other types.
        text_bytes: The size of a text.
    """

    unit: int
    function: int
    start: int
    count: int
    order: Order
    bit: int | None = None
    text: str = ""
    text_bytes: int = 0


TABLES = {
    "coil": wire.READ_COILS,
    "discrete": wire.READ_DISCRETE,
    "input": wire.READ_INPUT,
    "holding": wire.READ_HOLDING,
}
_DIGITS = {
    "0": wire.READ_COILS,
    "1": wire.READ_DISCRETE,
    "3": wire.READ_INPUT,
    "4": wire.READ_HOLDING,
}
_NEURON_ORDERS = {
    "L": Order.ABCD,
    "B": Order.DCBA,
    "LL": Order.ABCD,
    "LB": Order.BADC,
    "BL": Order.CDAB,
    "BB": Order.DCBA,
}
_WORDS = {
    FieldType.BOOL: 1,
    FieldType.INT16: 1,
    FieldType.UINT16: 1,
    FieldType.INT32: 2,
    FieldType.UINT32: 2,
    FieldType.F32: 2,
    FieldType.INT64: 4,
    FieldType.UINT64: 4,
    FieldType.F64: 4,
}
_ADDRESS = re.compile(
    r"(?:(?P<unit>[0-9]{1,3})!)?"
    r"(?:(?P<table>coil|discrete|input|holding):(?P<number>[0-9]{1,5})|(?P<digit>[0134])(?P<index>[0-9]{4,5}))"
    r"(?:\.(?P<part>[0-9]{1,3})(?P<lie>[HLDE])?)?"
    r"(?:#(?P<order>[A-D]{4}|[LB]{1,2}))?"
)
_EXAMPLES = "an address such as 'holding:100', 'input:5#CDAB', 'coil:3', 'discrete:7' or '1!40001#BB'"


def parse(address: str, type: FieldType, unit: int, base: int, order: Order) -> Span:
    """Read an address.

    Args:
        address: As the operator wrote it.
        type: The point's type; decides how many registers it takes.
        unit: The unit where the address names none.
        base: What the first coil or register is called in our own notation, 0 or 1.
        order: The byte order where the address names none.

    Raises:
        ValueError: It makes no sense; the message says what was expected.

    >>> parse("1!40001#BB", FieldType.F32, 1, 0, Order.ABCD).order.value
    'DCBA'
    """
    match = _ADDRESS.fullmatch(address.strip())
    if match is None:
        raise ValueError(_EXAMPLES)
    if match["unit"]:
        unit = int(match["unit"])
    if not 0 <= unit <= 255:
        raise ValueError("a unit from 0 to 255 before the '!'")
    if match["table"]:
        function, start = TABLES[match["table"]], int(match["number"]) - base
    else:
        function, start = _DIGITS[match["digit"]], int(match["index"]) - 1
    if match["order"]:
        order = _order(match["order"])
    count, bit, text, text_bytes = _size(type, function, match["part"], match["lie"])
    if start < 0 or start + count > 65536:
        raise ValueError(f"{count} coils or registers that lie within the table's 65536")
    return Span(unit, function, start, count, order, bit, text, text_bytes)


def _order(name: str) -> Order:
    if name in _NEURON_ORDERS:
        return _NEURON_ORDERS[name]
    try:
        return Order(name)
    except ValueError:
        raise ValueError("a byte order of ABCD, CDAB, BADC or DCBA after the '#'") from None


def _size(
    type: FieldType, function: int, part: str | None, lie: str | None
) -> tuple[int, int | None, str, int]:
    """The count, bit, text layout and text size that a type and the part after the dot mean."""
    if type is FieldType.STRING:
        if function < wire.READ_HOLDING:
            raise ValueError("a text in registers, such as 'holding:200.16'")
        size, lie = int(part or 0), lie or "H"
        count = (size + 1) // 2 if lie in "HL" else size
        if not 1 <= count <= wire.REGISTERS_MAX:
            raise ValueError("a text's size of 1 to 250 bytes (125 with D or E), such as 'holding:200.16'")
        return count, None, lie, size
    if lie:
        raise ValueError(f"no letter after the dot for type {type}")
    if function < wire.READ_HOLDING:
        if type is not FieldType.BOOL or part:
            raise ValueError("type bool and no dot for a coil or a discrete input")
        return 1, None, "", 0
    if type is not FieldType.BOOL:
        if part:
            raise ValueError(f"no dot for type {type}; a bit has type bool, a text has type string")
        return _WORDS[type], None, "", 0
    if part is None or int(part) > 15:
        raise ValueError("the bit of the register, 0 to 15, such as 'holding:100.3'")
    return 1, int(part), "", 0
