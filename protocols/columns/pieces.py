"""Rows that send some of their bits as they are: a number of bits for each group.

The number is a multiple of 4 and is taken apart into powers of two, 4 to 32. For each power,
smallest first, the rows of the groups that contain it send that many bits, starting behind
those that smaller powers have taken. Pieces of 4 bits stand two to a byte, the first in the
lower half; larger ones are little-endian numbers.

Ordinary columns of bytes and words, so: a stream of bits in which each row takes its own
width is as small, and three times as slow to write and to read without a loop a row.

>>> groups = Groups.of(np.array([2, 1]))
>>> widths = np.array([4, 12])
>>> sent = pack(np.array([5, 1, 0xabc], np.uint64), widths, groups)
>>> sent.hex(), [hex(number) for number in unpack(sent, widths, groups).tolist()]
('150cab', ['0x5', '0x1', '0xabc'])
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from protocols.columns.groups import Column, Groups, Rows
from protocols.samples import Int64s

UNIT = 4
"""What a number of bits is a multiple of."""

POWERS = (4, 8, 16, 32)
WIDTH_MAX = 56
"""All bits of a 64-bit number but a byte."""


def size_of(widths: Int64s, groups: Groups) -> int:
    """Bytes that all pieces take."""
    return sum(_bytes_for(int(groups.counts[widths & power > 0].sum()), power) for power in POWERS)


def pack(numbers: Column, widths: Int64s, groups: Groups) -> bytes:
    """The lowest `widths` bits of each row's unsigned number; higher ones are left out."""
    parts = []
    for power, rows, some, below in _pieces(widths, groups):
        piece = numbers[rows]
        if below.any():
            piece = piece >> some.spread(below.astype(numbers.dtype))
        if power >= 8:
            parts.append(piece.astype(f"<u{power // 8}").tobytes())
        else:
            parts.append(_joined_halves(piece.astype(np.uint8)))
    return b"".join(parts)


def unpack(sent: bytes | memoryview, widths: Int64s, groups: Groups) -> npt.NDArray[np.uint64]:
    """The inverse of `pack`; `sent` has the size that `size_of` says."""
    numbers = np.zeros(groups.rows, np.uint64)
    at = 0
    for power, rows, some, below in _pieces(widths, groups):
        size = _bytes_for(some.rows, power)
        packed = np.frombuffer(sent, np.uint8, size, at)
        at += size
        numbers_sent = packed.view(f"<u{power // 8}") if power >= 8 else _halves(packed, some.rows)
        piece = numbers_sent.astype(np.uint64)
        if below.any():
            piece <<= some.spread(below.astype(np.uint64))
        numbers[rows] |= piece
    return numbers


def _pieces(widths: Int64s, groups: Groups) -> Iterator[tuple[int, Rows, Groups, Int64s]]:
    """Each power in use, its rows, the groups they form, and the bits taken before."""
    for power in POWERS:
        chosen = widths & power > 0
        if chosen.any():
            rows, some = groups.rows_of(chosen)
            yield power, rows, some, widths[chosen] & (power - 1)


def _bytes_for(rows: int, power: int) -> int:
    return (rows * power + 7) // 8


def _joined_halves(piece: npt.NDArray[np.uint8]) -> bytes:
    piece &= np.uint8(15)
    packed = piece[::2].copy()
    packed[: len(piece) // 2] |= piece[1::2] << 4
    return packed.tobytes()


def _halves(packed: npt.NDArray[np.uint8], rows: int) -> npt.NDArray[np.uint8]:
    piece = np.empty((len(packed), 2), np.uint8)
    np.bitwise_and(packed, 15, out=piece[:, 0])
    np.right_shift(packed, 4, out=piece[:, 1])
    return piece.reshape(-1)[:rows]
