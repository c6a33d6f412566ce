"""Before a gateway reads its configuration: what a power cut left half done is finished."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.config import GatewayConfig
from edge_runtime.configread import load
from protocols.errors import InputError


def load_home(home: Path) -> GatewayConfig:
    """The configuration of a home, after an interrupted change was finished.

    What is on trial and keeps the configuration from being read goes back.

    Raises:
        InputError: With every problem of the configuration.
        StoreError: The disk failed, or another process runs on this home.
    """
    if not (home / "data" / "desired").is_dir():
        return load(home)
    from edge_runtime.desired.changes import JOURNAL, Changes
    from edge_runtime.desired.disk import HomeDisk
    from protocols.daemon import alone

    changes = Changes(HomeDisk(home))
    if (home / JOURNAL).exists():
        with alone(home / "data"):
            changes.open()
    while True:
        try:
            return load(home)
        except InputError as error:
            with alone(home / "data"):
                changes.open()
                if changes.state.trial is None:
                    raise
                changes.give_back(str(error), [p.file.removeprefix(f"{home}/") for p in error.problems])
