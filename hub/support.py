"""What a hub's bundle for support is made of."""

from __future__ import annotations

from pathlib import Path

from hub.config import CONFIG
from protocols.identity import IDENTITY
from protocols.support import Parts, log_files


def parts(home: Path) -> Parts:
    """Configuration, status, log.

    Args:
        home: Of the hub.
    """
    config = home / CONFIG
    return Parts(
        home,
        [config, home / IDENTITY],
        [],
        home / "data" / "status.json",
        log_files(home, config, "hub.log"),
    )
