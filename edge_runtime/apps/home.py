"""Where installed apps are in a gateway's home."""

from __future__ import annotations

from pathlib import Path

FOLDER = "apps"


def settings_files(home: Path) -> list[Path]:
    """The settings of all installed apps, by name."""
    return sorted((home / FOLDER).glob("*.toml"))
