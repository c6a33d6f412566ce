"""Flashing a board: only what changed, verified, in an order that any cut leaves flashable.

Order: every changed file is written beside and verified; then the program that ran becomes the old
one; then the new files take their places; the manifest last. Until the manifest fits, the board
starts nothing and waits at its REPL, so that flashing again goes on where it was cut.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from edge_runtime.flash.board import Board, Progress
from edge_runtime.flash.nodebuild import MANIFEST, RULES_CODE, RULES_DESCRIBED, RULES_OLD, manifest


class Flashed(NamedTuple):
    """What flashing did.

    Args:
        copied: Files that were written.
        kept: Files that were right already.
        removed: Files of the flash before that are no more.
        bytes: Written.
    """

    copied: list[str]
    kept: list[str]
    removed: list[str]
    bytes: int


def flash(board: Board, files: dict[str, bytes], progress: Progress | None = None) -> Flashed:
    """Bring files to a board.

    Args:
        board: The board.
        files: All of them by name, but for the manifest; without rules those that are there stay.
        progress: Told how far it is.

    Raises:
        DeviceError: No board answers, or it has no room.
        IntegrityError: What a board holds is not what was written.
    """
    wanted = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    there = {name: board.hash_of(name) for name in [*wanted, RULES_CODE, RULES_DESCRIBED]}
    for name in (RULES_CODE, RULES_DESCRIBED):
        if name not in wanted and there[name]:
            wanted[name] = there[name]
    changed = [name for name in files if there[name] != wanted[name]]
    for name in changed:
        board.write_beside(name, files[name], progress)
    for name, old in RULES_OLD.items():
        if name in changed and there[name]:
            board.move(name, old)
    for name in changed:
        board.rename(name)
    removed = _remove_obsolete(board, wanted)
    described = manifest(wanted)
    if board.hash_of(MANIFEST) != hashlib.sha256(described).hexdigest():
        board.write(MANIFEST, described, progress)
    written = sum(len(files[name]) for name in changed)
    return Flashed(changed, [name for name in files if name not in changed], removed, written)


def _remove_obsolete(board: Board, wanted: dict[str, str]) -> list[str]:
    """Files of the manifest before that are not wanted any more."""
    try:
        before = json.loads(board.read(MANIFEST) or b"{}").get("files", {})
    except (ValueError, AttributeError):
        return []
    removed = [name for name in before if name not in wanted]
    for name in removed:
        board.remove(name)
    return removed
