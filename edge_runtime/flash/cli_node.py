"""`catchment-flash node`: MicroPython boards."""

from __future__ import annotations

import click


@click.group()
def node() -> None:
    """Flash, configure and watch MicroPython boards on a serial port."""
