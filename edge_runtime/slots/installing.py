"""Installs an image into the idle slot: checks it, unpacks it, and only then marks it to be tried.

Rules:
1. The good slot is never written. Before the idle one is touched, the state says that it is
   empty; after everything in it is durable, the state says what is in it. A power cut leaves the
   one or the other.
2. All of the image is checked before anything is written: form, hashes, tier, interpreter,
   machine, data format, room.
3. What was given up is not tried again unless asked for by name: otherwise a desired state that
   still names it would stop collection again and again.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from edge_runtime.slots import moving, settings, states
from edge_runtime.slots.image import Image, Progress, open_image
from edge_runtime.slots.machine import glibc, interpreter, machine
from edge_runtime.slots.states import Firmware, SlotsState
from edge_runtime.slots.store import Root, StateStore
from edge_runtime.slots.unpack import Working, check_slot, room_needed, unpack
from protocols.errors import InputError, IntegrityError, PeerError, Problem, StoreError, StoreFullError


class BusyError(StoreError):
    """A firmware is being tried, or installed, right now; it may be asked again later."""


class Installed(NamedTuple):
    """What an installation came to.

    Args:
        slot: Where the firmware is.
        firmware: Which it is.
        good: Whether it is the good one already, and nothing was to be done.
    """

    slot: str
    firmware: Firmware
    good: bool


def install(
    root: Path,
    image: Path,
    *,
    again: bool = False,
    progress: Progress = lambda done, of: None,
    working: Working = lambda: None,
) -> Installed:
    """Put a firmware image into the idle slot, to be tried by the supervisor within a second.

    Args:
        root: The machine's root directory.
        image: The image; its bytes are those that were meant (hash or signature was checked).
        again: Also when this very firmware was given up before.
        progress: Told of bytes read while the image is checked.
        working: Called now and then while it is unpacked.

    Raises:
        InputError: There is no such image, or it is not for this machine.
        PeerError: It is damaged, or not an image.
        BusyError: A firmware is being tried or installed.
        StoreError: The disk failed, or has no room.
    """
    places = Root(root)
    store = StateStore(places)
    store.read()
    opened = open_image(image, progress)
    try:
        with store.alone("installing", wait=False):
            return _install(places, store, opened, again, working)
    except StoreError as error:
        if "held by another process" in str(error):
            raise BusyError(f"{root}: another installation is under way; wait until it is done") from error
        raise


def _install(root: Root, store: StateStore, image: Image, again: bool, working: Working) -> Installed:
    state = store.read()
    firmware = image.manifest.firmware(image.sha256)
    if firmware == state.firmware[state.good] and not state.busy:
        store.change(lambda now: now if now.trial is None or now.busy else states.withdrawn(now))
        return Installed(state.good, firmware, good=True)
    if state.trial is not None and firmware == state.firmware[state.trial.slot]:
        return Installed(state.trial.slot, firmware, good=False)
    _refuse(root, state, image, firmware, again)
    tries = settings.load(root.settings).tries
    if firmware == state.firmware[state.idle] and _is_whole(root.slot(state.idle)):
        state = store.change(lambda now: now if now.busy else states.again(now, tries))
    else:
        state = store.change(lambda now: now if now.busy else states.emptied(now))
        if state.busy:
            raise _busy(root, state)
        unpack(image, root.slot(state.idle), working, root.slot(state.good))
        state = store.change(lambda now: states.offered(now, firmware, tries))
    if state.trial is None:
        raise _busy(root, state)
    return Installed(state.idle, firmware, good=False)


def go_back(root: Path) -> SlotsState:
    """Try what is in the other slot again: the firmware before the good one.

    Raises:
        InputError: There is none, or it cannot read the data.
        IntegrityError: It is damaged.
        BusyError: A firmware is being tried or installed.
    """
    places = Root(root)
    store = StateStore(places)
    with store.alone("installing", wait=False):
        state = store.read()
        if state.busy:
            raise _busy(places, state)
        held = state.firmware[state.idle]
        problems = []
        if held is None:
            problems.append(Problem(str(places.slots), f"slot {state.idle}", "", "a firmware to go back to"))
        elif not _related(state.of(state.good), held):
            expected = f"a firmware that knows data of format {state.data_format}; install its image"
            problems.append(Problem(str(places.slots), f"slot {state.idle}", held.name, expected))
        if problems:
            raise InputError(problems)
        check_slot(places.slot(state.idle))
        tries = settings.load(places.settings).tries
        after = store.change(lambda now: now if now.busy else states.again(now, tries))
    if after.trial is None:
        raise _busy(places, after)
    return after


def _busy(root: Root, state: SlotsState) -> BusyError:
    tried = state.of(state.idle).name if state.trial else "another firmware"
    return BusyError(f"{root.path}: {tried} is being tried now; wait until it is confirmed or given up")


def _is_whole(slot: Path) -> bool:
    try:
        check_slot(slot)
    except IntegrityError:
        return False
    return True


def _refuse(root: Root, state: SlotsState, image: Image, firmware: Firmware, again: bool) -> None:
    if state.busy:
        raise _busy(root, state)
    problems = [Problem(str(image.path), *problem) for problem in misfits(image, state)]
    gone = state.given_up
    if gone is not None and gone.firmware.sha256 == firmware.sha256 and not again:
        expected = f"another firmware: this one was given up ({gone.why}); install it with --again to insist"
        problems.append(Problem(str(image.path), "firmware", firmware.name, expected))
    if problems:
        raise InputError(problems)
    needed = room_needed(image) + moving.room_needed(root, state.data_format, firmware.data_format)
    held = sum(f.stat().st_size for f in root.slot(state.idle).rglob("*") if f.is_file())
    free = shutil.disk_usage(root.slots).free + held
    if free < needed:
        raise StoreFullError(
            f"{root.slots}: expected {needed / 1e6:,.0f} MB of room for {firmware.name}, "
            f"got {free / 1e6:,.0f} MB; free space and install again"
        )


def misfits(image: Image, state: SlotsState | None) -> list[tuple[str, str, str]]:
    """What keeps an image from running on this machine: (place, found, expected).

    Args:
        image: The image.
        state: Of the machine's slots; `None` where there are none yet.
    """
    manifest = image.manifest
    found: list[tuple[str, str, str]] = []
    if manifest.platform not in ("any", machine()):
        found.append(("platform", manifest.platform, f"an image for this machine, {machine()}"))
    library = glibc()
    if library and manifest.glibc and tuple(map(int, manifest.glibc.split("."))) > library:
        have = ".".join(map(str, library))
        found.append(("glibc", manifest.glibc, f"an image for the C library of this machine, {have}"))
    if interpreter(manifest.python) is None:
        expected = (
            f"an image for a Python of this machine; install python{manifest.python[2]}.{manifest.python[3:]}"
        )
        found.append(("python", manifest.python, expected))
    if state is None:
        return found
    good = state.of(state.good)
    if manifest.tier != good.tier:
        found.append(("tier", manifest.tier, f"an image for this tier, {good.tier}"))
    if not _related(good, manifest.firmware("")):
        expected = f"one that knows data of format {good.data_format}, or an older one in between"
        found.append(("data_format", str(manifest.data_format), expected))
    return found


def _related(one: Firmware, other: Firmware) -> bool:
    """Whether data can be brought between two firmwares, by the one that writes the later format."""
    earlier, later = sorted((one, other), key=lambda each: each.data_format)
    return earlier.data_format >= later.data_oldest


__all__ = ["BusyError", "Installed", "PeerError", "install", "misfits"]
