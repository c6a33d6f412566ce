"""OPC UA answers: what the library encodes is decoded alike, and garbage is only malformed."""

from __future__ import annotations

from typing import Any

from asyncua import ua as library_ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import MalformedError
from protocols.field import _opcua_wire as wire

ua: Any = library_ua
NUMBERS = {
    "SByte": st.integers(-128, 127),
    "UInt16": st.integers(0, 2**16 - 1),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "UInt64": st.integers(0, 2**64 - 1),
    "Float": st.floats(width=32, allow_nan=False),
    "Double": st.floats(allow_nan=False),
    "Boolean": st.booleans(),
    "String": st.text(max_size=8),
}
contents = st.one_of([st.tuples(st.just(kind), numbers) for kind, numbers in NUMBERS.items()])
items = st.lists(st.tuples(contents, st.integers(0, 2**32 - 1), st.booleans()), max_size=30)


def encoded(rows: list[tuple[tuple[str, Any], int, bool]]) -> bytes:
    response = ua.ReadResponse()
    response.Results = [
        ua.DataValue(ua.Variant(content, ua.VariantType[kind]), ua.StatusCode(status) if has_status else None)
        for (kind, content), status, has_status in rows
    ]
    return bytes(struct_to_binary(response))


@given(items)
def test_what_the_library_encodes_is_decoded_alike(rows: list[tuple[tuple[str, Any], int, bool]]) -> None:
    got = [
        (handle, run.type, each, status)
        for run in wire.read_response(encoded(rows))
        for handle, each, status in zip(
            run.handles.tolist(), run.values.tolist(), run.status.tolist(), strict=True
        )
    ]
    assert got == [
        (k, ua.VariantType[kind].value, content, status if has_status else 0)
        for k, ((kind, content), status, has_status) in enumerate(rows)
    ]


@given(items, st.data())
def test_spoilt_answers_are_values_or_malformed(
    rows: list[tuple[tuple[str, Any], int, bool]], data: st.DataObject
) -> None:
    spoilt = bytearray(encoded(rows))
    for _ in range(data.draw(st.integers(1, 8))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    for decode in (wire.read_response, wire.publish_response):
        try:
            decode(bytes(spoilt[: data.draw(st.integers(0, len(spoilt)))]))
        except MalformedError:
            continue


@given(st.binary(max_size=400))
def test_garbage_is_only_malformed(garbage: bytes) -> None:
    head = encoded([])[:-8]
    for decode, data in ((wire.read_response, head + garbage), (wire.publish_response, garbage)):
        try:
            decode(data)
        except MalformedError:
            continue
