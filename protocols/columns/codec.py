"""Blocks to payload and back: the order of sections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocols import limits
from protocols.columns import runs, timelines, values
from protocols.columns.arrangement import Arrangement
from protocols.columns.frame import Reader, Writer
from protocols.columns.groups import Groups
from protocols.errors import LimitError, MalformedError
from protocols.samples import NO_SOURCE_TIME, Int64s, SampleBlock, UInt32s, ValueType, concatenate

VERSION = 1

_QUALITY = 0x01
_SOURCE_TIME = 0x02
_SOURCE_TIME_PARTLY = 0x04
_FLAGS = _QUALITY | _SOURCE_TIME | _SOURCE_TIME_PARTLY


def encode(blocks: Sequence[SampleBlock], level: int = 1) -> bytes:
    """Pack samples into the payload of a data batch.

    Args:
        blocks: Any number, rows in any order; blocks of one type are joined. Empty ones vanish.
        level: zstd's level. Above 1 gains little: what is left is noise.

    Returns:
        One zstd frame; the batch's header carries `FLAG_ZSTD`.

    Raises:
        LimitError: More than one payload may hold; send fewer samples at once.
    """
    joined = concatenate(blocks)
    total = sum(map(len, joined))
    if total > limits.BATCH_SAMPLES_MAX:
        raise LimitError(
            f"expected at most {limits.BATCH_SAMPLES_MAX} samples, got {total}; send fewer at once"
        )
    out = Writer()
    out.number(VERSION, 1)
    out.number(len(joined), 1)
    for block in joined:
        _write_block(out, block)
    return out.finish(level)


def decode(payload: bytes) -> list[SampleBlock]:
    """Unpack the payload of a data batch.

    Args:
        payload: Whatever a peer sent.

    Returns:
        At most one block a type, in the order of types; rows by point, then as they came.

    Raises:
        MalformedError: Not what `encode` makes.
        LimitError: It claims more than `limits` allow.
    """
    source = Reader(payload)
    version = source.number(1)
    if version != VERSION:
        raise MalformedError(f"expected column format {VERSION}, got {version}")
    count = source.number(1)
    if count > len(ValueType):
        raise MalformedError(f"expected at most {len(ValueType)} blocks, got {count}")
    blocks: list[SampleBlock] = []
    room = limits.BATCH_SAMPLES_MAX
    for _ in range(count):
        block = _read_block(source, room)
        if blocks and block.type <= blocks[-1].type:
            raise MalformedError("expected one block a type, in the order of types")
        room -= len(block)
        blocks.append(block)
    source.end()
    return blocks


def _write_block(out: Writer, block: SampleBlock) -> None:
    rows = Arrangement.of(block)
    line, quality, (delay, missing) = rows.line, rows.quality, rows.delays()
    flags = _QUALITY * (quality is not None)
    flags |= _SOURCE_TIME * (delay is not None) | _SOURCE_TIME_PARTLY * (missing is not None)
    out.number(block.type, 1)
    out.number(flags, 1)
    out.number(rows.groups.rows, 4)
    out.number(len(rows.groups), 4)
    out.column((np.diff(rows.ids.astype(np.int64), prepend=-1) - 1).view(np.uint64))
    if line is not None:
        timelines.write_common(out, line)
    else:
        timelines.write(out, rows.column(block.time), rows.groups)
    if quality is not None:
        runs.write(out, quality)
    if missing is not None:
        runs.write(out, missing.astype(np.uint32))
    if delay is not None:
        timelines.write(out, delay, rows.groups)
    values.write(out, block.type, rows.column(block.value), rows.groups)


def _read_block(source: Reader, room: int) -> SampleBlock:
    value_type, flags = source.number(1), source.number(1)
    if value_type not in list(ValueType) or flags & ~_FLAGS:
        raise MalformedError(f"expected a value type and known flags, got {value_type} and {flags:#x}")
    rows, points = source.number(4), source.number(4)
    if rows > room:
        raise LimitError(f"expected at most {room} more samples, block claims {rows}")
    if points > limits.BATCH_POINTS_MAX:
        raise LimitError(f"expected at most {limits.BATCH_POINTS_MAX} points, block claims {points}")
    if not 1 <= points <= rows:
        raise MalformedError(f"expected from 1 to {rows} points, got {points}")
    ids = _read_ids(source, points)
    time, groups = timelines.read(source, points, rows)
    quality = runs.read(source, rows) if flags & _QUALITY else np.zeros(rows, np.uint32)
    source_time = _read_source_time(source, flags, time, groups)
    value = values.read(source, ValueType(value_type), groups)
    return SampleBlock(ValueType(value_type), groups.spread(ids), time, value, quality, source_time)


def _read_ids(source: Reader, points: int) -> UInt32s:
    gaps = source.column64(points)
    if int(gaps.max()) > limits.POINT_ID_MAX:
        raise MalformedError(f"expected point ids up to {limits.POINT_ID_MAX}")
    ids = np.cumsum(gaps + np.uint64(1)) - np.uint64(1)
    if int(ids[-1]) > limits.POINT_ID_MAX:
        raise MalformedError(f"expected point ids up to {limits.POINT_ID_MAX}, got {int(ids[-1])}")
    return ids.astype(np.uint32)


def _read_source_time(source: Reader, flags: int, time: Int64s, groups: Groups) -> Int64s | None:
    if not flags & _SOURCE_TIME:
        if flags & _SOURCE_TIME_PARTLY:
            raise MalformedError("expected source times where some are said to be missing")
        return None
    missing = runs.read(source, groups.rows) if flags & _SOURCE_TIME_PARTLY else None
    source_time = time + timelines.read_like(source, groups)
    if missing is not None:
        source_time[missing != 0] = NO_SOURCE_TIME
    return source_time
