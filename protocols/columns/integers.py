"""Integers in groups: a prediction, and what is left split into a symbol and raw bits.

1. Each group is predicted by its mean (order 0), by the row before (order 1) or by the
   line through the two rows before (order 2), whichever leaves least.
2. The remainder, zigzag folded, is noise whose lowest bits no compressor can shorten. A
   shift for each group cuts them off: what stays above, the symbol, then has nearly the
   same distribution in every group whatever its scale, so that the entropy coder's one
   table fits all of them. The bits below go into a bit stream as they are.
3. A symbol that does not fit a byte is escaped.

Source: R. F. Rice, "Some Practical Universal Noiseless Coding Techniques", JPL 79-22, 1979
(the split of a remainder into a coded and a raw part, its place chosen block by block).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from protocols.columns.bitstream import pack_bits, packed_size, unpack_bits
from protocols.columns.frame import Bools, Reader, Writer
from protocols.columns.groups import Groups, unzigzag, zigzag
from protocols.errors import MalformedError
from protocols.samples import Int64s

ESCAPE = 255
"""The symbol that says: the true one is 255 or more, see the list of escapes."""

SHIFT_MAX = 56
"""Raw bits of one remainder: 64 less the symbol's 8."""

SYMBOL_LOG2 = 3
"""The mean log2 of a symbol that a shift aims at; 2 to 4 measured within 1% of each other."""

ORDER_MAX = 2

_ORDER_0_COST = 0.05
"""Bits a row by which a mean must beat a difference: it sends one remainder more."""

_ORDER_UNIT = 64
"""A group's coding byte is its order times this, plus its shift."""


def write(out: Writer, numbers: Int64s, groups: Groups) -> None:
    """Append the groups' integers: codings, bases, symbols, escapes, raw bits."""
    order, shift, base, remainders = _predict(numbers, groups)
    folded = zigzag(remainders)
    if order.any():
        folded = folded[_sent(order, groups)]
    shifts = np.repeat(shift.astype(np.uint64), groups.counts - (order > 0))
    symbols = folded >> shifts
    escaped = symbols >= ESCAPE
    escapes = symbols[escaped] - np.uint64(ESCAPE)
    symbols[escaped] = ESCAPE
    out.raw((order * _ORDER_UNIT + shift).astype(np.uint8).tobytes())
    out.column(zigzag(base))
    out.cut()
    out.raw(symbols.astype(np.uint8).tobytes())
    out.cut()
    out.column(escapes)
    out.raw(pack_bits(folded, shifts))
    out.cut()


def read(source: Reader, groups: Groups) -> Int64s:
    """The inverse of `write`.

    Raises:
        MalformedError: An order or a shift that cannot be, or too few bytes.
    """
    codings = np.frombuffer(source.raw(len(groups)), np.uint8)
    order, shift = codings // _ORDER_UNIT, codings % _ORDER_UNIT
    if len(codings) and (int(order.max()) > ORDER_MAX or int(shift.max()) > SHIFT_MAX):
        raise MalformedError(f"expected an order up to {ORDER_MAX} and a shift up to {SHIFT_MAX}")
    base = unzigzag(source.column64(len(groups)))
    sent = groups.counts - (order > 0)
    symbols = np.frombuffer(source.raw(int(sent.sum())), np.uint8)
    escaped = np.flatnonzero(symbols == ESCAPE)
    folded = symbols.astype(np.uint64)
    folded[escaped] += source.column64(len(escaped))
    shifts = np.repeat(shift.astype(np.uint64), sent)
    bits = int((shift.astype(np.int64) * sent).sum())
    folded <<= shifts
    folded |= unpack_bits(source.raw(packed_size(bits)), shifts)
    return _restore(order, base, unzigzag(folded), groups)


def _predict(numbers: Int64s, groups: Groups) -> tuple[Int64s, Int64s, Int64s, Int64s]:
    """Order, shift and base of each group, and the remainder of each row."""
    mean = _means(numbers, groups)
    first = groups.differences(numbers)
    remainders = [numbers - groups.spread(mean), first, groups.differences(first)]
    cost = np.stack([_mean_log2(remainder, groups) for remainder in remainders])
    cost[0] += _ORDER_0_COST  # ... and sends one remainder more
    order = np.argmin(cost, axis=0)
    # Zigzag doubles, hence one more bit; a half rounds.
    shift = np.floor(cost.min(axis=0) + 1.5) - SYMBOL_LOG2
    chosen = first
    for other in (0, 2):
        rows = groups.spread(order == other)
        chosen = np.where(rows, remainders[other], chosen) if rows.any() else chosen
    base = np.where(order == 0, mean, numbers[groups.starts])
    return order, shift.clip(0, SHIFT_MAX).astype(np.int64), base, chosen


def _restore(order: npt.NDArray[np.uint8], base: Int64s, sent: Int64s, groups: Groups) -> Int64s:
    """Sum up what `_predict` took apart."""
    if not order.any():
        return sent + groups.spread(base)
    numbers = np.zeros(groups.rows, np.int64)
    numbers[_sent(order, groups)] = sent
    for least in (2, 1):
        if (order >= least).any():
            rows, chosen = groups.rows_of(order >= least)
            numbers[rows] = chosen.running_sums(numbers[rows])
    numbers += groups.spread(base)
    return numbers


def _sent(order: npt.NDArray[Any], groups: Groups) -> Bools:
    """Rows whose remainder travels: not the first of a group that is predicted from it."""
    mask = np.ones(groups.rows, np.bool_)
    mask[groups.starts[order > 0]] = False
    return mask


def _means(numbers: Int64s, groups: Groups) -> Int64s:
    means = groups.sums(numbers.astype(np.float64)) / groups.counts
    return np.rint(means).clip(-(2.0**62), 2.0**62).astype(np.int64)


def _mean_log2(remainders: Int64s, groups: Groups) -> npt.NDArray[np.float64]:
    """About the mean of log2(1 + |r|) of each group.

    The exponent and the upper mantissa of a double, read as an integer, are its binary
    logarithm but for a straight line between powers of two: an outlier counts little, and
    it costs a tenth of a logarithm.
    """
    bits = (np.abs(remainders).astype(np.float64) + 1.0).view(np.int64) >> 32
    return groups.sums(bits) / groups.counts / 2.0**20 - 1023.0
