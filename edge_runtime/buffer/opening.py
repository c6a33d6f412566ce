"""Opening the buffer's file, whatever state it is in: the gateway always starts.

A file that cannot be read is set aside under another name, for people to look at, and a
new one is begun. After a process that did not end in order the file is checked first; the
check is broken off after `CHECK_S`, because a gateway that starts late loses samples for
certain, and damage that it did not reach shows itself when it is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edge_runtime.store import Gate, Store
from protocols.errors import StoreDamagedError

CHECK_S = 0.5
"""Time for looking at a file that was not closed in order: about 200 MB on a flash disk."""


class Opened(NamedTuple):
    """An open store.

    Args:
        store: The connection.
        set_aside: Where a damaged file went, or `None`.
        why: What was wrong with it.
    """

    store: Store
    set_aside: Path | None = None
    why: str = ""


def open_store(
    path: Path, gate: Gate, now_us: int, monotonic: Callable[[], float] = time.monotonic
) -> Opened:
    """Open the file at `path`, or set it aside and begin a new one.

    Args:
        path: The buffer's file, made when missing.
        gate: Shared by all connections to it.
        now_us: Names the file that is set aside.
        monotonic: Seconds that never jump.

    Raises:
        StoreError: The directory cannot be used at all, or a newer release wrote the file.
    """
    try:
        store = Store.open(path, gate)
        try:
            if store.fact("clean") == 0:
                store.check(monotonic, CHECK_S)
            return Opened(store)
        except BaseException:
            store.close()
            raise
    except StoreDamagedError as error:
        aside = set_aside(path, now_us)
        return Opened(Store.open(path, gate), aside, str(error))


def set_aside(path: Path, now_us: int) -> Path:
    """Rename a damaged file and what belongs to it. Returns its new name."""
    aside = path.with_name(f"{path.name}.damaged-{now_us // 1_000_000}")
    for ending in ("", "-wal", "-shm"):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(aside.with_name(aside.name + ending))
    return aside
