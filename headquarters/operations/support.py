"""What headquarters' bundle for support is made of."""

from __future__ import annotations

from pathlib import Path

from headquarters.config import CONFIG, TABLES
from protocols.identity import IDENTITY
from protocols.support import Parts, log_files


def parts(home: Path) -> Parts:
    """Configuration, status, logs of both processes.

    Args:
        home: Of headquarters.
    """
    config = home / CONFIG
    return Parts(
        home,
        [config, home / IDENTITY],
        [],
        home / "data" / "status.json",
        log_files(home, config, "headquarters.log", "web.log"),
        [setting for table in TABLES.values() for setting in table],
    )
