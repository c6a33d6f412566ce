"""Sequences of times that many points share, each sent once.

Points of one scan class have the same stamps, so a batch has as many different sequences
as scan classes, not as points. A regular sequence is a first time and a step; others are
integers in the largest of a few units that divides them.
"""

from __future__ import annotations

import numpy as np

from protocols.columns import integers
from protocols.columns.frame import Reader, Writer
from protocols.columns.groups import Groups, same, unzigzag, zigzag
from protocols.errors import MalformedError
from protocols.samples import Int64s

REGULAR = 0
"""The kind of section in which each sequence is a first time and a step."""

UNITS_US = (1_000_000, 1_000, 1)
"""Units of time tried for the other sequences, coarsest first; a section's kind is its unit."""

_MIXER = np.uint64(0x9E37_79B9_7F4A_7C15)
"""2**64 divided by the golden ratio: spreads consecutive numbers (Knuth, TAOCP 3, 6.4)."""


def write(out: Writer, times: Int64s, groups: Groups) -> None:
    """Append the times of all groups: which sequence each has, and the sequences."""
    index, owners = _share(times, groups)
    out.number(len(owners), 4)
    if len(owners) == 1:
        _write_lines(out, times[: groups.counts[0]], Groups.of(groups.counts[:1]))
    elif len(owners) == len(groups):
        _write_lines(out, times, groups)
    else:
        out.column(index.view(np.uint64))
        chosen = np.zeros(len(groups), np.bool_)
        chosen[owners] = True
        rows, lines = groups.rows_of(chosen)
        _write_lines(out, times[rows], lines)


def write_common(out: Writer, line: Int64s) -> None:
    """Append one sequence that all groups have."""
    out.number(1, 4)
    _write_lines(out, line, Groups.even(1, len(line)))


def read(source: Reader, points: int, rows: int) -> tuple[Int64s, Groups]:
    """Times, and the groups whose sizes they tell.

    Raises:
        MalformedError: Sequences that are not `points` groups of together `rows` rows.
    """
    count = source.number(4)
    index = _read_index(source, count, points)
    counts = source.column64(count)
    if int(counts.max()) >= rows:
        raise MalformedError(f"expected sequences of at most {rows} times")
    lines = Groups.of(counts.view(np.int64) + 1)
    groups = Groups.of(lines.counts[index])
    if groups.rows != rows:
        raise MalformedError(f"expected sequences of together {rows} times, got {groups.rows}")
    times = _read_lines(source, lines)
    if count == points:
        return times, groups
    if count == 1:
        return np.tile(times, points), groups
    return times[_rows_like(lines.starts[index], groups)], groups


def read_like(source: Reader, groups: Groups) -> Int64s:
    """Times for groups whose sizes are known already.

    Raises:
        MalformedError: Sequences for groups of other sizes.
    """
    times, found = read(source, len(groups), groups.rows)
    if not np.array_equal(found.counts, groups.counts):
        raise MalformedError("expected source times in groups as large as the points'")
    return times


def _write_lines(out: Writer, times: Int64s, lines: Groups) -> None:
    out.column((lines.counts - 1).view(np.uint64))
    first = times[lines.starts]
    step = times[lines.starts + (lines.counts > 1)] - first
    regular = same(times, _regular(first, step, lines))
    base = int(first[0])
    unit, ticks = (REGULAR, first - first[0]) if regular else _in_units(times)
    out.number(unit, 4)
    out.number(base & (2**64 - 1), 8)
    if regular:
        out.column(zigzag(ticks))
        out.column(zigzag(step))
    else:
        integers.write(out, [ticks], lines)


def _read_lines(source: Reader, lines: Groups) -> Int64s:
    unit = source.number(4)
    base = np.uint64(source.number(8)).view(np.int64)
    if unit == REGULAR:
        first = unzigzag(source.column64(len(lines))) + base
        return _regular(first, unzigzag(source.column64(len(lines))), lines)
    return integers.read(source, lines) * np.int64(unit) + base


def _regular(first: Int64s, step: Int64s, lines: Groups) -> Int64s:
    times: Int64s = np.arange(lines.rows) * lines.spread(step)
    times += lines.spread(first - lines.starts * step)
    return times


def _read_index(source: Reader, count: int, points: int) -> Int64s:
    if not 1 <= count <= points:
        raise MalformedError(f"expected 1 to {points} sequences of times, got {count}")
    if count == points:
        return np.arange(points)
    if count == 1:
        return np.zeros(points, np.int64)
    index = source.column64(points)
    newest = np.maximum.accumulate(index)
    if index[0] or int(newest[-1]) != count - 1 or (np.diff(newest) > 1).any():
        raise MalformedError("expected sequences of times numbered in the order of their first use")
    return index.view(np.int64)


def _share(times: Int64s, groups: Groups) -> tuple[Int64s, Int64s]:
    """The sequence of each group, and of each sequence the first group that has it."""
    alone = np.arange(len(groups))
    if groups.each:
        table = times.reshape(-1, groups.each)
        if (table == table[0]).all():
            return np.zeros_like(alone), alone[:1]
    _, owners, index = np.unique(_hashes(times, groups), return_index=True, return_inverse=True)
    if len(owners) == len(groups):
        return alone, alone
    like = owners[index]
    if (groups.counts[like] != groups.counts).any() or (
        times[_rows_like(groups.starts[like], groups)] != times
    ).any():
        return alone, alone  # two sequences with one hash: sharing is only a saving, let it be
    rank = np.empty_like(owners)
    rank[np.argsort(owners)] = np.arange(len(owners))
    return rank[index], np.sort(owners)


def _hashes(times: Int64s, groups: Groups) -> Int64s:
    place = (np.arange(groups.rows) - groups.spread(groups.starts) + 1).view(np.uint64)
    mixed = (times.view(np.uint64) ^ (place * _MIXER)) * _MIXER
    mixed ^= mixed >> np.uint64(29)
    hashes: Int64s = groups.sums(mixed * _MIXER, np.uint64).view(np.int64)
    return hashes


def _rows_like(starts: Int64s, groups: Groups) -> Int64s:
    """For each row of each group, the row as far behind another start."""
    rows: Int64s = groups.spread(starts - groups.starts) + np.arange(groups.rows)
    return rows


def _in_units(times: Int64s) -> tuple[int, Int64s]:
    """A unit, and the times in units since the first."""
    since = times - times[0]
    if int(times.max()) - int(times.min()) < 2**63:
        for unit in UNITS_US:
            ticks, rest = np.divmod(since, unit)
            if not rest.any():
                return unit, ticks
    return 1, since
