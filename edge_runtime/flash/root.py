"""Makes a machine's root directory from an image: slot a, the state, boot.py, and a home."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_runtime.slots import states
from edge_runtime.slots.image import Image
from edge_runtime.slots.store import DEFAULTS, Root, StateStore
from edge_runtime.slots.unpack import Working, check_slot, room_needed, unpack
from protocols import durable
from protocols.errors import InputError, Problem, StoreError, StoreFullError


def make_root(image: Image, root: Path, working: Working = lambda: None) -> None:
    """Write a root; what is in its home already stays as it is.

    Args:
        image: The image, checked.
        root: The root directory, made when it is not there.
        working: Called now and then.

    Raises:
        InputError: There are slots already.
        StoreError: The disk failed, has no room, or gives back something else.
    """
    places = Root(root)
    if places.state.exists():
        expected = "a directory without slots; upgrade with: catchment-edge slots install IMAGE --root DIR"
        raise InputError([Problem(str(root), "slots", "a state", expected)])
    try:
        places.slots.mkdir(parents=True, exist_ok=True)
        places.home.mkdir(mode=0o700, exist_ok=True)
        free, needed = shutil.disk_usage(root).free, room_needed(image)
        if free < needed:
            raise StoreFullError(
                f"{root}: expected {needed / 1e6:,.0f} MB of room, got {free / 1e6:,.0f} MB; "
                "take a larger disk"
            )
        slot = places.slot(states.SLOTS[0])
        unpack(image, slot, working)
        check_slot(slot)
        _take_defaults(slot / DEFAULTS, places.home)
        boot = Path(states.__file__).with_name("boot.py").read_bytes()
        durable.write_bytes_durably(root / "boot.py", boot)
        durable.flush_filesystem(root)
    except OSError as error:
        raise StoreError(
            f"{root}: {error.strerror or error}; expected a place that can be written"
        ) from error
    StateStore(places).write(states.factory(image.manifest.firmware(image.sha256)))


def _take_defaults(defaults: Path, home: Path) -> None:
    """Copy default files that are not there yet; configuration may come to hold passwords."""
    for source in sorted(path for path in defaults.rglob("*") if path.is_file()):
        target = home / source.relative_to(defaults)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            durable.write_bytes_durably(target, source.read_bytes(), 0o600)
