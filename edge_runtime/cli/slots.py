"""`catchment-edge slots`: look at the slots of a machine, install firmware, go back."""

from __future__ import annotations

from edge_runtime.slots.commands import slots_commands, supervise_command
from edge_runtime.slots.tier import Tier


def tier() -> Tier:
    """The gateway's tier."""
    from edge_runtime.supervised import TIER

    return TIER


COMMANDS = slots_commands(tier)
SUPERVISE = supervise_command(tier)
