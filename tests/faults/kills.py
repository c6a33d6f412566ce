"""Kill the processes of a running river, again and again, and count.

Every life of a node has its death planned: at a random moment after it was up, blindly
while it starts, or at a named crash point (`protocols.crash`). All points that the rooms
have are drawn in turn, so that none is left out. Once the kills are done everything runs
undisturbed until it is drained, and the judge has the word.

At a gateway's kill, what was read and not yet durable is lost: `exposures` measures from
the field server's own log how much that was, kill by kill.
"""

from __future__ import annotations

import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from scripts.demo.processes import DemoError
from scripts.judge import Verdict
from scripts.judge.lake import Lake
from scripts.plant.layout import Protocol, write_point_table
from scripts.plant.log import read_log
from tests.faults.river import DEVICE, SCAN_CLASS, Node, Pace, River

ROOMS = {"edge": "edge_runtime", "hub": "hub", "hq": "headquarters"}

RANDOM, STARTING = "random moment", "while starting"

CHANCES = {"edge": (0.5, 0.1, 0.03), "hub": (0.5, 0.2, 0.05), "hq": (1.0, 0.5)}
"""How likely a visit of an armed crash point is to be the last: nearly at once, or later on."""

LIFE_S = {"edge": 3.0, "hub": 2.5, "hq": 1.5}
"""Longest life of a node once it is up, when a clock ends it."""

ARMED_LIFE_S = 4.0
"""A crash point that was not reached for so long is given up, and the clock ends that life."""

START_LIFE_S = 1.2
"""Longest life of a node that is killed while it starts."""

POLL_S = 0.02


@dataclass(slots=True)
class Life:
    """What is planned for one life of a node.

    Args:
        point: Its crash point, or `RANDOM`, or `STARTING`.
        lasts_s: Kill it after so long: since it was up, or since its start.
        up_at: Monotonic seconds when it said that it runs, or was started, for `STARTING`.
        waits_until: Do not start it before.
    """

    point: str
    lasts_s: float
    up_at: float | None = None
    waits_until: float = 0.0


@dataclass(slots=True)
class Tally:
    """What came of it.

    Args:
        kills: By tier and crash point.
        at: Of every gateway, when it was killed, microseconds UTC.
    """

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    at: dict[str, list[int]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All kills."""
        return self.kills.total()

    def count(self, node: Node, point: str) -> None:
        """One more."""
        self.kills[node.tier, point] += 1
        self.at.setdefault(node.name, []).append(time.time_ns() // 1000)

    def by_tier(self) -> dict[str, dict[str, int]]:
        """Kills by tier, then by crash point."""
        found: dict[str, dict[str, int]] = {tier: {} for tier in ROOMS}
        for (tier, point), times in sorted(self.kills.items()):
            found[tier][point] = times
        return found


def crash_points() -> dict[str, list[str]]:
    """All crash points on the way of a sample, by tier; those of a command have a test of their own."""
    root = Path(__file__).parents[2]
    found: dict[str, list[str]] = {}
    for tier, room in ROOMS.items():
        text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((root / room).rglob("*.py")))
        points = set(re.findall(r'crash\.point\("([\w:-]+)"\)', text))
        found[tier] = sorted(point for point in points if not point.startswith("edge:command-"))
    return found


class Killer:
    """Kills and restarts the nodes of a river.

    Args:
        river: It was not started yet.
        dice: Decides everything that is random here.
    """

    def __init__(self, river: River, dice: random.Random) -> None:
        self._river = river
        self._dice = dice
        self.tally = Tally()
        self._bags = {tier: self._drawn(points) for tier, points in crash_points().items()}
        self._lives = {node.name: self._plan(node) for node in river.nodes}
        # Point tables are taken in once, at the beginning: do not miss that.
        self._lives[river.of("hq")[0].name] = Life("hq:after-series", ARMED_LIFE_S)
        self._revision = 0

    def run(self, kills: int, tell: Callable[[Tally], None] = lambda tally: None) -> Tally:
        """Kill so many processes; everything is dead, or about to be, afterwards.

        Raises:
            DemoError: A process ended by itself.
        """
        told = 0
        while self.tally.total < kills:
            for node in self._river.nodes:
                self._turn(node)
            for plant in self._river.plants:
                plant.child.check()
            if self.tally.total >= told + 20:
                told = self.tally.total
                tell(self.tally)
            time.sleep(POLL_S)
        for node in self._river.nodes:
            if node.child.running:
                node.kill()
        return self.tally

    def _turn(self, node: Node) -> None:
        life, now = self._lives[node.name], time.monotonic()
        if not node.child.running:
            if node.child.exit_code is not None and life.up_at is not None:
                self._died(node, life)
                life = self._lives[node.name] = self._plan(node)
            if now >= life.waits_until:
                self._start(node, life, now)
        elif life.up_at == 0.0:
            life.up_at = now if node.status() else 0.0
        elif life.up_at is not None and now >= life.up_at + life.lasts_s:
            node.kill()
            self.tally.count(node, STARTING if life.point == STARTING else RANDOM)
            self._lives[node.name] = self._plan(node)

    def _died(self, node: Node, life: Life) -> None:
        if node.child.exit_code != -signal.SIGKILL or life.point in (RANDOM, STARTING):
            raise DemoError(
                f"{node.name} ended by itself with {node.child.exit_code}:\n{node.child.tail(40)}"
            )
        self.tally.count(node, life.point)

    def _plan(self, node: Node) -> Life:
        """A point in two of three lives; the rest by a clock."""
        dice = self._dice
        waits_until = time.monotonic() + (dice.uniform(0.0, 1.0) if dice.random() < 0.2 else 0.0)
        if dice.random() < 0.65:
            return Life(next(self._bags[node.tier]), ARMED_LIFE_S, waits_until=waits_until)
        if dice.random() < 0.25:
            return Life(STARTING, dice.uniform(0.1, START_LIFE_S), waits_until=waits_until)
        return Life(RANDOM, dice.uniform(0.0, LIFE_S[node.tier]), waits_until=waits_until)

    def _start(self, node: Node, life: Life, now: float) -> None:
        if node.tier == "edge" and self._dice.random() < 0.15:
            self._redefine(node)
        armed = ""
        if life.point not in (RANDOM, STARTING):
            armed = f"{life.point}:{self._dice.choice(CHANCES[node.tier])}:{self._dice.getrandbits(30)}"
        node.start(armed)
        life.up_at = now if life.point == STARTING else 0.0

    def _redefine(self, gateway: Node) -> None:
        """Let an operator reword a point: headquarters has a definition to take in."""
        self._revision += 1
        plant = gateway.plant
        assert plant is not None
        first, *others = plant.source.points
        points = (replace(first, description=f"{first.description}, revision {self._revision}"), *others)
        write_point_table(gateway.home / "points.csv", points, plant.protocol, DEVICE, SCAN_CLASS)

    def _drawn(self, points: list[str]) -> Iterator[str]:
        """All points, shuffled, again and again."""
        while True:
            self._dice.shuffle(points)
            yield from list(points)


def build(root: Path, seed: int) -> River:
    """A river with every kind of way: two hubs to choose from, one hub, straight to headquarters."""
    river = River(root, Pace())
    names = {"modbus": Protocol.MODBUS, "opcua": Protocol.OPCUA, "direct": Protocol.MODBUS}
    plants = {name: river.plant(f"plant-{name}", protocol, seed) for name, protocol in names.items()}
    headquarters = river.headquarters()
    east, west = river.hub(headquarters, "hub-east"), river.hub(headquarters, "hub-west")
    river.gateway("modbus", plants["modbus"], [east, west], headquarters, uplink="failover_s = 1")
    river.gateway("opcua", plants["opcua"], [east], headquarters)
    river.gateway("direct", plants["direct"], [headquarters], headquarters)
    return river


def exposures(river: River, tally: Tally) -> list[float]:
    """How much a gateway's kill cost, in seconds of collected and not yet durable samples.

    For every kill of a Modbus gateway: the scan instants that its field server answered
    and that the lake does not have, between the kill before and this one.
    """
    lake = Lake(river.lake)
    found = []
    for gateway in river.of("edge"):
        plant = gateway.plant
        if plant is None or plant.protocol is not Protocol.MODBUS:
            continue
        period_us = round(river.pace.period_s * 1e6)
        series = [each.series for each in lake.series() if each.gateway == gateway.name]
        durable = np.unique(lake.samples(series).time) // period_us
        answered = np.unique(read_log(plant.directory).reads["at"] // period_us)
        missing = np.setdiff1d(answered, durable) * period_us
        kills = np.array(tally.at.get(gateway.name, []), np.int64)
        which = np.searchsorted(kills, missing)
        found += (np.bincount(which, minlength=len(kills))[: len(kills)] * river.pace.period_s).tolist()
    return found


def report(river: River, tally: Tally, verdict: Verdict, seconds: float) -> dict[str, Any]:
    """All figures of a run, for people and machines."""
    cost = exposures(river, tally)
    return {
        "kills": tally.total,
        "by_tier": tally.by_tier(),
        "seconds": round(seconds, 1),
        "kills_per_s": round(tally.total / seconds, 2),
        "samples": verdict.samples,
        "expected": verdict.expected,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "wrong": verdict.wrong,
        "gaps": verdict.gaps,
        "in_gaps": verdict.in_gaps,
        "unjournaled_s_max": round(max(cost, default=0.0), 2),
        "unjournaled_s_mean": round(sum(cost) / max(1, len(cost)), 2),
    }
