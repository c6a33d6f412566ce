"""The gateway's own log lines, wherever they are kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def log_lines(directory: Path | None, kept: Iterable[str]) -> list[str]:
    """The lines of the log files, the oldest first; those in memory where there are no files."""
    if directory is None:
        return list(kept)
    files = sorted(directory.glob("gateway.log*"), key=lambda path: path.stat().st_mtime)
    lines: list[str] = []
    for path in files:
        lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines
