"""The ledgers of the other tiers against ours. Pure.

A gateway states, for its chains that are not wholly at headquarters, how far they go and
how many samples are in them; a hub states what it stored of every chain and how much of
it it let go. Both speak of a moment; we may have more by now, and less only of what they
still hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from headquarters.verify.report import Report
from protocols.batch import Chain, Stream


class Sum(NamedTuple):
    """What our ledger has of some sequences of a chain.

    Args:
        batches: How many of them.
        samples: What their headers announce.
        tombstones: How many are tombstones.
    """

    batches: int
    samples: int
    tombstones: int


class Held(NamedTuple):
    """What our ledger has.

    Args:
        next: One beyond the last sequence of each chain.
        sum: Of a chain, from one sequence to another (exclusive).
    """

    next: Mapping[Chain, int]
    sum: Callable[[Chain, int, int], Sum]


class Opened(NamedTuple):
    """An opening: the chain begun, and what it says of the epoch before it."""

    chain: Chain
    reason: str
    follows: int | None
    follows_next: int | None


def check_gateway(
    gateway: str,
    statement: Mapping[str, Any],
    held: Held,
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
        have = held.next.get(chain, 0)
        if have < next_:
            report.waiting[str(chain)] = next_ - have
        elif chain.stream is Stream.DATA:
            ours = held.sum(chain, 0, next_)
            if ours.batches == next_:  # a hole is a fault of its own, or declared
                _check_samples(f"{chain} below sequence {next_}", ours.samples, samples, gateway, report)
    for opening in openings:
        _check_opening(opening, stated, held, report)


def _check_opening(opening: Opened, stated: Mapping[Chain, Any], held: Held, report: Report) -> None:
    """The epoch before must be here as far as the gateway says, unless it still holds it."""
    if opening.follows is None or not opening.follows_next:
        return
    before = Chain(opening.chain.gateway, opening.chain.stream, opening.follows)
    have = held.next.get(before, 0)
    if have < opening.follows_next and before not in stated:
        text = (
            f"sequences {have} to {opening.follows_next - 1} are missing; {opening.chain} was opened behind "
            "them, and the gateway holds them no more"
        )
        report.fault("tail", str(before), text)


def check_hub(hub: str, rows: Iterable[tuple[Any, ...]], held: Held, report: Report) -> None:
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
        have = held.next.get(chain, 0)
        if have < first + let_go:
            text = f"hub {hub} let go of sequences below {first + let_go}, the ledger ends before {have}"
            report.fault("tail", str(chain), text)
        elif have < next_:
            waiting = report.waiting.get(str(chain), 0)
            report.waiting[str(chain)] = max(waiting, next_ - have)
        elif chain.stream is Stream.DATA and batches == next_ - first:
            ours = held.sum(chain, first, next_)
            if ours.batches == batches and not ours.tombstones and not tombstones:
                place = f"{chain} sequences {first} to {next_ - 1}"
                _check_samples(place, ours.samples, samples, f"hub {hub}", report)


def _check_samples(place: str, ours: int, theirs: int, who: str, report: Report) -> None:
    if ours != theirs:
        report.fault("statement", place, f"{who} states {theirs:,} samples, the ledger has {ours:,}")
    else:
        report.count("chains that agree")
