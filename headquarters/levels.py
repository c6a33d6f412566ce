"""What runs at which level.

Level 1 is headquarters of the group, 2 stands beside a hub, 3 in a large plant. A platform of level
2 or 3 is fed by its hub as one more upstream, and has lake, queries and API of what passes there.
The portal, and the way down to gateways, are level 1's: gateways believe its keys alone.

>>> has(1, "portal"), has(2, "portal"), has(2, "api")
(True, False, True)
"""

from __future__ import annotations

MODULES = {
    "ingest": frozenset({1, 2, 3}),
    "lake": frozenset({1, 2, 3}),
    "api": frozenset({1, 2, 3}),
    "portal": frozenset({1}),
    "control": frozenset({1}),
}
"""Which modules there are at which levels; `control` is all that changes gateways."""

CONTROL = frozenset(
    {
        "alarms:act",
        "commands:send",
        "commands:write",
        "desired:write",
        "gateways:approve",
        "gateways:revoke",
        "rollouts:control",
    }
)
"""Permissions of what changes gateways."""

CONTROLLING = "headquarters of level 1: gateways take nothing from other platforms; ask there"
"""What is expected by who would change gateways."""


def has(level: int, module: str) -> bool:
    """Whether a module runs at a level."""
    return level in MODULES[module]
