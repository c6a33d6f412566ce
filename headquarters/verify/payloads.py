"""Archived payloads against the rows of the lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headquarters.ingest.cycle import Cycle, Ingest
from headquarters.ingest.repeats import Epoch, Key, Wanted
from headquarters.ingest.rows import LedgerRow, SampleChunk, SeriesRow, Status
from headquarters.lake.samples import rows_of
from headquarters.verify.report import Report, batch_place
from protocols.batch import Batch, Chain, check_payload
from protocols.errors import IntegrityError
from protocols.session import Accepted

EXAMPLES = 3
"""Differing rows that a fault names, of each batch."""

_KEYS = ("series", "time", "value", "text", "quality", "source_time")


class _Empty:
    """A table that holds nothing, so that `prepare` gives every row of a batch."""

    def append(self, rows: Sequence[Any], marks: Mapping[Chain, int]) -> None:
        raise AssertionError("a verification writes nothing")

    def mark(self, chain: Chain) -> int | None:
        return None

    def find(self, chain: Chain, seq: int) -> LedgerRow | None:
        return None

    def last_batch(self) -> int:
        return 0

    def chains(self) -> dict[Chain, int]:
        return {}

    def known(self, wanted: Wanted) -> set[Key]:
        return set()


class _Series(_Empty):
    def __init__(self, rows: list[SeriesRow]) -> None:
        self._rows = rows

    def load(self) -> list[SeriesRow]:
        return self._rows


class _Tables:
    def __init__(self, series: list[SeriesRow]) -> None:
        self.series = _Series(series)
        self.ledger = self.gaps = self.events = self.samples = _Empty()

    def epochs(self) -> list[Epoch]:
        return []


class Decoder:
    """Turns an archived batch into the rows it must have, by the code that took it in.

    Args:
        series: The lake's series.
    """

    def __init__(self, series: list[SeriesRow]) -> None:
        self._known = {row.series for row in series}
        self._ingest = Ingest(_Tables(series), _no_archive, lambda gateway: "", once=False)

    def expected(self, row: LedgerRow, payload: bytes, report: Report) -> Cycle | None:
        """What a batch must have become, or `None` when its payload is not the signed one."""
        place = batch_place(row.fields.chain, row.fields.seq, row.batch)
        batch = Batch(row.header, payload, row.signature)
        try:
            check_payload(row.fields, batch)
        except IntegrityError as error:
            report.fault("payload", place, f"{error} (archive {row.segment}, offset {row.offset})")
            return None
        cycle = self._ingest.prepare([Accepted(row.fields.chain, row.fields, batch)], row.received_us)
        if bool(cycle.refused) != (row.status is Status.REFUSED):
            state = cycle.refused[0].text if cycle.refused else "it can be read"
            report.fault("status", place, f"the ledger says {row.status}, but {state}")
        new = {series.series for series in cycle.series} - self._known
        if new:
            report.fault("series", place, f"{len(new)} of its points are in no row of the table series")
        report.count("payloads")
        return cycle


def compare(
    row: LedgerRow,
    expected: Sequence[SampleChunk],
    found: pa.Table,
    elsewhere: Callable[[pa.Table], int],
    name_of: Callable[[int], str],
    report: Report,
) -> None:
    """Hold what a payload decodes to against the lake's rows of that batch, bit for bit.

    Rows that the ledger says another batch had brought must be there in another batch.

    Args:
        row: The batch.
        expected: Decoded samples.
        found: Its rows in the lake, in any order.
        elsewhere: How many of some rows the lake has from other batches.
        name_of: The name of a series, for messages.
        report: Where faults go.
    """
    rows = rows_of(list(expected)) if expected else found.slice(0, 0)
    wanted, present = _canonical(rows), _canonical(found)
    report.count("rows", len(found))
    if row.repeated:
        there = set(_keys(present))
        came = np.array([key in there for key in _keys(_columns(rows))], bool)
        left_out = rows.filter(pa.array(~came))
        if len(left_out) == row.repeated == elsewhere(left_out):
            report.count("rows that came twice", row.repeated)
            wanted = _canonical(rows.filter(pa.array(came)))
    same = [np.array_equal(wanted[key], present[key]) for key in _KEYS]
    if all(same):
        return
    differences = _differences(wanted, present, name_of)
    place = batch_place(row.fields.chain, row.fields.seq, row.batch)
    total = f"{len(wanted['series']):,} rows in the payload, {len(found):,} in the lake"
    more = "; ".join(differences[:EXAMPLES]) + ("; ..." if len(differences) > EXAMPLES else "")
    report.fault("rows", place, f"{total}; {more}")


def _keys(columns: Mapping[str, npt.NDArray[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*(columns[key].tolist() for key in _KEYS), strict=True))


def _canonical(table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """Columns that compare bit for bit, in an order that does not depend on the file's."""
    columns = _columns(table)
    order = np.lexsort([columns[key] for key in ("source_time", "quality", "value", "time", "series")])
    return {key: column[order] for key, column in columns.items()}


def _columns(table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """Columns that compare bit for bit."""
    source = pc.fill_null(table.column("source_time").cast(pa.int64()), -(2**63))
    value = table.column("value")
    bits = pc.fill_null(value, 0.0).combine_chunks().to_numpy(zero_copy_only=False).view(np.int64)
    return {
        "series": table.column("series").to_numpy(),
        "time": table.column("time").cast(pa.int64()).to_numpy(),
        "value": bits,
        "no_value": value.is_null().to_numpy(),
        "text": np.array([_text(text) for text in table.column("text").to_pylist()], object)
        if table.column("text").null_count < len(table)
        else np.full(len(table), "", object),
        "quality": table.column("quality").to_numpy(),
        "source_time": source.to_numpy(),
    }


def _text(text: str | None) -> str:
    return "" if text is None else "=" + text


def _differences(
    wanted: Mapping[str, npt.NDArray[Any]],
    present: Mapping[str, npt.NDArray[Any]],
    name_of: Callable[[int], str],
) -> list[str]:
    """Sentences on rows that are not in both."""
    ours, theirs = _by_instant(wanted), _by_instant(present)
    sentences = []
    for key in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(key, []), theirs.get(key, [])
        if mine != other:
            series, time = key
            at = f"{name_of(series)} at {np.datetime64(time, 'us')}Z"
            sentences.append(f"{at}: {_shown(mine)} in the payload, {_shown(other)} in the lake")
    return sentences


def _by_instant(columns: Mapping[str, npt.NDArray[Any]]) -> dict[tuple[int, int], list[tuple[Any, ...]]]:
    rows: dict[tuple[int, int], list[tuple[Any, ...]]] = {}
    keys = zip(columns["series"].tolist(), columns["time"].tolist(), strict=True)
    rest = zip(*(columns[key].tolist() for key in ("value", "text", "quality", "source_time")), strict=True)
    for key, row in zip(keys, rest, strict=True):
        rows.setdefault(key, []).append(row)
    return rows


def _shown(rows: list[tuple[Any, ...]]) -> str:
    if not rows:
        return "no row"
    bits, text, quality, _ = rows[0]
    value = repr(text[1:]) if text else repr(float(np.int64(bits).view(np.float64)))
    return f"{value} (quality {quality:#x})" + (f" and {len(rows) - 1} more" if len(rows) > 1 else "")


class _NoArchive:
    def append(self, payloads: Sequence[bytes]) -> list[Any]:
        raise AssertionError("a verification writes nothing")

    def read(self, reference: object, size: int) -> bytes | None:
        return None

    def quarantine(self, chain: Chain, seq: int, payload: bytes) -> None:
        raise AssertionError("a verification writes nothing")


_no_archive = _NoArchive()
