"""Power cuts of small files: what a node's home may look like when power fails between two steps.

Every step that reaches the disk is recorded while a program works on real files: contents that were
flushed, renames, removals, folders made, and folders flushed. `after_a_cut` makes the files anew as
they may be after so many steps: what was flushed is there; a rename or a removal whose folder was not
flushed since may have happened or not; and the file that was being written is torn.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Tree = dict[str, tuple[bytes, int] | None]
"""Contents and modes of files by path; `None` for a folder."""


@dataclass
class Recorded:
    """What was done to the files below a folder.

    Args:
        before: The files at the beginning.
        steps: (call, path, other path or mode, content), in order.
    """

    before: Tree
    steps: list[tuple[str, str, Any, bytes]] = field(default_factory=list)

    def after_a_cut(self, upto: int, folder: Path, chance: random.Random) -> None:
        """Make the files in a folder as they may be when power fails before step `upto`."""
        tree = dict(self.before)
        for index, step in enumerate(self.steps[:upto]):
            if self._is_durable(index, upto) or chance.random() < 0.5:
                _apply(tree, step)
        if upto < len(self.steps) and self.steps[upto][0] == "data":
            _, path, mode, content = self.steps[upto]
            if str(Path(path).parent) in (".", *tree):
                tree[path] = (content[: chance.randrange(len(content) + 1)], mode)
        _write(tree, folder)

    def _is_durable(self, index: int, upto: int) -> bool:
        call, path, other, _ = self.steps[index]
        if call in ("data", "flush"):
            return True
        folders = {str(Path(path).parent)} | ({str(Path(other).parent)} if call == "rename" else set())
        return any(step[0] == "flush" and step[1] in folders for step in self.steps[index + 1 : upto])


@contextmanager
def recorded(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """Record what is done to the files below a folder."""
    record = Recorded(_read(folder))

    def inside(path: Path) -> str | None:
        resolved = path.resolve()
        return str(resolved.relative_to(folder)) if resolved.is_relative_to(folder) else None

    def note(call: str, path: Path, other: Any = None, content: bytes = b"") -> None:
        name = inside(path)
        if name is not None:
            record.steps.append((call, name, other, content))

    fsync = os.fsync

    def flush(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            note("flush", path)
        else:
            note("data", path, path.stat().st_mode & 0o777, path.read_bytes())
        fsync(descriptor)

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Path, *arguments: Any, **options: Any) -> Any:
            there = self.exists()
            other = inside(arguments[0]) if name == "rename" else None
            result = call(self, *arguments, **options)
            if there or name == "folder":
                note(name, self, other)
            return result

        return run

    with patch.context() as context:
        context.setattr(os, "fsync", flush)
        for name, method in (
            ("rename", "replace"),
            ("remove", "unlink"),
            ("folder", "mkdir"),
            ("remove", "rmdir"),
        ):
            context.setattr(Path, method, wrapped(name, getattr(Path, method)))
        yield record


def _apply(tree: Tree, step: tuple[str, str, Any, bytes]) -> None:
    call, path, other, content = step
    if call == "data":
        tree[path] = (content, other)
    elif call == "folder":
        tree.setdefault(path, None)
    elif call == "remove":
        tree.pop(path, None)
    elif call == "rename" and path in tree:
        for name in [name for name in tree if name == path or name.startswith(path + "/")]:
            tree[other + name[len(path) :]] = tree.pop(name)


def _read(folder: Path) -> Tree:
    return {
        str(path.relative_to(folder)): None
        if path.is_dir()
        else (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
    }


def _write(tree: Tree, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in sorted(tree.items()):
        path = folder / name
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content[0])
        path.chmod(content[1])
