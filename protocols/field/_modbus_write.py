"""One value as a request to write it to a Modbus device."""

from __future__ import annotations

import struct

from protocols.field._modbus_address import Span
from protocols.field.base import FieldType
from protocols.field.writing import TEXTS, fault
from protocols.wire import modbus as wire

_FORMS = {
    FieldType.INT16: ">h",
    FieldType.UINT16: ">H",
    FieldType.INT32: ">i",
    FieldType.UINT32: ">I",
    FieldType.INT64: ">q",
    FieldType.UINT64: ">Q",
    FieldType.F32: ">f",
    FieldType.F64: ">d",
}
_EXCEPTIONS = {
    wire.ILLEGAL_FUNCTION: "illegal function",
    wire.ILLEGAL_ADDRESS: "illegal data address",
    wire.ILLEGAL_VALUE: "illegal data value",
    wire.DEVICE_FAILURE: "device failure",
    wire.ACKNOWLEDGE: "acknowledged, not done yet",
    wire.DEVICE_BUSY: "busy",
    wire.MEMORY_PARITY: "memory parity error",
    wire.GATEWAY_PATH: "no path at the gateway",
    wire.GATEWAY_TARGET: "no answer at the gateway",
}


class WriteBlock:
    """A request to write, and what became of it; sent once or never.

    Args:
        unit: Unit id.
        function: Function code.
        body: What follows it.
    """

    def __init__(self, unit: int, function: int, body: bytes) -> None:
        self.unit = unit
        self.function = function
        self.body = body
        self.sent = False
        self.refused = ""
        """Why the device refused, in words."""

    def pack(self, transaction: int) -> bytes:
        """The request, which is now sent."""
        self.sent = True
        return wire.write_request(transaction, self.unit, self.function, self.body)

    def payload(self, frame: bytes) -> bytes:
        """Nothing, if the frame confirms the write.

        Raises:
            RefusedError: The device refused.
            FrameError: The frame answers something else.
        """
        try:
            wire.check_written(frame, self.unit, self.function, self.body)
        except wire.RefusedError as refused:
            words = _EXCEPTIONS.get(refused.code, "unknown")
            self.refused = f"exception {refused.code}, {words}"
            raise
        return b""


def unwritable(span: Span, type: FieldType) -> str | None:
    """What was expected instead of this place, or `None` when it can be written."""
    if type is FieldType.STRING:
        return TEXTS
    if span.function in (wire.READ_DISCRETE, wire.READ_INPUT):
        return "a coil or a holding register: discrete inputs and input registers can only be read"
    return None


def write_block(span: Span, type: FieldType, value: float) -> WriteBlock:
    """The request that writes one value.

    A bit of a register is changed by a mask, so that the other bits stay; not every device can.

    Args:
        span: Where the value lies.
        type: What it is there.
        value: The value.

    Raises:
        ValueError: It cannot be written there; the message says what was expected.
    """
    expected = unwritable(span, type) or fault(type, value)
    if expected:
        raise ValueError(f"expected {expected}, got {value!r}")
    if span.function == wire.READ_COILS:
        return WriteBlock(span.unit, wire.WRITE_COIL, wire.coil_body(span.start, bool(value)))
    if span.bit is not None:
        body = wire.mask_body(span.start, span.bit, bool(value))
        return WriteBlock(span.unit, wire.MASK_REGISTER, body)
    function = wire.WRITE_REGISTER if span.count == 1 else wire.WRITE_REGISTERS
    return WriteBlock(span.unit, function, wire.registers_body(span.start, _words(span, type, value)))


def _words(span: Span, type: FieldType, value: float) -> bytes:
    """The bytes of a number in the order in which the device has them."""
    data = struct.pack(_FORMS[type], value)
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if span.order.swaps_words:
        words.reverse()
    if span.order.swaps_bytes:
        words = [word[::-1] for word in words]
    return b"".join(words)
