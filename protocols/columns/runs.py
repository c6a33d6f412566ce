"""Codes that seldom change: a dictionary, and runs.

For quality, and for which samples have a source time.
"""

from __future__ import annotations

import numpy as np

from protocols.columns.frame import Reader, Writer
from protocols.errors import MalformedError
from protocols.samples import UInt32s


def write(out: Writer, codes: UInt32s) -> None:
    """Append at least one code."""
    starts = np.concatenate(([0], np.flatnonzero(codes[1:] != codes[:-1]) + 1))
    lengths = np.diff(np.append(starts, len(codes)))
    dictionary, index = np.unique(codes[starts], return_inverse=True)
    out.number(len(dictionary), 4)
    out.number(len(starts), 4)
    out.column(dictionary)
    out.column((lengths - 1).view(np.uint64))
    out.column(index.view(np.uint64))


def read(source: Reader, rows: int) -> UInt32s:
    """`rows` codes.

    Raises:
        MalformedError: Runs that are not together `rows` long, or not in canonical form.
    """
    different, count = source.number(4), source.number(4)
    if not 1 <= different <= count <= rows:
        raise MalformedError(f"expected at most {rows} runs of as many codes, got {count} of {different}")
    dictionary = source.column64(different)
    lengths = source.column64(count)
    index = source.column64(count)
    if int(dictionary[-1]) >= 2**32 or (dictionary[1:] <= dictionary[:-1]).any():
        raise MalformedError("expected a dictionary of rising 32-bit codes")
    if int(index.max()) >= different or (index[1:] == index[:-1]).any():
        raise MalformedError("expected runs of known codes, each other than the one before")
    if int(lengths.max()) >= rows or int(lengths.sum()) + count != rows:
        raise MalformedError(f"expected runs of together {rows} rows")
    return np.repeat(dictionary[index.view(np.int64)].astype(np.uint32), lengths.view(np.int64) + 1)
