"""What the columnar codec is measured against, each written as its user would write it."""

from __future__ import annotations

import msgpack
import numpy as np
import numpy.typing as npt
import zstandard

from protocols.columns.arrangement import Arrangement
from protocols.samples import SampleBlock, ValueType


def msgpack_rows(blocks: list[SampleBlock]) -> bytes:
    """One msgpack array [point, time, value, quality] a sample, packed in one call."""
    rows: list[tuple[object, ...]] = []
    for block in blocks:
        columns = (block.point.tolist(), block.time.tolist(), block.value.tolist(), block.quality.tolist())
        rows.extend(zip(*columns, strict=True))
    packed = msgpack.packb(rows)
    assert isinstance(packed, bytes)
    return packed


def unpack_rows(packed: bytes) -> list[list[object]]:
    """What `msgpack_rows` packed, as Python objects."""
    rows = msgpack.unpackb(packed)
    assert isinstance(rows, list)
    return rows


def numpy_columns(blocks: list[SampleBlock]) -> bytes:
    """The columns' own bytes, one after the other, under zstd-1; texts as msgpack."""
    parts: list[bytes] = []
    for block in blocks:
        text = block.type is ValueType.TEXT
        value = msgpack.packb(block.value.tolist()) if text else block.value.tobytes()
        parts += [block.point.tobytes(), block.time.tobytes(), value, block.quality.tobytes()]
    return zstandard.ZstdCompressor(level=1).compress(b"".join(parts))


def noise_floor_bytes(block: SampleBlock) -> float:
    """About what lossless coding of each point's own past must cost, in bytes.

    The empirical entropy of the changes of value, each point told by its mean, by the value
    before or by the line through the two before, whichever is best; what holds still is free.
    A coder can only be below it by using what points know of each other.
    """
    arrangement = Arrangement.of(block)
    values = arrangement.column(block.value)
    total = 0.0
    for start, count in zip(arrangement.groups.starts, arrangement.groups.counts, strict=True):
        counts = _as_counts(values[start : start + count])
        changes = counts[np.concatenate(([True], counts[1:] != counts[:-1]))]
        guesses = (changes - np.rint(changes.mean()), np.diff(changes), np.diff(changes, n=2))
        total += len(changes) * min(_entropy_bits(guess) for guess in guesses if len(guess))
    return total / 8


def _as_counts(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Decimals as counts of their last digit."""
    for digits in range(16):
        counts = np.rint(values * 10.0**digits)
        if (counts / 10.0**digits == values).all():
            return counts
    return values.view(np.int64).astype(np.float64)


def _entropy_bits(numbers: npt.NDArray[np.float64]) -> float:
    """Bits a number: entropy of its upper part, plus the bits below that are flat noise."""
    spread = float(np.median(np.abs(numbers)))
    flat = max(0, int(np.log2(spread / 4))) if spread > 4 else 0
    _, counts = np.unique(np.rint(numbers / 2.0**flat), return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum()) + flat
