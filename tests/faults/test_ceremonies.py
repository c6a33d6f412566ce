"""Stolen keys of nodes and of the authority, by the commands of docs/security.md, on a group that runs.

One group plays all of them, one after the other; after each it goes on, and at the end nothing is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from headquarters.security import authority as authorities
from headquarters.security.authority import Authority
from protocols.calls import CallTimeoutError
from protocols.directory import Directory, Part, pieces, seal
from protocols.errors import IntegrityError
from protocols.held import HeldDirectory
from protocols.identity import Identity, PublicIdentity
from protocols.keyfiles import FORMER_KEY
from protocols.standing import read_standing
from tests.ceremonies import Stage, Step
from tests.faults.enrolled import EnrolledRiver, until
from tests.faults.river import Node, Pace, PlantServer
from tests.faults.test_enrolment import ASK, client, delivers

REHEARSED = frozenset(
    (
        "The online authority's key is stolen",
        "Headquarters was broken into",
        "The authority's root is stolen or lost",
        "A gateway is stolen",
        "A hub's key is stolen",
        "A hub changes its keys",
    )
)


class Group:
    """Headquarters, a hub and a gateway that collects, as their operators have them."""

    def __init__(self, river: EnrolledRiver, safe: Path) -> None:
        self.river = river
        self.safe = safe
        self.headquarters = river.headquarters()
        (self.headquarters.home / "root.key").rename(safe / "root.key")
        self.hub = river.hub(self.headquarters, "hub-1")
        self.gateway = river.enrolled_gateway("unit-1", river.plant(), self.headquarters)
        self.gateway.up()
        delivers(self.gateway)

    def play(self, title: str, before: Callable[[Step], None] = lambda step: None) -> None:
        nodes = {"catchment-hq": self.headquarters, "catchment-hub": self.hub, "catchment-edge": self.gateway}

        def service(action: str, unit: str) -> None:
            if action in ("stop", "restart"):
                nodes[unit].stop()
            if action in ("start", "restart"):
                nodes[unit].up()

        homes = {
            "at headquarters": self.headquarters.home,
            "on the hub": self.hub.home,
            "on the gateway": self.gateway.home,
            "on the new gateway": self.gateway.home,
        }
        stage = Stage(homes, self.safe, service)
        stage.before = before
        stage.play(title)

    def authority(self) -> Authority:
        """The online authority, as a thief of its key has it."""
        return authorities.load(self.headquarters.home, time.time())


class Forged:
    """Answers `directory` with what a thief has signed."""

    def __init__(self, authority: Authority, held: HeldDirectory) -> None:
        before = held.parts[Part.STATIONS]
        forged = replace(before, version=before.version + 1000, issued=time.time())
        self._sealed = seal(forged, authority.certificate.der, authority.key)
        self._version = forged.version

    def call(self, verb: str, argument: Any = None, timeout_s: float | None = None) -> Any:
        return pieces(self._sealed, argument["held"], self._version, argument["offset"])


def held_by(node: Node) -> HeldDirectory:
    return HeldDirectory(node.home, node.data, time.time())


def stations(node: Node) -> set[PublicIdentity]:
    directory: Directory | None = held_by(node).parts.get(Part.STATIONS)
    return set() if directory is None else {entry.node for entry in directory.entries}


def generation(node: Node) -> int:
    standing = read_standing(node.home)
    assert standing is not None
    return standing.generation if standing.confirmed else 0


def public(node: Node) -> PublicIdentity:
    return Identity.load(node.home).public


def is_deaf(node: Node, identity: Identity) -> bool:
    with client(node, identity, 1.0) as calls:
        try:
            calls.call("directory", ASK)
        except CallTimeoutError:
            return True
    return False


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    folder = tmp_path_factory.mktemp("ceremonies")
    (folder / "safe").mkdir()
    river = EnrolledRiver(folder / "river", Pace(period_s=0.5))
    with river:
        yield Group(river, folder / "safe")


@pytest.mark.timeout(240)
def test_stations_and_the_authority_change_their_keys_and_nothing_is_lost(group: Group) -> None:
    river, headquarters, hub, gateway = group.river, group.headquarters, group.hub, group.gateway

    intruder = river.enrolled_gateway("intruder", None, headquarters)
    stolen = group.authority()
    group.play("The online authority's key is stolen")
    until(lambda: generation(gateway) == generation(hub) == 2, "certificates of the new authority")
    held = held_by(gateway)
    with pytest.raises(IntegrityError, match="replaced by 2"):
        held.refresh(Forged(stolen, held), Part.STATIONS, time.time)
    until(lambda: is_deaf(hub, Identity.load(intruder.home)), "the intruder to be out")
    river.nodes.remove(intruder)
    delivers(gateway)

    first = public(hub)
    group.play("A hub changes its keys")
    until(lambda: public(hub).link != first.link, "new keys of the hub")
    delivers(gateway)
    second = public(hub)
    assert second.signing != first.signing
    until(lambda: not (hub.home / FORMER_KEY).exists(), "the former key to be forgotten")

    thief = Identity.load(hub.home)
    group.play("A hub's key is stolen")
    delivers(gateway)
    assert public(hub).link != second.link
    assert public(hub) in stations(gateway) and second not in stations(gateway)
    assert is_deaf(headquarters, thief)

    before, robbed = public(headquarters), Identity.load(headquarters.home)
    group.play("Headquarters was broken into")
    delivers(gateway)
    assert held_by(gateway).headquarters == held_by(hub).headquarters == public(headquarters).signing
    assert public(headquarters).signing != before.signing and before not in stations(gateway)
    assert is_deaf(hub, robbed)
    river.finish()


@pytest.mark.timeout(240)
def test_a_new_root_lets_everyone_in_again_and_a_stolen_gateway_is_replaced(group: Group) -> None:
    river, headquarters, hub, gateway = group.river, group.headquarters, group.hub, group.gateway
    again(river.plants[0])
    robbed = group.authority()
    river.start()
    delivers(gateway)
    group.play("The authority's root is stolen or lost")
    delivers(gateway)
    assert generation(gateway) == generation(hub) == 1, "of the new root"
    until(lambda: Part.STATIONS in held_by(gateway).parts, "a directory of the new root")
    held = held_by(gateway)
    with pytest.raises(IntegrityError):
        held.refresh(Forged(robbed, held), Part.STATIONS, time.time)

    before, thief = series(headquarters), Identity.load(gateway.home)
    gateway.stop()
    gateway.home.rename(river.root / "stolen")
    group.gateway = river.new_gateway("unit-1", river.plants[0])
    group.play("A gateway is stolen")
    delivers(group.gateway)
    assert series(headquarters) == before and len(before) == river.pace.points
    until(lambda: is_deaf(hub, thief), "the thief to be out")
    assert river.listed(headquarters, "unit-1")["state"] == "active"


def again(plant: PlantServer) -> None:
    """Start a plant server again, at the same port."""
    plant.child.command = (*plant.child.command, "--port", str(plant.address["port"]))
    plant.child.start()


def series(headquarters: Node) -> set[int]:
    """The series of the gateway in the lake."""
    rows = DeltaTable(headquarters.data / "lake/series").to_pyarrow_table(columns=["series", "gateway"])
    return {row["series"] for row in rows.to_pylist() if row["gateway"] == "unit-1"}
