"""Where each chain stands at a receiver, counting what is staged and not yet durable."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from protocols import limits
from protocols.batch import Chain, header_hash
from protocols.session import messages
from protocols.session.messages import Accepted, Marks


@dataclass(slots=True)
class Position:
    """Where a chain stands.

    Args:
        next: The sequence that is wanted.
        head: Hash of the header before it; empty when it cannot be known.
        hole_from: When the sequences just below were given up: the first of them.
        tentative: Where a chain would begin, or go on after a hole; nothing was accepted
            there yet, so another offer may still move it.
    """

    next: int
    head: bytes
    hole_from: int | None = None
    tentative: bool = False


class Staging:
    """What was accepted, from that moment until its owner said it is durable.

    Args:
        marks: What is durable.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._positions: dict[Chain, Position] = {}
        self._queue: deque[tuple[Accepted, bytes]] = deque()
        self._in_commit: dict[tuple[Chain, int], tuple[Accepted, bytes]] = {}
        self._hashes: dict[tuple[Chain, int], bytes] = {}

    def __len__(self) -> int:
        return len(self._queue)

    def position(self, chain: Chain) -> Position | None:
        """Where a chain stands, or `None` for one never seen."""
        position = self._positions.get(chain)
        if position is None:
            durable = self._marks.mark(chain)
            if durable is not None:
                position = self._positions[chain] = Position(*durable)
        return position

    def move(self, chain: Chain, position: Position) -> Position:
        """Let a chain stand elsewhere; nothing of it is staged."""
        self._positions[chain] = position
        return position

    def forget(self, chain: Chain) -> None:
        """Read a chain's position anew from what is durable, the next time it is asked for."""
        assert not any(accepted.chain == chain for accepted, _ in self._queue)
        self._positions.pop(chain, None)

    def prune(self, is_open: Callable[[Chain], bool]) -> None:
        """Where too many chains are remembered, forget those that nobody has open and nothing is staged of.

        Where such a chain stands is found again in what is durable, or in the next offer of it.
        """
        if len(self._positions) <= limits.POSITIONS_MAX:
            return
        staged = {chain for chain, _ in self._hashes}
        for chain in [chain for chain in self._positions if chain not in staged and not is_open(chain)]:
            del self._positions[chain]

    def stage(self, accepted: Accepted, peer: bytes) -> None:
        """Take a batch, which must be the next of its chain."""
        chain, seq = accepted.chain, accepted.header.seq
        head = header_hash(accepted.batch.header)
        self._queue.append((accepted, peer))
        self._positions[chain] = Position(seq + 1, head)
        self._hashes[(chain, seq)] = head

    def take(self, batches_max: int, bytes_max: int) -> list[Accepted]:
        """What was staged and not yet taken, in order; at least one if there is any."""
        taken: list[Accepted] = []
        size = 0
        while self._queue and len(taken) < batches_max:
            accepted, peer = self._queue[0]
            if taken and size + accepted.batch.size > bytes_max:
                break
            self._queue.popleft()
            size += accepted.batch.size
            taken.append(accepted)
            self._in_commit[(accepted.chain, accepted.header.seq)] = (accepted, peer)
        return taken

    def committed(self, accepted: Accepted) -> bytes:
        """A taken batch is durable; returns the connection it came over, if it is known."""
        key = (accepted.chain, accepted.header.seq)
        self._hashes.pop(key, None)
        return self._in_commit.pop(key, (accepted, b""))[1]

    def of(self, gateway: str) -> list[Accepted]:
        """What of a gateway's chains is staged and not yet taken."""
        return [accepted for accepted, _ in self._queue if accepted.chain.gateway == gateway]

    def drop(self, first: Accepted) -> list[tuple[Accepted, bytes]]:
        """Take back a batch and all of its chain behind it; the chain stands at it again.

        Returns:
            What was taken back, with the connections it came over.
        """
        chain, seq = first.chain, first.header.seq
        entries = [*self._in_commit.values(), *self._queue]
        dropped = [entry for entry in entries if entry[0].chain == chain and entry[0].header.seq >= seq]
        for accepted, _ in dropped:
            key = (chain, accepted.header.seq)
            self._in_commit.pop(key, None)
            self._hashes.pop(key, None)
        self._queue = deque(
            entry for entry in self._queue if entry[0].chain != chain or entry[0].header.seq < seq
        )
        before = self._hashes.get((chain, seq - 1))
        self._positions[chain] = self._at(first) if before is None else Position(seq, before)
        return dropped

    def abandon(self) -> list[Chain]:
        """Forget all that is staged or in a commit; returns the chains that stand lower now."""
        first: dict[Chain, Accepted] = {}
        for accepted, _ in [*self._in_commit.values(), *self._queue]:
            first.setdefault(accepted.chain, accepted)
        self._queue.clear()
        self._in_commit.clear()
        self._hashes.clear()
        for chain, accepted in first.items():
            self._positions[chain] = self._at(accepted)
        return list(first)

    def _at(self, accepted: Accepted) -> Position:
        """Where a chain stands whose first batch that is not durable is this one."""
        durable = self._marks.mark(accepted.chain)
        if durable is not None and durable[0] == accepted.header.seq:
            return Position(*durable)
        return Position(accepted.header.seq, b"", accepted.hole_from, tentative=True)

    def verdict(self, chain: Chain, seq: int, head: bytes) -> int:
        """Whether a header is the one held there; see `messages.EQUAL` and its like."""
        position = self.position(chain)
        if position is None or seq >= position.next:
            return messages.BEYOND
        known = self._hashes.get((chain, seq)) or self._marks.header_hash(chain, seq)
        if known is None:
            return messages.FORGOTTEN
        return messages.EQUAL if known == head else messages.DIFFERENT
