"""The process-monitoring app, compiled, and a gateway that runs it and records everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.rules.apps.app import CompiledApp, LiveApp, Scan
from edge_runtime.rules.apps.build import build
from edge_runtime.rules.models.model import Model, ModelScorer, ReplayedModel
from headquarters.lake.query import Engine
from headquarters.replay.job import Job
from headquarters.replay.report import Report
from headquarters.replay.run import Replay
from protocols.batch import Stream
from protocols.package import ModelSpec, Package, open_package
from protocols.records import (
    AppState,
    EventRecord,
    EventType,
    PointDefinition,
    StateKind,
    state_records,
)
from protocols.samples import SampleBlock, ValueType
from tests.lake_parts import HandGateway, Headquarters

FOLDER = Path(__file__).parents[1] / "apps" / "process-monitoring"
PERIOD_US = 180_000_000
FIRST_US = 9_944_445 * PERIOD_US
INSTANCE = "te"
GATEWAY = "te-1"
SEVERITY = (0, 0x4000_0000, 0x8000_0000)

Rows = Any


@cache
def package() -> Package:
    return open_package(FOLDER)


def spec() -> ModelSpec:
    [model] = package().manifest.models
    return model


def settings(**parameters: float) -> str:
    """The app's settings at the gateway."""
    inputs = ", ".join(f'{each.name} = "TE.{each.name}"' for each in spec().inputs)
    given = ", ".join(f"{name} = {value}" for name, value in parameters.items())
    return f"[instance.{INSTANCE}]\ninputs = {{{inputs}}}\nparameters = {{{given}}}\n"


def compiled() -> CompiledApp:
    return build(package()).app


def scorer() -> ModelScorer:
    return ModelScorer(Model.load(spec(), (FOLDER / spec().file).read_bytes()), 1)


def job(limit: float | None = None) -> Job:
    """What a replay of the app as `MonitoringGateway` runs it is."""
    return Job(
        compiled(),
        GATEWAY,
        PERIOD_US,
        (INSTANCE,),
        {each.name: (f"TE.{each.name}",) for each in spec().inputs},
        {} if limit is None else {"t2_limit": [limit]},
        [ReplayedModel(Model.load(spec(), package().files[spec().file]), 1)],
        package().files,
    )


def usual_rows(count: int, seed: int = 1) -> Rows:
    """Rows around the mean of the model's training, without the real data's bonds between variables."""
    inputs = spec().inputs
    drawn = np.random.default_rng(seed).normal(size=(count, len(inputs)))
    return (
        np.array([each.offset for each in inputs]) + drawn * np.array([each.scale for each in inputs]) * 0.9
    )


class MonitoringGateway(HandGateway):
    """Runs the app on rows of the process as a gateway does, and signs what it saw and made."""

    def __init__(self, rows: Rows, bad: Sequence[tuple[int, int]] = (), state_after: int = -1) -> None:
        super().__init__(GATEWAY, "works")
        self.app = compiled()
        self.live = LiveApp(self.app, 1, None, [scorer()])
        self.rows = rows
        self.bad = set(bad)
        """Cells (row, variable) that could not be read."""
        self.state_after = state_after
        """The scan after which the app's state is recorded; -1: never."""
        self.inputs = [each.name for each in spec().inputs]
        self.scans: list[Scan] = []

    def definitions(self) -> list[PointDefinition]:
        names = [*(f"TE.{name}" for name in self.inputs), *(self.derived(name) for name in self.app.outputs)]
        return [
            PointDefinition(number, name, ValueType.F64, "1", scan_period_ms=PERIOD_US // 1000)
            for number, name in enumerate(names, 1)
        ]

    def derived(self, output: str) -> str:
        return f"{self.app.id}.{INSTANCE}.{output}"

    def run(self) -> Iterator[tuple[SampleBlock, list[EventRecord]]]:
        """What each scan adds to the data and to the events."""
        for number, row in enumerate(self.rows):
            time_us = FIRST_US + number * PERIOD_US
            marks = np.array([2 if (number, at) in self.bad else 0 for at in range(len(row))], np.int8)
            scan = self.live.scan(
                time_us // 1000,
                {name: row[at : at + 1] for at, name in enumerate(self.inputs)},
                {name: marks[at : at + 1] for at, name in enumerate(self.inputs)},
            )
            self.scans.append(scan)
            values = [*row.tolist(), *(scan.outputs[name][0] for name in self.app.outputs)]
            codes = [*marks.tolist(), *(scan.qualities[name][0] for name in self.app.outputs)]
            points = range(1, len(values) + 1)
            block = SampleBlock.make(
                ValueType.F64, points, [time_us] * len(values), values, [SEVERITY[code] for code in codes]
            )
            records = [self._record(each.event) for each in scan.events]
            yield block, records + (self._state(time_us) if number == self.state_after else [])

    def _state(self, time_us: int) -> list[EventRecord]:
        count = len(self.inputs)
        parts = tuple(self.live.snapshot())
        state = AppState(
            time_us,
            self.app.id,
            StateKind.SCAN,
            job().key,
            parts,
            (PERIOD_US,) * count,
            (0,) * count,
            ("always",) * count,
        )
        return state_records(state)

    def _record(self, event: Any) -> EventRecord:
        site = self.app.programs[0].program.events[event.code // 2]
        return EventRecord(
            1000 * event.time_ms,
            EventType.ALARM,
            self.app.id,
            INSTANCE,
            site.path,
            site.text,
            site.priority,
            "returned" if event.code % 2 else "raised",
            "normal",
            event.value,
            event.quality,
        )


class Recorded:
    """A lake with what a gateway recorded of a run; of the scan `lost` only the events."""

    def __init__(
        self,
        home: Path,
        rows: Any,
        bad: Sequence[tuple[int, int]] = (),
        state_after: int = -1,
        lost: int = -1,
    ) -> None:
        self.gateway = MonitoringGateway(rows, bad, state_after)
        headquarters = Headquarters(home, self.gateway)
        headquarters.now_us = FIRST_US + len(rows) * PERIOD_US
        blocks, events = zip(*self.gateway.run(), strict=True)
        blocks = tuple(block for number, block in enumerate(blocks) if number != lost)
        headquarters.take(
            self.gateway.open(Stream.META),
            self.gateway.meta(self.gateway.definitions()),
            self.gateway.open(),
            self.gateway.data(*blocks),
            self.gateway.open(Stream.EVENT),
        )
        records = [each for scan in events for each in scan]
        if records:
            headquarters.take(self.gateway.events(*records))
        self.engine = Engine(headquarters.settings.lake)
        self.home = headquarters.home
        self.end_us = FIRST_US + len(rows) * PERIOD_US

    def replay(self, limit: float | None = None, first_scan: int = 0) -> Report:
        begin = FIRST_US + first_scan * PERIOD_US
        return Replay(self.engine, job(limit)).run(begin, self.end_us, lambda done, total: None)
