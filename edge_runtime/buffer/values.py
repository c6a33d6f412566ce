"""What goes into the buffer and what it says of itself, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from edge_runtime.store import Gate
from protocols.batch import Clock


class Progress(NamedTuple):
    """How far one collecting task has come.

    Args:
        instant_us: Every sample up to and including it is durable, dropped or thinned.
        settled_us: The same for points whose last value may still be held back by a
            swinging door, or whose subscription is down with changes undeclared; never
            later than `instant_us`.
    """

    instant_us: int
    settled_us: int


class Chunk(NamedTuple):
    """Samples as they are journalled, with the clock they were collected under."""

    payload: bytes
    n: int
    t_min_us: int
    t_max_us: int
    table_hash: bytes
    clock: Clock


class Backlog(NamedTuple):
    """What is held and not yet at headquarters.

    Args:
        batches: Batches, tombstones included.
        bytes: What they take.
        oldest_us: Earliest time in the oldest of them, or `None` when there is none.
        unsent: Of the batches, those that no upstream said it holds.
    """

    batches: int
    bytes: int
    oldest_us: int | None
    unsent: int


@dataclass(slots=True)
class Shared:
    """What the buffers of one file share between threads.

    Args:
        gate: For opening further connections.
        stored: By chain number, up to where which upstream holds it. Kept in memory and
            written with the next batch: an acknowledgement alone is not worth a disk sync.
    """

    gate: Gate = field(default_factory=Gate)
    stored: dict[int, tuple[int, str]] = field(default_factory=dict)
