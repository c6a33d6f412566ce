"""Two slots for firmware, one of which always works; how all tiers upgrade and go back.

The public door: hub and headquarters upgrade with the same code, and whoever fetches firmware
needs no more than `install` and `state`.

- `install(root, image)` puts an image into the idle slot, to be tried.
- `state(root)` tells what is good, what is tried, how many tries are left, and why the last
  firmware was given up.
- `supervise(root, tier)` runs the program of the right slot.

What needs a slot's files, or processes, is imported when it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.slots.states import Firmware, GivenUp, SlotsState, Trial
from edge_runtime.slots.store import Root, StateStore

if TYPE_CHECKING:
    from edge_runtime.slots.image import Progress
    from edge_runtime.slots.installing import Installed
    from edge_runtime.slots.tier import Tier


def state(root: Path) -> SlotsState:
    """The slots of a machine as they are now.

    Raises:
        InputError: There are none.
        StoreDamagedError: Their state cannot be read.
    """
    return StateStore(Root(root)).read()


def install(
    root: Path, image: Path, *, again: bool = False, progress: Progress = lambda done, of: None
) -> Installed:
    """Put a firmware image into the idle slot, to be tried; see `installing.install`.

    Raises:
        InputError, PeerError, BusyError, StoreError: As there; nothing that works was changed.
    """
    from edge_runtime.slots.installing import install as put

    return put(root, image, again=again, progress=progress)


def supervise(root: Path, tier: Tier, watchdog: Path | None = None) -> None:
    """Run the program of a machine's slots until SIGTERM; see `supervisor.supervise`.

    Raises:
        InputError, StoreError: As there.
    """
    from edge_runtime.slots.supervisor import supervise as run

    run(root, tier, watchdog)


__all__ = ["Firmware", "GivenUp", "SlotsState", "Trial", "install", "state", "supervise"]
