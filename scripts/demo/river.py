"""The processes of the demo: started upstream first, stopped downstream first.

Rules:
1. Ready means ready: the field servers answer, the nodes have written a status.
2. A clean stop goes with the current: gateways, hub, headquarters, and the plant last, so
   that nothing is asked for that is no longer there.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from scripts.demo import homes
from scripts.demo.faults import Injected, PlannedFault, inject
from scripts.demo.installing import AppStore
from scripts.demo.processes import Child, Children, DemoError, program, wait_for
from scripts.demo.settings import COMMIT_S, GATEWAYS, Settings
from scripts.plant.layout import Protocol

START_S = 60.0
"""Longest wait for a process to be up: imports on a cold disk take most of it."""
STOP_S = 60.0
DRAIN_S = 60.0
"""Longest wait for what was collected to reach headquarters; an outage just before takes that."""
UNDER_WAY_S = 3.0
"""Age, beyond flush and commit, from which a batch is backlog: two hops and a status a second old."""


class River:
    """All processes of one demo.

    Args:
        settings: What was asked for.
        children: Ends them, whatever happens.
    """

    def __init__(self, settings: Settings, children: Children) -> None:
        self._settings = settings
        self._children = children
        self._plants: dict[Protocol, Child] = {}
        self._nodes: dict[str, Child] = {}
        self._addresses: dict[str, Any] = {}
        self.apps: dict[str, list[dict[str, Any]]] = {}
        """What is installed on each gateway, as `catchment-edge app list --json` says."""
        self.injected: list[Injected] = []
        """What was done to the plant."""
        self.portal_url = ""
        self.sign_in_link = ""
        """Serves once; made after the start."""
        self.started_us = 0
        self.stopped_us = 0

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the gateways, the hub if there is one, and headquarters."""
        return tuple(self._nodes)

    def start(self) -> None:
        """Start everything, and wait until it runs.

        Raises:
            DemoError: A part does not come up.
        """
        for protocol in Protocol:
            self._start_plant(protocol)
        headquarters = homes.make_headquarters(self._settings, portal=True)
        upstream = headquarters
        self._addresses["headquarters"] = headquarters.address
        if not self._settings.two_level:
            upstream = homes.make_hub(self._settings, headquarters)
            self._addresses["hub"] = upstream.address
        store = AppStore(self._settings.root / "packages")
        for protocol, child in self._plants.items():
            address = self._wait_for_plant(protocol, child)
            self._addresses[f"plant-{protocol}"] = address
            self.apps[GATEWAYS[protocol]] = homes.make_gateway(
                self._settings, protocol, address, upstream, store
            )
        self._start_node("headquarters", "catchment-hq")
        if not self._settings.two_level:
            self._start_node("hub", "catchment-hub")
        for name in GATEWAYS.values():
            self._start_node(name, "catchment-edge")
        for name in self._nodes:
            self._wait_for_status(name)
        self.portal_url = headquarters.web
        self.sign_in_link = homes.sign_in_link(self._settings, headquarters)
        self._wait_for_portal()
        self.started_us = time.time_ns() // 1000
        self.write_description()

    def status(self, node: str) -> Mapping[str, Any]:
        """What a node last said of itself; empty before it said anything."""
        path = self._settings.root / node / "data" / "status.json"
        try:
            status: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return status

    def check(self, down: frozenset[str]) -> None:
        """See that every process runs, but those that are cut.

        Raises:
            DemoError: One ended by itself.
        """
        for name, child in self._nodes.items():
            if name not in down:
                child.check()
        for child in self._plants.values():
            child.check()

    def cut(self, node: str) -> None:
        """Kill a node."""
        self._nodes[node].kill()
        self.write_description()

    def mend(self, node: str) -> None:
        """Start a killed node again."""
        self._nodes[node].start()
        self.write_description()

    @property
    def instances(self) -> set[str]:
        """The instances of apps that run, as `app/instance`."""
        return {
            f"{app['id']}/{instance['name']}"
            for listed in self.apps.values()
            for app in listed
            for instance in app["instances"]
        }

    def inject(self, fault: PlannedFault) -> None:
        """Let something go wrong in the plant."""
        directories = [self._settings.plant(protocol) for protocol in Protocol]
        self.injected.append(inject(fault, self._settings.pace, directories))
        self.write_description()

    def stop(self) -> None:
        """Stop cleanly, from the gateways down.

        Raises:
            DemoError: A node does not stop, or stops with another exit code than 0.
        """
        gateways = [self._nodes[name] for name in GATEWAYS.values()]
        wait_for("the gateways to catch up", self._caught_up, DRAIN_S, list(self._nodes.values()))
        self.stopped_us = time.time_ns() // 1000
        for child in gateways:
            child.ask_to_stop()
        for child in gateways:
            _stopped(child)
        if "hub" in self._nodes:
            ended = time.time()
            waiting_for = [self._nodes["hub"], self._nodes["headquarters"]]
            wait_for(
                "the hub to pass on its batches", lambda: self._hub_is_empty(ended), DRAIN_S, waiting_for
            )
            self._nodes["hub"].ask_to_stop()
            _stopped(self._nodes["hub"])
        self._nodes["headquarters"].ask_to_stop()
        _stopped(self._nodes["headquarters"])
        for child in self._plants.values():
            child.ask_to_stop()
        for child in self._plants.values():
            _stopped(child)

    def write_description(self) -> None:
        """Write `demo.json`: what runs, and where everything is."""
        settings = self._settings
        description = {
            "points": settings.points,
            "period_s": settings.period_s,
            "flush_s": settings.flush_s,
            "two_level": settings.two_level,
            "replay": None if settings.replay is None else str(settings.replay),
            "started_us": self.started_us,
            "portal_url": self.portal_url,
            "sign_in_link": self.sign_in_link,
            "addresses": self._addresses,
            "homes": {name: str(settings.root / name) for name in self._nodes},
            "plant_logs": {str(p): str(settings.plant(p)) for p in Protocol},
            "apps": self.apps,
            "faults": [
                {
                    "name": each.fault.name,
                    "place": each.fault.place,
                    "at_us": each.at_us,
                    "plant_seconds": each.fault.plant_seconds(settings.pace),
                }
                for each in self.injected
            ],
            "lake": str(settings.lake),
            "lake_path": str(settings.lake / "samples"),
            "processes": self._children.describe(),
        }
        temporary = settings.root / "demo.json.new"
        temporary.write_text(json.dumps(description, indent=1), encoding="utf-8")
        temporary.replace(settings.root / "demo.json")

    def _start_plant(self, protocol: Protocol) -> None:
        options = ["--period", str(self._settings.period_s), *self._settings.plant_options]
        directory = self._settings.plant(protocol)
        command = [sys.executable, "-m", "scripts.plant", "serve", str(protocol), str(directory), *options]
        self._plants[protocol] = self._children.start(f"plant-{protocol}", command)

    def _wait_for_plant(self, protocol: Protocol, child: Child) -> dict[str, Any]:
        path = self._settings.plant(protocol) / "address.json"
        wait_for(f"the {protocol} server to answer", path.exists, START_S, [child])
        address: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return address

    def _start_node(self, name: str, command: str) -> None:
        home = str(self._settings.root / name)
        self._nodes[name] = self._children.start(name, [program(command), "run", "--home", home])

    def _wait_for_status(self, name: str) -> None:
        wait_for(f"a status of {name}", lambda: bool(self.status(name)), START_S, [self._nodes[name]])

    def _wait_for_portal(self) -> None:
        address = urlsplit(self.portal_url)

        def answers() -> bool:
            try:
                socket.create_connection((str(address.hostname), int(address.port or 0)), 1.0).close()
            except OSError:
                return False
            return True

        wait_for("the portal to answer", answers, START_S, [self._nodes["headquarters"]])

    def _caught_up(self) -> bool:
        """Whether no gateway holds more than is normally under way."""
        usual_s = self._settings.flush_s + COMMIT_S + UNDER_WAY_S
        backlogs = [self.status(name)["backlog"] for name in GATEWAYS.values()]
        return all(backlog["seconds"] <= usual_s for backlog in backlogs)

    def _hub_is_empty(self, since: float) -> bool:
        """Whether the hub said, after `since`, that everything is at headquarters."""
        status = self.status("hub")
        return status["time"] > since and all(up["backlog"] == 0 for up in status["upstreams"].values())


def _stopped(child: Child) -> None:
    code = child.wait(STOP_S)
    if code != 0:
        raise DemoError(f"{child.name} stopped with exit code {code}:\n{child.tail()}")
