"""Rows that send some of their bits as they are: a number of bits for each group.

The number is taken apart into powers of two, 1 to 32. For each power, smallest first, the
rows of the groups that contain it send that many bits, starting behind those that smaller
powers have taken. Pieces below 8 bits stand several to a byte, lowest bits first, the last
byte filled with zeros; larger ones are little-endian numbers.

Ordinary columns of bytes and words, so: a stream of bits in which each row takes its own
width is as small, and three times as slow to write and to read without a loop a row.

>>> groups = Groups.of(np.array([2, 1]))
>>> widths = np.array([3, 8])
>>> sent = pack(np.array([5, 1, 0xab], np.uint64), widths, groups)
>>> sent.hex(), [hex(number) for number in unpack(sent, widths, groups).tolist()]
('0302ab', ['0x5', '0x1', '0xab'])
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from protocols.columns.groups import Column, Groups, Rows
from protocols.samples import Int64s

POWERS = (1, 2, 4, 8, 16, 32)
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
            parts.append(_packed(piece.astype(np.uint8), power))
    return b"".join(parts)


def unpack(sent: bytes | memoryview, widths: Int64s, groups: Groups) -> npt.NDArray[np.uint64]:
    """The inverse of `pack`; `sent` has the size that `size_of` says."""
    numbers = np.zeros(groups.rows, np.uint64)
    at = 0
    for power, rows, some, below in _pieces(widths, groups):
        size = _bytes_for(some.rows, power)
        part = np.frombuffer(sent, np.uint8, size, at)
        at += size
        piece = (part.view(f"<u{power // 8}") if power >= 8 else _unpacked(part, power, some.rows)).astype(
            np.uint64
        )
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


def _packed(piece: npt.NDArray[np.uint8], power: int) -> bytes:
    piece &= np.uint8((1 << power) - 1)
    if power == 1:
        return np.packbits(piece, bitorder="little").tobytes()
    in_byte = 8 // power
    padded = np.zeros(-(-len(piece) // in_byte) * in_byte, np.uint8)
    padded[: len(piece)] = piece
    packed = padded[::in_byte].copy()
    for place in range(1, in_byte):
        packed |= padded[place::in_byte] << (place * power)
    return packed.tobytes()


def _unpacked(part: npt.NDArray[np.uint8], power: int, rows: int) -> npt.NDArray[np.uint8]:
    if power == 1:
        return np.unpackbits(part, count=rows, bitorder="little")
    in_byte = 8 // power
    piece = np.empty(len(part) * in_byte, np.uint8)
    for place in range(in_byte):
        piece[place::in_byte] = (part >> (place * power)) & ((1 << power) - 1)
    return piece[:rows]
