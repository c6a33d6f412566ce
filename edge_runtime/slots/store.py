"""Where slots lie on the disk, and their state: one small file, replaced whole.

::

    ROOT/
      boot.py            starts the supervisor of the good slot (see `boot`)
      supervisor.toml    settings, where the defaults do not suit
      slots/
        state            which slot is good, what is to be tried
        a/  b/           run.py, lib/, defaults/, firmware.toml, sbom.cdx.json, files.sha256
      home/              configuration, keys, data: outside the slots

Rules:
1. Who changes the state holds the lock from reading to writing, for milliseconds; who installs
   holds another lock all the while.
2. The state file is durable before anything acts on it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_runtime.slots.states import (
    SLOTS,
    Firmware,
    GivenUp,
    Move,
    Pace,
    Phase,
    SlotsState,
    Trial,
)
from protocols.durable import write_durably
from protocols.errors import InputError, Problem, StoreDamagedError, StoreError

FORMAT = 1

MANIFEST = "firmware.toml"
SBOM = "sbom.cdx.json"
FILES = "files.sha256"
LIBRARY = "lib"
DEFAULTS = "defaults"
LAUNCHER = "run.py"
COMPILED = "compiled"

Change = Callable[[SlotsState], SlotsState]


class Root:
    """The places below a machine's root directory.

    Args:
        path: The root directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.slots = path / "slots"
        self.home = path / "home"
        self.state = self.slots / "state"
        self.spool = self.home / "firmware-events"
        self.status = self.slots / "supervisor.json"
        self.settings = path / "supervisor.toml"

    def slot(self, name: str) -> Path:
        """The directory of a slot."""
        assert name in SLOTS
        return self.slots / name

    def launcher(self, name: str) -> Path:
        """What starts the programs of a slot."""
        return self.slot(name) / LAUNCHER


class StateStore:
    """The state file of a root.

    Args:
        root: The root.
    """

    def __init__(self, root: Root) -> None:
        self._root = root

    def read(self) -> SlotsState:
        """The state as it is on the disk.

        Raises:
            InputError: There is none: no image was ever written here.
            StoreDamagedError: It cannot be read.
        """
        path = self._root.state
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            expected = "a machine's root, made with: catchment-flash image write IMAGE --to DIR"
            raise InputError([Problem(str(path), "file", "", expected)]) from error
        except (OSError, UnicodeDecodeError) as error:
            raise StoreDamagedError(f"{path}: cannot be read ({error}); see `slots show`") from error
        return parse(text, str(path))

    def change(self, change: Change) -> SlotsState:
        """Read the state, change it and make it durable, alone.

        Raises:
            InputError, StoreError: As `read`, or the disk failed; the state is as it was.
        """
        with self.alone("lock"):
            before = self.read()
            after = change(before)
            if after != before:
                self.write(after)
            return after

    def write(self, state: SlotsState) -> None:
        """Make a state durable, whatever was there.

        Raises:
            StoreError: The disk failed.
        """
        write_durably(self._root.state, render(state))

    @contextmanager
    def alone(self, name: str, wait: bool = True) -> Iterator[None]:
        """Keep every other process that asks for the same lock away meanwhile.

        Raises:
            StoreError: It cannot be made, or is held and `wait` is false.
        """
        path = self._root.slots / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}; fix its permissions") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                raise StoreError(f"{path} is held by another process; wait until it is done") from error
            yield
        finally:
            os.close(descriptor)


def render(state: SlotsState) -> str:
    """The state as the text of its file."""
    return json.dumps({"format": FORMAT, **asdict(state), "trial": _trial(state.trial)}, indent=1) + "\n"


def _trial(trial: Trial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    pace = None if trial.pace is None else trial.pace._asdict()
    return {**asdict(trial), "pace": pace}


def parse(text: str, place: str) -> SlotsState:
    """Read the text of a state file.

    Raises:
        StoreDamagedError: It is not one, or of a later format.
    """
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}, expected {FORMAT}")
        return _state(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamagedError(
            f"{place}: expected the state of slots ({error}); "
            "it is made anew from what is in the slots when the supervisor starts"
        ) from error


def _state(document: Mapping[str, Any]) -> SlotsState:
    held = {slot: _firmware(document["firmware"][slot]) for slot in SLOTS}
    trial, given_up, move = document["trial"], document["given_up"], document["move"]
    state = SlotsState(
        int(document["number"]),
        str(document["good"]),
        held,
        int(document["data_format"]),
        None if trial is None else _trial_of(trial),
        None if given_up is None else _given_up(given_up),
        None
        if move is None
        else Move(int(move["source"]), int(move["target"]), str(move["runner"]), Phase(move["phase"])),
    )
    wanted = {state.good} | ({state.trial.slot} if state.trial else set())
    if any(held.get(slot) is None for slot in wanted):
        raise ValueError("a slot that is wanted is empty")
    return state


def _firmware(entry: Mapping[str, Any] | None) -> Firmware | None:
    if entry is None:
        return None
    return Firmware(
        id=str(entry["id"]),
        version=str(entry["version"]),
        sha256=str(entry["sha256"]),
        tier=str(entry["tier"]),
        python=str(entry["python"]),
        data_format=int(entry["data_format"]),
        data_oldest=int(entry["data_oldest"]),
    )


def _trial_of(entry: Mapping[str, Any]) -> Trial:
    pace = entry["pace"]
    return Trial(
        str(entry["slot"]),
        int(entry["tries_left"]),
        int(entry["cuts"]),
        str(entry["boot"]),
        None if pace is None else Pace(**pace),
    )


def _given_up(entry: Mapping[str, Any]) -> GivenUp:
    firmware = _firmware(entry["firmware"])
    assert firmware is not None
    return GivenUp(firmware, str(entry["why"]), int(entry["time_us"]))
