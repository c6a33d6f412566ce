"""The columnar codec: blocks of samples to the payload of a data batch, and back.

Rules:
1. What goes in comes out bit for bit: NaN payloads, infinities, negative zero, the whole
   range of int64. Rows come out point-major: sorted by point id, arrival order within one.
2. Everything is integers in the end. Times become a few shared timelines, decimal
   measurements become counts of their last digit, other floats the integers of their bits.
3. A column that says nothing is not sent: constant, regular or good throughout costs no
   bytes a sample.
4. The layout has no lengths to believe. A reader knows from the counts before it how long
   each column must be, and checks every count against `limits` and against the bytes that
   are there, before it allocates.
5. All of it lies in one zstd frame that states its content size.

Layout, byte by byte, with test vectors: `docs/wire.md`. Why this one, with figures:
`docs/decisions/0010-columnar-codec.md`.

>>> from protocols.samples import SampleBlock, ValueType
>>> block = SampleBlock.make(ValueType.F64, [2, 1], [1_000_000, 1_000_000], [20.5, -0.0])
>>> [again] = decode(encode([block]))
>>> again.point.tolist(), again.value.tolist()
([1, 2], [-0.0, 20.5])
"""

from __future__ import annotations

from protocols.columns.codec import decode, encode

__all__ = ["decode", "encode"]
