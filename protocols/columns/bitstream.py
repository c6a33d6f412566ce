"""A stream of bits, lowest first, in which each item takes as many as its own width.

Bit `i` of the stream is bit `i % 8` of byte `i // 8`. The last byte is filled with zeros.

>>> widths = np.array([3, 0, 6], np.uint64)
>>> packed = pack_bits(np.array([5, 9, 33], np.uint64), widths)
>>> packed.hex(), unpack_bits(packed, widths).tolist()
('0d01', [5, 0, 33])
"""

from __future__ import annotations

import numpy as np

from protocols.columns.frame import UInt64s

WIDTH_MAX = 63
"""An item may straddle two 64-bit words, never three."""

_ONE = np.uint64(1)
_WORD_LOG2 = np.uint64(6)
_IN_WORD = np.uint64(63)


def packed_size(bits: int) -> int:
    """Bytes that so many bits take."""
    return (bits + 7) // 8


def pack_bits(numbers: UInt64s, widths: UInt64s) -> bytes:
    """The lowest `widths` bits of each number; higher bits are left out."""
    if not widths.any():
        return b""
    ends = np.cumsum(widths)
    begins = ends - widths
    low = numbers & ((_ONE << widths) - _ONE)
    word, within = (begins >> _WORD_LOG2).view(np.int64), begins & _IN_WORD
    # No item spans a whole word, so each word up to the last has one that begins in it.
    first = np.concatenate(([0], np.flatnonzero(word[1:] != word[:-1]) + 1))
    words = np.zeros(int(word[-1]) + 2, "<u8")
    words[word[first]] = np.bitwise_or.reduceat(low << within, first)
    # Only the last item that begins in a word can run over into the next.
    last = np.concatenate((first[1:], [len(low)])) - 1
    words[word[last] + 1] |= (low[last] >> _ONE) >> (_IN_WORD - within[last])
    return words.tobytes()[: packed_size(int(ends[-1]))]


def unpack_bits(packed: bytes | memoryview, widths: UInt64s) -> UInt64s:
    """The inverse of `pack_bits`; `packed` has the size that the widths need."""
    if not widths.any():
        return np.zeros(len(widths), np.uint64)
    words = np.zeros(len(packed) // 8 + 2, "<u8")
    words.view(np.uint8)[: len(packed)] = np.frombuffer(packed, np.uint8)
    begins = np.cumsum(widths)
    begins -= widths
    word, within = (begins >> _WORD_LOG2).view(np.int64), begins & _IN_WORD
    numbers: UInt64s = words.take(word) >> within
    numbers |= (words[1:].take(word) << _ONE) << (_IN_WORD - within)
    numbers &= (_ONE << widths) - _ONE
    return numbers
