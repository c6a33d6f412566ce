"""Log files that end: by size, by age, and by number. Settings of all tiers.

Rules:
1. A file is closed when it is as large, or its first line as old, as is set; it becomes `NAME.1`, the one
   before `NAME.2`, and so on up to as many as are kept. A restart changes nothing of that.
2. A closed file whose last line is older than twice that age is removed when the next one is closed.
3. A file that cannot be written or renamed never stops the node: lines are lost, standard error has them.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from protocols.field.settings import Kind, Setting

DAY_S = 86_400.0

LEVEL = Setting("level", Kind.TEXT, "Least level.", "info", choices=("debug", "info", "warning", "error"))
FILES = (
    Setting("directory", Kind.TEXT, "Log files are kept here as well."),
    Setting(
        "file_mb",
        Kind.INTEGER,
        "Size at which a log file is closed and the next begun.",
        10,
        low=1,
        high=1024,
        unit="MiB",
    ),
    Setting(
        "file_days",
        Kind.INTEGER,
        "Age at which a log file is closed; closed ones of twice that age are removed. 0: size alone counts.",
        30,
        low=0,
        high=3650,
        unit="days",
    ),
    Setting("files_max", Kind.INTEGER, "Closed log files that are kept.", 5, low=1, high=1000),
)
LOG = (LEVEL, *FILES)
"""`[log]` of a hub and of headquarters."""


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Where log lines go beside standard error.

    Args:
        level: Least level.
        directory: Log files are kept here; `None` for standard error only.
        file_bytes_max: Size at which a log file is closed and the next begun.
        file_age_s: Age at which it is; 0 for any.
        files_max: Closed log files that are kept.
    """

    level: str = "info"
    directory: Path | None = None
    file_bytes_max: int = 10 << 20
    file_age_s: float = 30 * DAY_S
    files_max: int = 5

    @classmethod
    def of(cls, home: Path, values: Mapping[str, Any]) -> LogConfig:
        """From the checked settings of `[log]`.

        Args:
            home: The node's directory, which paths are seen from.
            values: By name of the setting.
        """
        return cls(
            values["level"],
            home / values["directory"] if values["directory"] else None,
            values["file_mb"] << 20,
            values["file_days"] * DAY_S,
            values["files_max"],
        )

    def file(self, name: str) -> Path | None:
        """The log file of a process; `None` for none."""
        return None if self.directory is None else self.directory / name


class LogFile(RotatingFileHandler):
    """Writes lines, and closes files by size and by age.

    Args:
        path: The file; its folder is made.
        bytes_max: Its size.
        age_s: Its age; 0 for any.
        files_max: Closed files that are kept.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        bytes_max: int,
        age_s: float,
        files_max: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._age_s = age_s
        self._clock = clock
        self._began = _first_time(path)
        super().__init__(path, maxBytes=bytes_max, backupCount=files_max, encoding="utf-8")

    def shouldRollover(self, record: logging.LogRecord) -> int:  # noqa: N802 - the name of the library
        """Whether the next line goes into a new file."""
        now = self._clock()
        if self._began is None:  # an empty file takes any line
            self._began = now
            return 0
        old = self._age_s > 0 and now - self._began >= self._age_s
        return 1 if old else int(super().shouldRollover(record))

    def doRollover(self) -> None:  # noqa: N802
        """Close the file, begin the next, and remove closed ones that are too old."""
        self._began = None
        super().doRollover()
        self._began = self._clock()
        if self._age_s <= 0:
            return
        for number in range(1, self.backupCount + 1):
            closed = Path(f"{self.baseFilename}.{number}")
            with suppress(OSError):
                if self._clock() - closed.stat().st_mtime > 2 * self._age_s:
                    closed.unlink()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Lose the line: a full disk is told of elsewhere, and must not end what logs."""


def lines_of(file: Path) -> list[str]:
    """All lines of a log, the oldest first: of its closed files and of the one that is written.

    Args:
        file: The one that is written.
    """
    found: list[str] = []
    closed = [path for path in file.parent.glob(file.name + ".*") if path.suffix[1:].isdigit()]
    for path in (*sorted(closed, key=lambda path: -int(path.suffix[1:])), file):
        with suppress(OSError):
            found += path.read_text(encoding="utf-8", errors="replace").splitlines()
    return found


def _first_time(path: Path) -> float | None:
    """When the first line was written, which no restart and no copy changes; `None` for an empty file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            line = file.readline()
    except OSError:
        return None
    if not line:
        return None
    try:
        return datetime.fromisoformat(json.loads(line)["time"]).timestamp()
    except (ValueError, KeyError, TypeError):
        with suppress(OSError):
            return path.stat().st_mtime
        return None
