"""Payloads as they came, one after the other in segment files, for as long as they are kept.

A segment lies in the folder of the date on which it was begun, so that retention deletes
whole folders. A payload is found by the segment and the offset that the ledger notes, and
is proved by the hash in its signed header: segments need no structure of their own.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from headquarters import limits
from headquarters.ingest.stores import Reference
from headquarters.lake import disk
from protocols.batch import Chain
from protocols.errors import StoreError

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
"""What retention may delete; nothing else in the folder is ours."""


class SegmentArchive:
    """The archive in a folder; one writer, any number of readers.

    Args:
        folder: Where segments lie, in `YYYY-MM-DD` folders.
        quarantine: Where payloads lie that could not be read.
        clock_ms: Wall clock in milliseconds.
    """

    def __init__(self, folder: Path, quarantine: Path, clock_ms: Callable[[], int]) -> None:
        self._folder = folder
        self._quarantine = quarantine
        self._clock_ms = clock_ms
        self._name = ""
        self._offset = 0

    def append(self, payloads: Sequence[bytes]) -> list[Reference]:
        """Write payloads and flush them to the disk.

        Raises:
            StoreError: The disk refused.
        """
        if not payloads:
            return []
        try:
            self._choose()
            references = []
            at = self._offset
            for payload in payloads:
                references.append(Reference(self._name, at))
                at += len(payload)
            with (self._folder / self._name).open("ab", buffering=0) as segment:
                segment.write(b"".join(payloads))
                os.fdatasync(segment.fileno())
        except OSError as error:
            self._name = ""  # what it holds is not known now: the next payload begins another
            raise StoreError(f"expected to write the archive in {self._folder}: {error.strerror}") from error
        self._offset = at
        return references

    def read(self, reference: Reference, size: int) -> bytes | None:
        """A payload, or `None` when its segment is gone or shorter."""
        try:
            with (self._folder / reference.segment).open("rb") as segment:
                segment.seek(reference.offset)
                payload = segment.read(size)
        except FileNotFoundError:
            return None
        return payload if len(payload) == size else None

    def quarantine(self, chain: Chain, seq: int, payload: bytes) -> None:
        """Keep a payload that could not be read."""
        disk.make_folder(self._quarantine)
        name = f"{chain.gateway}-{chain.stream.name.lower()}-{chain.epoch}-{seq}.payload"
        disk.replace(self._quarantine / name, payload)

    def expire(self, days: int) -> list[str]:
        """Delete the segments of dates further back than `days`; returns those dates."""
        if not self._folder.is_dir():
            return []
        oldest = str(np.datetime64(self._clock_ms(), "ms").astype("datetime64[D]") - days)
        names = [path.name for path in self._folder.iterdir()]
        expired = sorted(name for name in names if _DATE.fullmatch(name) and name < oldest)
        for date in expired:
            shutil.rmtree(self._folder / date)
        return expired

    def _choose(self) -> None:
        """Go on in the same segment, but for a start, a full one, and midnight."""
        date = str(np.datetime64(self._clock_ms(), "ms").astype("datetime64[D]"))
        if self._name.startswith(date) and self._offset < limits.SEGMENT_BYTES_MAX:
            return
        folder = self._folder / date
        disk.make_folder(folder)
        self._name = f"{date}/{self._clock_ms()}-{secrets.token_hex(4)}.segment"
        self._offset = 0
        (self._folder / self._name).touch(exist_ok=False)
        disk.sync(folder)
