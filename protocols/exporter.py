"""The sending side of a one-way isolator: an outbox's batches into files, with repeats.

Nothing acknowledges a file. Each batch is therefore sent several times, in files made some
time apart, so that an isolator that loses files for a while loses no batch. Pass 0 sends a
batch as soon as it is there; each later pass sends it again when its delay is over. Only
after the last pass is a batch reported as stored.

The owner calls `next_file`, writes down that its number is used, writes the bytes durably, and
calls `written`; where writing failed, `give_up`. A number is never used for two contents: one that
is left out costs a line in the landing side's log, and repeats bring what it would have held.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from protocols import container, limits
from protocols.batch import Chain, Signer
from protocols.errors import StoreError, StoreFullError
from protocols.session import Outbox, messages
from protocols.session.events import Stored
from protocols.session.messages import Frames, Offer

REPEAT_AFTER_S = (60.0, 600.0)
"""When a batch is sent again, counted from the first time: an isolator's usual hiccups are
minutes long."""

HEARTBEAT_S = 60.0
"""A file is made this often even when nothing is due, so that a lost last file is noticed."""

SCHEDULE_STEPS_MAX = 256
"""Steps in which a chain's repeats are scheduled: bounds what is remembered of each chain."""

READ_BATCHES_MAX = 64
READ_BYTES_MAX = 4 << 20
"""What is read from the outbox at a time."""


class File(NamedTuple):
    """A file to be written under its name."""

    name: str
    number: int
    data: bytes
    batches: int = 0


@dataclass(slots=True)
class _Exported:
    """How far each pass got with a chain, and when pass 0 got where."""

    offer: Offer
    cursors: list[int]
    history: deque[tuple[float, int]] = field(default_factory=deque)


class Exporter:
    """Makes files from an outbox.

    Args:
        sender: The node's name.
        signer: Its key.
        outbox: What to send from.
        first_number: Number of the next file; the owner keeps count over restarts.
        repeat_after_s: Seconds after the first time at which a batch is sent again.
        batches_max: Batches in one file.
        bytes_max: Bytes of one file.
    """

    def __init__(
        self,
        sender: str,
        signer: Signer,
        outbox: Outbox,
        *,
        first_number: int,
        repeat_after_s: Sequence[float] = REPEAT_AFTER_S,
        batches_max: int = limits.CONTAINER_BATCHES_MAX,
        bytes_max: int = limits.CONTAINER_BYTES_MAX,
    ) -> None:
        assert list(repeat_after_s) == sorted(repeat_after_s)
        assert 0 < batches_max <= limits.CONTAINER_BATCHES_MAX
        assert limits.PAYLOAD_BYTES_MAX < bytes_max <= limits.CONTAINER_BYTES_MAX
        self._sender = sender
        self._signer = signer
        self._outbox = outbox
        self._delays = (0.0, *repeat_after_s)
        self._batches_max = batches_max
        self._bytes_max = bytes_max
        self._chains: dict[Chain, _Exported] = {}
        self._generation: int | None = None
        self._made_at: float | None = None
        self._moves: dict[tuple[Chain, int], int] | None = None
        self.number = first_number
        """Number of the next file."""

    def next_file(self, now: float, now_us: int) -> File | None:
        """The next file, or `None` when nothing is due; asked again, it is made again.

        Args:
            now: Seconds on the monotonic clock.
            now_us: Time of day, for the file's head.
        """
        self._refresh()
        moves: dict[tuple[Chain, int], int] = {}
        batches = self._fill(now, moves)
        heartbeat = self._made_at is None or now - self._made_at >= HEARTBEAT_S
        if not batches and not heartbeat:
            return None
        self._moves = moves
        frames = (*self._offers(), *batches)
        data = container.pack(container.Container(self._sender, self.number, now_us, frames))
        sealed = container.seal(data, self._signer)
        return File(container.file_name(self._sender, self.number), self.number, sealed, len(batches))

    def written(self, now: float) -> list[Stored]:
        """The last file is durable; returns what has now been sent in every pass."""
        assert self._moves is not None, "there is a file to be written first"
        moves, self._moves = self._moves, None
        self.number += 1
        self._made_at = now
        before = {chain: min(self._chains[chain].cursors) for chain, _ in moves}
        for (chain, index), next_ in moves.items():
            exported = self._chains[chain]
            exported.cursors[index] = next_
            if index == 0:
                self._schedule(exported, now, next_)
        after = {chain: min(self._chains[chain].cursors) for chain in before}
        return [Stored(chain, next_) for chain, next_ in after.items() if next_ > before[chain]]

    def give_up(self) -> None:
        """The last file may or may not have been written: what was in it goes into the next one."""
        if self._moves is not None:
            self._moves = None
            self.number += 1

    # -- leaves ----------------------------------------------------------------------------

    def _refresh(self) -> None:
        """See what the outbox has now; what it let go of is not waited for."""
        generation = self._outbox.generation
        if generation == self._generation:
            return
        self._generation = generation
        offers = {offer.chain: offer for offer in self._outbox.offers()}
        for chain in [chain for chain in self._chains if chain not in offers]:
            del self._chains[chain]
        for chain, offer in offers.items():
            exported = self._chains.get(chain)
            if exported is None:
                self._chains[chain] = _Exported(offer, [offer.oldest] * len(self._delays))
            else:
                exported.offer = offer
                exported.cursors = [max(cursor, offer.oldest) for cursor in exported.cursors]

    def _fill(self, now: float, moves: dict[tuple[Chain, int], int]) -> list[Frames]:
        """The batches of the next file: what is new first, events before data, then repeats."""
        frames: list[Frames] = []
        room = self._bytes_max - container.overhead(self._sender) - self._offers_size()
        for index, chain in self._turns():
            exported = self._chains[chain]
            limit = exported.offer.next if index == 0 else self._due(exported, index, now)
            at = exported.cursors[index]
            while at < limit and len(frames) < self._batches_max:
                most = min(limit - at, self._batches_max - len(frames), READ_BATCHES_MAX)
                read = self._outbox.read(chain, at, most, READ_BYTES_MAX)
                taken = 0
                for batch in read:
                    message = messages.batch(batch)
                    size = container.packed_size(message)
                    if size > room:
                        return frames
                    frames.append(message)
                    room -= size
                    taken += 1
                    moves[(chain, index)] = at + taken
                if not read:
                    break
                at += taken
        return frames

    def _turns(self) -> Iterator[tuple[int, Chain]]:
        chains = sorted(self._chains, key=lambda chain: (chain.stream, -chain.epoch, chain.gateway))
        for index in range(len(self._delays)):
            for chain in chains:
                yield index, chain

    def _due(self, exported: _Exported, index: int, now: float) -> int:
        """Below which sequence a later pass may send again."""
        due = 0
        for sent_at, next_ in exported.history:
            if sent_at + self._delays[index] > now:
                break
            due = next_
        return min(due, exported.cursors[0])

    def _schedule(self, exported: _Exported, now: float, next_: int) -> None:
        if len(self._delays) == 1:
            return
        history = exported.history
        step = self._delays[-1] / SCHEDULE_STEPS_MAX
        if len(history) > 1 and now - history[-2][0] < step:
            history.pop()  # counted as sent a little later than it was
        history.append((now, next_))
        while len(history) > 1 and history[1][0] + self._delays[-1] <= now:
            history.popleft()

    def _offers(self) -> list[Frames]:
        """Every chain; `oldest` is where the slowest pass stands, in this file still."""
        return messages.offers(
            exported.offer._replace(oldest=min(exported.cursors)) for exported in self._chains.values()
        )

    def _offers_size(self) -> int:
        return sum(container.packed_size(frames) for frames in self._offers())


def write_file(directory: Path, file: File) -> Path:
    """Put a complete file into a directory at once, durably.

    Raises:
        StoreFullError: No room on the disk.
        StoreError: The directory cannot be written.
    """
    final = directory / file.name
    temporary = directory / f".{file.name}.part"
    try:
        with temporary.open("wb") as stream:
            stream.write(file.data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(final)
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        kind = StoreFullError if error.errno == errno.ENOSPC else StoreError
        raise kind(f"cannot write {final}: {error.strerror}; free space or fix the directory") from error
    return final
