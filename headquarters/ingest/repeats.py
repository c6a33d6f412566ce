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
3. A row that the lake has from another batch with the same series, time, value and quality
   is left out and counted. One that differs in anything is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from headquarters.ingest.rows import SampleChunk
from protocols.batch import Chain, Header

NEVER = -(2**63)

AHEAD_MAX_US = 3_600_000_000
"""A gateway's clock is believed to be ahead of ours by an hour at most: one that says the year 2099
when an epoch is opened must not have every later batch compared."""

Key = tuple[int, int, int | None, str | None, int]
"""A row: series, time, the bits of its value, its text, its quality."""


class Opened(NamedTuple):
    """An epoch of data, and what its first record says of it.

    Args:
        chain: The epoch.
        follows: The epoch before it, or `None`.
        next: The sequence at which that one ended.
        time_us: When it was opened, by the gateway's clock.
    """

    chain: Chain
    follows: int | None
    next: int | None
    time_us: int

    @classmethod
    def of(
        cls, chain: Chain, follows: int | None, next_: int | None, t_min_us: int, received_us: int
    ) -> Opened:
        """An epoch from its first record, and when that was made and taken in."""
        return cls(chain, follows, next_, min(t_min_us, received_us + AHEAD_MAX_US))

    @property
    def before(self) -> Chain | None:
        """The chain that it follows."""
        return None if self.follows is None else self.chain._replace(epoch=self.follows)


class Branches:
    """Which gateways' histories have branched; see the module's docstring.

    Args:
        openings: The epochs that the lake knows of.
        held: The last sequence held of a chain, or `None`.
    """

    def __init__(self, openings: Iterable[Opened], held: Callable[[Chain], int | None]) -> None:
        self._held = held
        self._behind: dict[tuple[str, int | None], list[Opened]] = {}
        self._until: dict[str, int] = {}
        for opened in openings:
            self.opened(opened)

    def opened(self, opened: Opened) -> None:
        """An epoch was opened."""
        others = self._behind.setdefault((opened.chain.gateway, opened.follows), [])
        if any(other.chain == opened.chain for other in others):
            return
        others.append(opened)
        before = opened.before
        last = None if before is None else self._held(before)
        if len(others) > 1 or (last is not None and opened.next is not None and last >= opened.next):
            self._branched(opened.chain.gateway, others)

    def grew(self, chain: Chain, seq: int) -> None:
        """A chain has a batch at this sequence."""
        behind = self._behind.get((chain.gateway, chain.epoch))
        if behind and any(opened.next is not None and seq >= opened.next for opened in behind):
            self._branched(chain.gateway, behind)

    def may_repeat(self, header: Header) -> bool:
        """Whether a batch may hold samples that came before."""
        return header.t_min_us <= self._until.get(header.gateway, NEVER)

    def _branched(self, gateway: str, behind: Sequence[Opened]) -> None:
        until_us = max(opened.time_us for opened in behind)
        self._until[gateway] = max(self._until.get(gateway, NEVER), until_us)


def keys_of(chunk: SampleChunk) -> list[Key]:
    """The rows of a chunk."""
    n = len(chunk)
    bits = [None] * n if chunk.value is None else chunk.value.view(np.int64).tolist()
    texts = [None] * n if chunk.text is None else chunk.text.tolist()
    columns = (chunk.series.tolist(), chunk.time.tolist(), bits, texts, chunk.quality.tolist())
    return list(zip(*columns, strict=True))


def left(chunk: SampleChunk, known: set[Key]) -> SampleChunk | None:
    """What a chunk has that is not known yet; `None` when that is nothing."""
    fresh = np.array([key not in known for key in keys_of(chunk)], bool)
    if fresh.all():
        return chunk
    return chunk.take(fresh) if fresh.any() else None
