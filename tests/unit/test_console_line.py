"""Both ends of the provisioning console over a line that damages, drops and is pulled."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import pytest

from protocols import limits
from protocols.console.flow import Flow
from protocols.console.frames import VERSION, Frame, FrameReader, Kind, pack, parse, stuffed, unstuffed
from protocols.console.gateway import HEARD_S, GatewayEnd
from protocols.console.host import HostEnd
from protocols.errors import LimitError, MalformedError

BYTES_PER_S = 11_520.0


def test_frames_are_as_documented() -> None:
    # docs/flashing.md shows these.
    opened = pack(Frame(Kind.OPEN, 0x01020304, 0, 0, bytes([VERSION])))
    assert opened.hex(" ") == "00 06 01 04 03 02 01 01 01 01 01 01 01 01 06 01 be c2 3a 3b 00"
    data = pack(Frame(Kind.DATA, 0x01020304, 4, 8, b"a\0b"))
    assert data.hex(" ") == "00 07 03 04 03 02 01 04 01 01 02 08 01 01 02 61 06 62 bd da 08 a1 00"


@pytest.mark.parametrize("size", [0, 1, 253, 254, 255, 508, 509, 1024])
def test_stuffing_is_undone(size: int) -> None:
    for data in (bytes(size), b"\x01" * size, random.Random(size).randbytes(size)):
        assert 0 not in stuffed(data)
        assert unstuffed(stuffed(data)) == data


@pytest.mark.parametrize("encoded", ["05 01 02", "00", "02 00", "ff 01"])
def test_stuffing_that_does_not_fit_is_refused(encoded: str) -> None:
    with pytest.raises(MalformedError):
        unstuffed(bytes.fromhex(encoded))


def test_every_damaged_byte_is_noticed() -> None:
    whole = pack(Frame(Kind.DATA, 9, 1, 2, b"payload\0with zeros\0"))[1:-1]
    for at in range(len(whole)):
        for bit in range(8):
            hurt = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
            with pytest.raises(MalformedError):
                parse(hurt)


def test_a_reader_bounds_what_it_keeps() -> None:
    reader = FrameReader()
    assert reader.feed(b"x" * 1_000_000) == []
    assert reader.feed(b"y\0") == [None]
    assert reader.feed(pack(Frame(Kind.DATA, 1, 0, 0)))[-1] == Frame(Kind.DATA, 1, 0, 0)


def test_a_message_that_is_too_long_breaks_the_session() -> None:
    flow = Flow(1)
    with pytest.raises(LimitError):
        flow.take(Frame(Kind.DATA, 1, 0, 0, (limits.CONSOLE_MESSAGE_BYTES_MAX + 1).to_bytes(4, "little")))


class Line(NamedTuple):
    """A simulated line: what it did, and its clock at the end."""

    said: list[bytes]
    answered: list[bytes]
    seconds: float
    bytes: int


def drive(
    seed: int,
    messages: list[bytes],
    damaged: float = 0.0,
    answer: Callable[[bytes], bytes] = lambda message: message[::-1],
    restart_each: float = 0.0,
) -> Line:
    """Say messages one after the other, each until it is answered; the clock is simulated."""
    draw = random.Random(seed)
    host, gateway = HostEnd(lambda: draw.randrange(1, 1 << 32), BYTES_PER_S), GatewayEnd()
    now, carried = 0.0, 0
    said: list[bytes] = []
    answered: list[bytes] = []

    def carry(data: bytes) -> bytes:
        nonlocal now, carried
        now += len(data) / BYTES_PER_S
        carried += len(data)
        lots = [draw.random() for _ in data]
        return bytes(
            byte ^ draw.randrange(1, 256) if lot < damaged * 2 / 3 else byte
            for byte, lot in zip(data, lots, strict=True)
            if not damaged * 2 / 3 <= lot < damaged
        )

    for message in messages:
        host.send(message, now)
        while True:
            if restart_each and draw.random() < restart_each:
                gateway = GatewayEnd()
            out = host.outgoing()
            if out:
                back = gateway.receive(carry(out), now)
                for come in gateway.messages():
                    said.append(come)
                    gateway.send(gateway.session, answer(come))
                found = host.receive(carry(back), now)
                if host.lost:
                    host.lost = False
                    host.send(message, now)
                if found:
                    host.done()
                    answered += found
                    break
            else:
                assert host.due is not None, "the host waits for nothing"
                now = max(now, host.due)
                host.tick(now)
            assert now < 1000, f"seed {seed}: no answer"
    return Line(said, answered, now, carried)


MESSAGES = [random.Random(n).randbytes(size) for n, size in enumerate((0, 1, 10, 300, 2000, 5000))]


@pytest.mark.parametrize("damaged", [0.0, 0.001, 0.01, 0.03])
def test_every_message_comes_once_and_in_order(damaged: float) -> None:
    for seed in range(3):
        line = drive(seed, MESSAGES, damaged)
        assert line.said == MESSAGES
        assert line.answered == [message[::-1] for message in MESSAGES]


def test_a_clean_line_is_used_well() -> None:
    line = drive(1, [bytes(20_000)] * 3, answer=lambda message: b"ok")
    assert 60_000 / line.bytes > 0.9
    assert 60_000 / line.seconds > 0.85 * BYTES_PER_S


def test_a_gateway_that_starts_anew_is_told_again() -> None:
    for seed in range(4):
        line = drive(seed, MESSAGES, 0.003, restart_each=0.02)
        assert line.answered == [message[::-1] for message in MESSAGES]
        assert list(dict.fromkeys(line.said)) == MESSAGES


def test_a_gateway_says_nothing_by_itself_nor_to_noise() -> None:
    gateway = GatewayEnd()
    assert gateway.receive(b"login: \0root\0\0password\0" * 10, 0.0) == b""
    host = HostEnd(lambda: 7, BYTES_PER_S)
    host.send(b"x", 0.0)
    assert gateway.receive(host.outgoing(), 0.0)
    assert gateway.receive(b"noise\0", 1.0), "a host is there: it is asked to say it again"
    assert gateway.receive(b"noise\0", HEARD_S + 0.1) == b""


def test_a_frame_of_another_session_is_answered_with_unknown() -> None:
    gateway = GatewayEnd()
    [frame] = FrameReader().feed(gateway.receive(pack(Frame(Kind.DATA, 5, 0, 0, b"x")), 0.0))
    assert frame == Frame(Kind.UNKNOWN, 5, 0, 0)


def test_a_gateway_of_another_version_is_named() -> None:
    host = HostEnd(lambda: 7, BYTES_PER_S)
    host.send(b"x", 0.0)
    with pytest.raises(MalformedError, match="version"):
        host.receive(pack(Frame(Kind.OPENED, 7, 0, 0, b"\x09")), 0.0)


def test_answers_of_an_earlier_session_are_dropped() -> None:
    gateway = GatewayEnd()
    gateway.receive(pack(Frame(Kind.OPEN, 1, 0, 0, bytes([VERSION]))), 0.0)
    gateway.receive(pack(Frame(Kind.OPEN, 2, 0, 0, bytes([VERSION]))), 0.0)
    gateway.send(1, b"late")
    [frame] = FrameReader().feed(gateway.receive(pack(Frame(Kind.DATA, 2, 0, 0)), 0.0))
    assert frame == Frame(Kind.DATA, 2, 0, 0)
