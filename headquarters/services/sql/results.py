"""Results on disk: one Arrow file each, a record batch a page; they expire, and share a quota.

Rules:
1. A result is readable while it is there; when room is needed the oldest goes first, whoever's it is,
   but a tenant that is over its own share loses its own oldest.
2. A folder that is opened anew is emptied: results are for the session in which they were asked for.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from headquarters.services.sql.limits import PAGE_ROWS
from protocols.errors import StoreError


@dataclass(frozen=True, slots=True)
class Kept:
    """One result.

    Args:
        path: Its file.
        tenant: Whose it is.
        bytes: Its size.
        until: When it expires, on the clock that was handed in.
    """

    path: Path
    tenant: str
    bytes: int
    until: float


class Results:
    """A folder of results; safe between threads.

    Args:
        folder: The folder; whatever results are in it are deleted.
        clock: Seconds on a clock that does not go back.
        bytes_max: For all results together.
        tenant_bytes_max: For those of one tenant.
        keep_s: How long one is kept.
    """

    def __init__(
        self, folder: Path, clock: Callable[[], float], bytes_max: int, tenant_bytes_max: int, keep_s: float
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.arrow"):
            path.unlink(missing_ok=True)
        self._folder = folder
        self._clock = clock
        self._bytes_max = bytes_max
        self._tenant_bytes_max = tenant_bytes_max
        self._keep_s = keep_s
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, id: str) -> Path:
        """Where a result that is to come is written."""
        return self._folder / f"{id}.arrow"

    def keep(self, id: str, tenant: str) -> None:
        """A result is there; others make room for it."""
        path = self.path(id)
        with self._lock:
            until = self._clock() + self._keep_s
            self._kept[id] = Kept(path, tenant, path.stat().st_size, until)
            self._make_room(tenant)

    def page(self, id: str, number: int) -> pa.RecordBatch | None:
        """One page of a result.

        Args:
            id: The query's id.
            number: Counted from 0.

        Returns:
            Up to `PAGE_ROWS` rows; `None` when there is no such result any more, or no such page.

        Raises:
            StoreError: The file cannot be read.
        """
        with self._lock:
            self._expire()
            kept = self._kept.get(id)
        if kept is None or number < 0:
            return None
        try:
            with pa.OSFile(str(kept.path)) as source:
                pages = pa.ipc.open_file(source)
                if number < pages.num_record_batches:
                    return pages.get_batch(number)
                return pages.schema.empty_table().to_batches(PAGE_ROWS)[0] if number == 0 else None
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"cannot read {kept.path}: {error}; ask the query again") from error

    def used(self, tenant: str) -> int:
        """Bytes of a tenant's results."""
        with self._lock:
            self._expire()
            return sum(kept.bytes for kept in self._kept.values() if kept.tenant == tenant)

    def drop(self, id: str) -> None:
        """Delete a result."""
        with self._lock:
            self._drop(id)

    def _make_room(self, tenant: str) -> None:
        self._expire()
        ours = [id for id, kept in self._kept.items() if kept.tenant == tenant]
        while len(ours) > 1 and sum(self._kept[id].bytes for id in ours) > self._tenant_bytes_max:
            self._drop(ours.pop(0))
        while len(self._kept) > 1 and sum(kept.bytes for kept in self._kept.values()) > self._bytes_max:
            self._drop(next(iter(self._kept)))

    def _expire(self) -> None:
        now = self._clock()
        for id in [id for id, kept in self._kept.items() if kept.until <= now]:
            self._drop(id)

    def _drop(self, id: str) -> None:
        kept = self._kept.pop(id, None)
        if kept is not None:
            kept.path.unlink(missing_ok=True)
