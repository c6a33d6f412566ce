"""Whatever is encoded comes back; whatever is decoded is samples or the peer's error."""

from __future__ import annotations

from typing import Any

import numpy as np
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import limits
from protocols.columns import decode, encode
from protocols.errors import LimitError, MalformedError
from protocols.samples import NO_SOURCE_TIME, SampleBlock, ValueType, concatenate

INT64 = st.integers(-(2**63), 2**63 - 1)
U32 = st.integers(0, 2**32 - 1)

DECIMALS = st.builds(
    lambda count, digits: count / 10**digits, st.integers(-(10**6), 10**6), st.integers(0, 6)
)
SCALED = st.builds(
    lambda count, digits: count * 10.0**-digits, st.integers(-(10**6), 10**6), st.integers(1, 5)
)
F64 = st.integers(0, 2**64 - 1).map(lambda bits: np.array(bits, np.uint64).view(np.float64)[()])
F32 = st.integers(0, 2**32 - 1).map(lambda bits: np.array(bits, np.uint32).view(np.float32)[()])
SPECIAL = st.sampled_from([0.0, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, 1.7e308])

VALUES: dict[ValueType, list[st.SearchStrategy[Any]]] = {
    ValueType.F64: [DECIMALS, SCALED, F64, F32.map(np.float64), st.one_of(DECIMALS, SPECIAL), SPECIAL],
    ValueType.F32: [DECIMALS.map(np.float32), F32],
    ValueType.I64: [INT64, st.integers(-100, 100), st.sampled_from([-(2**63), 2**63 - 1, 0])],
    ValueType.BOOL: [st.integers(0, 1)],
    ValueType.TEXT: [st.text(max_size=8), st.sampled_from(["RUN", "STOP", "运行", ""])],
}
TIMES = [INT64, st.integers(0, 20).map(lambda k: 1_790_000_000_000_000 + k * 1_000_000), st.integers(0, 5000)]
QUALITIES = [st.just(0), st.sampled_from([0, 0, 0, 0x80310000]), U32]


def column(values: list[Any], dtype: np.dtype[Any]) -> Any:
    """An array of these very values: numpy would quieten a signalling NaN on the way."""
    out = np.empty(len(values), dtype)
    for place, value in enumerate(values):
        if isinstance(value, np.generic) and value.dtype == dtype:
            out[place : place + 1].view(f"u{dtype.itemsize}")[0] = value.view(f"u{dtype.itemsize}")
        else:
            out[place] = value
    return out


@st.composite
def blocks(draw: st.DrawFn) -> SampleBlock:
    value_type = draw(st.sampled_from(list(ValueType)))
    size = draw(st.integers(0, 40))

    def some(strategy: st.SearchStrategy[Any]) -> list[Any]:
        held = draw(st.lists(strategy, min_size=1, max_size=max(1, size)))
        return [held[place * len(held) // max(1, size)] for place in range(size)]

    points = st.integers(0, draw(st.sampled_from([0, 1, 3, limits.POINT_ID_MAX])))
    if draw(st.booleans()):
        points = points.map(lambda number: number % 3)
    source = None
    if draw(st.booleans()):
        source = some(draw(st.sampled_from([INT64, st.just(5), st.sampled_from([NO_SOURCE_TIME, 5])])))
    return SampleBlock(
        value_type,
        np.array(draw(st.lists(points, min_size=size, max_size=size)), np.uint32),
        np.array(some(draw(st.sampled_from(TIMES))), np.int64),
        column(some(draw(st.sampled_from(VALUES[value_type]))), value_type.dtype),
        np.array(some(draw(st.sampled_from(QUALITIES))), np.uint32),
        None if source is None else np.array(source, np.int64),
    )


def bits(values: Any) -> Any:
    return values.tolist() if values.dtype == object else values.view(f"u{values.itemsize}").tolist()


def source_times(block: SampleBlock) -> list[int]:
    if block.source_time is None:
        return [NO_SOURCE_TIME] * len(block)
    times: list[int] = block.source_time.tolist()
    return times


@given(st.lists(blocks(), max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_samples_come_back_bit_for_bit(sent: list[SampleBlock]) -> None:
    expected = concatenate(sent)
    received = decode(encode(sent))
    assert [block.type for block in received] == [block.type for block in expected]
    for old, new in zip(expected, received, strict=True):
        old = old.take(np.argsort(old.point, kind="stable"))
        for name in ("point", "time", "value", "quality"):
            assert bits(getattr(old, name)) == bits(getattr(new, name)), name
        assert source_times(old) == source_times(new)


@given(st.lists(blocks(), max_size=2))
@settings(max_examples=40, deadline=None)
def test_what_was_decoded_encodes_to_the_same_payload_as_before(sent: list[SampleBlock]) -> None:
    once = encode(sent)
    again = decode(once)
    assert encode(decode(encode(again))) == encode(again)


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_refused_or_decoded(data: bytes) -> None:
    for payload in (data, frame(data), frame(b"\x01\x01" + data), frame(b"\x01\x02" + data)):
        decodes_or_refuses(payload)


@given(blocks(), st.data())
@settings(max_examples=200, deadline=None)
def test_any_mutation_is_refused_or_decoded(block: SampleBlock, data: st.DataObject) -> None:
    content = bytearray(zstandard.ZstdDecompressor().decompress(encode([block])))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(
            st.one_of(st.sampled_from([0, 1, 2, 4, 8, 127, 128, 255]), st.integers(0, 255))
        )
    cut = data.draw(st.integers(0, len(content)))
    decodes_or_refuses(frame(bytes(content)))
    decodes_or_refuses(frame(bytes(content[:cut])))
    decodes_or_refuses(frame(bytes(content[:cut] + content[cut - 1 :])))


@given(blocks(), st.data())
@settings(max_examples=200, deadline=None)
def test_any_mutation_of_the_frame_is_refused_or_decoded(block: SampleBlock, data: st.DataObject) -> None:
    payload = bytearray(encode([block]))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    decodes_or_refuses(bytes(payload))
    decodes_or_refuses(bytes(payload[: data.draw(st.integers(0, len(payload)))]))


def frame(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


def decodes_or_refuses(payload: bytes) -> None:
    try:
        received = decode(payload)
    except (MalformedError, LimitError):
        return
    assert sum(map(len, received)) <= limits.BATCH_SAMPLES_MAX
    assert [block.type for block in received] == sorted({block.type for block in received})
    for block in received:
        assert (block.point[1:] >= block.point[:-1]).all()
        assert block.type is not ValueType.BOOL or int(block.value.max()) <= 1
