"""The value column of a block: what was held is left out, the rest becomes integers.

A group whose value often equals the one before (setpoints, slow analysers, anything
scanned faster than it changes) says so with a bit a row and sends only the changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from protocols import limits
from protocols.columns import decimals, integers
from protocols.columns.frame import Reader, Writer
from protocols.columns.groups import Bools, Groups
from protocols.errors import LimitError, MalformedError
from protocols.samples import Int64s, Values, ValueType

HELD_PERCENT = 35
"""Of rows that must repeat the one before; measured, the figure may be 25 to 50."""


def write(out: Writer, value_type: ValueType, values: Values, groups: Groups) -> None:
    """Append the values of a block.

    Raises:
        LimitError: Texts larger than a payload may hold.
    """
    if value_type is ValueType.TEXT:
        values = _write_texts(out, values)
    sent, groups = _write_held(out, values, groups)
    if value_type in (ValueType.F64, ValueType.F32):
        codes, numbers, exceptions = decimals.to_integers(sent, groups)
        out.raw(codes.tobytes())
        _write_exceptions(out, decimals.bits_of(sent), exceptions)
    else:
        numbers = sent.astype(np.int64, copy=False)
    integers.write(out, numbers, groups)


def read(source: Reader, value_type: ValueType, groups: Groups) -> Values:
    """The inverse of `write`.

    Raises:
        MalformedError: What no writer writes.
        LimitError: Texts larger than a payload may hold.
    """
    texts = _read_texts(source, groups.rows) if value_type is ValueType.TEXT else None
    changed, groups = _read_held(source, groups)
    values: Values
    if value_type in (ValueType.F64, ValueType.F32):
        values = _read_floats(source, value_type, groups)
    else:
        values = integers.read(source, groups)
        if value_type is ValueType.BOOL:
            if (values >> 1).any():
                raise MalformedError("expected booleans of 0 or 1")
            values = values.astype(np.uint8)
    if changed is not None:
        values = values.take(changed.cumsum() - 1)
    return values if texts is None else _texts_of(texts, values)


def _read_floats(source: Reader, value_type: ValueType, groups: Groups) -> Values:
    codes = np.frombuffer(source.raw(len(groups)), np.uint8)
    if not decimals.is_code(codes, value_type.dtype):
        raise MalformedError(f"expected rules for {value_type.name}, got another")
    rows, bits = _read_exceptions(source, groups.rows)
    if len(bits) and int(bits.max()) >> (8 * value_type.dtype.itemsize):
        raise MalformedError(f"expected exceptions of {value_type.name}, got larger bits")
    numbers = integers.read(source, groups)
    values = decimals.from_integers(codes, numbers, groups, value_type.dtype)
    if len(rows):
        decimals.bits_of(values)[rows] = bits.astype(f"u{values.itemsize}").view(f"i{values.itemsize}")
    return values


def _write_exceptions(out: Writer, bits: npt.NDArray[Any], rows: Int64s) -> None:
    out.number(len(rows), 4)
    if len(rows):
        out.column((np.diff(rows, prepend=-1) - 1).view(np.uint64))
        out.column(bits[rows].view(f"u{bits.itemsize}"))


def _read_exceptions(source: Reader, rows: int) -> tuple[Int64s, npt.NDArray[np.uint64]]:
    count = source.number(4)
    if count > rows:
        raise MalformedError(f"expected at most {rows} exceptions, got {count}")
    if not count:
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    gaps = source.column64(count)
    if int(gaps.max()) >= rows:
        raise MalformedError(f"expected exceptions within {rows} rows")
    places = np.cumsum(gaps.view(np.int64) + 1) - 1
    if int(places[-1]) >= rows:
        raise MalformedError(f"expected exceptions within {rows} rows")
    return places, source.column64(count)


def _write_held(out: Writer, values: Values, groups: Groups) -> tuple[Values, Groups]:
    """Append which rows repeat the one before; return the others."""
    bits = decimals.bits_of(values)
    changed = np.empty(groups.rows, np.bool_)
    np.not_equal(bits[1:], bits[:-1], out=changed[1:])
    changed[groups.starts] = True
    changes = groups.counted(changed)
    held = (groups.counts - changes) * 100 >= groups.counts * HELD_PERCENT
    out.bits(held)
    if not held.any():
        return values, groups
    rows, _ = groups.rows_of(held)
    out.bits(changed[rows])
    if not held.all():
        changed |= ~groups.spread(held)
    return values.take(np.flatnonzero(changed)), Groups.of(np.where(held, changes, groups.counts))


def _read_held(source: Reader, groups: Groups) -> tuple[Bools | None, Groups]:
    """The rows that are sent (`None`: all), and the groups they form."""
    held = source.bits(len(groups))
    if not held.any():
        return None, groups
    rows, chosen = groups.rows_of(held)
    flags = source.bits(chosen.rows)
    if not flags[chosen.starts].all():
        raise MalformedError("expected each point's first value to be sent")
    changed = np.ones(groups.rows, np.bool_)
    changed[rows] = flags
    return changed, Groups.of(groups.counted(changed))


def _write_texts(out: Writer, values: Values) -> Int64s:
    """Append the dictionary; return each row's place in it."""
    places: dict[str, int] = {}
    index = np.array([places.setdefault(text, len(places)) for text in values], np.int64)
    texts = [text.encode() for text in places]
    lengths = np.array([len(text) for text in texts], np.int64)
    assert int(lengths.max()) <= limits.TEXT_BYTES_MAX, "a driver cuts longer texts"
    _check_text_bytes(lengths, index)
    out.number(len(texts), 4)
    out.column(lengths.view(np.uint64))
    out.raw(b"".join(texts))
    out.cut()
    return index


def _read_texts(source: Reader, rows: int) -> list[bytes]:
    count = source.number(4)
    if not 1 <= count <= rows:
        raise MalformedError(f"expected 1 to {rows} texts, got {count}")
    lengths = source.column64(count)
    if int(lengths.max()) > limits.TEXT_BYTES_MAX:
        raise LimitError(f"expected texts of at most {limits.TEXT_BYTES_MAX} bytes, got {int(lengths.max())}")
    return [bytes(source.raw(int(length))) for length in lengths]


def _texts_of(texts: list[bytes], index: Int64s) -> Values:
    if int(index.min()) < 0 or int(index.max()) >= len(texts):
        raise MalformedError(f"expected places among {len(texts)} texts")
    _check_text_bytes(np.array([len(text) for text in texts], np.int64), index)
    decoded = np.empty(len(texts), object)
    try:
        decoded[:] = [text.decode() for text in texts]
    except UnicodeDecodeError as error:
        raise MalformedError(f"expected UTF-8 text: {error}") from error
    return decoded[index]


def _check_text_bytes(lengths: Int64s, index: Int64s) -> None:
    """A repeated text is one in the payload and many in the lake: bound what comes out."""
    total = int(lengths[index].sum())
    if total > limits.PAYLOAD_RAW_BYTES_MAX:
        most = limits.PAYLOAD_RAW_BYTES_MAX
        raise LimitError(f"expected at most {most} bytes of text, got {total}; send fewer samples at once")
