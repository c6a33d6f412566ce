"""What to do when the state of the slots cannot be read: make it anew from what is in them."""

from __future__ import annotations

from edge_runtime.slots import firmware, states
from edge_runtime.slots.states import SLOTS, Firmware, SlotsState
from edge_runtime.slots.store import MANIFEST, Root, StateStore
from edge_runtime.slots.unpack import check_slot
from protocols.errors import IntegrityError, PeerError, StoreError


def rebuild(root: Root, store: StateStore) -> SlotsState:
    """Make the state of a root anew, and write it.

    Of slots whose files are all right the first is good: what was on trial is not tried again.

    Raises:
        StoreError: No slot is whole, or the disk failed.
    """
    found = {slot: _held(root, slot) for slot in SLOTS}
    good = next((slot for slot in SLOTS if found[slot] is not None), None)
    if good is None:
        raise StoreError(f"{root.slots}: no slot is whole; write an image: catchment-flash image write")
    held = found[good]
    assert held is not None
    state = states.SlotsState(1, good, {**dict.fromkeys(SLOTS), good: held}, held.data_format)
    store.write(state)
    return state


def _held(root: Root, slot: str) -> Firmware | None:
    folder = root.slot(slot)
    try:
        check_slot(folder)
        manifest = firmware.parse((folder / MANIFEST).read_bytes())
    except (IntegrityError, PeerError, OSError):
        return None
    return manifest.firmware("")
