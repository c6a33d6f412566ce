"""The ledgers of the other tiers against ours. Pure.

A gateway states, for its chains that are not wholly at headquarters, how far they go and
how many samples are in them; a hub states what it stored of every chain and how much of
it it let go. Both speak of a moment; we may have more by now, and less only of what they
still hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from headquarters.verify.report import Report
from protocols.batch import Chain, Stream


class Held(NamedTuple):
    """What our ledger has of one chain.

    Args:
        next: One beyond its last sequence.
        samples: Samples announced by its data batches up to each sequence: the running
            total, by the sequence after.
        tombstones: The same for tombstones.
    """

    next: int
    samples: Mapping[int, int]
    tombstones: Mapping[int, int]


class Opened(NamedTuple):
    """An opening: the chain begun, and what it says of the epoch before it."""

    chain: Chain
    reason: str
    follows: int | None
    follows_next: int | None


def check_gateway(
    gateway: str,
    statement: Mapping[str, Any],
    held: Mapping[Chain, Held],
    openings: Iterable[Opened],
    report: Report,
) -> None:
    """Hold the last statement of a gateway against the ledger.

    Args:
        gateway: Its name.
        statement: As signed.
        held: Our chains.
        openings: What its chains began with.
        report: Where faults go.
    """
    report.count("statements")
    accounted = (
        statement["thinned"]
        + statement["journalled"]
        + statement["sealed"]
        + sum(statement["dropped"].values())
    )
    if statement["collected"] != accounted:
        text = f"collected {statement['collected']:,} samples, accounts for {accounted:,}"
        report.fault("statement", f"gateway {gateway}", text)
    stated = {Chain(gateway, Stream(s), epoch): (next_, n) for s, epoch, next_, n in statement["chains"]}
    for chain, (next_, samples) in stated.items():
        ours = held.get(chain)
        have = 0 if ours is None else ours.next
        if have < next_:
            report.waiting[str(chain)] = next_ - have
        elif ours is not None and chain.stream is Stream.DATA:
            _check_samples(
                f"{chain} below sequence {next_}", ours.samples.get(next_, 0), samples, gateway, report
            )
    for opening in openings:
        _check_opening(opening, stated, held, report)


def _check_opening(
    opening: Opened, stated: Mapping[Chain, Any], held: Mapping[Chain, Held], report: Report
) -> None:
    """The epoch before must be here as far as the gateway says, unless it still holds it."""
    if opening.follows is None or not opening.follows_next:
        return
    before = Chain(opening.chain.gateway, opening.chain.stream, opening.follows)
    have = held[before].next if before in held else 0
    if have < opening.follows_next and before not in stated:
        text = (
            f"sequences {have} to {opening.follows_next - 1} are missing; {opening.chain} was opened behind "
            "them, and the gateway holds them no more"
        )
        report.fault("tail", str(before), text)


def check_hub(hub: str, rows: Iterable[tuple[Any, ...]], held: Mapping[Chain, Held], report: Report) -> None:
    """Hold the statements of a hub against the ledger.

    Args:
        hub: Its name.
        rows: The last one on every chain, as in `HubStatement.chains`.
        held: Our chains.
        report: Where faults go.
    """
    report.count("statements")
    for gateway, stream, epoch, first, next_, batches, samples, tombstones, let_go in rows:
        chain = Chain(gateway, Stream(stream), epoch)
        ours = held.get(chain)
        have = 0 if ours is None else ours.next
        if have < first + let_go:
            text = f"hub {hub} let go of sequences below {first + let_go}, the ledger ends before {have}"
            report.fault("tail", str(chain), text)
        elif have < next_:
            waiting = report.waiting.get(str(chain), 0)
            report.waiting[str(chain)] = max(waiting, next_ - have)
        elif ours is not None and chain.stream is Stream.DATA and batches == next_ - first:
            ours_buried = ours.tombstones.get(next_, 0) - ours.tombstones.get(first, 0)
            ours_samples = ours.samples.get(next_, 0) - ours.samples.get(first, 0)
            if ours_buried == 0 and tombstones == 0:
                place = f"{chain} sequences {first} to {next_ - 1}"
                _check_samples(place, ours_samples, samples, f"hub {hub}", report)


def _check_samples(place: str, ours: int, theirs: int, who: str, report: Report) -> None:
    if ours != theirs:
        report.fault("statement", place, f"{who} states {theirs:,} samples, the ledger has {ours:,}")
    else:
        report.count("chains that agree")
