"""Grants that may undo each other: two points that are the same, or parts of the same, at a device.

One point with two grants is refused when apps are loaded. That two points share registers, or
two devices of the configuration are one, may be meant: it is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_runtime.apps.installed import Grant, InstalledApp
from edge_runtime.config import GatewayConfig
from protocols.errors import Problem
from protocols.field import registry


def collisions(config: GatewayConfig, apps: Sequence[InstalledApp]) -> Iterator[Problem]:
    """A warning for each grant on what an earlier one writes, too.

    Args:
        config: The gateway.
        apps: What is installed.
    """
    owners: dict[str, str] = {}
    for app in apps:
        for grant in app.grants:
            places = _places(config, grant)
            first = next((owners[place] for place in sorted(places) if place in owners), "")
            if first:
                where = f"[grant.{grant.instance}.{grant.output}] point"
                value = f"{grant.point.name} ({grant.point.address})"
                expected = f"a place at the device that nothing else writes; {first} does"
                yield Problem(str(app.settings), where, value, expected)
            whose = f"{app.id}, instance {grant.instance}, output {grant.output}, point {grant.point.name}"
            for place in places:
                owners.setdefault(place, whose)


def _places(config: GatewayConfig, grant: Grant) -> frozenset[str]:
    point = grant.point
    device = config.devices[point.device]
    kind = registry.driver_type(device.driver)
    settings, problems = registry.validate(kind, device.settings, "", f"[device.{device.name}]")
    assert not problems, "the configuration was checked when it was loaded"
    return kind.places(point.address, point.type, settings)
