"""Frames of the provisioning console come out of any noise and any chunking, and only whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocols.console.frames import Frame, FrameReader, Kind, pack

numbers = st.integers(0, (1 << 32) - 1)
frames = st.builds(
    Frame,
    st.sampled_from(Kind),
    st.integers(1, (1 << 32) - 1),
    numbers,
    numbers,
    st.binary(max_size=300),
)


@given(st.lists(frames, max_size=5), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_any_chunking_gives_the_same_frames(sent: list[Frame], sizes: list[int]) -> None:
    data, reader = b"".join(map(pack, sent)), FrameReader()
    found: list[Frame | None] = []
    turn = 0
    while data:
        size = sizes[turn % len(sizes)]
        found += reader.feed(data[:size])
        data = data[size:]
        turn += 1
    assert found == sent


@given(st.binary(max_size=2000), frames)
def test_a_frame_is_found_after_any_noise(noise: bytes, frame: Frame) -> None:
    reader = FrameReader()
    reader.feed(noise)
    assert reader.feed(pack(frame))[-1] == frame


@given(frames, st.data())
def test_a_frame_that_lost_a_byte_is_no_frame(frame: Frame, data: st.DataObject) -> None:
    packed = pack(frame)
    at = data.draw(st.integers(1, len(packed) - 2))
    assert FrameReader().feed(packed[:at] + packed[at + 1 :]) == [None]
