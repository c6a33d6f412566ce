"""A region in a simulation: gateways that obey, fail, fall silent and come back, under one clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from headquarters.desired.store import DesiredStore
from headquarters.rollout.machine import Course, Phase, Rollout
from headquarters.rollout.plan import Change, Plan, Ring, Rules, Selector
from headquarters.rollout.service import Rollouts
from headquarters.rollout.windows import Window, is_open
from protocols.desired import Document, Health, Item, ItemKind, ItemReport, ItemState, Report

START_S = 1_790_000_000.0
STEP_S = 30.0


def firmware(version: str) -> Item:
    path = f"firmware/edge/catchment-{version}.cfw"
    return Item(ItemKind.FIRMWARE, "catchment", version, path, 10, f"{abs(hash(version)) % 16:x}" * 64)


def app(version: str) -> Item:
    from protocols.desired import AppSettings

    path = f"apps/own/gas-{version}.capp"
    return Item(ItemKind.APP, "gas", version, path, 10, "a" * 64, app=AppSettings())


@dataclass
class Plant:
    """One simulated gateway.

    Args:
        name: Its name.
        chance: Its dice.
        bad: Versions that do not run here.
        sick: Versions that run here, and collect half of what is due.
        bricks: Versions after which it is never heard of again.
        away: Spans of time, in seconds, in which it is out of reach.
        slow_s: How long it takes to put a document in place.
    """

    name: str
    chance: Random
    bad: set[str] = field(default_factory=set)
    sick: set[str] = field(default_factory=set)
    bricks: set[str] = field(default_factory=set)
    away: list[tuple[float, float]] = field(default_factory=list)
    slow_s: float = 60.0
    runs: dict[str, str] = field(default_factory=dict)
    document: Document | None = None
    taken: list[int] = field(default_factory=list)
    applied: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    dead: bool = False
    _ready_s: float = 0.0
    _report_s: float = 0.0

    def is_away(self, now_s: float) -> bool:
        return self.dead or any(start <= now_s < end for start, end in self.away)

    def step(self, now_s: float, newest: Document | None) -> Report | None:
        """Take what is desired, and perhaps report."""
        if self.is_away(now_s):
            return None
        if newest is not None and newest != self.document:
            self.document = newest
            self.taken.append(newest.version)
            self._ready_s = now_s + self.slow_s
        if self.document is not None and now_s >= self._ready_s:
            self._apply(self.document)
        if self.dead or now_s < self._report_s:
            return None
        self._report_s = now_s + self.chance.choice((30.0, 60.0, 90.0))
        return self._report(now_s)

    def _apply(self, document: Document) -> None:
        wanted = {item.ref: item.version for item in document.items}
        for ref in [ref for ref in self.runs if ref not in wanted]:
            del self.runs[ref]
            self.applied += 1
        for ref, version in wanted.items():
            if self.runs.get(ref) == version or self.failed.get(ref) == version:
                continue
            if version in self.bricks:
                self.dead = True
                return
            if version in self.bad:
                self.failed[ref] = version
                continue
            self.runs[ref] = version
            self.failed.pop(ref, None)
            self.applied += 1

    def _report(self, now_s: float) -> Report:
        document = self.document
        rows = []
        for item in () if document is None else document.items:
            if self.runs.get(item.ref) == item.version:
                rows.append(ItemReport(item.ref, item.version, ItemState.ACTIVE))
            elif self.failed.get(item.ref) == item.version:
                rows.append(ItemReport(item.ref, item.version, ItemState.FAILED, "it collected nothing"))
            else:
                rows.append(ItemReport(item.ref, item.version, ItemState.DESIRED))
        due = 6000
        sick = bool(self.sick & set(self.runs.values()))
        health = Health(window_s=60, samples=due // 2 if sick else due, due=due)
        return Report(
            round(now_s * 1e6),
            self.name,
            document.version if document else 0,
            "",
            tuple(rows),
            "1",
            health=health,
        )


class Region:
    """Gateways, a store, and headquarters that is restarted now and then.

    Args:
        folder: For the store.
        plants: The gateways.
        restarts: How often, of a hundred steps, headquarters starts anew.
    """

    def __init__(self, folder: Path, plants: list[Plant], restarts: int = 0, seed: int = 0) -> None:
        self._folder = folder
        self._chance = Random(seed)
        self._restarts = restarts
        self.now_s = START_S
        self.plants = {plant.name: plant for plant in plants}
        self.store = DesiredStore(folder, durable=False)
        self.rollouts = Rollouts(self.store, self.now_us)
        self.listening_s = START_S
        self.set_at: dict[str, float] = {}
        for plant in plants:
            self.store.put(plant.name, (firmware("1.0"),), self.now_us(), "engineer")

    def now_us(self) -> int:
        return round(self.now_s * 1e6)

    def begin(self, plan: Plan) -> None:
        self.rollouts.plan(plan)
        self.rollouts.start(plan.name, {}, sorted(self.plants), lambda wanted: None)

    def step(self, seconds: float = STEP_S) -> None:
        self.now_s += seconds
        reports = []
        versions = self.store.versions()
        for plant in self.plants.values():
            if plant.is_away(self.now_s):
                continue
            report = plant.step(self.now_s, self._newest(plant, versions[plant.name]))
            if report is not None:
                reports.append((plant.name, 1, report.time_us, json.dumps(report.fields())))
        self.store.take_reports(reports, self.now_us())
        if self._chance.randrange(100) < self._restarts:
            self.restart()
        self._look()

    def restart(self) -> None:
        """Headquarters starts anew."""
        self.store.close()
        self.store = DesiredStore(self._folder, durable=False)
        self.rollouts = Rollouts(self.store, self.now_us)
        self.listening_s = self.now_s

    def dark(self, hours: float) -> None:
        """Headquarters is off; gateways take what is desired from their hub, and nobody hears them.

        When it is back it looks before anything has come.
        """
        end_s = self.now_s + hours * 3600
        versions = self.store.versions()
        while self.now_s < end_s:
            self.now_s += min(hours * 36, end_s - self.now_s)
            for plant in self.plants.values():
                plant.step(self.now_s, self._newest(plant, versions[plant.name]))
        self.restart()
        self._look()

    def _look(self) -> None:
        for _, said in self.rollouts.step({}, self.listening_s):
            if said.note == "set":
                self.set_at[said.gateway] = self.now_s

    def _newest(self, plant: Plant, version: int) -> Document | None:
        if plant.document is not None and plant.document.version == version:
            return plant.document
        entry = self.store.newest(plant.name)
        return None if entry is None else entry.document

    def settle(self, steps: int = 40) -> None:
        """Let gateways take what they have, before anything begins."""
        for _ in range(steps):
            self.step()

    def run(self, name: str, hours: float, step_s: float = STEP_S) -> Rollout:
        """Go on until the roll-out has ended, or so long."""
        end_s = self.now_s + hours * 3600
        while self.now_s < end_s:
            self.step(step_s)
            _, rollout = self.rollouts.view(name)
            if not rollout.is_open:
                return rollout
        return self.rollouts.view(name)[1]


def three_rings(soak_s: float = 300.0, rules: Rules | None = None, windows: tuple[Window, ...] = ()) -> Plan:
    """Two canaries, half of the rest, all."""
    rings = (
        Ring("canary", Selector(gateways=("unit-00", "unit-01")), soak_s),
        Ring("half", Selector(percent=50.0), soak_s),
        Ring("all", Selector(), soak_s),
    )
    change = Change(put=(firmware("2.0"),))
    return Plan("fw-2", change, rings, rules or Rules(), windows)


def check_order(region: Region, plan: Plan) -> None:
    """No gateway of a ring was set before one of an earlier ring."""
    _, rollout = region.rollouts.view(plan.name)
    for gateway, at_s in region.set_at.items():
        for other, earlier_s in region.set_at.items():
            if rollout.members[other].ring < rollout.members[gateway].ring:
                assert earlier_s <= at_s, f"{gateway} was set before {other}"
        assert is_open(plan.windows, at_s), f"{gateway} was set outside of a window"


def check_end(region: Region, plan: Plan, rollout: Rollout) -> None:
    """What is desired follows from how it ended, and every gateway in reach runs it."""
    for gateway, member in rollout.members.items():
        newest = region.store.newest(gateway)
        assert newest is not None
        wanted = {item.ref: item.version for item in newest.document.items}
        if rollout.phase in (Phase.HALTED, Phase.ABORTED) or member.failed:
            assert wanted == {"firmware": "1.0"}, f"{gateway} did not go back"
        elif member.course is Course.GOOD:
            assert wanted == {"firmware": "2.0"}, f"{gateway} did not go forward"
        plant = region.plants[gateway]
        if not plant.is_away(region.now_s) and member.course in (Course.GOOD, Course.RETURNED):
            assert plant.runs == wanted, f"{gateway} runs {plant.runs}"


__all__ = ["Plant", "Region", "check_end", "check_order", "firmware", "replace", "three_rings"]
