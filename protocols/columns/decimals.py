"""Which rule makes integers of floats: the first that fits all of a group.

A measurement is a count of some last digit that somebody divided or multiplied; seen as
that count it needs far fewer bits than as a float. A rule is only used where it gives back
the very bits; a row where it does not is an exception and travels as it is.

A few probes of each group choose, all rows prove it, and each group that is proved wrong
gives a counterexample that chooses again.
"""

from __future__ import annotations

import numpy as np

from protocols.columns.groups import Bools, Column, Groups
from protocols.columns.rules import CODE_UNIT, POWERS, Codes, Floats, Rule, apply, codes_of
from protocols.samples import Int64s

CANDIDATES = {
    np.dtype(np.float64): (
        codes_of(Rule.DIVIDE, range(4)),
        codes_of(Rule.DIVIDE, range(4, 11)),
        codes_of(Rule.DIVIDE_SINGLE, range(8)),
        codes_of(Rule.SINGLE_BITS, range(1)),
        codes_of(Rule.BITS, range(1)),
    ),
    np.dtype(np.float32): (
        codes_of(Rule.DIVIDE_SINGLE, range(4)),
        codes_of(Rule.DIVIDE_SINGLE, range(4, 8)),
        codes_of(Rule.SINGLE_BITS, range(1)),
    ),
}
"""Codes in the order of preference, those tried at once together; the last fits everything.

DIVIDE stands for MULTIPLY too: see `rules.apply`.
"""

EXACT_MAX = 2.0**53
"""Integers up to here are doubles, each of them."""

EXCEPTIONS_PER_DIGIT = 25
"""An exception costs about 9 bytes, a decimal digit more 3.3 bits in every row."""

OTHER_RULE_DIGITS = 3
"""What another decimal rule is taken to cost: if one fits, the old one does not."""

BITS_DIGITS = 12
"""What the floats' own bits cost more than a decimal: 5 bytes in every row."""


def to_integers(values: Floats, groups: Groups) -> tuple[Codes, Column, Int64s]:
    """A code for each group, an integer for each row, and the rows that are exceptions.

    What stands in an exception's place is the integer before it, which costs least.
    """
    probes = values.take(_probed(groups))
    settled = np.zeros(len(groups), np.bool_)
    with np.errstate(all="ignore"):
        fitted = _fitting(probes)
        codes, numbers, wrong = apply(values, fitted, groups)
        exceptions = np.flatnonzero(wrong)
        while len(exceptions):
            owners = groups.groups_of(exceptions)
            failures = np.bincount(owners, minlength=len(groups))
            settled |= failures * EXCEPTIONS_PER_DIGIT <= groups.counts  # not worth a digit
            if settled.all():
                return codes, _bridged(numbers, exceptions, groups), exceptions
            # A counterexample becomes a probe: it rules out at least the code that failed.
            probes = np.vstack((probes, _counterexamples(values[exceptions], owners, len(groups))))
            better = _better(probes, fitted, np.flatnonzero(~settled), failures, groups)
            settled |= better == fitted
            fitted = better
            rows, chosen = groups.rows_of(~settled)
            codes[~settled], refitted, wrong[rows] = apply(values[rows], fitted[~settled], chosen)
            numbers = numbers.astype(np.promote_types(numbers.dtype, refitted.dtype), copy=False)
            numbers[rows] = refitted
            exceptions = np.flatnonzero(wrong)
    return codes, numbers, exceptions


def _probed(groups: Groups) -> Int64s:
    """Three pairs of neighbouring rows of each group: the first, the middle and the last.

    Neighbours, because a signal that flickers between two values shows one at every other row.
    """
    last = groups.starts + groups.counts - 1
    firsts = (groups.starts, groups.starts + groups.counts // 2, np.maximum(last - 1, groups.starts))
    return np.array((*firsts, *(np.minimum(first + 1, last) for first in firsts)))


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
    same_rule = fitting // CODE_UNIT == codes[failed] // CODE_UNIT
    digits = np.where(same_rule, fitting.astype(np.int64) - codes[failed], OTHER_RULE_DIGITS)
    digits[fitting == last] = BITS_DIGITS
    worth = failures[failed] * EXCEPTIONS_PER_DIGIT > groups.counts[failed] * digits
    better = codes.copy()
    better[failed[worth]] = fitting[worth]
    return better


def _fitting(probes: Floats) -> Codes:
    """The first candidate that gives back each column's probes."""
    *candidates, last = CANDIDATES[probes.dtype]
    fitting = np.full(probes.shape[1], last[0], np.uint8)
    undecided = np.arange(probes.shape[1])
    probes = np.where(np.isfinite(probes), probes, 0)  # what no decimal can be says nothing about a rule
    for codes in candidates:
        fits = _fits(probes, codes)
        found = fits.any(axis=0)
        fitting[undecided[found]] = codes[fits.argmax(axis=0)[found]]
        if found.all():
            break
        undecided = undecided[~found]
        probes = probes[:, ~found]
    return fitting


def _fits(probes: Floats, codes: Codes) -> Bools:
    """Whether each of the codes, all of one rule, gives back all probes of each column."""
    rule = Rule(int(codes[0]) // CODE_UNIT)
    if rule is Rule.SINGLE_BITS:
        return _all_fit(probes.astype(np.float32) == probes).reshape(1, -1)
    powers = POWERS[codes % CODE_UNIT]
    exact: Bools = np.abs(probes).max(axis=0) * powers[:, None] <= EXACT_MAX
    powers = powers[:, None, None]
    scaled = probes.astype(np.float64, copy=False) * powers
    np.rint(scaled, out=scaled)
    again = scaled / powers
    if rule is Rule.DIVIDE_SINGLE:
        return exact & _all_fit(again.astype(np.float32) == probes)
    fits: Bools = again == probes
    scaled *= 1.0 / powers
    fits |= scaled == probes
    return exact & _all_fit(fits)


def _all_fit(fits: Bools) -> Bools:
    fitting: Bools = np.logical_and.reduce(fits, axis=-2)
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
