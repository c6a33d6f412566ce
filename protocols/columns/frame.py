"""The envelope: one zstd frame around named-by-order columns, and the primitives inside.

A `Writer` collects columns; `Writer.cut` closes a zstd block, so that each kind of column
gets entropy tables of its own. A `Reader` hands columns out again. It never believes a
length: its caller says how many items there must be, and what is not there is malformed.

A column of whole numbers is one byte, the width (0, 1, 2, 4 or 8), then the numbers'
lowest bytes, then their second bytes and so on: like bytes stand together. Width 0 means
that all are zero. The width is the narrowest that fits; a wider one is refused.

Source: RFC 8878 (Zstandard), 3.1.1 for frames and 3.1.1.2 for blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from protocols import limits
from protocols.columns.groups import Bools
from protocols.compressed import inflate
from protocols.errors import LimitError, MalformedError

UInt64s = npt.NDArray[np.uint64]

WIDTHS: dict[int, np.dtype[Any]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}

CUT_BYTES_MIN = 128
"""Below this a zstd block of its own costs more (tables, 3 bytes) than it saves."""


class Writer:
    """Columns in the order written, in groups of one kind."""

    def __init__(self) -> None:
        self._groups: list[list[bytes]] = [[]]

    def cut(self) -> None:
        """End the zstd block here, if it is worth its own entropy tables."""
        self._groups.append([])

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._groups[-1].append(data)

    def number(self, value: int, width: int) -> None:
        """One unsigned number of fixed width."""
        self.raw(value.to_bytes(width, "little"))

    def column(self, numbers: npt.NDArray[Any]) -> None:
        """Unsigned whole numbers, in the narrowest width that holds the largest."""
        if len(numbers) == 1:  # most columns of times
            only = int(numbers[0])
            width = _narrowest(only)
            self.raw(bytes((width,)) + only.to_bytes(width, "little"))
            return
        width = _narrowest(int(numbers.max())) if len(numbers) else 0
        self.number(width, 1)
        if width:
            self.raw(_shuffled(numbers.astype(WIDTHS[width], copy=False)))

    def bits(self, flags: Bools) -> None:
        """One bit an item, lowest bit first, the last byte filled with zeros."""
        self.raw(np.packbits(flags, bitorder="little").tobytes())

    def finish(self, level: int) -> bytes:
        """All columns as one zstd frame with its content size.

        Raises:
            LimitError: Together they are more than a payload may hold.
        """
        groups = [b"".join(parts) for parts in self._groups]
        size = sum(map(len, groups))
        _check_size("bytes before compression", size, limits.PAYLOAD_RAW_BYTES_MAX)
        compressor = _compressor(level).compressobj(size=size)
        out = []
        pending = 0
        for group in groups:
            if min(pending, len(group)) >= CUT_BYTES_MIN:
                out.append(compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
                pending = 0
            out.append(compressor.compress(group))
            pending += len(group)
        out.append(compressor.flush())
        payload = b"".join(out)
        _check_size("payload bytes", len(payload), limits.PAYLOAD_BYTES_MAX)
        return payload


class Reader:
    """Columns of a payload, in order, with every claim checked.

    Raises:
        MalformedError: Not one whole zstd frame that states its content size.
        LimitError: It states more than a payload may hold.
    """

    def __init__(self, payload: bytes) -> None:
        self._data = memoryview(inflate(payload, limits.PAYLOAD_RAW_BYTES_MAX))
        self._at = 0

    def raw(self, size: int) -> memoryview:
        """The next `size` bytes."""
        end = self._at + size
        if end > len(self._data):
            raise MalformedError(f"expected {size} bytes at {self._at}, got {len(self._data) - self._at}")
        part = self._data[self._at : end]
        self._at = end
        return part

    def number(self, width: int) -> int:
        """One unsigned number of fixed width."""
        return int.from_bytes(self.raw(width), "little")

    def column(self, count: int) -> npt.NDArray[Any]:
        """`count` unsigned numbers, as narrow as they were sent."""
        width = self.number(1)
        if width == 0:
            return np.zeros(count, np.uint8)
        if width not in WIDTHS:
            raise MalformedError(f"expected a column width of 0, 1, 2, 4 or 8 at {self._at - 1}, got {width}")
        start = self._at
        numbers = _unshuffled(self.raw(count * width), width)
        if not count or _narrowest(int(numbers.max())) != width:
            raise MalformedError(f"expected the narrowest column width at {start - 1}, got {width}")
        return numbers

    def column64(self, count: int) -> UInt64s:
        """`count` unsigned numbers as 64-bit words."""
        return self.column(count).astype(np.uint64)

    def bits(self, count: int) -> Bools:
        """`count` flags."""
        packed = np.frombuffer(self.raw((count + 7) // 8), np.uint8)
        if count % 8 and packed[-1] >> (count % 8):
            raise MalformedError(f"expected zero bits as filling before {self._at}")
        return np.unpackbits(packed, count=count, bitorder="little").view(np.bool_)

    def end(self) -> None:
        """Check that nothing is left over."""
        if self._at != len(self._data):
            raise MalformedError(f"expected the payload to end at {self._at}, got {len(self._data)} bytes")


def _compressor(level: int) -> zstandard.ZstdCompressor:
    """zstd; at its first level with a smaller table of longer matches.

    What repeats here repeats at length, the rest is noise: fewer and longer matches take two
    thirds of the time, and the payload is a little smaller.
    """
    if level != 1:
        return zstandard.ZstdCompressor(level=level)
    parameters = zstandard.ZstdCompressionParameters.from_level(1, hash_log=8, min_match=6)
    return zstandard.ZstdCompressor(compression_params=parameters)


def _check_size(what: str, size: int, most: int) -> None:
    if size > most:
        raise LimitError(f"expected at most {most} {what}, got {size}; send fewer samples at once")


def _narrowest(largest: int) -> int:
    """The width in bytes that holds `largest`.

    >>> [_narrowest(n) for n in (0, 255, 256, 65_536, 2**32)]
    [0, 1, 2, 4, 8]
    """
    for width, end in ((0, 1), (1, 1 << 8), (2, 1 << 16), (4, 1 << 32)):
        if largest < end:
            return width
    return 8


def _shuffled(numbers: npt.NDArray[Any]) -> bytes:
    return np.ascontiguousarray(numbers).view(np.uint8).reshape(-1, numbers.itemsize).T.tobytes()


def _unshuffled(data: memoryview, width: int) -> npt.NDArray[Any]:
    planes = np.frombuffer(data, np.uint8).reshape(width, -1)
    return np.ascontiguousarray(planes.T).reshape(-1).view(WIDTHS[width])
