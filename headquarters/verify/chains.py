"""Walking one chain of the ledger: headers, links, signatures, holes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from headquarters.ingest.rows import Status
from headquarters.verify.report import Report, batch_place
from protocols import limits
from protocols.batch import ZERO_HASH, Batch, Chain, Header, Verifier, check_signature, header_hash
from protocols.errors import IntegrityError, PeerError


class Known(NamedTuple):
    """What a walk needs to know.

    Args:
        verifier: From a key id to the key that checks signatures.
        owner: From a key id to the node it belongs to.
        declared: Whether sequences of a chain, from and to (exclusive), lie in declared gaps.
    """

    verifier: Callable[[bytes], Verifier | None]
    owner: Callable[[bytes], str | None]
    declared: Callable[[Chain, int, int], bool]


class Entry(NamedTuple):
    """One row of the ledger."""

    batch: int
    header: bytes
    signature: bytes
    status: str
    columns: Mapping[str, Any]

    @property
    def place(self) -> str:
        """The batch as a fault names it; from the columns, which may differ from the header."""
        return "{gateway}/{stream}/{epoch} sequence {seq}".format(**self.columns) + f" (batch {self.batch})"


def walk(
    chain: Chain, entries: Iterable[Entry], marks: Mapping[str, int], known: Known, report: Report
) -> int:
    """Check one chain.

    Args:
        chain: Which.
        entries: Its rows by sequence.
        marks: How far the tables say that they hold it, by table.
        known: Keys and gaps.
        report: Where faults go.

    Returns:
        One beyond its last sequence in the ledger.
    """
    expected, head = 0, ZERO_HASH
    for entry in entries:
        header = _header(entry, report)
        if header is None:
            continue
        if header.seq < expected:
            report.fault("chain", batch_place(chain, header.seq, entry.batch), "the sequence is there twice")
            continue
        if header.seq > expected:
            _hole(chain, expected, header.seq, known, report)
        elif header.previous != head:
            text = "it does not carry the hash of the header before it"
            report.fault("chain", batch_place(chain, header.seq, entry.batch), text)
        _signature(entry, header, known, report)
        _status(entry, header, known, report)
        expected, head = header.seq + 1, header_hash(entry.header)
        report.count("batches")
    for table, mark in marks.items():
        if mark >= expected:
            text = f"expected sequences up to {mark}, to which the table {table} holds them, got none"
            report.fault("tail", f"{chain} from sequence {expected}", text)
    return expected


def _header(entry: Entry, report: Report) -> Header | None:
    try:
        header = Header.parse(entry.header)
    except PeerError as error:
        report.fault("header", entry.place, str(error))
        return None
    for name, value in _columns_of(header).items():
        if entry.columns[name] != value:
            text = f"expected {name} {value!r} as signed, got {entry.columns[name]!r} in the ledger's column"
            report.fault("header", entry.place, text)
            return header if name not in ("gateway", "stream", "epoch", "seq") else None
    return header


def _columns_of(header: Header) -> dict[str, Any]:
    return {
        "gateway": header.gateway,
        "stream": header.stream.name.lower(),
        "epoch": header.epoch,
        "seq": header.seq,
        "kind": header.kind.name.lower(),
        "samples": header.n,
        "t_min": _time(header.t_min_us),
        "t_max": _time(header.t_max_us),
    }


def _time(time_us: int) -> int | None:
    """A time as a query gives it back: DuckDB reads the two outermost as infinite."""
    return None if abs(time_us) == limits.INT63_MAX else time_us


def _hole(chain: Chain, expected: int, found: int, known: Known, report: Report) -> None:
    if known.declared(chain, expected, found):
        report.count("declared holes")
        return
    text = f"sequences {expected} to {found - 1} are missing and lie in no declared gap"
    report.fault("hole", f"{chain} sequence {expected}", text)


def _signature(entry: Entry, header: Header, known: Known, report: Report) -> None:
    verifier, owner = known.verifier(header.key_id), known.owner(header.key_id)
    if verifier is None or owner != header.gateway:
        whose = "nobody's" if owner is None else f"that of {owner}"
        text = f"expected a key of {header.gateway}, got {header.key_id.hex()}, {whose} on the allow-list"
        report.fault("key", entry.place, f"{text}; allow its identity.toml and verify again")
        return
    try:
        check_signature(Batch(entry.header, b"", entry.signature), verifier)
    except IntegrityError as error:
        report.fault("signature", entry.place, str(error))
    else:
        report.count("signatures", 1 + Batch(entry.header, b"", entry.signature).is_tombstone)


def _status(entry: Entry, header: Header, known: Known, report: Report) -> None:
    signed_away = Batch(entry.header, b"", entry.signature).is_tombstone
    if (entry.status == Status.TOMBSTONE) != signed_away:
        signatures = "two signatures" if signed_away else "one signature"
        report.fault("status", entry.place, f"the ledger says {entry.status}, but there is {signatures}")
    gone = entry.status in (Status.TOMBSTONE, Status.REFUSED)
    if gone and header.n and not known.declared(header.chain, header.seq, header.seq + 1):
        report.fault("gap", entry.place, f"{header.n} samples are {entry.status}, and no gap declares them")


class DeclaredGaps:
    """Sequences that lie in declared gaps, by gateway and epoch."""

    def __init__(self, rows: Iterable[tuple[str, int, int, int]]) -> None:
        self._ranges: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for gateway, epoch, seq_from, seq_to in rows:
            self._ranges.setdefault((gateway, epoch), []).append((seq_from, seq_to))
        for ranges in self._ranges.values():
            ranges.sort()

    def covers(self, chain: Chain, seq_from: int, seq_to: int) -> bool:
        """Whether every sequence of a range is declared missing."""
        at = seq_from
        for low, high in self._ranges.get((chain.gateway, chain.epoch), []):
            if low <= at < high:
                at = high
        return at >= seq_to
