"""What is given up when the buffer has used its quota: the cheapest first, always in the open.

1. Payloads that an upstream holds: nothing is lost; header and signature stay until
   headquarters has them.
2. By the policy `thin`: every other sample of the oldest batches that no link ever saw,
   up to `THINNED_MAX` times. What may have been sent is left alone, because the same
   samples in a second batch would be doubled.
3. By `thin` and `drop-oldest`: the oldest payloads, data before events. Tombstones and a
   gap record stay in their place.
4. Tombstones at the beginning of a chain, when nothing else is left.

With `drop-newest` steps 2 to 4 are left out and what is collected finds no room. Meta
batches (point tables, gaps, statements) are never given up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from edge_runtime import ledger
from edge_runtime.buffer.chains import ChainRow, Chains, Draft, samples_of
from edge_runtime.config import QuotaPolicy
from edge_runtime.ledger import Counts
from edge_runtime.limits import THINNED_MAX
from edge_runtime.store import PAGE_BYTES, Store
from protocols import columns
from protocols.batch import Batch, Clock, Header, Kind, Stream
from protocols.errors import StoreFullError
from protocols.records import Gap, GapCause
from protocols.samples import SampleBlock, concatenate

WAL_SHARE = 8
"""One part in so many of the quota is left to the WAL."""

SLACK_SHARE = 50
"""One part in so many is won at once, so that pressure costs one gap record for many batches."""

STEP_BATCHES = 64
"""Batches looked at in one step."""

THIN_SAMPLES = 60_000
"""Samples thinned in one step: the usual size of a batch, which half of them then is."""

Declare = Callable[[list[Gap]], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the buffer may hold and what it gives up first.

    Args:
        quota_bytes: Disk space, WAL included.
        policy: What to give up when no upstream holds it.
    """

    quota_bytes: int
    policy: QuotaPolicy = QuotaPolicy.THIN

    @property
    def pages_max(self) -> int:
        """Pages of the file that may be in use."""
        return max(64, (self.quota_bytes - self.quota_bytes // WAL_SHARE) // PAGE_BYTES)


def pages_used(store: Store) -> int:
    """Pages of the file that hold something, the running transaction included."""
    (free,) = store.row("pragma freelist_count")
    return _pages(store) - int(free)


def _pages(store: Store) -> int:
    (total,) = store.row("pragma page_count")
    return int(total)


def make_room(store: Store, chains: Chains, limits: Limits, declare: Declare) -> None:
    """Give up what the policy allows until there is room again, inside the caller's transaction.

    Raises:
        StoreFullError: There is none, and the policy allows no more.
    """
    if _pages(store) <= limits.pages_max or pages_used(store) <= limits.pages_max:
        return
    goal = limits.pages_max - max(8, limits.pages_max // SLACK_SHARE)
    steps: list[Callable[[], bool]] = [lambda: _strip_some(store, chains)]
    if limits.policy is QuotaPolicy.THIN:
        steps.append(lambda: _thin_some(store, chains, declare))
    if limits.policy is not QuotaPolicy.DROP_NEWEST:
        steps.append(lambda: _drop_some(store, chains, declare))
        steps.append(lambda: _forget_some(chains))
    for step in steps:
        while pages_used(store) > goal:
            if not step():
                break
    if pages_used(store) > limits.pages_max:
        raise StoreFullError(
            f"expected room in a quota of {limits.quota_bytes} bytes, found none to give up under the policy "
            f"{limits.policy.value}; raise quota_mb or bring an upstream back"
        )


def _candidates(chains: Chains) -> list[ChainRow]:
    """Chains that may give something up: data before events, the oldest epoch first."""
    rows = [row for row in chains.all() if row.stream is not Stream.META]
    return sorted(rows, key=lambda row: (row.stream is not Stream.DATA, row.epoch))


def _with_payload(chains: Chains, row: ChainRow, seq: int, end: int) -> list[tuple[int, int, Batch]]:
    """(sequence, times thinned, batch) of data and event batches that still have a payload."""
    found = []
    for at, thinned, batch, stripped in chains.batches(row, seq, min(end, seq + STEP_BATCHES)):
        if not stripped and not batch.is_tombstone and Header.parse(batch.header).kind is not Kind.OPEN:
            found.append((at, thinned, batch))
    return found


def _strip_some(store: Store, chains: Chains) -> bool:
    for row in _candidates(chains):
        first = max(row.oldest, row.emptied)
        end = min(row.stored, first + STEP_BATCHES)
        if not row.holder or first >= end:
            continue
        for at, _, batch in _with_payload(chains, row, first, end):
            chains.strip(row, at, batch)
        store.execute("update chains set stripped = ?, emptied = ? where no = ?", (end, end, row.no))
        return True
    return False


def _drop_some(store: Store, chains: Chains, declare: Declare) -> bool:
    for row in _candidates(chains):
        first = max(row.oldest, row.emptied)
        if first >= row.next:
            continue
        end = min(row.next, first + STEP_BATCHES)
        buried = [
            (at, Header.parse(chains.bury(row, at, batch)[0].header))
            for at, _, batch in _with_payload(chains, row, first, end)
        ]
        store.execute("update chains set emptied = ? where no = ?", (end, row.no))
        _count_buried(store, sum(samples_of(header) for _, header in buried), GapCause.QUOTA)
        gaps = [
            _gap([header for _, header in run], "the oldest were dropped under quota")
            for run in _runs(buried)
        ]
        if gaps:
            declare(gaps)
        return True
    return False


def _forget_some(chains: Chains) -> bool:
    for row in _candidates(chains):
        end = min(row.emptied, row.oldest + STEP_BATCHES)
        if row.oldest < end and row.stripped <= row.oldest:
            chains.trim(row, end)
            return True
    return False


# -- thinning ------------------------------------------------------------------------------------


def _thin_some(store: Store, chains: Chains, declare: Declare) -> bool:
    for times in range(THINNED_MAX):
        for row in _candidates(chains):
            if row.stream is not Stream.DATA or row.heir is not None:
                continue
            run = _thinnable(chains, row, times)
            if run:
                _thin(store, chains, row, run, times + 1, declare)
                return True
    return False


def _thinnable(chains: Chains, row: ChainRow, times: int) -> list[tuple[int, Header, Batch]]:
    """The oldest batches of a chain, side by side, never handed out, thinned `times` times, of one clock."""
    run: list[tuple[int, Header, Batch]] = []
    first = max(row.oldest, row.handed, row.emptied)
    for at, thinned, batch, stripped in chains.batches(row, first, row.next):
        header = Header.parse(batch.header)
        fits = (
            thinned == times and not stripped and not batch.is_tombstone and header.kind is Kind.DATA
            and (not run or _alike(run[0][1], header))
        )  # fmt: skip
        if fits:
            run.append((at, header, batch))
        if run and (not fits or len(run) >= STEP_BATCHES or sum(h.n for _, h, _ in run) >= THIN_SAMPLES):
            break
    return run


def _alike(one: Header, other: Header) -> bool:
    same = (other.boot_id, other.clock_state, other.table_hash)
    return (one.boot_id, one.clock_state, one.table_hash) == same


def _thin(
    store: Store,
    chains: Chains,
    row: ChainRow,
    run: list[tuple[int, Header, Batch]],
    times: int,
    declare: Declare,
) -> None:
    """Bury a run and seal half of its samples again as one batch of the current chain."""
    blocks = concatenate([block for _, _, batch in run for block in columns.decode(batch.payload)])
    kept = [every_other(block) for block in blocks]
    for at, _, batch in run:
        chains.bury(row, at, batch)
    headers = [header for _, header, _ in run]
    n = sum(len(block) for block in kept)
    last = headers[-1]
    clock = Clock(last.boot_id, last.monotonic_us, last.clock_state, last.clock_offset_us)
    target = chains.current(Stream.DATA)
    assert target is not None
    draft = Draft(
        Kind.DATA,
        columns.encode(kept),
        n,
        min(int(block.time.min()) for block in kept),
        max(int(block.time.max()) for block in kept),
        clock,
        last.table_hash,
        compressed=True,
        thinned=times,
    )
    chains.add(target, draft)
    store.execute("update chains set samples = samples - ? where no = ?", (n, row.no))
    _count_buried(store, sum(header.n for header in headers) - n, GapCause.QUOTA)
    gap = _gap(headers, f"every other sample was given up under quota, {times} times by now")
    declare([replace(gap, samples=sum(header.n for header in headers) - n)])


def every_other(block: SampleBlock) -> SampleBlock:
    """The first, third, fifth ... sample of each point."""
    order = np.argsort(block.point, kind="stable")
    points = block.point[order]
    starts = np.flatnonzero(np.r_[True, points[1:] != points[:-1]])
    rank = np.arange(len(points)) - np.repeat(starts, np.diff(np.r_[starts, len(points)]))
    return block.take(order[rank % 2 == 0])


def _count_buried(store: Store, samples: int, cause: GapCause) -> None:
    if samples:
        counts = Counts()
        counts.buried[str(cause)] = samples
        ledger.add(store, counts)


def _runs(buried: list[tuple[int, Header]]) -> list[list[tuple[int, Header]]]:
    """Split into runs of consecutive sequences."""
    grouped = groupby(enumerate(buried), key=lambda item: item[1][0] - item[0])
    return [[entry for _, entry in run] for _, run in grouped]


def _gap(headers: list[Header], detail: str) -> Gap:
    return Gap(
        GapCause.QUOTA,
        min(header.t_min_us for header in headers),
        max(header.t_max_us for header in headers) + 1,
        samples=sum(samples_of(header) for header in headers),
        epoch=headers[0].epoch,
        seq_from=headers[0].seq,
        seq_to=headers[-1].seq + 1,
        detail=detail,
    )
