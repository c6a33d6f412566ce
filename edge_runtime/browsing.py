"""Looks into a device for what could be collected, and makes a point table of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from edge_runtime.check import make_driver
from edge_runtime.config import GatewayConfig
from protocols import limits
from protocols.errors import DeviceError
from protocols.field.base import BrowsedNode
from protocols.points import Point
from protocols.pointtable import write_rows
from protocols.tablefile import write_csv


async def browse_device(
    config: GatewayConfig, device: str, limit: int, timeout_s: float
) -> list[BrowsedNode]:
    """The variables that a device offers.

    Args:
        config: The devices.
        device: One of them.
        limit: Most variables to ask for.
        timeout_s: Longest wait for all of it.

    Raises:
        DeviceError: It did not answer, or its protocol has nothing to browse.
        InputError: Its settings do not fit together.
    """
    driver = make_driver(config, config.devices[device])
    try:
        async with asyncio.timeout(timeout_s):
            await driver.connect()
            return await driver.browse(limit)
    except TimeoutError as error:
        raise DeviceError(f"{device}: no answer within {timeout_s:g} s; try a longer --timeout") from error
    finally:
        await driver.close()


def table_of(nodes: Sequence[BrowsedNode], device: str, scan_class: str) -> str:
    """A point table of the variables that can be collected, named by their paths."""
    points = []
    taken: set[str] = set()
    for node in nodes:
        if node.type is None:
            continue
        name = _name(node.path, taken)
        taken.add(name)
        description = " ".join(node.description.split())[: limits.POINT_TEXT_CHARS_MAX]
        points.append(Point(0, name, device, node.address, node.type, scan_class, description=description))
    return write_csv(write_rows(points))


def _name(path: str, taken: set[str]) -> str:
    """The path as a name: printable, not too long, not taken."""
    plain = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in path)).strip(" /") or "point"
    name = plain[-limits.POINT_NAME_CHARS_MAX :]
    number = 2
    while name in taken:
        suffix = f"~{number}"
        name = plain[-limits.POINT_NAME_CHARS_MAX + len(suffix) :] + suffix
        number += 1
    return name
