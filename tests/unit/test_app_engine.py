"""Apps of one gateway do not delay each other, and run no scan of an instant that never was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import limits
from edge_runtime.apps.board import Feed
from edge_runtime.apps.derived import Derived
from edge_runtime.apps.engine import ROUNDS_MAX, AppEngine, RunningApp, make_board
from edge_runtime.apps.installed import InstalledApp, Instance
from edge_runtime.clock import Step
from edge_runtime.config import ScanClass
from edge_runtime.rules.apps.app import LiveApp, Scan
from edge_runtime.rules.apps.build import build
from edge_runtime.scan import Schedule
from protocols.field.base import FieldType
from protocols.package.package import of_files
from protocols.points import Point
from protocols.records import GapCause
from protocols.samples import BAD, GOOD, SampleBlock, ValueType
from tests.app_parts import manifest

S = 1_000_000
T0 = 1_700_000_000 * S
TASK = "plc/fast"

PROGRAM = b"""
PROGRAM count
VAR_INPUT x : LREAL; END_VAR
VAR_OUTPUT scans : DINT; END_VAR
scans := scans + 1;
END_PROGRAM
"""


class Slow(LiveApp):
    """An app whose scans take time, or fail."""

    def __init__(self, app: InstalledApp, spend: Callable[[], None]) -> None:
        super().__init__(app.built.app, 1)
        self._spend = spend

    def scan(self, time_ms: int, values: Mapping[str, Any], qualities: Mapping[str, Any]) -> Scan:
        self._spend()
        return super().scan(time_ms, values, qualities)


class World:
    """A gateway's apps and its time."""

    def __init__(self, *ids: str) -> None:
        self.now_us = T0
        self.steps: tuple[Step, ...] = ()
        self.fails = ""
        self.cost_us = dict.fromkeys(ids, 0)
        self.running = [self._start(number, id) for number, id in enumerate(ids)]
        self.engine = AppEngine(self.running, lambda: self.now_us, lambda: self.steps)

    def _start(self, number: int, id: str) -> RunningApp:
        files = {"app.toml": manifest(id), f"programs/{id}.st": PROGRAM}
        point = Point(1, "X", "plc", "400001", FieldType.F64, "fast")
        instance = Instance("one", (point,), (), (f"{id}.one.scans",))
        built = build(of_files(files, id))
        app = InstalledApp(Path(f"{id}.toml"), "", built, ScanClass("fast", S), (instance,))
        board = make_board(app, {1: (TASK, Feed(S, 0))})
        derived = (Derived("scans", ValueType.I64, (100 + number,)),)
        live = Slow(app, lambda: self._spend(id))
        return RunningApp(app, live, Schedule(S, 0, T0), board, derived)

    def _spend(self, id: str) -> None:
        if id == self.fails:
            raise ArithmeticError("a bug")
        self.now_us += self.cost_us[id]

    def read(self, seconds: float) -> None:
        """The points were read at an instant."""
        time_us = T0 + round(seconds * S)
        self.now_us = max(self.now_us, time_us)
        self.engine.show(TASK, time_us, [SampleBlock.make(ValueType.F64, [1], [time_us], [1.0])])

    def scanned(self) -> dict[str, list[float]]:
        """Seconds of the scans that ran now, by app."""
        found: dict[str, list[float]] = {}
        for delivery in self.engine.advance().deliveries:
            found.setdefault(delivery.task, []).append((delivery.instant_us - T0) / S)
        return found


def test_an_app_slower_than_its_period_hands_over_and_lets_the_others_run() -> None:
    world = World("slow", "other")
    world.cost_us["slow"] = 2 * S
    for second in range(1, 40):
        world.read(second)
    ran = world.scanned()
    assert len(ran["app/slow"]) == len(ran["app/other"]) == ROUNDS_MAX
    assert world.engine.is_ready, "the rest comes at the next call"


def test_an_app_that_fails_is_bad_from_then_on_and_delays_no_other() -> None:
    world = World("broken", "other")
    world.fails = "broken"
    told = []
    for second in (1, 2, 3):
        world.read(second)
        outcome = world.engine.advance()
        told += [(each.app, each.kind, "a bug" in each.trace) for each in outcome.told]
        made = {each.task: each for each in outcome.deliveries}
        [broken], [other] = made["app/broken"].blocks, made["app/other"].blocks
        assert (broken.time.tolist(), broken.quality.tolist()) == ([T0 + second * S], [BAD])
        assert (other.value.tolist(), other.quality.tolist()) == ([second], [GOOD])
    assert told == [("broken", "failed", True)]


def test_scans_that_cannot_be_caught_up_with_are_declared() -> None:
    world = World("one")
    world.read(1)
    assert world.scanned() == {"app/one": [1.0]}
    world.read(limits.APP_SCANS_BEHIND_MAX + 11)
    outcome = world.engine.advance()
    assert [told.kind for told in outcome.told][:1] == ["behind"]
    [gap] = outcome.deliveries[0].gaps
    assert (gap.cause, gap.t_from_us, gap.samples) == (GapCause.OVERRUN, T0 + 2 * S, 9)
    assert gap.t_to_us == outcome.deliveries[0].instant_us


@pytest.mark.parametrize("stepped_s", [7.0, 7.4, 100.0])
def test_no_scan_is_run_for_instants_that_the_clock_was_set_over(stepped_s: float) -> None:
    world = World("one")
    world.read(1)
    world.scanned()
    world.now_us = T0 + round(stepped_s * S)
    world.steps = (Step(T0 + 1_400_000, world.now_us),)
    assert world.scanned() == {}
    after = int(stepped_s) + (1 if stepped_s % 1 else 0)
    world.read(after)
    outcome = world.engine.advance()
    [delivery] = outcome.deliveries
    [gap] = delivery.gaps
    assert delivery.instant_us == gap.t_to_us == T0 + after * S
    assert (gap.cause, gap.t_from_us, gap.samples) == (GapCause.CLOCK_STEP, T0 + 2 * S, after - 2)
    assert not outcome.told
