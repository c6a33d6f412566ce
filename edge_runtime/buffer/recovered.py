"""Batches cut from a journal at a start, which another life of this gateway may have delivered.

A gateway restored from an image cuts the image's journal as batch `k` at once. The life that
went on had cut the same chunks and later ones as its own `k`: the receiver names a fork there,
and signing our `k` again would deliver its samples twice. It is dropped, if two things hold.

1. The receiver's batch begins with the chunks of ours. The journal is first in, first out, and
   a cut takes all of it, or after a crash the same runs of chunks, the last one longer. So
   whoever grew this chain past `k - 1`, on the journal we have a part of, cut our chunks first.
   That it was this journal is sure only if the process that wrote the chunks had made `k - 1`
   or the epoch as well: a header bears its start's random id, and those below the fork are equal.
   A gateway that began at `k` may itself have been restored from an image, and what it collected
   since is its own; its chunks are kept.
2. Nothing else could come to stand at `k`: thinning seals a batch of older samples there
   while chunks are journalled. It cannot set in before the next cut while half the quota is free.

Only the one batch at the fork is dropped. Of those behind it nothing is known: the other life
may have lost its disk before they were delivered. What is not proven is signed again, since
samples that come twice do less harm than samples that are lost.

What is signed again and had been delivered all the same, in a new epoch of the other life for
one, headquarters takes once: it compares rows where a history branches.

Not covered: two images of one flush interval, the older of which lived and delivered first;
what the newer adds lies in the `process-down` gap that the older life declared.
"""

from __future__ import annotations

from edge_runtime import ledger
from edge_runtime.buffer.chains import ChainRow, Chains, samples_of
from edge_runtime.buffer.quota import Limits, pages_used
from edge_runtime.ledger import Counts
from edge_runtime.store import Store
from protocols.batch import Header, Stream

DELIVERED_BEFORE = "delivered-before"
"""Under this cause the ledger counts the samples among those dropped."""

_MARK = "recovered:"
_START = "started"


def note_start(store: Store, chains: Chains, boot_id: bytes) -> None:
    """Remember where the data chain stands as this process begins to write."""
    row = chains.current(Stream.DATA)
    if row is not None:
        with store.transaction():
            store.remember(_START, f"{boot_id.hex()}:{row.epoch}:{row.next}")


def mark(store: Store, chains: Chains, limits: Limits | None, header: Header) -> None:
    """Note of a batch just cut that another life may have delivered it, if that could be proven.

    Runs inside the transaction of the cut; the mark outlives a crash before the fork is found.
    """
    # A start writes few marks; those whose batch has left go with the next one.
    store.execute(
        f"delete from facts where name glob '{_MARK}*' and "
        f"cast(substr(name, {len(_MARK) + 1}) as integer) not in (select id from batches)"
    )
    boot_id, epoch, began = str(store.fact(_START) or "::").split(":")
    of_that_process = boot_id == header.boot_id.hex()
    grown = of_that_process and (header.epoch, header.seq) > (int(epoch), int(began))
    roomy = limits is None or pages_used(store) <= limits.pages_max // 2
    row = chains.find(header.chain)
    if grown and roomy and row is not None:
        store.remember(f"{_MARK}{row.id_of(header.seq)}", 1)


def drop_delivered(store: Store, chains: Chains, row: ChainRow, seq: int) -> None:
    """Drop the batch at the place of a fork if it was delivered before.

    Runs inside the transaction that ends the chain at `seq`.
    """
    if store.fact(f"{_MARK}{row.id_of(seq)}") is None:
        return
    found = list(chains.batches(row, seq, seq + 1))
    if not found or found[0][2].is_tombstone:
        return
    batch = found[0][2]
    n = samples_of(Header.parse(batch.header))
    chains.remove(row, seq, batch)
    store.execute("update chains set samples = samples - ? where no = ?", (n, row.no))
    counts = Counts(sealed=-n)
    counts.dropped[DELIVERED_BEFORE] = n
    ledger.add(store, counts)
