"""Integers in groups: a prediction, and what is left split into a symbol and raw bits.

1. Each group is predicted by its mean (order 0), by the row before (order 1) or by the
   line through the two rows before (order 2), whichever leaves least.
2. The remainder, zigzag folded, is noise whose lowest bits no compressor can shorten. A
   shift for each group cuts them off: what stays above, the symbol, then has nearly the
   same distribution in every group whatever its scale, so that the entropy coder's one
   table fits all of them. The bits below travel as they are.
3. A symbol that does not fit a byte is escaped.

Source: R. F. Rice, "Some Practical Universal Noiseless Coding Techniques", JPL 79-22, 1979
(the split of a remainder into a coded and a raw part, its place chosen block by block).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from protocols.columns import pieces
from protocols.columns.frame import Reader, Writer
from protocols.columns.groups import Column, Groups, part, unzigzag, zigzag
from protocols.errors import MalformedError
from protocols.samples import Int64s

ESCAPE = 255
"""The symbol that says: the true one is 255 or more, see the list of escapes."""

SHIFT_MAX = pieces.WIDTH_MAX
"""Raw bits of one remainder: 64 less the symbol's 8."""

SYMBOL_LOG2 = 2.5
"""The mean log2 of a symbol that a shift aims at; 2 to 3.5 measured within 1% of each other."""

ORDER_MAX = 2

ORDER_0_COST = 0.1
"""Bits a row by which a mean must beat a difference: it sends one remainder more."""

ORDER_2_COST = 0.3
"""Bits a row by which a line must beat a difference: it is the slowest to work out."""

SAMPLES = 8_192
"""Rows from which orders and shifts are chosen, shared out among the groups."""

SAMPLES_MIN, SAMPLES_MAX = 8, 64
"""Rows a group has of those; 8 cost up to 1% of bytes against all."""

NARROW_MAX = 2**28
"""Below this a second difference, zigzag folded, fits 32 bits."""

MEAN_MAX = 2.0**62
"""A mean is only a guess, but it must fit int64."""

_ORDER_UNIT = 64
"""A group's coding byte is its order times this, plus its shift."""


def write(out: Writer, columns: list[Column], groups: Groups) -> None:
    """Append integers: codings, bases, symbols, escapes, raw bits.

    Args:
        columns: Integers of any width, the rows of all groups when joined.
    """
    narrow = [_narrowed(column) for column in columns]
    numbers = narrow[0] if len(narrow) == 1 else np.concatenate(narrow)
    order, shift, base = _choose(numbers, groups)
    folded = zigzag(_remainders(numbers, order, base, groups))
    if order.any():
        folded = folded.take(_sent(order, groups))
    sent = Groups.of(groups.counts - (order > 0))
    symbols = folded >> sent.spread(shift.astype(folded.dtype))
    escapes = symbols[:0]
    if len(symbols) and symbols.max() >= ESCAPE:
        escaped = np.flatnonzero(symbols >= ESCAPE)
        escapes = symbols[escaped] - ESCAPE
        symbols[escaped] = ESCAPE
    out.raw((order * _ORDER_UNIT + shift).astype(np.uint8).tobytes())
    out.column(zigzag(base))
    out.cut()
    out.raw(symbols.astype(np.uint8).tobytes())
    out.cut()
    out.column(escapes)
    out.raw(pieces.pack(folded, shift, sent))
    out.cut()


def read(source: Reader, groups: Groups) -> Int64s:
    """The inverse of `write`.

    Raises:
        MalformedError: An order or a shift that cannot be, or too few bytes.
    """
    codings = np.frombuffer(source.raw(len(groups)), np.uint8)
    order, shift = codings // _ORDER_UNIT, (codings % _ORDER_UNIT).astype(np.int64)
    if int(order.max()) > ORDER_MAX or int(shift.max()) > SHIFT_MAX or (shift % pieces.UNIT).any():
        unit = pieces.UNIT
        raise MalformedError(
            f"expected orders up to {ORDER_MAX} and shifts up to {SHIFT_MAX} in steps of {unit}"
        )
    base = unzigzag(source.column64(len(groups)))
    sent = Groups.of(groups.counts - (order > 0))
    symbols = np.frombuffer(source.raw(sent.rows), np.uint8)
    escaped = np.flatnonzero(symbols == ESCAPE)
    folded = symbols.astype(np.uint64)
    folded[escaped] += source.column64(len(escaped))
    folded <<= sent.spread(shift.astype(np.uint64))
    folded |= pieces.unpack(source.raw(pieces.size_of(shift, sent)), shift, sent)
    return _restore(order, base, unzigzag(folded), groups)


def _narrowed(numbers: Column) -> Column:
    """As 32-bit numbers, if those can hold every remainder: four times as fast."""
    if len(numbers) and -NARROW_MAX < int(numbers.min()) and int(numbers.max()) < NARROW_MAX:
        return numbers.astype(np.int32, copy=False)
    return numbers.astype(np.int64, copy=False)


def _choose(numbers: Column, groups: Groups) -> tuple[Int64s, Int64s, Int64s]:
    """Order, shift and base of each group, from a sample of its rows."""
    rows = groups.samples(min(max(SAMPLES // max(1, len(groups)), SAMPLES_MIN), SAMPLES_MAX))
    # The row before a group's first is another's: that only blurs the guess.
    here, before, earlier = (numbers.take(rows - back, mode="clip") for back in range(3))
    mean = np.add.reduce(here, axis=0, dtype=np.float64)
    mean /= len(here)
    mean = np.rint(mean).clip(-MEAN_MAX, MEAN_MAX).astype(numbers.dtype)
    remainders = np.empty((ORDER_MAX + 1, *here.shape), numbers.dtype)
    np.subtract(here, mean, out=remainders[0])
    np.subtract(here, before, out=remainders[1])
    np.subtract(remainders[1], before - earlier, out=remainders[2])
    cost = _mean_log2(remainders)
    cost[0] += ORDER_0_COST
    cost[2] += ORDER_2_COST
    order = cost.argmin(axis=0)
    # Zigzag doubles, hence one more bit; halves round, and steps of shifts too.
    bits = cost.min(axis=0) + (1.5 + pieces.UNIT / 2 - SYMBOL_LOG2)
    shift = (bits / pieces.UNIT).clip(0, SHIFT_MAX // pieces.UNIT).astype(np.int64) * pieces.UNIT
    base = np.where(order == 0, mean, numbers[groups.starts]).astype(np.int64)
    return order, shift, base


def _remainders(numbers: Column, order: Int64s, base: Int64s, groups: Groups) -> Column:
    """What the prediction leaves of each row; nothing of use in first rows that are not sent."""
    remainders = np.empty_like(numbers)
    remainders[:1] = 0
    np.subtract(numbers[1:], numbers[:-1], out=remainders[1:])
    if (order == 2).any():
        rows, chosen = groups.rows_of(order == 2)
        steps = part(remainders, rows)
        steps[chosen.starts] = 0
        remainders[rows] = chosen.differences(steps)
    if (order == 0).any():
        from_base = numbers - groups.spread(base.astype(numbers.dtype))
        np.copyto(remainders, from_base, where=groups.spread(order == 0))
    return remainders


def _restore(order: Column, base: Int64s, sent: Int64s, groups: Groups) -> Int64s:
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


def _sent(order: Column, groups: Groups) -> Int64s:
    """Rows whose remainder travels: not the first of a group that is predicted from it."""
    mask = np.ones(groups.rows, np.bool_)
    mask[groups.starts[order > 0]] = False
    return np.flatnonzero(mask)


def _mean_log2(remainders: Column) -> npt.NDArray[np.float64]:
    """About the mean of log2(1 + |r|) along the axis before the last.

    A float's bits, read as an integer, are its binary logarithm, but for a straight line
    between powers of two. So an outlier counts little, and no logarithm is taken.
    """
    float_ = np.float32 if remainders.itemsize == 4 else np.float64
    info = np.finfo(float_)
    magnitude = np.add(np.abs(remainders).astype(float_), 1)
    logs: npt.NDArray[np.float64]
    logs = np.add.reduce(magnitude.view(remainders.dtype), axis=-2, dtype=np.float64)
    logs /= magnitude.shape[-2] * 2.0**info.nmant
    return logs - (info.maxexp - 1)
