"""The columnar codec: bytes a sample and samples a second, against rows and plain columns."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import peers
from benchmarks.data_sets import DataSet, batches
from benchmarks.frame import Row, Setting, best_seconds
from protocols.columns import decode, encode

SIZES = {60_000: "<= 0.04", 10_000: "<= 0.05"}
"""Samples a batch, and the goal for its bytes against msgpack rows: 1/25 and 1/20."""

AGAINST_COLUMNS = "<= 0.6"
ENCODE = ">= 12"


def measure_bytes(setting: Setting) -> Iterator[Row]:
    """Bytes a sample on the wire."""
    for samples, goal in SIZES.items():
        for data in batches(samples, setting.data):
            name = f"codec bytes, {data.name}, {samples // 1000}k"
            size = len(encode(data.blocks)) / data.samples
            rows = len(peers.msgpack_rows(data.blocks)) / data.samples
            plain = len(peers.numpy_columns(data.blocks)) / data.samples
            yield Row.of(name, size, "B/sample", "msgpack rows", rows, goal)
            yield Row.of(name, size, "B/sample", "numpy columns, zstd-1", plain, AGAINST_COLUMNS)
            if not data.promised:
                floor = sum(map(peers.noise_floor_bytes, data.blocks)) / data.samples
                yield Row.of(name, size, "B/sample", "entropy of each point's changes", floor)


def measure_encode(setting: Setting) -> Iterator[Row]:
    """Samples encoded a second on one core."""
    for samples in list(SIZES)[:1] if setting.quick else SIZES:
        for data in batches(samples, setting.data):
            goal = ENCODE if data.promised and samples == max(SIZES) else None
            yield _encode_row(data, samples, goal, setting)


def _encode_row(data: DataSet, samples: int, goal: str | None, setting: Setting) -> Row:
    ours, rows = best_seconds(
        lambda: encode(data.blocks),
        lambda: peers.msgpack_rows(data.blocks),
        budget_s=0.5 if setting.quick else 4,
    )
    name = f"codec encode, {data.name}, {samples // 1000}k"
    return Row.of(
        name, data.samples / ours / 1e6, "M samples/s", "msgpack rows", data.samples / rows / 1e6, goal
    )


def measure_decode(setting: Setting) -> Iterator[Row]:
    """Samples decoded a second on one core."""
    for samples in list(SIZES)[:1] if setting.quick else SIZES:
        for data in batches(samples, setting.data):
            yield _decode_row(data, samples, setting)


def _decode_row(data: DataSet, samples: int, setting: Setting) -> Row:
    payload, rows = encode(data.blocks), peers.msgpack_rows(data.blocks)
    ours, theirs = best_seconds(
        lambda: decode(payload), lambda: peers.unpack_rows(rows), budget_s=0.2 if setting.quick else 3
    )
    name = f"codec decode, {data.name}, {samples // 1000}k"
    rate = data.samples / ours / 1e6
    return Row.of(name, rate, "M samples/s", "msgpack rows", data.samples / theirs / 1e6)
