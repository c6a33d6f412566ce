"""The files that a reader of the repository sees."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def tracked_files() -> tuple[Path, ...]:
    """All files under version control that exist."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    names = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\0")
    return tuple(ROOT / name for name in names if name and (ROOT / name).is_file())


@cache
def text_of(path: Path) -> str:
    """The text of a file; empty for one that is not text."""
    data = path.read_bytes()
    return "" if b"\0" in data else data.decode("utf-8")


def python_files(*rooms: str) -> list[Path]:
    """Tracked Python files under the given top-level folders."""
    return [
        path for path in tracked_files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in rooms
    ]


def documents() -> list[Path]:
    """Tracked Markdown files that speak to users: the README and docs/, without decisions."""
    return [
        path
        for path in tracked_files()
        if path.suffix == ".md" and "decisions" not in path.parts and path.name != "CHANGELOG.md"
    ]
