"""Floats as integers, by whichever of a few exact rules fits all of a group.

A measurement is a count of some last digit that somebody divided or multiplied; seen as
that count it needs far fewer bits than as a float. A rule is only used where it gives back
the very bits; a row where it does not is an exception and travels as it is.

===============  ====================================================  ==================
rule             the value of integer `x` with exponent `e`            who writes such
===============  ====================================================  ==================
BITS             the float whose bits, ordered, are `x`                computed values
DIVIDE           `x / 10**e`                                           text, databases
MULTIPLY         `x * 10**-e`                                          scaled registers
DIVIDE_SINGLE    `x / 10**e`, rounded to 32 bits                       PLC reals
SINGLE_BITS      the 32-bit float whose bits, ordered, are `x`         computed PLC reals
===============  ====================================================  ==================

"Ordered": where the sign is set, the other bits are inverted, so that greater floats have
greater integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from protocols.columns.groups import Bools, Column, Groups, Rows
from protocols.samples import Int64s

Floats = npt.NDArray[Any]
Codes = npt.NDArray[np.uint8]

EXPONENT_MAX = 15
_CODE_UNIT = EXPONENT_MAX + 1
"""A group's code is its rule times this, plus its exponent."""

EXACT_MAX = 2.0**53
"""Integers up to here are doubles, each of them."""

_POWERS = np.array([float(f"1e{e}") for e in range(_CODE_UNIT)])


class Rule(IntEnum):
    """How an integer becomes a float; also the number on the wire."""

    BITS = 0
    DIVIDE = 1
    MULTIPLY = 2
    DIVIDE_SINGLE = 3
    SINGLE_BITS = 4


def _codes(rule: Rule, exponents: range) -> Codes:
    return np.array([rule * _CODE_UNIT + exponent for exponent in exponents], np.uint8)


CANDIDATES = {
    np.dtype(np.float64): (
        _codes(Rule.DIVIDE, range(4)),
        _codes(Rule.MULTIPLY, range(1, 4)),
        _codes(Rule.DIVIDE_SINGLE, range(4)),
        _codes(Rule.DIVIDE, range(4, 11)),
        _codes(Rule.MULTIPLY, range(4, 8)),
        _codes(Rule.DIVIDE_SINGLE, range(4, 8)),
        _codes(Rule.SINGLE_BITS, range(1)),
        _codes(Rule.BITS, range(1)),
    ),
    np.dtype(np.float32): (
        _codes(Rule.DIVIDE_SINGLE, range(4)),
        _codes(Rule.DIVIDE_SINGLE, range(4, 8)),
        _codes(Rule.SINGLE_BITS, range(1)),
    ),
}
"""Codes in the order of preference, those tried at once together; the last fits everything."""

_NARROW_MAX = 2**31
_PROBES = 4

EXCEPTIONS_PER_DIGIT = 25
"""An exception costs about 9 bytes, a decimal digit more 3.3 bits in every row."""

OTHER_RULE_DIGITS = 3
"""What another decimal rule is taken to cost: if one fits, the old one does not."""

BITS_DIGITS = 12
"""What the floats' own bits cost more than a decimal: 5 bytes in every row."""


def is_code(codes: Codes, dtype: np.dtype[Any]) -> bool:
    """Whether each is a rule that gives floats of this type, with an exponent it may have."""
    rules, exponents = codes // _CODE_UNIT, codes % _CODE_UNIT
    known = rules <= max(Rule) if dtype == np.float64 else (rules == 3) | (rules == 4)
    plain = (rules == Rule.BITS) | (rules == Rule.SINGLE_BITS)
    return bool((known & (~plain | (exponents == 0))).all())


def to_integers(values: Floats, groups: Groups) -> tuple[Codes, Column, Int64s]:
    """A code for each group, an integer for each row, and the rows that are exceptions.

    What stands in an exception's place is the integer before it, which costs least.
    """
    places = ((groups.counts - 1) * np.arange(_PROBES)[:, None]) // (_PROBES - 1)
    probes = values.take(groups.starts + places)
    settled = np.zeros(len(groups), np.bool_)
    with np.errstate(all="ignore"):
        codes = _fitting(probes)
        numbers, wrong = _apply(values, codes, groups)
        exceptions = np.flatnonzero(wrong)
        while len(exceptions):
            owners = groups.groups_of(exceptions)
            failures = np.bincount(owners, minlength=len(groups))
            settled |= failures * EXCEPTIONS_PER_DIGIT <= groups.counts  # not worth a digit
            if settled.all():
                return codes, _bridged(numbers, exceptions, groups), exceptions
            # A counterexample becomes a probe: it rules out at least the code that failed.
            probes = np.vstack((probes, _counterexamples(values[exceptions], owners, len(groups))))
            better = _better(probes, codes, np.flatnonzero(~settled), failures, groups)
            settled |= better == codes
            codes = better
            rows, chosen = groups.rows_of(~settled)
            refitted, wrong[rows] = _apply(values[rows], codes[~settled], chosen)
            numbers = numbers.astype(np.promote_types(numbers.dtype, refitted.dtype), copy=False)
            numbers[rows] = refitted
            exceptions = np.flatnonzero(wrong)
    return codes, numbers, exceptions


def _counterexamples(exceptions: Floats, owners: Int64s, groups: int) -> Floats:
    """A telling exception of each group, NaN where it has none."""
    found = np.full(groups, np.nan, exceptions.dtype)
    telling = _telling(exceptions)
    found[owners[telling]] = exceptions[telling]
    return found


def _better(probes: Floats, codes: Codes, failed: Int64s, failures: Int64s, groups: Groups) -> Codes:
    """For each failed group a code that fits one probe more, or the old one if that is cheaper."""
    last = CANDIDATES[probes.dtype][-1][0]
    fitting = np.full(len(failed), last, np.uint8)
    told = _telling(probes[-1, failed])
    fitting[told] = _fitting(probes[:, failed[told]])
    same_rule = fitting // _CODE_UNIT == codes[failed] // _CODE_UNIT
    digits = np.where(same_rule, fitting.astype(np.int64) - codes[failed], OTHER_RULE_DIGITS)
    digits[fitting == last] = BITS_DIGITS
    worth = failures[failed] * EXCEPTIONS_PER_DIGIT > groups.counts[failed] * digits
    better = codes.copy()
    better[failed[worth]] = fitting[worth]
    return better


def from_integers(codes: Codes, numbers: Int64s, groups: Groups, dtype: np.dtype[Any]) -> Floats:
    """The inverse of `to_integers`, but for the exceptions."""
    values = np.empty(len(numbers), dtype)
    with np.errstate(all="ignore"):  # an integer too large for its rule is an infinity
        for rule, rows, powers in _by_rule(codes, groups):
            values[rows] = _float(numbers[rows], rule, powers, dtype)
    return values


def bits_of(values: Floats) -> Column:
    """The floats' own bits, as integers of the same size."""
    return values.view(np.dtype(f"i{values.itemsize}"))


def _apply(values: Floats, codes: Codes, groups: Groups) -> tuple[Column, Bools]:
    numbers = np.empty(len(values), np.int64)
    wrong = np.empty(len(values), np.bool_)
    for rule, rows, powers in _by_rule(codes, groups):
        if isinstance(rows, slice):
            return _tried(values, rule, powers)
        numbers[rows], wrong[rows] = _tried(values[rows], rule, powers)
    return numbers, wrong


def _tried(values: Floats, rule: Rule, powers: Column) -> tuple[Column, Bools]:
    """What a rule makes of these values, and where it does not give them back."""
    numbers = _integer(values, rule, powers)
    return numbers, bits_of(_float(numbers, rule, powers, values.dtype)) != bits_of(values)


def _by_rule(codes: Codes, groups: Groups) -> Iterator[tuple[Rule, Rows, Column]]:
    """Each rule in use, its rows, and for each row the power of ten."""
    rules, powers = codes // _CODE_UNIT, _POWERS[codes % _CODE_UNIT]
    for rule in Rule:
        chosen = rules == rule
        if chosen.any():
            rows, some = groups.rows_of(chosen)
            yield rule, rows, some.spread(powers[chosen])


def _integer(values: Floats, rule: Rule, powers: Column) -> Column:
    if rule is Rule.BITS:
        return _ordered(bits_of(values))
    if rule is Rule.SINGLE_BITS:
        return _ordered(bits_of(values.astype(np.float32, copy=False)))
    scaled = values * powers
    np.rint(scaled, out=scaled)
    narrow = -_NARROW_MAX < scaled.min() and scaled.max() < _NARROW_MAX  # never with a NaN
    return scaled.astype(np.int32 if narrow else np.int64)


def _float(numbers: Column, rule: Rule, powers: Column, dtype: np.dtype[Any]) -> Floats:
    if rule is Rule.BITS:
        return _ordered(numbers).view(np.float64)
    if rule is Rule.SINGLE_BITS:
        return _ordered(numbers.astype(np.int32)).view(np.float32).astype(dtype, copy=False)
    # The powers are exact, so one divided by them is the double next to 10**-e.
    values = numbers * (1.0 / powers) if rule is Rule.MULTIPLY else numbers / powers
    if rule is Rule.DIVIDE_SINGLE:
        values = values.astype(np.float32)
    return values.astype(dtype, copy=False)


def _ordered(bits: Column) -> Column:
    """Between a float's bits and integers in the floats' order; its own inverse."""
    ordered: Column = bits ^ ((bits >> (bits.itemsize * 8 - 1)) & np.iinfo(bits.dtype).max)
    return ordered


def _fitting(probes: Floats) -> Codes:
    """The first candidate that gives back each column's telling probes."""
    *candidates, last = CANDIDATES[probes.dtype]
    fitting = np.full(probes.shape[1], last[0], np.uint8)
    undecided = np.arange(probes.shape[1])
    telling = _telling(probes)
    for codes in candidates:
        if not len(undecided):
            break
        powers = _POWERS[codes % _CODE_UNIT][:, None, None]
        _, wrong = _tried(probes, Rule(codes[0] // _CODE_UNIT), powers)
        fits = ~(wrong & telling).reshape(len(codes), *probes.shape).any(axis=1)
        found = fits.any(axis=0)
        fitting[undecided[found]] = codes[fits.argmax(axis=0)[found]]
        undecided = undecided[~found]
        probes, telling = probes[:, ~found].copy(), telling[:, ~found]
    return fitting


def _telling(values: Floats) -> Bools:
    """Where a value says something about a rule: not for what no decimal can be."""
    telling: Bools = np.isfinite(values) & ((values != 0) | ~np.signbit(values))
    return telling


def _bridged(numbers: Column, exceptions: Int64s, groups: Groups) -> Column:
    """Put into each exception's place the integer of the row before that is none."""
    rank = np.arange(len(exceptions))
    follows = np.zeros(len(exceptions), np.bool_)
    follows[1:] = exceptions[1:] == exceptions[:-1] + 1
    before = exceptions[np.maximum.accumulate(np.where(follows, 0, rank))] - 1
    in_group = before >= groups.starts[groups.groups_of(exceptions)]
    numbers[exceptions] = np.where(in_group, numbers[before], 0)
    return numbers
