"""A river of real processes that a test may kill, starve, rob and restore.

Homes are made by the commands that an operator types, called in this process because that
is quick; the nodes themselves are processes, killed with signals and joined by sockets.

Rules:
1. Nothing outlives the test: `River` is a context, and the kernel ends what it forgets.
2. `finish` is the end of every disaster: all nodes run, all drains, all stop in order, and
   the lake is held against the field servers' own logs and against its own ledger.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any

from edge_runtime.cli import invoke
from headquarters.cli import main as headquarters_cli
from hub.cli import main as hub_cli
from protocols import crash
from protocols.identity import read_peers
from scripts.demo.processes import Child, Children, DemoError, finish, program, wait_for
from scripts.judge import Verdict, judge
from scripts.plant.layout import Protocol, write_point_table
from scripts.plant.model import Plant, Source

HOST = "127.0.0.1"
DEVICE, SCAN_CLASS = "plant", "fast"

START_S = 60.0
"""Longest wait for a process to be up."""

STOP_S = 40.0
"""Longest wait for a clean stop."""

DRAIN_S = 90.0
"""Longest wait for a backlog to reach headquarters."""

FRESH_S = 4.0
"""A gateway whose oldest batch is younger has no backlog left."""

UNSENT_MAX = 5
"""Batches that a gateway may be about to send, when it has sent its backlog."""

UPSTREAM_TOML = """
[[upstream]]
id = "{id}"
address = "{address}"
link = "{link}"
signing = "{signing}"
keep = {keep}
"""
"""One more upstream, as docs/hub.md shows it."""

COMMANDS = {"edge": "catchment-edge", "hub": "catchment-hub", "hq": "catchment-hq"}
"""Tiers, as crash points name them, and their programs."""

GATEWAY_TOML = """\
[gateway]
id = "{name}"
site = "works"

[scan.{scan_class}]
period_s = {period_s}

[device.{device}]
{driver}
reconnect_first_s = 0.1
reconnect_longest_s = 1

[buffer]
flush_s = {flush_s}
{buffer}

[uplink]
{uplink}
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast everything goes.

    Args:
        period_s: Scan period, and the plant's tick.
        flush_s: A gateway cuts a batch so often.
        commit_s: Headquarters commits so often.
        points: Points of each plant server.
    """

    period_s: float = 0.2
    flush_s: float = 0.4
    commit_s: float = 0.4
    points: int = 20


@dataclass(frozen=True, slots=True)
class PlantServer:
    """A field server with its own log.

    Args:
        name: Also its directory.
        protocol: What it speaks.
        directory: Log and address.
        source: What it serves.
        child: Its process.
    """

    name: str
    protocol: Protocol
    directory: Path
    source: Source
    child: Child

    @property
    def address(self) -> dict[str, Any]:
        """Where it answers."""
        found: dict[str, Any] = json.loads((self.directory / "address.json").read_text(encoding="utf-8"))
        return found


@dataclass(frozen=True, slots=True)
class Node:
    """A gateway, hub or headquarters.

    Args:
        name: Its node name.
        tier: `edge`, `hub` or `hq`.
        home: Its home directory.
        address: Where it listens; empty for a gateway.
        child: Its process.
        plant: Of a gateway, what it collects from.
    """

    name: str
    tier: str
    home: Path
    address: str
    child: Child
    plant: PlantServer | None = None

    @property
    def identity(self) -> str:
        """Path of the public half of its keys."""
        return str(self.home / "identity.toml")

    @property
    def data(self) -> Path:
        """Where its stores are."""
        return self.home / "data"

    def start(self, crash_at: str = "") -> None:
        """Start it; `crash_at` is `point:probability:seed`, or empty."""
        (self.data / "status.json").unlink(missing_ok=True)
        self.child.start({crash.VARIABLE: crash_at})

    def up(self) -> None:
        """Start it and wait until it says that it runs."""
        self.start()
        self.wait("its status", bool, START_S)

    def replaced(self, what: str, argument: str = "") -> None:
        """From the next start on, run with one thing replaced; see `tests.faults.launch`."""
        launch = (sys.executable, "-m", "tests.faults.launch", what, argument)
        self.child.command = (*launch, self.tier, "run", "--home", str(self.home))

    def kill(self) -> None:
        """SIGKILL, now."""
        self.child.kill()

    def stop(self) -> None:
        """SIGTERM, and hold it to a clean end.

        Raises:
            DemoError: It does not end, or with another exit code than 0.
        """
        self.child.ask_to_stop()
        self.stopped()

    def stopped(self) -> None:
        """See that it ends cleanly after it was asked to stop.

        Raises:
            DemoError: It does not end, or with another exit code than 0.
        """
        code = self.child.wait(STOP_S)
        if code != 0:
            raise DemoError(f"{self.name} stopped with exit code {code}:\n{self.child.tail(40)}")

    def status(self) -> Mapping[str, Any]:
        """What it last said of itself; empty before it said anything in this life."""
        try:
            found: Mapping[str, Any] = json.loads((self.data / "status.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found

    def wait(self, what: str, so: Callable[[Mapping[str, Any]], bool], timeout_s: float = DRAIN_S) -> None:
        """Wait until its status is so.

        Raises:
            DemoError: It does not come true, or it ended.
        """

        def ready() -> bool:
            status = self.status()
            return bool(status) and so(status)

        wait_for(f"{self.name}: {what}", ready, timeout_s, [self.child])

    def events(self) -> list[dict[str, Any]]:
        """What it logged in all its lives, where that is JSON."""
        lines = self.child.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Its events of one name."""
        return [found for found in self.events() if found["event"] == event]


class River:
    """Plant servers and nodes; see the module's docstring.

    Args:
        root: An empty directory for everything.
        pace: How fast.
    """

    def __init__(self, root: Path, pace: Pace = Pace()) -> None:
        self.root = root
        self.pace = pace
        self.plants: list[PlantServer] = []
        self.nodes: list[Node] = []
        self.stopped_us = 0
        self._children = Children(root / "logs")

    def __enter__(self) -> River:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._children.__exit__(kind, error, trace)

    # -- building --------------------------------------------------------------------------------

    def process(self, name: str, command: Sequence[str]) -> Child:
        """A process of the test's own, ended with the others."""
        return self._children.add(name, command)

    def plant(self, name: str = "plant", protocol: Protocol = Protocol.MODBUS, seed: int = 1) -> PlantServer:
        """Start a field server."""
        directory, points = self.root / name, self.pace.points
        command = [sys.executable, "-m", "scripts.plant", "serve", str(protocol), str(directory)]
        command += ["--period", str(self.pace.period_s), "--points", str(points), "--seed", str(seed)]
        child = self._children.start(name, command)
        plant = PlantServer(name, protocol, directory, Plant(points, seed), child)
        self.plants.append(plant)
        return plant

    def headquarters(self, name: str = "headquarters") -> Node:
        """Make headquarters."""
        address = free_address()
        home = self.root / name
        _operate(headquarters_cli, "init", "--home", str(home), "--id", name, "--bind", address)
        change(home / "headquarters.toml", "lake", commit_interval_s=self.pace.commit_s)
        return self._node(name, "hq", home, address)

    def hub(self, headquarters: Node, name: str = "hub") -> Node:
        """Make a hub below headquarters, which allows it."""
        address = free_address()
        home = self.root / name
        upstream = ("--upstream", headquarters.identity, "--address", headquarters.address)
        _operate(hub_cli, "init", "--home", str(home), "--id", name, "--bind", address, *upstream)
        change(home / "hub.toml", "hub", statement_s=2)
        node = self._node(name, "hub", home, address)
        allow(headquarters, node)
        return node

    def platform(self, hub: Node, name: str = "region", *, level: int = 2, keep: bool = True) -> Node:
        """Make a platform of level 2 or 3, which a hub feeds beside headquarters.

        Args:
            hub: It must be made, and not yet run.
            name: Its node name.
            level: Where it stands.
            keep: Whether the hub keeps batches until it has them.
        """
        node = self.headquarters(name)
        head, *rest = node.child.command
        node.child.command = (head, "--level", str(level), *rest)
        allow(node, hub)
        known = read_peers(Path(node.identity))[0]
        with (hub.home / "hub.toml").open("a", encoding="utf-8") as config:
            config.write(
                UPSTREAM_TOML.format(
                    id=known.id,
                    address=node.address,
                    link=known.link.decode(),
                    signing=known.signing.hex(),
                    keep=str(keep).lower(),
                )
            )
        return node

    def gateway(
        self,
        name: str,
        plant: PlantServer,
        upstreams: Sequence[Node],
        headquarters: Node,
        *,
        buffer: str = "",
        uplink: str = "",
        through: str = "",
    ) -> Node:
        """Make a gateway that collects from a plant.

        Args:
            name: Its node name.
            plant: The field server; it must answer by now.
            upstreams: Where it sends, the first one preferred.
            headquarters: Whose receipts count.
            buffer: Further lines of `[buffer]`.
            uplink: Lines of `[uplink]`.
            through: An address in place of the first upstream's own, such as a proxy's.
        """
        home = self.root / name
        wait_for(f"{plant.name} to answer", (plant.directory / "address.json").exists, START_S, [plant.child])
        _edge("init", "--home", str(home), "--id", name, "--site", "works")
        (home / "gateway.toml").write_text(self._toml(name, plant, buffer, uplink), encoding="utf-8")
        points = plant.source.points
        write_point_table(home / "points.csv", points, plant.protocol, DEVICE, SCAN_CLASS)
        node = self._node(name, "edge", home, "", plant)
        for upstream in upstreams:
            address = through or upstream.address
            _edge("join", "--home", str(home), upstream.identity, "--address", address)
            through = ""
            allow(upstream, node)
        if headquarters not in upstreams:
            _edge("join", "--home", str(home), headquarters.identity)
            allow(headquarters, node)
        return node

    def _toml(self, name: str, plant: PlantServer, buffer: str, uplink: str) -> str:
        where = plant.address
        if plant.protocol is Protocol.MODBUS:
            driver = f'driver = "modbus-tcp"\nhost = "{where["host"]}"\nport = {where["port"]}'
        else:
            publishing_ms = max(10, round(self.pace.period_s * 200))
            driver = f'driver = "opcua"\nendpoint = "{where["endpoint"]}"\npublishing_ms = {publishing_ms}'
        return GATEWAY_TOML.format(
            name=name,
            scan_class=SCAN_CLASS,
            period_s=self.pace.period_s,
            device=DEVICE,
            driver=driver,
            flush_s=self.pace.flush_s,
            buffer=buffer,
            uplink=uplink,
        )

    def _node(self, name: str, tier: str, home: Path, address: str, plant: PlantServer | None = None) -> Node:
        child = self._children.add(name, [program(COMMANDS[tier]), "run", "--home", str(home)])
        node = Node(name, tier, home, address, child, plant)
        self.nodes.append(node)
        return node

    # -- running ---------------------------------------------------------------------------------

    def of(self, tier: str) -> list[Node]:
        """The nodes of a tier."""
        return [node for node in self.nodes if node.tier == tier]

    @property
    def lake(self) -> Path:
        """Headquarters' lake."""
        return self.of("hq")[0].data / "lake"

    def start(self) -> None:
        """Start what does not run, and wait until all of it does."""
        for tier in ("hq", "hub", "edge"):
            for node in self.of(tier):
                if not node.child.running:
                    node.start()
        for node in self.nodes:
            node.wait("its status", bool, START_S)

    def run_for(self, seconds: float) -> None:
        """Let it run; whoever should run must."""
        running = [node.child for node in self.nodes if node.child.running]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for child in running:
                child.check()
            time.sleep(0.05)

    def collected(self, gateway: Node, samples: int) -> None:
        """Wait until a gateway has so many samples in its ledger."""
        gateway.wait(f"{samples} samples", lambda status: status["ledger"]["collected"] >= samples)

    def drained(self, *, backed_up: bool = False) -> None:
        """Wait until every gateway has a session and no backlog, or sent all of it at least."""

        def drained(status: Mapping[str, Any]) -> bool:
            backlog = status["backlog"]
            fresh = backlog["unsent"] < UNSENT_MAX if backed_up else backlog["seconds"] < FRESH_S
            return bool(status["uplink"]["connected"] and fresh)

        for node in self.of("edge"):
            node.wait("no backlog", drained)

    def finish(self, *, backed_up: bool = False) -> Verdict:
        """Drain, stop everything in order, and judge.

        Args:
            backed_up: Gateways keep their batches until a backup is confirmed, and none is.

        Returns:
            What the judge found; nothing lost, doubled or altered.

        Raises:
            AssertionError: Something is lost, doubled or altered, or the ledgers do not agree.
            DemoError: Something does not drain or stop.
        """
        self.start()
        self.drained(backed_up=backed_up)
        self.stop(backed_up=backed_up)
        return self.judge()

    def stop(self, *, backed_up: bool = False) -> None:
        """Stop everything cleanly, with the current; gateways must end with nothing left to send."""
        self.stopped_us = time.time_ns() // 1000
        for tier in ("edge", "hub", "hq"):
            for node in self.of(tier):
                node.child.ask_to_stop()
            for node in self.of(tier):
                node.stopped()
        for node in [] if backed_up else self.of("edge"):
            left = node.status()["backlog"]["batches"]
            assert not left, f"{node.name} ended with {left} batches that headquarters did not sign for"
        for plant in self.plants:
            plant.child.ask_to_stop()
            plant.child.wait(STOP_S)

    def judge(self, platform: Node | None = None) -> Verdict:
        """Hold a lake, by default headquarters', against the field servers' logs, and verify it."""
        platform = platform or self.of("hq")[0]
        verdict = Verdict()
        # A scan that was due when the gateway was asked to stop may still be owed: its next
        # start would declare it.
        until_us = self.stopped_us - round(2e6 * self.pace.period_s)
        for node in self.of("edge"):
            assert node.plant is not None
            verdict.add(judge(platform.data / "lake", [node.plant.directory], node.name, until_us=until_us))
        assert verdict.passed, json.dumps(verdict.to_json(), indent=1)
        self.verify(platform)
        return verdict

    def verify(self, platform: Node | None = None) -> dict[str, Any]:
        """`catchment-hq verify`, by default of headquarters: every signature, chain, payload and ledger."""
        home = str((platform or self.of("hq")[0]).home)
        code, text = finish([program("catchment-hq"), "verify", "--home", home, "--json"], (0, 1))
        assert code == 0, text
        report: dict[str, Any] = json.loads(text)
        return report


def lose(path: Path) -> None:
    """Remove a directory as a lost disk does."""
    shutil.rmtree(path)


def change(path: Path, section: str, **settings: object) -> None:
    """Give settings of one section of a node's TOML file other values."""
    head, found, tail = path.read_text(encoding="utf-8").partition(f"[{section}]\n")
    assert found, f"expected [{section}] in {path}"
    body, following, rest = tail.partition("\n[")
    for name, value in settings.items():
        body = re.sub(rf"(?m)^{name} = .*\n?", "", body)
        body = f"{name} = {json.dumps(value)}\n{body}"
    path.write_text(head + found + body + following + rest, encoding="utf-8")


def free_address() -> str:
    """An address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return f"tcp://{HOST}:{probe.getsockname()[1]}"


def allow(receiver: Node, peer: Node) -> None:
    """Put a node on another one's allow-list."""
    command = headquarters_cli if receiver.tier == "hq" else hub_cli
    _operate(command, "allow", "--home", str(receiver.home), peer.identity)


def _edge(*arguments: str) -> None:
    with redirect_stdout(StringIO()) as said:
        code = invoke(arguments)
    assert code == 0, f"catchment-edge {arguments} ended with {code}: {said.getvalue()}"


def _operate(command: Any, *arguments: str) -> None:
    """Run one of our commands in this process."""
    with redirect_stdout(StringIO()):
        command(arguments, standalone_mode=False)
