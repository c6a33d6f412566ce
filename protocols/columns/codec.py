"""Blocks to payload and back: the order of sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from protocols import limits
from protocols.columns import runs, timelines, values
from protocols.columns.arrangement import Arrangement
from protocols.columns.frame import Reader, Writer
from protocols.columns.groups import Column, Groups, same
from protocols.errors import LimitError, MalformedError
from protocols.samples import GOOD, NO_SOURCE_TIME, Int64s, SampleBlock, UInt32s, ValueType, concatenate

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
    rows = sum(map(len, joined))
    if rows > limits.BATCH_SAMPLES_MAX:
        raise LimitError(
            f"expected at most {limits.BATCH_SAMPLES_MAX} samples, got {rows}; send fewer at once"
        )
    out = Writer()
    out.number(VERSION, 1)
    out.number(len(joined), 1)
    if joined:
        _write(out, [Arrangement.of(block) for block in joined])
    return out.finish(level)


def decode(payload: bytes) -> list[SampleBlock]:
    """Unpack the payload of a data batch.

    Args:
        payload: Whatever a peer sent.

    Returns:
        At most one block a type, in the order of types; rows by point, then as they came.
        Blocks share memory: they are slices of common columns.

    Raises:
        MalformedError: Not what `encode` makes.
        LimitError: It claims more than `limits` allow.
    """
    source = Reader(payload)
    version = source.number(1)
    if version != VERSION:
        raise MalformedError(f"expected column format {VERSION}, got {version}")
    count = source.number(1)
    blocks = _read(source, _read_directory(source, count)) if count else []
    source.end()
    return blocks


def _write(out: Writer, parts: list[Arrangement]) -> None:
    groups = Groups.join([part.groups for part in parts])
    for part in parts:
        out.number(part.block.type, 1)
        out.number(len(part.groups), 4)
    out.number(groups.rows, 4)
    quality = any(part.block.quality.max() != GOOD for part in parts)
    delay, missing = _delays(parts)
    flags = _QUALITY * quality
    flags |= _SOURCE_TIME * (delay is not None) | _SOURCE_TIME_PARTLY * (missing is not None)
    out.number(flags, 1)
    out.column(_joined([part.gaps for part in parts]))
    line = _common_line(parts)
    if line is not None:
        timelines.write_common(out, line)
    else:
        timelines.write(out, _joined([part.column(part.block.time) for part in parts]), groups)
    if quality:
        runs.write(out, _joined([part.column(part.block.quality) for part in parts]))
    if missing is not None:
        runs.write(out, missing.astype(np.uint32))
    if delay is not None:
        timelines.write(out, delay, groups)
    columns = [(part.block.type, part.column(part.block.value)) for part in parts]
    values.write(out, columns, [len(part.groups) for part in parts], groups)


def _common_line(parts: list[Arrangement]) -> Int64s | None:
    """The stamps that all points of all blocks share, if they do."""
    first = parts[0].line
    for part in parts[1:]:
        line = part.line
        if first is None or line is None or not same(first, line):
            return None
    return first


def _delays(parts: list[Arrangement]) -> tuple[Int64s | None, Column | None]:
    """How far source times are ahead of the stamps, and where they are missing.

    The first is `None` if all are missing, the second if none is. Where one is missing the
    delay before it stands in its place, which costs least.
    """
    if all(part.block.source_time is None for part in parts):
        return None, None
    source = _joined([part.source_time for part in parts])
    missing = source == NO_SOURCE_TIME
    if missing.all():
        return None, None
    delay = source - _joined([part.column(part.block.time) for part in parts])
    if not missing.any():
        return delay, None
    return delay[np.maximum.accumulate(np.where(missing, 0, np.arange(len(delay))))], missing


def _joined(columns: list[Column]) -> Column:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


class _Directory(NamedTuple):
    """What is claimed: the types, how many points each has, and all rows together."""

    types: list[ValueType]
    points: list[int]
    rows: int


def _read_directory(source: Reader, count: int) -> _Directory:
    types: list[ValueType] = []
    points: list[int] = []
    for _ in range(count):
        number = source.number(1)
        if number >= len(ValueType) or (types and number <= types[-1]):
            raise MalformedError(f"expected value types in rising order, got {number} after {types}")
        types.append(ValueType(number))
        points.append(source.number(4))
    rows = source.number(4)
    if rows > limits.BATCH_SAMPLES_MAX:
        raise LimitError(f"expected at most {limits.BATCH_SAMPLES_MAX} samples, payload claims {rows}")
    if sum(points) > limits.BATCH_POINTS_MAX:
        raise LimitError(f"expected at most {limits.BATCH_POINTS_MAX} points, payload claims {sum(points)}")
    if min(points) < 1 or sum(points) > rows:
        raise MalformedError(f"expected points with samples, got {points} points and {rows} samples")
    return _Directory(types, points, rows)


def _read(source: Reader, claimed: _Directory) -> list[SampleBlock]:
    flags = source.number(1)
    if flags & ~_FLAGS or flags & _FLAGS == _SOURCE_TIME_PARTLY:
        raise MalformedError(f"expected known flags, got {flags:#x}")
    ids = _read_ids(source, claimed.points)
    time, groups = timelines.read(source, sum(claimed.points), claimed.rows)
    quality = runs.read(source, claimed.rows) if flags & _QUALITY else np.zeros(claimed.rows, np.uint32)
    source_time = _read_source_time(source, flags, time, groups)
    columns = values.read(source, claimed.types, claimed.points, groups)
    point = groups.spread(ids)
    blocks = []
    at = 0
    for value_type, value in zip(claimed.types, columns, strict=True):
        rows = slice(at, at + len(value))
        at += len(value)
        own = None if source_time is None else source_time[rows]
        if own is not None and (own == NO_SOURCE_TIME).all():
            own = None
        blocks.append(SampleBlock(value_type, point[rows], time[rows], value, quality[rows], own))
    return blocks


def _read_ids(source: Reader, points: list[int]) -> UInt32s:
    gaps = source.column64(sum(points))
    if int(gaps.max()) > limits.POINT_ID_MAX:
        raise MalformedError(f"expected point ids up to {limits.POINT_ID_MAX}")
    parts = [np.cumsum(part + np.uint64(1)) for part in np.split(gaps, np.cumsum(points)[:-1])]
    if max(int(part[-1]) for part in parts) > limits.POINT_ID_MAX + 1:
        raise MalformedError(f"expected point ids up to {limits.POINT_ID_MAX}")
    return (_joined(parts) - np.uint64(1)).astype(np.uint32)


def _read_source_time(source: Reader, flags: int, time: Int64s, groups: Groups) -> Int64s | None:
    if not flags & _SOURCE_TIME:
        return None
    missing = runs.read(source, groups.rows) if flags & _SOURCE_TIME_PARTLY else None
    source_time = time + timelines.read_like(source, groups)
    if missing is not None:
        source_time[missing != 0] = NO_SOURCE_TIME
    return source_time
