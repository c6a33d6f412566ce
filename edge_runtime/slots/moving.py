"""Brings the data directory from one format to another, and back.

Rules:
1. The data itself is never changed: a copy is migrated beside it (`data.next`), made durable, and
   takes its place by renaming. The state says before each step which one is under way, so that
   after a power cut it is begun again, or finished.
2. The old data (`data.keep`) stays until the new firmware is confirmed.
3. When the new firmware is given up, its own program brings a copy of the data back, so that
   what was collected meanwhile stays. When it cannot, the old data takes its place again and the
   new data is set aside as `data.tried`, which stays until the next migration.
4. The program that knows both formats does it: that of the greater one.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_runtime.slots import states
from edge_runtime.slots.states import Move, Phase, SlotsState
from edge_runtime.slots.store import Root, StateStore
from protocols import durable
from protocols.errors import CatchmentError, StoreError

Migrate = Callable[[str, Path, int, int], None]
"""Bring a folder (slot whose program does it, folder, from, to); raises `MoveError`."""


class MoveError(CatchmentError):
    """Data could not be brought to another format; it is as it was."""


class Mover:
    """Moves the data directory of a root; nothing else may use it meanwhile.

    Args:
        root: The root.
        store: Its state.
        migrate: Runs the program that migrates.
    """

    def __init__(self, root: Root, store: StateStore, migrate: Migrate) -> None:
        self._store = store
        self._migrate = migrate
        self._data = root.home / "data"
        self._next = root.home / "data.next"
        self._keep = root.home / "data.keep"
        self._tried = root.home / "data.tried"

    def bring(self, slot: str) -> None:
        """Bring the data to the format of the firmware in a slot; finish what was begun before.

        Raises:
            MoveError: It cannot be done; the data is in its old format.
            StoreError: The disk failed; the next call goes on.
        """
        state = self._finish(self._store.read())
        wanted = state.of(slot).data_format
        if state.move is not None and state.move.source == wanted:
            self._back(state.move)
        elif state.data_format != wanted:
            runner = max(states.SLOTS, key=lambda each: _format(state, each))
            self._forward(Move(state.data_format, wanted, runner, Phase.PREPARING))

    def settle(self) -> None:
        """Forget the old data: the firmware that writes the new format is confirmed."""
        state = self._finish(self._store.read())
        if state.move is not None and state.trial is None:
            self._discard(self._keep)
            self._discard(self._tried)
            self._store.change(lambda now: states.moved(now, None))

    def _finish(self, state: SlotsState) -> SlotsState:
        """After a power cut: begin again what changed nothing yet, finish the rest."""
        move = state.move
        if move is None or move.phase is Phase.KEPT:
            return state
        if move.phase is Phase.PREPARING:
            return self._store.change(lambda now: states.moved(now, None))
        if move.phase is Phase.SWITCHING:
            return self._switch(move)
        if move.phase is Phase.RETURNING:
            return self._enter(replace(move, phase=Phase.KEPT))
        return self._switch_back(move)

    def _enter(self, move: Move) -> SlotsState:
        return self._store.change(lambda now: states.moved(now, move))

    def _forward(self, move: Move) -> None:
        self._enter(move)
        try:
            self._discard(self._keep)
            self._discard(self._tried)
            self._copy_and_migrate(move.runner, move.source, move.target)
        except (MoveError, StoreError) as error:
            self._discard(self._next)
            self._store.change(lambda now: states.moved(now, None))
            raise MoveError(
                f"data of format {move.source} cannot be brought to {move.target}: {error}"
            ) from error
        switching = replace(move, phase=Phase.SWITCHING)
        self._enter(switching)
        self._switch(switching)

    def _switch(self, move: Move) -> SlotsState:
        self._replace(self._next, self._keep)
        kept = replace(move, phase=Phase.KEPT)
        return self._store.change(lambda now: states.moved(now, kept, move.target))

    def _back(self, move: Move) -> None:
        self._enter(replace(move, phase=Phase.RETURNING))
        try:
            self._copy_and_migrate(move.runner, move.target, move.source)
            phase = Phase.SWITCHING_BACK
        except (MoveError, StoreError):
            self._discard(self._next)
            phase = Phase.RESTORING
        back = replace(move, phase=phase)
        self._enter(back)
        self._switch_back(back)

    def _switch_back(self, move: Move) -> SlotsState:
        if move.phase is Phase.SWITCHING_BACK:
            self._replace(self._next, self._tried)
            self._discard(self._keep)
            self._discard(self._tried)
        else:
            self._replace(self._keep, self._tried)
        return self._store.change(lambda now: states.moved(now, None, move.source))

    def _replace(self, by: Path, aside: Path) -> None:
        """Set the data aside and put another directory in its place; may be called again at any time."""
        if by.exists():
            if self._data.exists():
                durable.move_durably(self._data, aside)
            durable.move_durably(by, self._data)

    def _copy_and_migrate(self, runner: str, source: int, target: int) -> None:
        self._discard(self._next)
        try:
            if self._data.exists():
                shutil.copytree(self._data, self._next, symlinks=True, ignore=_special)
            else:
                self._next.mkdir(parents=True)
        except (OSError, shutil.Error) as error:
            raise StoreError(
                f"{self._next}: cannot copy the data ({error!s:.200}); free disk space"
            ) from error
        self._migrate(runner, self._next, source, target)
        durable.flush_filesystem(self._next)

    def _discard(self, folder: Path) -> None:
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror}; remove it by hand") from error


def room_needed(root: Root, source: int, target: int) -> int:
    """Bytes that a migration takes beside the data: a copy forward, and one back."""
    data = root.home / "data"
    if source == target or not data.exists():
        return 0
    return 2 * sum(path.stat().st_size for path in data.rglob("*") if path.is_file())


def _format(state: SlotsState, slot: str) -> int:
    firmware = state.firmware[slot]
    return 0 if firmware is None else firmware.data_format


def _special(folder: str, names: list[str]) -> list[str]:
    """Sockets and the like, which no copy needs."""
    kinds = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
    return [name for name in names if not any(kind(os.lstat(Path(folder) / name).st_mode) for kind in kinds)]
