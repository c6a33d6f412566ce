"""Samples in columns, with OPC UA quality.

A sample is (point, time, source time, value, quality). Everything between a
driver and the lake handles samples by the block: equal-length columns of one
value type. A missing or a bad read is a sample too; its quality says why.

>>> block = SampleBlock.make(ValueType.F64, [7, 8], [0, 0], [20.5, float("nan")],
...                          quality=[GOOD, BAD_NO_COMMUNICATION])
>>> len(block), good(block.quality).tolist()
(2, [True, False])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from protocols.valuetypes import ValueType as ValueType

# OPC UA Part 4, 7.39 and Part 6, A.2: StatusCodes, severity in the two highest bits.
GOOD = 0x0000_0000
GOOD_CLAMPED = 0x0030_0000
UNCERTAIN = 0x4000_0000
UNCERTAIN_LAST_USABLE_VALUE = 0x4090_0000
UNCERTAIN_SENSOR_NOT_ACCURATE = 0x4093_0000
UNCERTAIN_ENGINEERING_UNITS_EXCEEDED = 0x4094_0000
BAD = 0x8000_0000
BAD_RESOURCE_UNAVAILABLE = 0x8004_0000
BAD_DECODING_ERROR = 0x8007_0000
BAD_TIMEOUT = 0x800A_0000
BAD_NO_COMMUNICATION = 0x8031_0000
BAD_WAITING_FOR_INITIAL_DATA = 0x8032_0000
BAD_NODE_ID_UNKNOWN = 0x8034_0000
BAD_OUT_OF_RANGE = 0x803C_0000
BAD_NOT_SUPPORTED = 0x803D_0000
BAD_TYPE_MISMATCH = 0x8074_0000
BAD_CONFIGURATION_ERROR = 0x8089_0000
BAD_NOT_CONNECTED = 0x808A_0000
BAD_DEVICE_FAILURE = 0x808B_0000
BAD_SENSOR_FAILURE = 0x808C_0000
BAD_NO_DATA = 0x809B_0000

NO_SOURCE_TIME = -(2**63)
"""The value in a `source_time` column that says the device gave no time."""

Int64s = npt.NDArray[np.int64]
UInt32s = npt.NDArray[np.uint32]
Values = npt.NDArray[Any]
"""f64, f32, int64, uint8 (0 or 1) or object (str), by the block's type."""

_UINT32 = np.dtype(np.uint32)
_INT64 = np.dtype(np.int64)

EMPTY_VALUE: dict[ValueType, Any] = {
    ValueType.F64: float("nan"),
    ValueType.F32: float("nan"),
    ValueType.I64: 0,
    ValueType.BOOL: 0,
    ValueType.TEXT: "",
}
"""What stands in a value column where the quality is bad and nothing was read."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """Samples of one value type; all columns have the same length.

    Args:
        type: The type of `value`.
        point: Local point ids.
        time: Gateway time in microseconds since 1970, UTC; the primary time.
        value: Values, dtype `type.dtype`; booleans are 0 or 1.
        quality: OPC UA StatusCodes.
        source_time: The device's own time in microseconds, `NO_SOURCE_TIME` where it gave
            none; `None` when no sample of the block has one.
    """

    type: ValueType
    point: UInt32s
    time: Int64s
    value: Values
    quality: UInt32s
    source_time: Int64s | None = None

    def __post_init__(self) -> None:
        n = len(self.point)
        assert self.point.dtype == _UINT32 and self.time.dtype == _INT64
        assert self.quality.dtype == _UINT32 and self.value.dtype == self.type.dtype
        assert len(self.time) == len(self.value) == len(self.quality) == n
        assert self.source_time is None or len(self.source_time) == n

    def __len__(self) -> int:
        return len(self.point)

    @classmethod
    def make(
        cls,
        type: ValueType,
        point: Iterable[int],
        time: Iterable[int],
        value: Iterable[Any],
        quality: Iterable[int] | None = None,
        source_time: Iterable[int] | None = None,
    ) -> SampleBlock:
        """Build a block from any sequences; quality defaults to good throughout."""
        points = np.array(list(point), np.uint32)
        values = list(value)
        column = np.empty(len(values), type.dtype)
        column[:] = values
        return cls(
            type,
            points,
            np.array(list(time), np.int64),
            column,
            np.zeros(len(points), np.uint32) if quality is None else np.array(list(quality), np.uint32),
            None if source_time is None else np.array(list(source_time), np.int64),
        )

    @classmethod
    def bad(cls, type: ValueType, point: UInt32s, time_us: int, quality: int) -> SampleBlock:
        """One sample a point at `time_us` that says nothing but why there is no value."""
        n = len(point)
        value = np.empty(n, type.dtype)
        value[:] = EMPTY_VALUE[type]
        times = np.full(n, time_us, np.int64)
        return cls(type, point, times, value, np.full(n, quality, np.uint32))

    def take(self, rows: npt.NDArray[Any]) -> SampleBlock:
        """The rows chosen by a boolean mask or by indexes, in that order."""
        source = None if self.source_time is None else self.source_time[rows]
        return replace(
            self,
            point=self.point[rows],
            time=self.time[rows],
            value=self.value[rows],
            quality=self.quality[rows],
            source_time=source,
        )


def concatenate(blocks: Sequence[SampleBlock]) -> list[SampleBlock]:
    """Join blocks into at most one a value type, ordered by type, rows in arrival order."""
    joined: list[SampleBlock] = []
    for value_type in ValueType:
        same = [block for block in blocks if block.type is value_type and len(block)]
        if len(same) == 1:
            joined.append(same[0])
        elif same:
            joined.append(_join(value_type, same))
    return joined


def _join(value_type: ValueType, blocks: Sequence[SampleBlock]) -> SampleBlock:
    source_time = None
    if any(block.source_time is not None for block in blocks):
        source_time = np.concatenate(
            [
                np.full(len(block), NO_SOURCE_TIME, np.int64)
                if block.source_time is None
                else block.source_time
                for block in blocks
            ]
        )
    return SampleBlock(
        value_type,
        np.concatenate([block.point for block in blocks]),
        np.concatenate([block.time for block in blocks]),
        np.concatenate([block.value for block in blocks]),
        np.concatenate([block.quality for block in blocks]),
        source_time,
    )


def good(quality: UInt32s) -> npt.NDArray[np.bool_]:
    """Where the severity bits say good (OPC UA Part 4, 7.39: severity 00)."""
    mask: npt.NDArray[np.bool_] = (quality >> np.uint32(30)) == 0
    return mask


def usable(quality: UInt32s) -> npt.NDArray[np.bool_]:
    """Where the severity is good or uncertain, that is, where there is a value."""
    mask: npt.NDArray[np.bool_] = (quality >> np.uint32(31)) == 0
    return mask
