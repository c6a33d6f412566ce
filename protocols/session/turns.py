"""Whose turn it is to send, and how much may be under way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from protocols.batch import Chain, Stream
from protocols.session.course import Course


class Window:
    """What is sent and not acknowledged, held to the credit that the receiver granted."""

    def __init__(self) -> None:
        self._credit_batches = 0
        self._credit_bytes = 0
        self._batches = 0
        self._bytes = 0

    def grant(self, batches: int, size: int) -> None:
        """The receiver grants so much from now on."""
        self._credit_batches, self._credit_bytes = batches, size

    def room(self) -> tuple[int, int] | None:
        """(batches, bytes) that may still be sent, or `None`; one batch may always be under way."""
        batches = self._credit_batches - self._batches
        size = self._credit_bytes - self._bytes
        return None if batches <= 0 or (size <= 0 and self._batches > 0) else (batches, size)

    def sent(self, course: Course, size: int) -> None:
        """The next batch of a chain is under way."""
        course.flight.append((course.sent, size))
        course.sent += 1
        self._batches += 1
        self._bytes += size

    def landed(self, course: Course, next_: int) -> None:
        """Everything below `next_` arrived."""
        while course.flight and course.flight[0][0] < next_:
            self._drop(course.flight.popleft()[1])

    def lost(self, course: Course, from_seq: int) -> None:
        """What was sent from `from_seq` on is not expected to be acknowledged any more."""
        while course.flight and course.flight[-1][0] >= from_seq:
            self._drop(course.flight.pop()[1])

    def _drop(self, size: int) -> None:
        self._batches -= 1
        self._bytes -= size


class Turns:
    """The chains that have something to send, by rank and within a rank in turn.

    Ranks: events, meta, data of the newest epochs; then the same of the older ones, which
    drain behind them.
    """

    def __init__(self) -> None:
        self._newest: dict[tuple[str, Stream], int] = {}
        self._ready: list[OrderedDict[Chain, None]] = [OrderedDict() for _ in range(2 * len(Stream))]

    def __iter__(self) -> Iterator[Chain]:
        """The first chain of each rank, the highest rank first; `skip` what has nothing to send."""
        for ready in self._ready:
            while ready:
                chain = next(iter(ready))
                yield chain
                if chain in ready:
                    break

    def add(self, chain: Chain) -> None:
        """A chain has something to send; it waits behind the others of its rank."""
        self._ready[self._rank(chain)].setdefault(chain)

    def skip(self, chain: Chain) -> None:
        """A chain has nothing to send."""
        for ready in self._ready:
            ready.pop(chain, None)

    def served(self, chain: Chain) -> None:
        """A chain had its turn."""
        ready = self._ready[self._rank(chain)]
        if chain in ready:
            ready.move_to_end(chain)

    def drains(self, chain: Chain) -> bool:
        """Whether a newer epoch of its stream is known."""
        return chain.epoch < self._newest[(chain.gateway, chain.stream)]

    def meet(self, chain: Chain) -> None:
        """Learn of a chain; a newer epoch makes the older ones of its stream drain."""
        key = (chain.gateway, chain.stream)
        if chain.epoch <= self._newest.get(key, -1):
            return
        self._newest[key] = chain.epoch
        live = self._ready[chain.stream]
        for older in [known for known in live if known[:2] == key and known.epoch < chain.epoch]:
            del live[older]
            self.add(older)

    def _rank(self, chain: Chain) -> int:
        return chain.stream + (len(Stream) if self.drains(chain) else 0)


class Pace:
    """A budget of bytes a second, of which at most one second's may be saved up."""

    def __init__(self, bytes_per_s: int | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._room = float(bytes_per_s or 0)
        self._filled = 0.0

    @property
    def spent(self) -> bool:
        """Whether nothing more may be sent for now."""
        return self._bytes_per_s is not None and self._room <= 0.0

    def at_most(self, size: int) -> int:
        """So much of `size` as the budget allows now."""
        return size if self._bytes_per_s is None else min(size, int(self._room))

    def refill(self, now: float) -> None:
        """Save up for the time that has passed."""
        if self._bytes_per_s is not None:
            won = (now - self._filled) * self._bytes_per_s
            self._room, self._filled = min(float(self._bytes_per_s), self._room + won), now

    def spend(self, size: int) -> None:
        """Count what was sent."""
        self._room -= size
