"""Power cuts under code that writes files: everything it does is recorded, and every cut simulated.

Inside `recorded(root)` the calls by which Python changes files are recorded while they happen. The
disk after a cut holds what was flushed (fsync of a file, of a folder, syncfs); of what was not, a
random part: bytes of a file some whole, some torn at a sector, some not at all; names in a folder
made, changed or removed, or not. A rename happens whole or not at all. That is less than POSIX
file systems promise in practice, and all that they promise on paper.

The recording holds itself to account: replayed to its end with nothing torn, it must give the very
tree that is on the disk. Code that writes in a way that is not recorded fails there.
"""

from __future__ import annotations

import builtins
import io
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from protocols import durable

SECTOR = 512


@dataclass
class Call:
    """One change: what, of which file or folder, with what."""

    kind: str
    path: str
    other: str = ""
    at: int = 0
    data: bytes = b""


@dataclass
class Node:
    """A file (content) or a folder (names of nodes)."""

    content: bytearray | None = None
    names: dict[str, Node] = field(default_factory=dict)

    def copy(self) -> Node:
        """A tree of its own."""
        content = None if self.content is None else bytearray(self.content)
        return Node(content, {name: node.copy() for name, node in self.names.items()})

    def write(self, folder: Path) -> None:
        """Put a folder on a real disk."""
        folder.mkdir(parents=True)
        for name, node in self.names.items():
            if node.content is None:
                node.write(folder / name)
            else:
                (folder / name).write_bytes(node.content)


def read_tree(folder: Path) -> Node:
    """A folder of a real disk."""
    node = Node()
    for entry in sorted(folder.iterdir()):
        node.names[entry.name] = read_tree(entry) if entry.is_dir() else Node(bytearray(entry.read_bytes()))
    return node


class Recording:
    """What happened below a folder.

    Args:
        root: The folder; what is in it at first is durable.
        ignore: Names that are no part of the trial, such as locks.
    """

    def __init__(self, root: Path, ignore: Callable[[str], bool] = lambda name: False) -> None:
        self.root = root.resolve()
        self.before = read_tree(root)
        self.calls: list[Call] = []
        self._ignore = ignore

    def name(self, path: Any, folder: int | None = None) -> str:
        """A path as recorded, below the root; empty when it lies elsewhere."""
        if isinstance(path, int):
            return ""
        base = Path(f"/proc/self/fd/{folder}").readlink() if folder is not None else Path.cwd()
        full = Path(os.path.normpath(base / os.fspath(path)))
        if not full.is_relative_to(self.root) or self._ignore(full.name):
            return ""
        return full.relative_to(self.root).as_posix()

    def note(self, kind: str, path: Any, **more: Any) -> None:
        """Record a call that succeeded."""
        if path:
            self.calls.append(Call(kind, path, **more))

    # -- the disk after a cut --------------------------------------------------------------------

    def after_a_cut(self, upto: int, chance: random.Random | None) -> Node:
        """The tree when power fails after `upto` calls; with no chance, as it is without a cut."""
        tree = self.before.copy()
        durable_calls = self._durable(upto) if chance is not None else set()
        nodes: dict[str, Node] = {}
        _index(tree, "", nodes)
        for number, call in enumerate(self.calls[:upto]):
            whole = chance is None or number in durable_calls
            if whole or (chance is not None and chance.random() < 0.5):
                torn = None if whole else chance
                self._apply(nodes, call, torn)
        return nodes[""]

    def _durable(self, upto: int) -> set[int]:
        """Calls that a later flush made durable."""
        kept: set[int] = set()
        for number, call in enumerate(self.calls[:upto]):
            if call.kind == "syncfs":
                kept.update(range(number))
            elif call.kind == "fsync":
                kept.update(n for n in range(number) if self._touches_content(n, number, call.path))
            elif call.kind == "fsync-folder":
                kept.update(n for n in range(number) if self._names_in(self.calls[n], call.path))
        return kept

    def _touches_content(self, earlier: int, now: int, path: str) -> bool:
        """Whether an earlier call changed the content of what is called `path` now."""
        call, name = self.calls[earlier], self.calls[earlier].path
        if call.kind not in ("write", "truncate"):
            return False
        for later in self.calls[earlier + 1 : now]:
            if later.kind == "rename" and (name == later.path or name.startswith(later.path + "/")):
                name = later.other + name[len(later.path) :]
        return name == path

    def _names_in(self, call: Call, folder: str) -> bool:
        names = [call.path, call.other] if call.kind == "rename" else [call.path]
        made = call.kind in ("create", "mkdir", "unlink", "rmdir", "rename")
        return made and any(_parent(name) == folder for name in names if name)

    def _apply(self, nodes: dict[str, Node], call: Call, torn: random.Random | None) -> None:
        parent = nodes.get(_parent(call.path))
        here = call.path.rsplit("/", 1)[-1]
        if call.kind in ("create", "mkdir"):
            if parent is not None and here not in parent.names:
                _link(nodes, parent, call.path, Node(bytearray() if call.kind == "create" else None))
        elif call.kind in ("write", "truncate"):
            node = nodes.get(call.path)
            if node is not None and node.content is not None:
                _change(node.content, call, torn)
        elif call.kind in ("unlink", "rmdir"):
            node = nodes.get(call.path)
            if parent is not None and node is not None and not node.names:
                _unlink(nodes, parent, call.path)
        elif call.kind == "rename":
            node, target = nodes.get(call.path), nodes.get(_parent(call.other))
            if node is None or parent is None or target is None:
                return
            over = nodes.get(call.other)
            if over is not None and (over.names or (over.content is None) != (node.content is None)):
                return
            if over is not None:
                _unlink(nodes, target, call.other)
            _unlink(nodes, parent, call.path)
            _link(nodes, target, call.other, node)

    def agree(self) -> None:
        """Replayed whole, the recording gives what is on the disk."""
        replayed, found = self.after_a_cut(len(self.calls), None), read_tree(self.root)
        assert _same(replayed, found, self._ignore), "something was written past the recording"


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _index(node: Node, name: str, nodes: dict[str, Node]) -> None:
    nodes[name] = node
    for below, child in node.names.items():
        _index(child, f"{name}/{below}".lstrip("/"), nodes)


def _link(nodes: dict[str, Node], parent: Node, name: str, node: Node) -> None:
    parent.names[name.rsplit("/", 1)[-1]] = node
    _index(node, name, nodes)


def _unlink(nodes: dict[str, Node], parent: Node, name: str) -> None:
    parent.names.pop(name.rsplit("/", 1)[-1], None)
    for each in [each for each in nodes if each == name or each.startswith(name + "/")]:
        del nodes[each]


def _change(content: bytearray, call: Call, torn: random.Random | None) -> None:
    if call.kind == "truncate":
        del content[call.at :]
        return
    data = call.data
    if torn is not None and torn.random() < 0.4:
        data = data[: torn.randrange(len(data) + 1) // SECTOR * SECTOR]
    content.extend(bytes(max(0, call.at - len(content))))
    content[call.at : call.at + len(data)] = data


def _same(one: Node, other: Node, ignore: Callable[[str], bool]) -> bool:
    names = {name for name in one.names.keys() | other.names.keys() if not ignore(name)}
    return one.content == other.content and all(
        name in one.names and name in other.names and _same(one.names[name], other.names[name], ignore)
        for name in names
    )


class _File(io.FileIO):
    """A file below the root, whose writes are recorded."""

    recording: Recording
    recorded_name: str

    def write(self, data: Any) -> int:
        at = self.seek(0, os.SEEK_END) if "a" in self.mode else self.tell()
        written = super().write(data)
        self.recording.note("write", self.recorded_name, at=at, data=bytes(memoryview(data)[:written]))
        return written


@contextmanager
def recorded(root: Path, ignore: Callable[[str], bool] = lambda name: False) -> Iterator[Recording]:
    """Record what this process changes below a folder; check the recording at the end.

    Nothing is flushed for real: only the simulated cuts would tell.
    """
    recording = Recording(root, ignore)
    real_open = io.open

    def open_(file: Any, mode: str = "r", buffering: int = -1, *more: Any, **named: Any) -> Any:
        name = recording.name(file)
        if not name or not set(mode) & set("wxa+"):
            return real_open(file, mode, buffering, *more, **named)
        existed = os.path.exists(file)  # noqa: PTH110 - below patched pathlib
        raw = _File(file, mode.replace("b", "").replace("t", ""))
        raw.recording, raw.recorded_name = recording, name
        if not existed:
            recording.note("create", name)
        elif "w" in mode:
            recording.note("truncate", name, at=0)
        buffered = io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding=named.get("encoding"), newline=named.get("newline"))

    def fsync(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        where = Path(f"/proc/self/fd/{number}").readlink()
        if where == recording.root:
            recording.calls.append(Call("fsync-folder", ""))
        else:
            recording.note("fsync-folder" if where.is_dir() else "fsync", recording.name(where))

    def flush_filesystem(folder: Path) -> None:
        recording.calls.append(Call("syncfs", ""))

    def changing(real: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def call(path: Any, *more: Any, **named: Any) -> Any:
            name = recording.name(path, named.get("dir_fd"))
            done = real(path, *more, **named)
            recording.note(kind, name)
            return done

        return call

    def renaming(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(source: Any, target: Any, **named: Any) -> Any:
            old, new = recording.name(source), recording.name(target)
            done = real(source, target, **named)
            recording.note("rename", old, other=new)
            return done

        return call

    with (
        patch.object(io, "open", open_),
        patch.object(builtins, "open", open_),
        patch.object(os, "fsync", fsync),
        patch.object(durable, "flush_filesystem", flush_filesystem),
        patch.object(os, "mkdir", changing(os.mkdir, "mkdir")),
        patch.object(os, "unlink", changing(os.unlink, "unlink")),
        patch.object(os, "remove", changing(os.remove, "unlink")),
        patch.object(os, "rmdir", changing(os.rmdir, "rmdir")),
        patch.object(os, "rename", renaming(os.rename)),
        patch.object(os, "replace", renaming(os.replace)),
        patch.object(shutil, "_USE_CP_SENDFILE", False),
    ):
        yield recording
    recording.agree()
