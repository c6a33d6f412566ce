"""Changes several files and the gateway's memory of them as one: all of it or nothing, whenever power fails.

Rules:
1. What is new is written beside and durable before the journal; what is old gets a second name.
   The journal is the commit: without one, what was written beside is swept; with one, the
   change is finished at the next start, however often that start is cut.
2. Every step of finishing can be repeated. The journal goes last.
3. A second name of old content stays as long as a trial may need it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from edge_runtime.config import CONFIG
from edge_runtime.desired.disk import Disk
from edge_runtime.desired.plan import Failure
from edge_runtime.desired.state import State, Suspect, Trial
from protocols.errors import StoreDamagedError
from protocols.limits import EVENT_TEXT_CHARS_MAX

FOLDER = "data/desired"
NEW = f"{FOLDER}/new"
OLD = f"{FOLDER}/old"
JOURNAL = f"{FOLDER}/journal.json"
STATE = f"{FOLDER}/state.json"

STARTS_MAX = 3
"""So many starts that none of them came through, and what is on trial goes back. One may have been a
power cut, two in a row hardly."""

PRIVATE = 0o600
"""A configuration may hold passwords of devices."""

PUBLIC = 0o644


class Changes:
    """Files and state of one home.

    Args:
        disk: The home.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.state = State()

    def open(self) -> bool:
        """Finish or undo what a cut left, and read the state.

        Returns:
            Whether something was finished.

        Raises:
            StoreDamagedError: Journal or state is not what was written.
            StoreError: The disk failed.
        """
        journal = self._disk.read(JOURNAL)
        if journal is not None:
            self._finish(self._parse(journal))
        self.state = self._read_state()
        self._sweep()
        return journal is not None

    def keep(self, state: State) -> None:
        """Make another state durable, with no file changed.

        Raises:
            StoreError: The disk failed; the old state is in force.
        """
        if state != self.state:
            self._replace(STATE, state.pack(), PUBLIC)
            self.state = state

    def forget_old(self) -> None:
        """Let go of old content that no trial needs any more.

        Raises:
            StoreError: The disk failed.
        """
        self._sweep()

    def keep_old(self, paths: Mapping[str, str]) -> dict[str, str | None]:
        """Give old content a second name.

        Args:
            paths: Its name under `old/` by path.

        Returns:
            For each path the name, or `None` where there is no file.

        Raises:
            StoreError: The disk failed.
        """
        kept: dict[str, str | None] = {}
        for path, name in paths.items():
            target = f"{OLD}/{name}"
            self._disk.remove(target)
            if self._disk.sha256(path) is None:
                kept[path] = None
                continue
            self._disk.link(path, target)
            kept[path] = name
        self._disk.sync(OLD)
        return kept

    def old(self, name: str) -> bytes:
        """Old content.

        Raises:
            StoreDamagedError: It is gone.
        """
        data = self._disk.read(f"{OLD}/{name}")
        if data is None:
            raise StoreDamagedError(f"{OLD}/{name}: missing; expected what was there before a change")
        return data

    def apply(self, files: Mapping[str, bytes | None], state: State) -> None:
        """Change files and state as one.

        Args:
            files: New content by path; `None` removes.
            state: What is remembered afterwards.

        Raises:
            StoreError: The disk failed. Nothing was changed, or the change is finished by `open`.
        """
        staged: list[list[str | None]] = []
        for number, (path, data) in enumerate(sorted(files.items())):
            if data is None:
                staged.append([path, None, None])
                continue
            beside = f"{NEW}/{number}"
            self._disk.write(beside, data, PRIVATE if path == CONFIG else PUBLIC)
            staged.append([path, beside, hashlib.sha256(data).hexdigest()])
        self._disk.sync(NEW)
        journal = {"files": staged, "state": state.pack().decode()}
        self._replace(JOURNAL, json.dumps(journal, ensure_ascii=False).encode(), PUBLIC)
        self._finish(journal)
        self.state = state

    # -- trials ------------------------------------------------------------------------------------

    def count_start(self) -> None:
        """The gateway starts with what is on trial, or gives it back after too many starts.

        Raises:
            StoreError: The disk failed.
        """
        trial = self.state.trial
        if trial is None:
            return
        if trial.starts >= STARTS_MAX:
            self.give_back(f"the gateway did not come up in {STARTS_MAX} starts")
        else:
            self.keep(replace(self.state, trial=replace(trial, starts=trial.starts + 1)))

    def give_back(self, why: str, named: Collection[str] = ()) -> list[str]:
        """Undo what is on trial.

        Args:
            why: What happened, in words.
            named: Paths in the home that an error names. Items with such files have failed and go
                back. Without any the last one that was put in place goes back as a suspect, and
                after too many starts all of them as failed.

        Returns:
            The refs that were undone; what is left stays on trial.

        Raises:
            StoreError: The disk failed.
        """
        state, trial = self.state, self.state.trial
        assert trial is not None, "there is something on trial"
        guilty = [item for item in trial.items if set(item.kept) & set(named)]
        suspects = trial.suspects
        if not guilty and trial.starts >= STARTS_MAX:
            guilty = list(trial.items)
        gone = guilty or list(trial.items[-1:])
        files: dict[str, bytes | None] = {}
        for item in gone:
            files |= {path: None if name is None else self.old(name) for path, name in item.kept.items()}
            state = state.with_installed(item.ref, item.before)
            short = why[:EVENT_TEXT_CHARS_MAX]
            if guilty and item.digest:
                state = state.with_failed(item.ref, Failure(item.digest, short))
            elif not guilty:
                suspects = (*suspects, Suspect(item.ref, item.digest, short))
        left = tuple(item for item in trial.items if item not in gone)
        trial = replace(trial, items=left, starts=0, suspects=suspects)
        self.apply(
            files, replace(_judged(state, trial), trial=None) if not left else replace(state, trial=trial)
        )
        self.forget_old()
        return [item.ref for item in gone]

    def confirm(self) -> None:
        """The gateway runs with what is on trial.

        Raises:
            StoreError: The disk failed; it stays on trial.
        """
        if self.state.trial is not None:
            self.keep(replace(_judged(self.state, self.state.trial), trial=None))
            self.forget_old()

    # -- leaves ------------------------------------------------------------------------------------

    def _finish(self, journal: Mapping[str, Any]) -> None:
        folders: set[str] = set()
        for path, beside, sha256 in journal["files"]:
            folders.update(_folders(path))
            if beside is None:
                self._disk.remove(path)
            elif self._disk.sha256(beside) == sha256:
                self._disk.rename(beside, path)
            elif self._disk.sha256(path) != sha256:
                raise StoreDamagedError(
                    f"{path}: expected the new content here or in {beside}, found neither"
                )
        for folder in sorted(folders, reverse=True):
            self._disk.sync(folder)
        self._replace(STATE, str(journal["state"]).encode(), PUBLIC)
        self._disk.remove(JOURNAL)
        self._disk.sync(FOLDER)

    def _parse(self, data: bytes) -> dict[str, Any]:
        try:
            journal = json.loads(data)
            for path, beside, sha256 in journal["files"]:
                if not isinstance(path, str) or (beside is None) != (sha256 is None):
                    raise ValueError("expected path, new file and hash")
            State.parse(str(journal["state"]).encode())
        except (ValueError, KeyError, TypeError) as error:
            raise StoreDamagedError(f"{JOURNAL}: expected what the gateway wrote ({error})") from error
        return journal  # type: ignore[no-any-return]

    def _read_state(self) -> State:
        data = self._disk.read(STATE)
        if data is None:
            return State()
        try:
            return State.parse(data)
        except ValueError as error:
            raise StoreDamagedError(f"{STATE}: expected what the gateway wrote ({error})") from error

    def _replace(self, path: str, data: bytes, mode: int) -> None:
        self._disk.write(path + ".new", data, mode)
        self._disk.rename(path + ".new", path)
        for folder in _folders(path):
            self._disk.sync(folder)

    def _sweep(self) -> None:
        """Remove what no journal and no trial names; nothing is touched when there is nothing."""
        trial = self.state.trial
        needed = set() if trial is None else {name for item in trial.items for name in item.kept.values()}
        for folder, keep in ((NEW, set()), (OLD, needed)):
            gone = [name for name in self._disk.names(folder) if name not in keep]
            for name in gone:
                self._disk.remove(f"{folder}/{name}")
            if gone:
                self._disk.sync(folder)
        for name in (f"{JOURNAL}.new", f"{STATE}.new"):
            if self._disk.sha256(name) is not None:
                self._disk.remove(name)


def _judged(state: State, trial: Trial) -> State:
    """The state when the gateway runs without the suspects: the last of them was at fault."""
    if not trial.suspects or not trial.suspects[-1].digest:
        return state
    ref, digest, why = trial.suspects[-1]
    return state.with_failed(ref, Failure(digest, why))


def _folders(path: str) -> list[str]:
    """The folders that a path leads through, the innermost first.

    >>> _folders("a/b/c")
    ['a/b', 'a', '']
    """
    found = []
    while path:
        path = path.rpartition("/")[0]
        found.append(path)
    return found
