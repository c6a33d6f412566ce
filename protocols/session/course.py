"""How far one chain has come in one session: sent, acknowledged, compared, searched for a fork."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from protocols.session.messages import Offer

STALLED_S = 4.0
"""A chain that waits for an answer or an acknowledgement this long is offered again: a message was lost."""

UNSIGNED_S = 30.0
"""A chain that is sent and has waited this long for headquarters' receipt is offered again, to be told."""


@dataclass(slots=True)
class Course:
    """One chain as a session sees it.

    Args:
        offer: What was offered last.
        since: When the receiver last moved it.
        acked: The receiver holds everything below it durably.
        sent: The sequence to be sent next.
        answered: Whether the receiver answered the offer.
        stopped: After a fork or a refusal, until the chain's owner has cut it back.
        waiting: While the receiver wants what we no longer hold.
        head: The receiver's last header hash, to be compared once, with the batch that follows
            it; empty when it was compared or is not known.
        low: Of a search for a fork: headers below it are equal,
        high: and the one at it is not; -1 when there is no search.
        probe: Where the search begins, or -1.
        end: Where it ends: nothing below differs if this is what it finds.
        asked: The sequence that a query is under way for, or -1.
        flight: (sequence, bytes) of what is sent and not acknowledged.
    """

    offer: Offer
    since: float
    acked: int = 0
    sent: int = 0
    answered: bool = False
    stopped: bool = False
    waiting: bool = False
    head: bytes = b""
    low: int = -1
    high: int = -1
    probe: int = -1
    end: int = -1
    asked: int = -1
    flight: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def searching(self) -> bool:
        """Whether the place of a fork is being searched."""
        return self.high >= 0

    @property
    def pending(self) -> bool:
        """Whether there is something to send: batches, or the next question of a search."""
        if not self.answered or self.stopped or self.waiting:
            return False
        return self.asked < 0 if self.searching else self.sent < self.offer.next

    def stalled(self, now: float) -> bool:
        """Whether an answer, an acknowledgement or a receipt is overdue."""
        halted = self.stopped or self.waiting
        waits = not halted and (not self.answered or self.asked >= 0 or bool(self.flight))
        unsigned = self.offer.oldest < self.offer.next
        return (waits and now - self.since >= STALLED_S) or (unsigned and now - self.since >= UNSIGNED_S)

    def search(self, end: int) -> None:
        """Begin to search for the first header below `end` that differs, at the last one held."""
        self.low, self.high, self.end, self.asked = self.offer.oldest, end, end, -1
        self.probe = end - 1 if end > self.offer.oldest else -1

    def question(self) -> int:
        """The sequence to ask about next."""
        return self.probe if self.probe >= 0 else (self.low + self.high) // 2

    def narrow(self, seq: int, equal: bool) -> None:
        """Take an answer: equal at a sequence means equal at all before it."""
        if equal:
            self.low = seq + 1
        else:
            self.high = seq

    def found(self) -> int | None:
        """The first sequence that differs, once it is known; ends the search."""
        if self.low < self.high:
            return None
        seq = self.high
        self.end_search()
        return seq

    def end_search(self) -> None:
        """Search no more."""
        self.low = self.high = self.probe = self.asked = -1
