"""What a gateway records of apps for replays: it comes back whole, or not at all."""

from __future__ import annotations

import base64
from dataclasses import replace

import msgpack
import numpy as np
import pytest
import zstandard

from edge_runtime.rules.apps.key import run_key
from protocols import limits
from protocols.records import (
    AppSight,
    AppState,
    EventRecord,
    StateKind,
    clean_event,
    pack_events,
    parse_events,
    read_marks,
    sight_records,
    state_records,
)

RANDOM = np.random.default_rng(1).bytes


def state(*parts: bytes, kind: StateKind = StateKind.SCAN) -> AppState:
    return AppState(5, "gas", kind, b"k" * 16, parts, (1000, 2000), (0, 500), ("always", "change"))


def read(records: list[EventRecord]) -> list[AppState | AppSight]:
    return list(read_marks((record.time_us, record.transition, record.detail) for record in records))


@pytest.mark.parametrize("size", [0, 1, 500, 20_000, 200_000])
def test_a_state_of_any_size_comes_back(size: int) -> None:
    for kind in StateKind:
        whole = state(b"", RANDOM(size), kind=kind)
        assert read(state_records(whole)) == [whole]


def test_its_events_travel_as_they_are() -> None:
    records = state_records(state(RANDOM(50_000)))
    assert len(records) > 1
    assert [clean_event(record) for record in records] == records
    [payload] = pack_events(records)
    assert parse_events(payload.data) == records
    assert {record.state for record in records} == {"scan"}


def test_one_that_is_too_large_goes_without_its_parts() -> None:
    large = state(RANDOM(limits.APP_STATE_BYTES_MAX + 1))
    assert read(state_records(large)) == [large._replace(parts=())]


def test_a_sight_comes_back() -> None:
    sight = AppSight(7, "gas", bytes((0, 4, 1)), ("pca",))
    assert read(sight_records(sight)) == [sight]


def test_what_is_not_whole_is_left_out() -> None:
    records = state_records(state(RANDOM(20_000)))
    after = state_records(state(b"next"))
    assert read(records[1:] + after) == [state(b"next")]
    assert read(records[:-1] + after) == [state(b"next")]
    broken = replace(records[0], detail={**records[0].detail, "00": "not base85 \0"})
    assert read([broken, *records[1:], *after]) == [state(b"next")]


@pytest.mark.parametrize(
    ("transition", "content"),
    [
        ("sight", ["gas", 1 << 40, []]),
        ("sight", ["gas", b"", [1]]),
        ("sight", [None, b"", []]),
        ("state", ["gas", "scan", b"k", [1], [1000], [0], ["always"]]),
        ("state", ["gas", "scan", b"k", [b""], [0], [0], ["always"]]),
        ("state", ["gas", "scan", b"k", [b""], [1000], [], ["always"]]),
        ("state", ["gas", "never", b"k", [b""], [1000], [0], ["always"]]),
        ("state", 5),
    ],
)
def test_what_no_gateway_writes_is_left_out(transition: str, content: object) -> None:
    packed = zstandard.ZstdCompressor().compress(msgpack.packb(content))
    detail = {"part": 0, "parts": 1, "00": base64.b85encode(packed).decode()}
    assert list(read_marks([(5, transition, detail)])) == []


def test_a_key_is_another_one_for_whatever_decides() -> None:
    files, bindings, parameters = {"app.toml": b"x"}, {"x": ("P1",)}, {"limit": (1.0,)}
    keys = {
        run_key(files, ("a",), bindings, parameters),
        run_key({"app.toml": b"y"}, ("a",), bindings, parameters),
        run_key(files, ("b",), bindings, parameters),
        run_key(files, ("a",), {"x": ("P2",)}, parameters),
        run_key(files, ("a",), bindings, {"limit": (2.0,)}),
    }
    assert len(keys) == 5
    assert run_key(dict(files), ["a"], bindings, {"limit": [1.0]}) in keys
