"""`catchment-flash fleet`: many gateways in one go."""

from __future__ import annotations

import click


@click.command()
def fleet() -> None:
    """Prepare many gateways in one go."""
