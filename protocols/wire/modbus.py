"""Modbus TCP: requests to read and to write, and the frames that answer them. Portable, no I/O.

Rules:
1. A stream of bytes is cut into frames by the MBAP header alone. A header that no Modbus
   device sends (another protocol, a length outside 3..254) is an error at once, before
   the bytes it claims are waited for.
2. A frame answers a request when transaction, unit, function and byte count all fit.
3. Whatever the bytes are, only `FrameError` is raised.

Example, the one of the specification (registers 108 to 110 of unit 17):

>>> request = read_request(1, 17, READ_HOLDING, 0x6B, 3)
>>> request.hex()
'0001000000061103006b0003'
>>> frames = FrameReader()
>>> answer = bytes.fromhex("0001000000091103" "06022b00000064")
>>> frames.feed(answer[:5]), [frame.hex() for frame in frames.feed(answer[5:])]
([], ['000100000009110306022b00000064'])
>>> answer[payload_start(answer, 17, READ_HOLDING, 3):].hex()
'022b00000064'

Source: MODBUS Application Protocol Specification V1.1b3 (2012), clauses 4.1, 6.1-6.6, 6.12, 6.16 and 7;
MODBUS Messaging on TCP/IP Implementation Guide V1.0b (2006), clause 3.1.3.
"""

import struct

READ_COILS = 1
READ_DISCRETE = 2
READ_HOLDING = 3
READ_INPUT = 4
WRITE_COIL = 5
WRITE_REGISTER = 6
WRITE_REGISTERS = 16
MASK_REGISTER = 22

REGISTERS_MAX = 125
"""Registers in one answer: 250 bytes (V1.1b3, 6.3)."""

BITS_MAX = 2000
"""Coils or discrete inputs in one answer: 250 bytes (V1.1b3, 6.1)."""

LENGTH_MIN = 3
"""Least MBAP length of an answer: unit, function and one byte."""

LENGTH_MAX = 254
"""Greatest MBAP length: the unit and a PDU of 253 bytes (V1.1b3, 4.1)."""

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3
DEVICE_FAILURE = 4
ACKNOWLEDGE = 5
DEVICE_BUSY = 6
MEMORY_PARITY = 8
GATEWAY_PATH = 10
GATEWAY_TARGET = 11

_EXCEPTION = 0x80
_REQUEST = ">HHHBBHH"
_ON = b"\xff\x00"
_OFF = b"\x00\x00"


class FrameError(Exception):
    """Bytes that no Modbus TCP device sends."""


class RefusedError(Exception):
    """The device answered with an exception; `code` says which (V1.1b3, 7)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


def read_request(transaction: int, unit: int, function: int, address: int, count: int) -> bytes:
    """Pack a request to read.

    Args:
        transaction: 0..65535; the answer repeats it.
        unit: 0..255.
        function: `READ_COILS` to `READ_INPUT`.
        address: First coil or register, 0..65535.
        count: How many: at most `BITS_MAX` or `REGISTERS_MAX`.

    Returns:
        The 12 bytes to send.
    """
    return struct.pack(_REQUEST, transaction, 0, 6, unit, function, address, count)


def coil_body(address: int, on: bool) -> bytes:
    """What follows `WRITE_COIL` in a request (V1.1b3, 6.5).

    Args:
        address: The coil, 0..65535.
        on: Its new state.
    """
    return struct.pack(">H", address) + (_ON if on else _OFF)


def registers_body(address: int, data: bytes) -> bytes:
    """What follows `WRITE_REGISTER` (6.6) for one register, `WRITE_REGISTERS` (6.12) for more.

    Args:
        address: The first register, 0..65535.
        data: Two bytes for each register, as they travel.

    >>> registers_body(1, b"\\x00\\x03").hex(), registers_body(1, b"\\x00\\x0a\\x01\\x02").hex()
    ('00010003', '0001000204000a0102')
    """
    if len(data) == 2:
        return struct.pack(">H", address) + data
    return struct.pack(">HHB", address, len(data) // 2, len(data)) + data


def mask_body(address: int, bit: int, on: bool) -> bytes:
    """What follows `MASK_REGISTER` to change one bit and leave the others (6.16).

    Args:
        address: The register, 0..65535.
        bit: 0, the lowest, to 15.
        on: Its new state.

    >>> mask_body(4, 1, True).hex()
    '0004fffd0002'
    """
    mask = 1 << bit
    return struct.pack(">HHH", address, 0xFFFF ^ mask, mask if on else 0)


def write_request(transaction: int, unit: int, function: int, body: bytes) -> bytes:
    """Pack a request to write.

    Args:
        transaction: 0..65535; the answer repeats it.
        unit: 0..255.
        function: `WRITE_COIL` to `MASK_REGISTER`.
        body: What follows the function.
    """
    return struct.pack(">HHHBB", transaction, 0, 2 + len(body), unit, function) + body


def check_written(frame: bytes, unit: int, function: int, body: bytes) -> None:
    """Check that a frame confirms a write: it repeats the request, or of many registers where and how many.

    Args:
        frame: One whole frame.
        unit: What was asked:
        function: which function
        body: and what followed it.

    Raises:
        RefusedError: The device refused.
        FrameError: The frame answers something else.
    """
    _check_head(frame, unit, function)
    if frame[8:] != (body[:4] if function == WRITE_REGISTERS else body):
        raise FrameError(f"expected a confirmation of what was written, got {len(frame)} bytes of another")


def payload_bytes(function: int, count: int) -> int:
    """How many bytes of data answer a request for `count` coils or registers."""
    return 2 * count if function >= READ_HOLDING else (count + 7) // 8


def payload_start(frame: bytes, unit: int, function: int, count: int) -> int:
    """Where the data begins in a frame that answers a request; it goes to the frame's end.

    Args:
        frame: One whole frame.
        unit: What was asked:
        function: which function
        count: and how many coils or registers.

    Raises:
        RefusedError: The device refused.
        FrameError: The frame answers something else.
    """
    _check_head(frame, unit, function)
    size = payload_bytes(function, count)
    if frame[8] != size or len(frame) != 9 + size:
        raise FrameError(f"expected {size} bytes of data, got {frame[8]} in {len(frame) - 9}")
    return 9


def _check_head(frame: bytes, unit: int, function: int) -> None:
    """Raise unless unit and function are those that were asked."""
    got_unit = frame[6]
    got_function = frame[7]
    if got_unit != unit:
        raise FrameError(f"expected unit {unit}, got {got_unit}")
    if got_function == function | _EXCEPTION:
        if len(frame) != 9:
            raise FrameError(f"expected an exception of 9 bytes, got {len(frame)}")
        raise RefusedError(frame[8])
    if got_function != function:
        raise FrameError(f"expected function {function}, got {got_function}")


def transaction_of(frame: bytes) -> int:
    """Which request a frame answers."""
    return frame[0] << 8 | frame[1]


class FrameReader:
    """Cuts a stream into frames, however it arrives."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take received bytes; return the frames that are now complete, in order.

        Raises:
            FrameError: The stream is not Modbus TCP; the connection is of no more use.
        """
        if self._rest:
            data = self._rest + data
        frames = []
        start = 0
        size = len(data)
        while size - start >= 6:
            protocol = data[start + 2] << 8 | data[start + 3]
            length = data[start + 4] << 8 | data[start + 5]
            if protocol or not LENGTH_MIN <= length <= LENGTH_MAX:
                self._rest = b""
                raise FrameError(f"expected protocol 0 and a length of 3..254, got {protocol} and {length}")
            end = start + 6 + length
            if end > size:
                break
            frames.append(data[start:end])
            start = end
        self._rest = data[start:]
        return frames
