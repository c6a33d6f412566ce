"""`catchment-edge support`: a bundle for whoever helps."""

from __future__ import annotations

from pathlib import Path

import click

from edge_runtime.config import CONFIG, POINTS
from edge_runtime.settings import SECTIONS
from protocols.field import registry
from protocols.identity import IDENTITY
from protocols.support import Parts, log_files
from protocols.supportcommands import bundle_command


def parts(home: Path) -> Parts:
    """Configuration, points, settings of apps, status, log.

    Args:
        home: Of the gateway.
    """
    config = home / CONFIG
    drivers = [setting for name in registry.names() for setting in registry.driver_type(name).settings]
    return Parts(
        home,
        [config, home / IDENTITY, *sorted((home / "apps").glob("*.toml"))],
        [home / POINTS],
        home / "data" / "status.json",
        log_files(home, config, "gateway.log"),
        [*drivers, *(setting for section in SECTIONS.values() for setting in section.settings)],
    )


COMMANDS: dict[str, click.Command] = {"bundle": bundle_command(parts)}
