"""Custody: the receipts that let gateways and hubs forget, and the marks behind them.

* *Headquarters-durable*: given by itself after each commit.
* *Backed-up*: given when an operator says so. `snapshot` writes the marks of now to a
  file; then the lake is copied; when the copy is safe, `confirm` hands the file back.
  What was taken in after the snapshot is not confirmed by it.

A confirmed file is kept in the home directory: receipts are given again whenever a
sender offers its chains.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from headquarters.lake import disk
from headquarters.lake.deltalog import LOG, replay
from headquarters.lake.tables import parse_chain
from headquarters.ledger import ledger_headers
from protocols.batch import Chain, Signer, header_hash
from protocols.errors import InputError, Problem, StoreError
from protocols.records import Mark, Receipt, sign_record

FORMAT = "catchment-custody-1"


class Position(NamedTuple):
    """How far a chain is safe.

    Args:
        next: Every sequence below it is safe.
        head: SHA-256 of the header of `next - 1`.
    """

    next: int
    head: bytes


def receipts(
    positions: Mapping[Chain, Position], mark: Mark, signer: Signer, now_us: int
) -> list[tuple[Receipt, bytes]]:
    """Signed receipts for positions.

    Args:
        positions: By chain.
        mark: HEADQUARTERS or BACKED_UP.
        signer: Our key.
        now_us: Microseconds since 1970.
    """
    given = []
    for chain, position in positions.items():
        receipt = Receipt(chain, position.next, position.head, mark, now_us)
        given.append((receipt, sign_record(receipt, signer)))
    return given


def pack(positions: Mapping[Chain, Position], time: str) -> bytes:
    """Positions as a custody file."""
    chains = [
        {"chain": str(chain), "next": position.next, "head": position.head.hex()}
        for chain, position in sorted(positions.items())
    ]
    return (json.dumps({"format": FORMAT, "time": time, "chains": chains}, indent=1) + "\n").encode()


def parse(path: Path) -> dict[Chain, Position]:
    """Read a custody file.

    Raises:
        InputError: Not such a file.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        return {
            parse_chain(entry["chain"]): Position(int(entry["next"]), bytes.fromhex(entry["head"]))
            for entry in document["chains"]
        }
    except (OSError, ValueError, KeyError, TypeError, StoreError) as error:
        expected = "a file written by: catchment-hq custody snapshot"
        raise InputError([Problem(str(path), "", str(error), expected)]) from error


def snapshot_of(lake: Path) -> dict[Chain, Position]:
    """How far every chain is durable in a lake, read beside the process that writes it.

    Raises:
        StoreError: There is no lake, or it cannot be read.
    """
    state = replay(lake / "samples" / LOG)
    marks = {parse_chain(app): seq for app, seq in state.transactions.items()}
    heads = ledger_headers(lake, marks.items())
    return {
        chain: Position(seq + 1, header_hash(heads[(chain, seq)]))
        for chain, seq in marks.items()
        if (chain, seq) in heads
    }


class Confirmed:
    """The confirmed positions of a home directory, read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: int | None = None
        self.positions: dict[Chain, Position] = {}

    def changed(self) -> bool:
        """Read the file again if need be; returns whether there is something new.

        Raises:
            InputError: The file is damaged; what was known stays in force.
        """
        try:
            stamp = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        if stamp == self._seen:
            return False
        self._seen = stamp
        self.positions = parse(self._path)
        return True


def confirm(path: Path, positions: Mapping[Chain, Position], time: str) -> None:
    """Keep positions as confirmed, beside those of other chains confirmed before."""
    before: dict[Chain, Position] = parse(path) if path.exists() else {}
    further: dict[Chain, Any] = {
        chain: position
        for chain, position in positions.items()
        if chain not in before or before[chain].next < position.next
    }
    disk.replace(path, pack({**before, **further}, time))
