"""Samples that may come twice, because a gateway's history branched; and which of them did.

A gateway opens a new epoch behind the one before: histories are lines. They branch when a
gateway is restored from an old image and signs again what its other life had delivered
elsewhere, and when somebody on the way claims a fork that is none. Each branch is signed and
whole by itself, so no sequence and no hash shows that a sample is in both.

Rules:
1. A history has branched where two epochs follow the same one, or where an epoch goes on
   beyond the sequence at which another says that it ended.
2. What may be in both branches was collected before the later of them was opened. Batches
   of that gateway from before then are compared with the lake, row by row; no others are.
3. A row that is equal in everything to one that the lake has from another batch is left out
   and counted. One that differs in anything is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from headquarters import limits
from headquarters.ingest.rows import SampleChunk
from protocols.batch import Chain, Header
from protocols.samples import NO_SOURCE_TIME, Int64s

NEVER = -(2**63)

Key = tuple[int, int, int | None, str | None, int, int]
"""A row: series, time, the bits of its value, its text, its quality, its source time."""


class Epoch(NamedTuple):
    """An epoch of data, and what its first record says of it.

    Args:
        chain: The epoch.
        follows: The epoch before it, or `None`.
        next: The sequence at which that one ended.
        time_us: When it was opened, by the gateway's clock, as far as that is believed.
    """

    chain: Chain
    follows: int | None
    next: int | None
    time_us: int

    @classmethod
    def of(
        cls, chain: Chain, follows: int | None, next_: int | None, t_min_us: int, received_us: int
    ) -> Epoch:
        """An epoch from its first record, and when that was made and taken in."""
        return cls(chain, follows, next_, min(t_min_us, received_us + limits.AHEAD_MAX_US))

    @property
    def before(self) -> Chain | None:
        """The chain that it follows."""
        return None if self.follows is None else self.chain._replace(epoch=self.follows)


class Branches:
    """Which gateways' histories have branched; see the module's docstring.

    Args:
        epochs: Those that the lake knows of.
        held: The last sequence that is durable of a chain, or `None`.
    """

    def __init__(self, epochs: Iterable[Epoch], held: Callable[[Chain], int | None]) -> None:
        self._held = held
        self._last: dict[Chain, int] = {}
        self._behind: dict[tuple[str, int | None], list[Epoch]] = {}
        self._until: dict[str, int] = {}
        for epoch in epochs:
            self.opened(epoch)

    def opened(self, epoch: Epoch) -> None:
        """An epoch was opened."""
        others = self._behind.setdefault((epoch.chain.gateway, epoch.follows), [])
        if any(other.chain == epoch.chain for other in others):
            return
        others.append(epoch)
        if len(others) > 1 or _is_beyond(self._end(epoch.before), epoch):
            self._branched(epoch.chain.gateway, others)

    def grew(self, chain: Chain, seq: int) -> None:
        """A chain has a batch at this sequence; it need not be durable yet."""
        self._last[chain] = seq
        behind = self._behind.get((chain.gateway, chain.epoch))
        if behind and any(_is_beyond(seq, epoch) for epoch in behind):
            self._branched(chain.gateway, behind)

    def may_repeat(self, header: Header) -> bool:
        """Whether a batch may hold samples that came before."""
        return header.t_min_us <= self._until.get(header.gateway, NEVER)

    def _end(self, chain: Chain | None) -> int | None:
        """The last sequence of a chain that came."""
        if chain is None:
            return None
        ends = [end for end in (self._last.get(chain), self._held(chain)) if end is not None]
        return max(ends, default=None)

    def _branched(self, gateway: str, behind: Sequence[Epoch]) -> None:
        until_us = max(epoch.time_us for epoch in behind)
        self._until[gateway] = max(self._until.get(gateway, NEVER), until_us)


def _is_beyond(seq: int | None, epoch: Epoch) -> bool:
    """Whether a sequence lies beyond where an epoch says that the one before it ended."""
    return seq is not None and epoch.next is not None and seq >= epoch.next


class Wanted:
    """The rows of a chunk, to look for among others.

    Args:
        chunk: The rows.
    """

    def __init__(self, chunk: SampleChunk) -> None:
        self.series: Int64s = np.unique(chunk.run_series)
        self.times: Int64s = np.unique(chunk.time)
        self._keys = keys_of(chunk)
        self._set = set(self._keys)

    def among(self, keys: Iterable[Key]) -> set[Key]:
        """Those of the rows that are among others."""
        return self._set.intersection(keys)

    def among_chunk(self, other: SampleChunk) -> set[Key]:
        """Those of the rows that are in another chunk too."""
        low, high = self.times[0], self.times[-1]
        if (
            other.time.max() < low
            or other.time.min() > high
            or not np.isin(other.run_series, self.series).any()
        ):
            return set()
        near = np.isin(other.time, self.times)
        return self.among(keys_of(other.take(near))) if near.any() else set()

    def fresh(self, known: set[Key]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which rows are not known yet."""
        return np.array([key not in known for key in self._keys], bool)


def keys_of(chunk: SampleChunk) -> list[Key]:
    """The rows of a chunk."""
    n = len(chunk)
    bits = [None] * n if chunk.value is None else chunk.value.view(np.int64).tolist()
    texts = [None] * n if chunk.text is None else chunk.text.tolist()
    source = [NO_SOURCE_TIME] * n if chunk.source_time is None else chunk.source_time.tolist()
    columns = (chunk.series.tolist(), chunk.time.tolist(), bits, texts, chunk.quality.tolist(), source)
    return list(zip(*columns, strict=True))
