"""What happened to slots, left for the program that can tell it: one small file an event.

The supervisor has no keys and no chain; the gateway that it runs has. It reads the files in
order, tells each, and removes it; what is told twice after a power cut has the same time.

>>> told = []
>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as name:
...     leave(Path(name), SlotEvent(5, "confirmed", "edge-1.1.0", "healthy for 300 s"))
...     take(Path(name), told.append)
>>> told[0].what
'confirmed'
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_runtime.slots import limits
from protocols.durable import remove_durably, write_durably

SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class SlotEvent:
    """One thing that happened.

    Args:
        time_us: When, microseconds since 1970.
        what: `begun`, `failed`, `given-up`, `confirmed`, `postponed` or `restarted`.
        firmware: Which, as `Firmware.name`.
        why: In a sentence.
    """

    time_us: int
    what: str
    firmware: str
    why: str


def leave(folder: Path, event: SlotEvent) -> None:
    """Leave an event; beyond the bound the oldest goes.

    Raises:
        StoreError: The disk failed.
    """
    waiting = _waiting(folder)
    for path in waiting[: max(0, len(waiting) + 1 - limits.SPOOL_FILES_MAX)]:
        remove_durably(path)
    last = waiting[-1].stem if waiting else ""
    name = max(f"{event.time_us:020d}", f"{int(last) + 1:020d}" if last.isdigit() else "")
    write_durably(folder / f"{name}{SUFFIX}", json.dumps(asdict(event)) + "\n")


def take(folder: Path, tell: Callable[[SlotEvent], object]) -> None:
    """Tell every event that waits, and remove it; what cannot be read is removed.

    Raises:
        StoreError: The disk failed.
    """
    for path in _waiting(folder):
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            event = SlotEvent(
                int(entry["time_us"]), str(entry["what"]), str(entry["firmware"]), str(entry["why"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            pass
        else:
            tell(event)
        remove_durably(path)


def _waiting(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)
    except OSError:
        return []
