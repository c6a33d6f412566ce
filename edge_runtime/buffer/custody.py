"""What the link's events do to the buffer: trimming, failing over, forks, refusals, loss upstream.

A part of a chain is signed again under a new epoch only when the receiver cannot have
it: from the place of a fork on, or where it stands before what we still hold. The old
chain's end is written in the new one's OPEN record, so that headquarters can fence it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum

import zstandard

from edge_runtime import ledger, limits
from edge_runtime.buffer.chains import ChainRow, Chains, ClockSource, samples_of
from edge_runtime.buffer.recovered import drop_delivered
from edge_runtime.ledger import Counts
from edge_runtime.store import Store
from protocols import crash
from protocols.batch import Batch, Chain, Header, Kind, Stream, Verifier, header_hash
from protocols.errors import PeerError
from protocols.records import Gap, GapCause, OpenReason, Receipt, Refusal, RefusalReason, open_record
from protocols.session.messages import Offer

TRIM_BATCHES = 256
"""Batches deleted in one transaction: freeing 100,000 at once would hold up collection's commits."""

MOVE_BATCHES = 64
"""Batches signed again in one transaction, for the same reason."""

HANDED_AHEAD = 64
"""Batches marked as handed to a link beyond those that are: one commit for so many reads."""

Declare = Callable[[list[Gap]], None]
"""Signs gap records inside the caller's transaction."""


class Verdict(Enum):
    """What was done about a refusal."""

    NOT_OURS = "not-ours"
    """It names a header we do not hold (any more)."""
    SOUND = "sound"
    """Our copy is whole: it was damaged on the way, and is sent again."""
    REPAIRED = "repaired"
    """Our copy of the signature was damaged and was made anew."""
    BURIED = "buried"
    """The payload is set aside; a tombstone goes on in its place."""
    CAST_OUT = "cast-out"
    """The batch is set aside and what follows it was signed again in a new epoch."""
    FORKED = "forked"
    """What follows, the batch included, was signed again in a new epoch."""
    KEY = "key"
    """The receiver does not know our key: an operator must allow it there."""


# -- the outbox ------------------------------------------------------------------------------


def offers(chains: Chains, upstream: str) -> list[Offer]:
    """What to offer to an upstream.

    A chain whose payloads were given up because one upstream holds them is not offered to
    another: it could only be given tombstones of what the first one will deliver.
    """
    found = []
    for row in chains.all():
        held_elsewhere = row.stripped > row.oldest and row.holder != upstream
        if held_elsewhere or (row.closed and row.oldest == row.next):
            continue
        found.append(Offer(chains.name(row), row.oldest, row.next, row.head))
    return found


def read(
    store: Store, chains: Chains, declare: Declare, chain: Chain, seq: int, batches_max: int, bytes_max: int
) -> list[Batch]:
    """Consecutive batches from `seq`; see `Buffer.read`."""
    row = chains.find(chain)
    if row is None or not row.oldest <= seq < row.next:
        return []
    end = min(row.next, seq + max(1, batches_max))
    if row.handed < end:
        with store.transaction():
            store.execute("update chains set handed = ? where no = ?", (end + HANDED_AHEAD, row.no))
    batches: list[Batch] = []
    gone: list[int] = []
    spoilt: list[int] = []
    size = 0
    for at, _, batch, stripped in chains.batches(row, seq, end):
        if batches and size + batch.size > bytes_max:
            break
        if stripped:
            gone.append(at)
        elif not chains.signature_holds(batch):
            spoilt.append(at)
        batches.append(batch)
        size += batch.size
    if spoilt:
        with store.transaction():
            for at in spoilt:
                if _is_whole(chains, row, at, batches[at - seq]):
                    batches[at - seq] = chains.sign_again(row, at, batches[at - seq])
    if gone and bytes_max > 1:
        with store.transaction():
            for at in gone:
                batches[at - seq] = give_up(store, chains, row, at, batches[at - seq], GapCause.QUOTA)
            headers = [Header.parse(batches[at - seq].header) for at in gone]
            declare([gap_of(header, GapCause.QUOTA, _STRIPPED) for header in headers])
    return batches


_STRIPPED = "given up under quota because a hub held it, then asked for again"


def give_up(store: Store, chains: Chains, row: ChainRow, seq: int, batch: Batch, cause: GapCause) -> Batch:
    """Bury a batch and count its samples; the gap is the caller's to declare."""
    tombstone, _ = chains.bury(row, seq, batch)
    lost = samples_of(Header.parse(batch.header))
    if lost:
        counts = Counts()
        counts.buried[str(cause)] = lost
        ledger.add(store, counts)
    return tombstone


def gap_of(header: Header, cause: GapCause, detail: str) -> Gap:
    """The gap that one lost batch leaves."""
    return Gap(
        cause,
        header.t_min_us,
        header.t_max_us + 1,
        samples=samples_of(header),
        epoch=header.epoch,
        seq_from=header.seq,
        seq_to=header.seq + 1,
        detail=detail,
    )


# -- sessions, marks and receipts -----------------------------------------------------------------


def welcome(
    store: Store,
    chains: Chains,
    upstream: str,
    stored: Mapping[int, tuple[int, str]],
    clock: ClockSource,
    live_first_us: int | None,
) -> list[Chain]:
    """Open the epochs that a new session calls for; see `Buffer.on_ready`."""
    opened = []
    with store.transaction():
        last = store.fact("upstream")
        if last != upstream:
            store.remember("upstream", upstream)
        for stream in Stream:
            row = chains.current(stream)
            if row is None:
                continue
            if last not in (None, upstream) and row.oldest < row.next:
                opened.append(chains.name(chains.open(stream, OpenReason.FAILOVER, row)))
            elif stream is Stream.DATA and live_first_us is not None:
                said, _ = stored.get(row.no, (row.stored, ""))
                header = chains.header(row, max(row.oldest, said))
                if header and Header.parse(header).t_min_us < clock.now_us() - live_first_us:
                    opened.append(chains.name(chains.open(stream, OpenReason.LIVE_FIRST, row)))
    return opened


def believe(receipt: Receipt, signed: bytes, headquarters: Verifier) -> bool:
    """Whether headquarters signed exactly this receipt."""
    try:
        return open_record(Receipt, signed, headquarters) == receipt
    except PeerError:
        return False


def trim(store: Store, chains: Chains, receipt: Receipt) -> bool:
    """Let go of what headquarters has. Returns whether the receipt names our own chain's head."""
    row = chains.find(receipt.chain)
    if row is None or receipt.next <= row.oldest:
        return row is not None
    if receipt.next > row.next and row.closed and row.heir is None and row.move_to:
        # Headquarters' branch of a fork: what is left here was found equal to it below the fork.
        receipt = replace(receipt, next=row.next, head=row.head)
    if receipt.next > row.next:
        return False  # it is about a fork that we have not been told of yet
    if receipt.next == row.next:
        head = row.head
    else:
        header = chains.header(row, receipt.next - 1)
        head = b"" if header is None else header_hash(header)
    if head != receipt.head:
        return False
    let_go(store, chains, row, receipt.next)
    return True


def let_go(store: Store, chains: Chains, row: ChainRow, end: int) -> None:
    """Delete a chain's batches below `end`, in steps that each are durable."""
    for step in [*range(row.oldest + TRIM_BATCHES, end, TRIM_BATCHES), end]:
        crash.point("edge:before-trim")
        with store.transaction():
            store.execute("update chains set final = max(final, ?) where no = ?", (end, row.no))
            chains.trim(row, step)
            if step == end:
                _forget_if_done(chains, row.no)


def _forget_if_done(chains: Chains, no: int) -> None:
    row = chains.by_no(no)
    if row.closed and row.oldest == row.next and row.heir is None:
        chains.forget(row)


# -- forks, and receivers that lost something ---------------------------------------------------------


def forked(store: Store, chains: Chains, chain: Chain, seq: int, *, held: bool = False) -> Chain | None:
    """Sign everything from `seq` on again in a new epoch; see `Buffer.on_forked`.

    Args:
        store: The file.
        chains: Its chains.
        chain: The one that forked.
        seq: The first sequence that differs.
        held: The receiver compared headers, and has the other batch whole. A signed refusal
            does not say so: headquarters also refuses what it knows by header only.
    """
    with store.transaction():
        row = chains.find(chain)
        if row is None or row.heir is not None:
            return None
        if row.closed and seq >= row.next:  # nothing to sign again; note that others went on from here
            store.execute("update chains set move_from = next, move_to = next where no = ?", (row.no,))
            return None
        heir = _begin_move(store, chains, row, max(row.oldest, min(seq, row.next)), OpenReason.FORK)
        if held:
            drop_delivered(store, chains, row, seq)
    finish_moves(store, chains)
    return chains.name(heir)


def behind(store: Store, chains: Chains, declare: Declare, chain: Chain, wanted: int) -> Chain | None:
    """Declare what is lost upstream and here, and sign the rest again; see `Buffer.on_behind`."""
    with store.transaction():
        row = chains.find(chain)
        if row is None or row.heir is not None or wanted >= row.oldest:
            return None
        first = chains.header(row, row.oldest)
        end_us = (row.t_max_us or 0) + 1 if first is None else Header.parse(first).t_min_us
        heir = _begin_move(store, chains, row, row.oldest, OpenReason.BEHIND)
        if row.stream is Stream.META:
            define_again(store, chains)
        detail = f"the receiver stands at {wanted} and everything before {row.oldest} had been let go"
        start_us = min(row.t_min_us or 0, end_us)
        declare(
            [
                Gap(
                    GapCause.TRIMMED,
                    start_us,
                    end_us,
                    epoch=row.epoch,
                    seq_from=wanted,
                    seq_to=row.oldest,
                    detail=f"{row.stream.name.lower()}: {detail}",
                )
            ]
        )
    finish_moves(store, chains)
    return chains.name(heir)


def define_again(store: Store, chains: Chains) -> None:
    """Append the point table to the meta chain, as the one that data batches name."""
    definitions = store.fact("definitions")
    row = chains.current(Stream.META)
    if definitions is not None and row is not None:
        draft = chains.draft_now(Kind.META, zstandard.compress(definitions, 3), compressed=True)
        chains.add(row, draft)
        store.remember("defined_us", draft.t_max_us)


def release(store: Store, chains: Chains, upstreams: frozenset[str]) -> None:
    """Let go of the hope that an upstream will deliver which is not configured any more."""
    for row in chains.all():
        if row.stripped and row.holder not in upstreams:
            store.execute("update chains set stripped = 0, holder = '' where no = ?", (row.no,))


def _begin_move(store: Store, chains: Chains, row: ChainRow, seq: int, reason: OpenReason) -> ChainRow:
    """End a chain at `seq` and appoint a new current chain to take the rest; survives a crash."""
    header = chains.header(row, seq)
    head = row.head if header is None else Header.parse(header).previous
    heir = chains.open(row.stream, reason, row._replace(next=seq))
    store.execute(
        "update chains set closed = 1, next = ?, head = ?, heir = ?, move_from = ?, move_to = ? where no = ?",
        (seq, head, heir.no, seq, row.next, row.no),
    )
    return heir


def finish_moves(store: Store, chains: Chains) -> None:
    """Carry over what is left of every chain that has an heir, in steps that each are durable."""
    for row in chains.all():
        if row.heir is None:
            continue
        while row.move_from < row.move_to:
            with store.transaction():
                end = min(row.move_to, row.move_from + MOVE_BATCHES)
                _move_some(chains, row, end)
                store.execute("update chains set move_from = ? where no = ?", (end, row.no))
            row = chains.by_no(row.no)
        with store.transaction():
            store.execute("update chains set heir = null where no = ?", (row.no,))
            _forget_if_done(chains, row.no)


def _move_some(chains: Chains, row: ChainRow, end: int) -> None:
    assert row.heir is not None
    heir = chains.by_no(row.heir)
    for at, thinned, batch, _ in list(chains.batches(row, row.move_from, end)):
        if Header.parse(batch.header).kind is Kind.OPEN:
            chains.remove(row, at, batch)
        else:
            heir = chains.move(row, at, batch, thinned, heir)


# -- refusals -----------------------------------------------------------------------------------------


def refused(store: Store, chains: Chains, declare: Declare, refusal: Refusal, signed: bytes) -> Verdict:
    """Find out whose fault a refusal is and do what lets the chain go on."""
    row = chains.find(refusal.chain)
    if row is None or not row.oldest <= refusal.seq < row.next:
        return Verdict.NOT_OURS
    batch = next(found for _, _, found, _ in chains.batches(row, refusal.seq, refusal.seq + 1))
    whole = _is_whole(chains, row, refusal.seq, batch)
    if whole and header_hash(batch.header) != refusal.head:
        return Verdict.NOT_OURS
    if refusal.reason is RefusalReason.KEY:
        return Verdict.KEY
    if refusal.reason is RefusalReason.FORK:
        return Verdict.FORKED if forked(store, chains, refusal.chain, refusal.seq) else Verdict.NOT_OURS
    if refusal.reason is RefusalReason.PAYLOAD and whole and batch.is_tombstone:
        return Verdict.BURIED  # it was refused before; the refusal is repeated after a restore, say
    with store.transaction():
        if not whole:
            verdict = Verdict.CAST_OUT
        elif not batch.is_tombstone and not chains.payload_holds(batch):
            verdict = Verdict.BURIED
        elif not chains.signature_holds(batch):
            chains.sign_again(row, refusal.seq, batch)
            return Verdict.REPAIRED
        elif refusal.reason is RefusalReason.PAYLOAD:
            verdict = Verdict.BURIED
        elif _count_refusal(store, refusal) < limits.REFUSALS_MAX:
            return Verdict.SOUND
        else:
            verdict = Verdict.CAST_OUT
        chains.quarantine(batch, signed)
        _take_out(store, chains, declare, row, refusal, batch, verdict)
    finish_moves(store, chains)
    return verdict


def _is_whole(chains: Chains, row: ChainRow, seq: int, batch: Batch) -> bool:
    """Whether the header is the one that the chain was continued from."""
    if seq + 1 == row.next:
        return header_hash(batch.header) == row.head
    after = chains.header(row, seq + 1)
    try:
        return after is not None and Header.parse(after).previous == header_hash(batch.header)
    except PeerError:
        return True  # the damage is in the next one


def _take_out(
    store: Store,
    chains: Chains,
    declare: Declare,
    row: ChainRow,
    refusal: Refusal,
    batch: Batch,
    verdict: Verdict,
) -> None:
    try:
        header = Header.parse(batch.header)
    except PeerError:
        header = None
    detail = f"{refusal.receiver} refused it: {refusal.reason.name.lower()}, {refusal.text}"
    if verdict is Verdict.BURIED:
        assert header is not None
        give_up(store, chains, row, refusal.seq, batch, GapCause.REFUSED)
    else:
        if header is not None and samples_of(header):
            counts = Counts()
            counts.buried[str(GapCause.REFUSED)] = header.n
            ledger.add(store, counts)
        _begin_move(store, chains, row, refusal.seq, OpenReason.FORK)
        chains.remove(row, refusal.seq, batch)
    if header is not None:
        declare([gap_of(header, GapCause.REFUSED, detail)])
    else:
        span = Gap(
            GapCause.REFUSED, row.t_min_us or 0, (row.t_max_us or 0) + 1, epoch=row.epoch,
            seq_from=refusal.seq, seq_to=refusal.seq + 1, detail=detail,
        )  # fmt: skip
        declare([span])


def _count_refusal(store: Store, refusal: Refusal) -> int:
    name = f"refused:{refusal.chain}:{refusal.seq}"
    times = int(store.fact(name) or 0) + 1
    store.remember(name, times)
    return times
