"""Headquarters is dark for as long as a hub's cache is to last: 89 of the ninety days of the window.

The clocks of all nodes are set forward by so long while headquarters is down. Meanwhile the hub
is killed, gateways reboot, certificates come due, and the first ring of a roll-out takes its app:
one gateway that was switched off when it was released, and one that comes up for the first time.
The hub alone must do for all of them; what is headquarters' to decide waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from headquarters.updates import Updates
from protocols.calls import CallClient
from protocols.identity import Identity
from protocols.standing import read_standing
from protocols.updates.client import Source
from scripts.plant.layout import Protocol
from tests.attacks.lying import first_point, in_lake
from tests.faults.enrolled import EnrolledRiver, until
from tests.faults.river import Node, PlantServer
from tests.faults.test_desired_river import WANTED, Managed, operate

DAY_US = 86_400 * 1_000_000
DARK_DAYS = 89


class AgingRiver(EnrolledRiver):
    """All nodes have one wall clock, which can be set forward."""

    security = "certificate_days = 90\n"  # so that it comes due within the offline window

    def _node(self, name: str, tier: str, home: Path, address: str, plant: PlantServer | None = None) -> Node:
        node = super()._node(name, tier, home, address, plant)
        node.replaced("aged", str(self.offset))
        return node

    @property
    def offset(self) -> Path:
        """The file that says by how many microseconds it is off."""
        return self.root / "offset"

    def set_off(self, microseconds: int) -> None:
        """Set it."""
        new = self.offset.with_suffix(".new")
        new.write_text(str(microseconds), encoding="ascii")
        new.replace(self.offset)


@pytest.fixture
def river(tmp_path: Path) -> Iterator[AgingRiver]:
    river = AgingRiver(tmp_path)
    with river:
        river.set_off(0)
        yield river


PLAN = """
name = "calm-2"
[change.app.calm]
target = "{app}"
[[ring]]
name = "first"
gateways = ["unit-1", "unit-2"]
soak_s = 5
[[ring]]
name = "rest"
soak_s = 5
[halt]
rate_min = "off"
loss_max = "off"
"""
"""Nobody may fail; how fast a busy machine collects is not what is asked here."""


def managed(river: AgingRiver) -> Managed:
    """Headquarters with a repository, a hub that mirrors, and three gateways that are off."""
    headquarters = river.headquarters()
    keys = river.root / "keys"
    keys.mkdir()
    home = ("--home", str(headquarters.home))
    operate("updates", "init", *home)
    operate("updates", "ceremony", "--holders", "1", "--threshold", "1", "--out", str(keys), *home)
    own = ("--out", str(keys / "own.key"), "--key", str(keys / "targets.key"))
    operate("updates", "add-publisher", "own", *own, *home)
    plants = [river.plant(f"plant-{number}", Protocol.MODBUS, seed=number) for number in (1, 2, 3)]
    hub = river.new_hub(headquarters, "hub")
    with (hub.home / "hub.toml").open("a") as config:
        config.write("\n[mirror]\nrefresh_s = 0.5\n")
    hub.up()
    river.wait_for_door(headquarters, hub.name)
    gateways = []
    for number, plant in enumerate(plants, 1):
        gateways.append(river.enrolled_gateway(f"unit-{number}", plant, headquarters))
        with (gateways[-1].home / "gateway.toml").open("a") as config:
            config.write("\n[updates]\npoll_s = 0.5\n")
    return Managed(river, headquarters, hub, gateways, keys)


def held_at_hub(hub: Node, gateway: str) -> int:
    """Samples of a gateway that came to the hub."""
    return int(hub.status().get("gateways", {}).get(gateway, {}).get("samples", 0))


def runs(gateway: Node, version: str) -> bool:
    """Whether a gateway runs the app, and is done with it."""
    status = gateway.status()
    apps = [(app["app"], app["version"], app["state"]) for app in status.get("apps") or ()]
    return apps == [("calm", version, "running")] and not (status.get("desired") or {"trial": 1})["trial"]


def released(all_: Managed, app: str) -> None:
    """Start a roll-out to the first ring, and have its documents in the update repository."""
    plan = all_.river.root / "plan.toml"
    plan.write_text(PLAN.format(app=app))
    all_.hq("rollout", "plan", str(plan))
    all_.hq("rollout", "start", "calm-2")
    ring = {gateway.name for gateway in all_.gateways[:2]}
    published = all_.headquarters.logged
    until(lambda: any(set(line["gateways"]) == ring for line in published("desired-published")), "the ring")


def mirrored(all_: Managed, app: str) -> None:
    """Have the hub hold the newest state and an app, as after one gateway of many took it."""
    updates = Updates(all_.headquarters.home, 90)
    newest = updates.repository.timestamp()
    assert newest is not None
    all_.hub.wait("the newest state", lambda status: status["mirror"]["state"] == newest.signed.version)
    gateway, hub = Identity.load(all_.gateways[0].home), Identity.load(all_.hub.home)
    service = all_.hub.status()["calls"]["service"]["address"]
    with CallClient(service, hub.link.public, gateway.link, timeout_s=20.0) as calls:
        source = Source(all_.river.root / "taken", gateway.id, updates.root(), calls.call)
        source.refresh()
        [target] = [each for each in updates.published() if each.path == app]
        source.fetch(target.path, target.sha256, target.length)


@pytest.mark.timeout(400)
def test_a_hub_does_for_its_gateways_while_headquarters_is_dark_for_the_whole_window(
    river: AgingRiver,
) -> None:
    all_ = managed(river)
    headquarters, hub, (running, off, later) = all_.headquarters, all_.hub, all_.gateways
    for gateway in (running, later):
        gateway.up()
    wanted = river.root / "wanted.toml"
    wanted.write_text(WANTED.format(app=all_.publish_app(river.root, "1.0.0"), point=first_point(running)))
    all_.hq("desired", "set", *(gateway.name for gateway in all_.gateways), "--file", str(wanted))
    for gateway in (running, later):
        all_.settled(gateway.name, "1.0.0")
        river.collected(gateway, 100)
        gateway.kill()
    app = all_.publish_app(river.root, "2.0.0")
    released(all_, app)
    mirrored(all_, app)
    first = {node.name: read_standing(node.home) for node in (hub, *all_.gateways)}

    headquarters.kill()
    river.set_off(DARK_DAYS * DAY_US)
    hub.kill()
    hub.up()
    before = {gateway.name: held_at_hub(hub, gateway.name) for gateway in all_.gateways}
    for gateway in all_.gateways:
        gateway.up()
        gateway.wait("a session with the hub alone", lambda status: status["uplink"]["connected"])
    for gateway in (running, off):
        until(lambda gateway=gateway: runs(gateway, "2.0.0"), f"the roll-out at {gateway.name}")  # type: ignore[misc]
    for gateway in all_.gateways:
        name = gateway.name
        until(lambda name=name: held_at_hub(hub, name) > before[name] + 100, f"{name}'s data")  # type: ignore[misc]
        gateway.wait("its renewal to be asked for again", lambda status: status["renewals_waiting"] >= 2)
    assert {node.name: read_standing(node.home) for node in (hub, *all_.gateways)} == first, "they wait"
    assert runs(later, "1.0.0"), "the next ring is headquarters' to begin"

    headquarters.up()
    for node in (hub, *all_.gateways):
        until(lambda node=node: renewed(node, first), f"{node.name}'s certificate")  # type: ignore[misc]
    for gateway in all_.gateways:
        gateway.wait("no renewal to wait", lambda status: not status["renewals_waiting"])
    until(lambda: rollout(all_)["phase"] != "running", "the end of the roll-out", 120.0)
    ended = rollout(all_)
    assert (ended["phase"], ended["gateways"]) == ("done", {"good": 3}), ended
    assert runs(later, "2.0.0")
    river.drained()
    river.stop()
    river.verify()
    [doubled] = in_lake(river.lake, "SELECT count(*) - count(DISTINCT (series, time)) FROM samples")
    assert doubled == "0"
    after = f"SELECT count(*) FROM samples WHERE time > now() + INTERVAL {DARK_DAYS - 1} DAY"
    [late] = in_lake(river.lake, after)
    assert int(late) > 300


def rollout(all_: Managed) -> Mapping[str, Any]:
    """Where the roll-out stands."""
    [found] = all_.hq("rollout", "list")
    return dict(found)


def renewed(node: Node, first: Mapping[str, object]) -> bool:
    """Whether a hub or gateway has another certificate, and headquarters knows."""
    standing = read_standing(node.home)
    return standing is not None and standing != first[node.name] and standing.confirmed
