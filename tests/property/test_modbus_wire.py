"""Modbus TCP framing: any chunking gives the same frames, and garbage only `FrameError`."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from protocols.wire import modbus as wire

frames = st.builds(
    lambda transaction, body: struct.pack(">HHH", transaction, 0, len(body)) + body,
    st.integers(0, 65535),
    st.binary(min_size=3, max_size=254),
)


@given(st.lists(frames, max_size=12), st.lists(st.integers(1, 300), min_size=1))
def test_any_chunking_gives_the_same_frames(sent: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(sent)
    reader = wire.FrameReader()
    got: list[bytes] = []
    at = k = 0
    while at < len(stream):
        size = sizes[k % len(sizes)]
        got += reader.feed(stream[at : at + size])
        at, k = at + size, k + 1
    assert got == sent


@given(st.lists(st.binary(max_size=600), max_size=8))
def test_garbage_is_frames_or_an_error_and_memory_stays_bounded(chunks: list[bytes]) -> None:
    reader = wire.FrameReader()
    for chunk in chunks:
        try:
            for frame in reader.feed(chunk):
                assert 9 <= len(frame) <= 260
        except wire.FrameError:
            break
        assert len(reader._rest) < 260


@given(frames, st.integers(0, 255), st.sampled_from((1, 2, 3, 4)), st.integers(1, 125))
def test_any_frame_answers_a_request_or_does_not(frame: bytes, unit: int, function: int, count: int) -> None:
    try:
        start = wire.payload_start(frame, unit, function, count)
    except (wire.FrameError, wire.RefusedError):
        return
    assert len(frame) - start == wire.payload_bytes(function, count)


@given(st.integers(0, 255), st.sampled_from((1, 2, 3, 4)), st.integers(1, 125), st.data())
def test_every_right_answer_is_taken(unit: int, function: int, count: int, data: st.DataObject) -> None:
    size = wire.payload_bytes(function, count)
    payload = data.draw(st.binary(min_size=size, max_size=size))
    frame = struct.pack(">HHHBBB", 7, 0, 3 + size, unit, function, size) + payload
    assert frame[wire.payload_start(frame, unit, function, count) :] == payload


@given(frames, st.integers(0, 255), st.sampled_from((5, 6, 16, 22)), st.binary(min_size=4, max_size=13))
def test_any_frame_confirms_a_write_or_does_not(frame: bytes, unit: int, function: int, body: bytes) -> None:
    try:
        wire.check_written(frame, unit, function, body)
    except (wire.FrameError, wire.RefusedError):
        return
    assert frame[6:8] == bytes([unit, function]) and frame[8:12] == body[:4]
