"""Where installed apps are in a gateway's home."""

from __future__ import annotations

from pathlib import Path

FOLDER = "apps"


def settings_files(home: Path) -> list[Path]:
    """The settings of all installed apps, by name."""
    return sorted((home / FOLDER).glob("*.toml"))


def model_files(app: str, model: str) -> tuple[str, str]:
    """Where the model that takes the place of an app's own is, and what says which one it is.

    >>> model_files("monitoring", "pca")
    ('models/monitoring/pca.onnx', 'models/monitoring/pca.toml')
    """
    return f"models/{app}/{model}.onnx", f"models/{app}/{model}.toml"
