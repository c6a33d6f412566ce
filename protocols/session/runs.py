"""Runs of batches that one signature proves.

A header carries the hash of the header before it and the hash of its own payload. So where
batches of a chain follow each other, whoever signed the last header has signed for all of
them: changing any would change the last one. Looking at that one signature is enough to
know that nothing was forged, and costs as much as for one batch.

Rules:
1. A run is batches of one chain under one key, each linked to the one before by its hash; its
   last signature must hold. A hole ends a run.
2. A tombstone's second signature is not covered by any hash: each tombstone is looked at.
3. Where a signature does not hold, each of the run is looked at to find the first such one.
4. A wrong signature in the middle of a run goes unseen here. It changes nothing that is
   carried, and headquarters, which looks at each, refuses it; the chain is then *doubted*,
   and each of its signatures is looked at. A gateway looks at its own before it sends them.
5. Runs are proven only of a gateway's own session. What a relay brings is looked at batch by
   batch: it could pair a true header with a wrong signature.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from protocols.batch import Chain, Verifier, check_signature, header_hash
from protocols.errors import IntegrityError
from protocols.records import RefusalReason
from protocols.session.messages import Accepted


class Fault(NamedTuple):
    """A batch whose signature does not prove it.

    Args:
        item: Which.
        reason: How it is to be refused.
        text: What is wrong.
    """

    item: Accepted
    reason: RefusalReason
    text: str


VerifierOf = Callable[[bytes], Verifier | None]


def first_faults(
    taken: Iterable[Accepted], verifier_of: VerifierOf, doubted: Collection[Chain]
) -> list[Fault]:
    """The first batch of each chain whose signature does not hold.

    Args:
        taken: Batches that passed every other check, those of a chain in order.
        verifier_of: From a key id to the key that checks signatures.
        doubted: Chains of which each signature is looked at.
    """
    chains: dict[Chain, list[Accepted]] = {}
    for item in taken:
        chains.setdefault(item.chain, []).append(item)
    found = []
    for chain, batches in chains.items():
        looked_at = batches if chain in doubted else _telling(batches)
        if any(_fault(item, verifier_of) for item in looked_at):
            found.append(next(fault for item in batches if (fault := _fault(item, verifier_of))))
    return found


def _telling(batches: Sequence[Accepted]) -> Iterator[Accepted]:
    """Those whose signatures prove all: the last of each run, and tombstones."""
    for item, after in zip(batches, [*batches[1:], None], strict=True):
        if after is None or item.batch.is_tombstone or not _proves(after, item):
            yield item


def _proves(after: Accepted, item: Accepted) -> bool:
    """Whether the signature of a batch covers the one before it: not over a hole, nor under another key."""
    linked = after.header.previous == header_hash(item.batch.header)
    return linked and after.header.key_id == item.header.key_id


def _fault(item: Accepted, verifier_of: VerifierOf) -> Fault | None:
    verifier = verifier_of(item.header.key_id)
    if verifier is None:
        return Fault(item, RefusalReason.KEY, "its key was taken off the allow-list")
    try:
        check_signature(item.batch, verifier)
    except IntegrityError as error:
        return Fault(item, RefusalReason.SIGNATURE, str(error))
    return None
