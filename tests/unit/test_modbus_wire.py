"""Modbus TCP frames, whole and byte by byte."""

from __future__ import annotations

import pytest

from protocols.wire import modbus as wire

HOLDING_ANSWER = bytes.fromhex("0001 0000 0009 11 03 06 022b00000064")
REFUSAL = bytes.fromhex("0002 0000 0003 11 83 02")
COILS_ANSWER = bytes.fromhex("0003 0000 0006 01 01 03 cd6b05")


def test_a_request_is_the_specification_s_example() -> None:
    request = wire.read_request(1, 17, wire.READ_HOLDING, 0x6B, 3)
    assert request == bytes.fromhex("0001 0000 0006 11 03 006b 0003")


@pytest.mark.parametrize("frame", (HOLDING_ANSWER, REFUSAL, COILS_ANSWER))
def test_a_frame_comes_out_whole_however_it_arrives(frame: bytes) -> None:
    assert wire.FrameReader().feed(frame) == [frame]
    reader = wire.FrameReader()
    assert [got for byte in frame for got in reader.feed(bytes([byte]))] == [frame]


def test_frames_that_arrive_together_come_out_in_order_and_the_rest_waits() -> None:
    reader = wire.FrameReader()
    stream = HOLDING_ANSWER + REFUSAL + COILS_ANSWER
    assert reader.feed(stream[:-2]) == [HOLDING_ANSWER, REFUSAL]
    assert reader.feed(stream[-2:]) == [COILS_ANSWER]


@pytest.mark.parametrize(
    "head",
    (
        "0001 0001 0003",  # another protocol
        "0001 0000 0002",  # no room for function and data
        "0001 0000 00ff",  # one byte more than a frame can have
        "0001 0000 ffff",
        "4854 5450 2f31",  # HTTP/1
    ),
)
def test_a_header_that_no_device_sends_is_refused_before_its_claim_is_waited_for(head: str) -> None:
    with pytest.raises(wire.FrameError):
        wire.FrameReader().feed(bytes.fromhex(head))


def test_data_begins_after_the_byte_count_and_ends_with_the_frame() -> None:
    start = wire.payload_start(HOLDING_ANSWER, 17, wire.READ_HOLDING, 3)
    assert HOLDING_ANSWER[start:].hex() == "022b00000064"
    assert wire.payload_start(COILS_ANSWER, 1, wire.READ_COILS, 19) == 9
    assert wire.transaction_of(COILS_ANSWER) == 3


def test_a_refusal_tells_its_code() -> None:
    with pytest.raises(wire.RefusedError) as refusal:
        wire.payload_start(REFUSAL, 17, wire.READ_HOLDING, 3)
    assert refusal.value.code == wire.ILLEGAL_ADDRESS


@pytest.mark.parametrize(
    ("frame", "unit", "function", "count"),
    (
        (HOLDING_ANSWER, 16, wire.READ_HOLDING, 3),
        (HOLDING_ANSWER, 17, wire.READ_INPUT, 3),
        (HOLDING_ANSWER, 17, wire.READ_HOLDING, 4),
        (HOLDING_ANSWER[:-2], 17, wire.READ_HOLDING, 3),
        (HOLDING_ANSWER[:-2], 17, wire.READ_HOLDING, 2),
        (REFUSAL + b"\x00", 17, wire.READ_HOLDING, 3),
        (COILS_ANSWER, 1, wire.READ_COILS, 25),
    ),
)
def test_a_frame_that_answers_something_else_is_refused(
    frame: bytes, unit: int, function: int, count: int
) -> None:
    with pytest.raises(wire.FrameError):
        wire.payload_start(frame, unit, function, count)


@pytest.mark.parametrize(
    ("function", "body", "request_hex", "answer_hex"),
    (
        # The examples of V1.1b3, clauses 6.5, 6.6, 6.12 and 6.16.
        (wire.WRITE_COIL, wire.coil_body(0xAC, True), "05 00ac ff00", "05 00ac ff00"),
        (wire.WRITE_REGISTER, wire.registers_body(1, b"\x00\x03"), "06 0001 0003", "06 0001 0003"),
        (
            wire.WRITE_REGISTERS,
            wire.registers_body(1, bytes.fromhex("000a0102")),
            "10 0001 0002 04 000a 0102",
            "10 0001 0002",
        ),
        (wire.MASK_REGISTER, wire.mask_body(4, 2, True), "16 0004 fffb 0004", "16 0004 fffb 0004"),
    ),
)
def test_a_write_is_the_specification_s_and_its_answer_confirms_it(
    function: int, body: bytes, request_hex: str, answer_hex: str
) -> None:
    pdu, answer = bytes.fromhex(request_hex), bytes.fromhex(answer_hex)
    request = wire.write_request(1, 17, function, body)
    assert request == bytes.fromhex(f"0001 0000 {1 + len(pdu):04x} 11") + pdu
    frame = bytes.fromhex(f"0001 0000 {1 + len(answer):04x} 11") + answer
    assert wire.FrameReader().feed(frame) == [frame]
    wire.check_written(frame, 17, function, body)
    for wrong in (frame[:-1] + bytes([frame[-1] ^ 1]), frame[:-1], frame + b"\x00"):
        with pytest.raises(wire.FrameError):
            wire.check_written(wrong, 17, function, body)
    with pytest.raises(wire.FrameError):
        wire.check_written(frame, 18, function, body)
    with pytest.raises(wire.RefusedError):
        wire.check_written(bytes.fromhex(f"0001 0000 0003 11 {function | 0x80:02x} 04"), 17, function, body)
