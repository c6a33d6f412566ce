"""What the ingest core writes to: tables and an archive, as it needs them and no more.

The lake has them on a disk (`headquarters.lake`), the simulation in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from headquarters.ingest.repeats import Epoch, Key, Wanted
from headquarters.ingest.rows import EventRow, GapRow, LedgerRow, SampleChunk, SeriesRow
from protocols.batch import Chain

Row_contra = TypeVar("Row_contra", contravariant=True)


class Table(Protocol[Row_contra]):
    """A table that keeps, with its rows, how far it holds each chain."""

    def append(self, rows: Sequence[Row_contra], marks: Mapping[Chain, int]) -> None:
        """Make rows and marks durable together.

        Args:
            rows: New rows; may be none.
            marks: For each chain concerned, the last sequence held from now on.
        """

    def mark(self, chain: Chain) -> int | None:
        """The last sequence held of a chain; `None` for one never seen."""


class LedgerTable(Table[LedgerRow], Protocol):
    """The ledger can also be asked."""

    def find(self, chain: Chain, seq: int) -> LedgerRow | None:
        """The row of a batch, if it is held."""

    def last_batch(self) -> int:
        """The highest batch number given so far; 0 when there is none."""

    def chains(self) -> dict[Chain, int]:
        """The mark of every chain ever seen."""


class SamplesTable(Table[SampleChunk], Protocol):
    """The samples can be asked for rows that may have come before."""

    def known(self, wanted: Wanted) -> set[Key]:
        """Those of some rows that are held."""


class SeriesTable(Table[SeriesRow], Protocol):
    """The series table can also be read whole."""

    def load(self) -> list[SeriesRow]:
        """Every row, in the order it was written."""


class Tables(Protocol):
    """Where a cycle's rows go."""

    @property
    def ledger(self) -> LedgerTable:
        """Headers and signatures of every batch; written first."""

    @property
    def series(self) -> SeriesTable:
        """Definitions of series."""

    @property
    def gaps(self) -> Table[GapRow]:
        """What is missing, and why."""

    @property
    def events(self) -> Table[EventRow]:
        """Records that are no samples."""

    @property
    def samples(self) -> SamplesTable:
        """The samples; written last."""

    def epochs(self) -> list[Epoch]:
        """The epochs of data that were opened as long ago as a gateway may be away."""


class Reference(NamedTuple):
    """Where a payload lies in the archive."""

    segment: str
    offset: int


class Archive(Protocol):
    """Payloads as they came, for as long as their retention lasts."""

    def append(self, payloads: Sequence[bytes]) -> list[Reference]:
        """Make payloads durable."""

    def read(self, reference: Reference, size: int) -> bytes | None:
        """A payload, or `None` when it is no longer there."""

    def quarantine(self, chain: Chain, seq: int, payload: bytes) -> None:
        """Keep a payload that could not be read, without end of retention."""
