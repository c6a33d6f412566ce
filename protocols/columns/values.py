"""The value column of a block: what was held is left out, the rest becomes integers.

Where values often equal the one before (setpoints, slow analysers, anything scanned faster
than it changes) a bit a row says so, and only the changes are sent. Either all points do
so or none: telling them apart saves 0 to 3% of the bytes and takes a tenth of the time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from protocols import limits
from protocols.columns import decimals, integers, rules
from protocols.columns.frame import Reader, Writer
from protocols.columns.groups import Bools, Column, Groups
from protocols.errors import LimitError, MalformedError
from protocols.samples import Int64s, Values, ValueType

FLOATS = (ValueType.F64, ValueType.F32)

HELD_PERCENT = 10
"""Of rows that must repeat the one before; measured, the figure may be 5 to 20."""


def write(out: Writer, columns: list[tuple[ValueType, Values]], sizes: list[int], groups: Groups) -> None:
    """Append the values of all types.

    Args:
        columns: Values by type.
        sizes: How many of the groups each type has.
        groups: Those of all types.

    Raises:
        LimitError: Texts larger than a payload may hold.
    """
    plain = [_write_texts(out, column) if kind is ValueType.TEXT else column for kind, column in columns]
    sent, groups = _write_held(out, plain, groups)
    numbers: list[Column] = []
    for (value_type, _), column, part in zip(columns, sent, groups.split(sizes), strict=True):
        if value_type in FLOATS:
            codes, integer, exceptions = decimals.to_integers(column, part)
            out.raw(codes.tobytes())
            _write_exceptions(out, rules.bits_of(column), exceptions)
            numbers.append(integer)
        else:
            numbers.append(column)
    integers.write(out, numbers, groups)


def read(source: Reader, types: list[ValueType], sizes: list[int], groups: Groups) -> list[Values]:
    """The inverse of `write`.

    Raises:
        MalformedError: What no writer writes.
        LimitError: Texts larger than a payload may hold.
    """
    parts = groups.split(sizes)
    texts = _read_texts(source, parts[-1].rows) if types[-1] is ValueType.TEXT else []
    changed, sent = _read_held(source, groups)
    sent_parts = sent.split(sizes)
    notes = [
        _read_notes(source, value_type, part) if value_type in FLOATS else None
        for value_type, part in zip(types, sent_parts, strict=True)
    ]
    numbers = integers.read(source, sent)
    rows = None if changed is None else changed.cumsum() - 1
    columns: list[Values] = []
    at = sent_at = 0
    for value_type, part, sent_part, note in zip(types, parts, sent_parts, notes, strict=True):
        column = numbers[sent_at : sent_at + sent_part.rows]
        if note is not None:
            column = note.restore(column, sent_part, value_type.dtype)
        elif value_type is ValueType.BOOL:
            column = _booleans(column)
        if rows is not None:
            column = column.take(rows[at : at + part.rows] - sent_at)
        columns.append(_texts_of(texts, column) if value_type is ValueType.TEXT else column)
        at, sent_at = at + part.rows, sent_at + sent_part.rows
    return columns


class _FloatNotes(NamedTuple):
    """How integers become floats again: a code for each group, and what no code gives."""

    codes: rules.Codes
    places: Int64s
    bits: Column

    def restore(self, numbers: Int64s, groups: Groups, dtype: np.dtype[Any]) -> Values:
        """The floats."""
        floats = rules.from_integers(self.codes, numbers, groups, dtype)
        if len(self.places):
            size = dtype.itemsize
            rules.bits_of(floats)[self.places] = self.bits.astype(f"u{size}").view(f"i{size}")
        return floats


def _read_notes(source: Reader, value_type: ValueType, groups: Groups) -> _FloatNotes:
    codes = np.frombuffer(source.raw(len(groups)), np.uint8)
    if not rules.is_code(codes, value_type.dtype):
        raise MalformedError(f"expected rules for {value_type.name}, got another")
    places, bits = _read_exceptions(source, groups.rows)
    if len(bits) and value_type is ValueType.F32 and int(bits.max()) >= 2**32:
        raise MalformedError("expected exceptions of 32 bits, got larger ones")
    return _FloatNotes(codes, places, bits)


def _booleans(numbers: Int64s) -> Values:
    if (numbers >> 1).any():
        raise MalformedError("expected booleans of 0 or 1")
    return numbers.astype(np.uint8)


def _write_exceptions(out: Writer, bits: npt.NDArray[Any], rows: Int64s) -> None:
    out.number(len(rows), 4)
    if len(rows):
        gaps = rows.copy()
        gaps[1:] -= rows[:-1] + 1
        out.column(gaps.view(np.uint64))
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


def _write_held(out: Writer, columns: list[Values], groups: Groups) -> tuple[list[Values], Groups]:
    """Append which rows repeat the one before; return the others, and their groups."""
    changed = np.empty(groups.rows, np.bool_)
    ends = np.cumsum([len(column) for column in columns])
    for column, end in zip(columns, ends, strict=True):
        bits = rules.bits_of(column)
        np.not_equal(bits[1:], bits[:-1], out=changed[end - len(bits) + 1 : end])
    changed[groups.starts] = True
    held = (groups.rows - int(np.count_nonzero(changed))) * 100 >= groups.rows * HELD_PERCENT
    out.number(held, 1)
    if not held:
        return columns, groups
    out.bits(changed)
    sent = [
        column.take(np.flatnonzero(changed[end - len(column) : end]))
        for column, end in zip(columns, ends, strict=True)
    ]
    return sent, Groups.of(groups.counted(changed))


def _read_held(source: Reader, groups: Groups) -> tuple[Bools | None, Groups]:
    """The rows that are sent (`None`: all), and the groups they form."""
    held = source.number(1)
    if not held:
        return None, groups
    changed = source.bits(groups.rows)
    if held != 1 or not changed[groups.starts].all():
        raise MalformedError("expected held values (0 or 1), and each point's first to be sent")
    return changed, Groups.of(groups.counted(changed))


def _write_texts(out: Writer, values: Values) -> Int64s:
    """Append the dictionary; return each row's place in it."""
    places = {text: place for place, text in enumerate(dict.fromkeys(values))}
    index = np.fromiter(map(places.__getitem__, values), np.int64, len(values))
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
