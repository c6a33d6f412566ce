"""Integers in groups: differences, and what is left of them split into a symbol and raw bits.

1. Each row is told by the row before it (order 1) or by the line through the two rows
   before (order 2), whichever leaves less in its group. The first row is the base.
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
from protocols.columns.groups import Bools, Column, Groups, unzigzag, zigzag
from protocols.errors import MalformedError
from protocols.samples import Int64s

ESCAPE = 255
"""The symbol that says: the true one is 255 or more, see the list of escapes."""

SHIFT_MAX = pieces.WIDTH_MAX
"""Raw bits of one remainder: 64 less the symbol's 8."""

SYMBOL_LOG2 = 2.5
"""The mean log2 of a symbol that a shift aims at; 2 to 3.5 measured within 1% of each other."""

ORDER_2_COST = 0.3
"""Bits a row by which a line must beat a difference: it takes longer to work out."""

SAMPLES = 8_192
"""Rows from which orders and shifts are chosen, shared out among the groups."""

SAMPLES_MIN, SAMPLES_MAX = 8, 64
"""Rows a group has of those; 8 cost up to 1% of bytes against all."""

NARROW_MAX = 2**28
"""Below this a second difference, zigzag folded, fits 32 bits."""

_SECOND = 64
"""Added to the shift in a group's coding byte if its order is 2."""


def write(out: Writer, columns: list[Column], groups: Groups) -> None:
    """Append integers: codings, bases, symbols, escapes, raw bits.

    Args:
        columns: Integers of any width, the rows of all groups when joined.
    """
    narrow = [_narrowed(column) for column in columns]
    numbers = narrow[0] if len(narrow) == 1 else np.concatenate(narrow)
    steps = (numbers[1:] - numbers[:-1])[_inner(groups)[1:]]
    sent = Groups.of(groups.counts - 1)
    second, shift = _choose(steps, sent)
    if second.any():
        rows, chosen = sent.rows_of(second)
        steps[rows] = chosen.differences(steps[rows])
    folded = zigzag(steps)
    symbols = folded >> sent.spread(shift.astype(folded.dtype))
    escapes = symbols[:0]
    if len(symbols) and symbols.max() >= ESCAPE:
        escaped = np.flatnonzero(symbols >= ESCAPE)
        escapes = symbols[escaped] - ESCAPE
        symbols[escaped] = ESCAPE
    out.raw((second * _SECOND + shift).astype(np.uint8).tobytes())
    out.column(zigzag(numbers[groups.starts].astype(np.int64)))
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
    shift = (codings % _SECOND).astype(np.int64)
    if int(codings.max()) >= 2 * _SECOND or int(shift.max()) > SHIFT_MAX or (shift % pieces.UNIT).any():
        raise MalformedError(f"expected shifts up to {SHIFT_MAX} in steps of {pieces.UNIT}, order 1 or 2")
    base = unzigzag(source.column64(len(groups)))
    sent = Groups.of(groups.counts - 1)
    symbols = np.frombuffer(source.raw(sent.rows), np.uint8)
    escaped = np.flatnonzero(symbols == ESCAPE)
    folded = symbols.astype(np.uint64)
    folded[escaped] += source.column64(len(escaped))
    folded <<= sent.spread(shift.astype(np.uint64))
    folded |= pieces.unpack(source.raw(pieces.size_of(shift, sent)), shift, sent)
    steps = unzigzag(folded)
    second = (codings >= _SECOND) & (sent.counts > 0)
    if second.any():
        rows, chosen = sent.rows_of(second)
        steps[rows] = chosen.running_sums(steps[rows])
    numbers = np.zeros(groups.rows, np.int64)
    numbers[_inner(groups)] = steps
    numbers = groups.running_sums(numbers)
    numbers += groups.spread(base)
    return numbers


def _narrowed(numbers: Column) -> Column:
    """As 32-bit numbers, if those can hold every remainder: four times as fast."""
    narrow = numbers.itemsize == 1 or not len(numbers)
    if narrow or (-NARROW_MAX < int(numbers.min()) and int(numbers.max()) < NARROW_MAX):
        return numbers.astype(np.int32, copy=False)
    return numbers.astype(np.int64, copy=False)


def _choose(steps: Column, groups: Groups) -> tuple[Bools, Int64s]:
    """Which groups are of order 2, and the shift of each, from a sample of its rows."""
    if not len(steps):
        return np.zeros(len(groups), np.bool_), np.zeros(len(groups), np.int64)
    rows = groups.samples(min(max(SAMPLES // len(groups), SAMPLES_MIN), SAMPLES_MAX))
    remainders = np.empty((2, *rows.shape), steps.dtype)
    np.take(steps, rows, out=remainders[0], mode="clip")
    np.subtract(remainders[0], steps.take(rows - 1, mode="clip"), out=remainders[1])
    first, other = _mean_log2(remainders)
    other += ORDER_2_COST
    # Zigzag doubles, hence one more bit; halves round, and steps of shifts too.
    bits = np.minimum(first, other) + (1.5 + pieces.UNIT / 2 - SYMBOL_LOG2)
    shift = (bits / pieces.UNIT).clip(0, SHIFT_MAX // pieces.UNIT).astype(np.int64) * pieces.UNIT
    return (other < first) & (groups.counts > 1), shift


def _inner(groups: Groups) -> Bools:
    """All rows but the first of each group."""
    inner = np.ones(groups.rows, np.bool_)
    inner[groups.starts] = False
    return inner


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
