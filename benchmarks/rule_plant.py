"""What the rules are measured on: samples of which every one is new, and apps bound to them.

Every input swings around its own middle with noise on it, so that in each scan of `WATCH` one in 14
is above its limit, and three of a thousand alarms begin or end: more than any plant has.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.apps.board import Feed
from edge_runtime.apps.derived import Derived, value_type
from edge_runtime.apps.engine import AppEngine, RunningApp, make_board
from edge_runtime.apps.installed import InstalledApp, Instance
from edge_runtime.config import ScanClass
from edge_runtime.rules.apps.app import LiveApp
from edge_runtime.rules.apps.build import build
from edge_runtime.rules.program import compile_program
from edge_runtime.scan import Schedule
from protocols.field.base import FieldType
from protocols.package.package import of_files
from protocols.points import Point
from protocols.samples import SampleBlock, ValueType

Cells = npt.NDArray[Any]

PERIOD_US = 1_000_000
START_US = 1_760_000_000_000_000
TASK = "plc/normal"
SWING_SCANS = 240

MIDDLES = {
    "x": (8.0, 15.0, 3.0, 0.3),
    "flow": (2.5, 3.5, 0.2, 0.02),
    "pressure": (48.0, 52.0, 5.0, 0.3),
    "power": (19.0, 21.0, 1.5, 0.1),
}
"""By input: least and greatest middle, swing and noise."""

_MANIFEST = """\
[app]
id = "{id}"
version = "1.0.0"
class = "operations"
publisher = "benchmarks"
title = {{ en = "Measured" }}
period_s = 1.0

[permissions]
read = [{read}]
events = true

[resources]
state_bytes_max = 10000
instances_max = 10000

[[program]]
file = "programs/main.st"
{parameters}
"""


class Samples(NamedTuple):
    """What arrives, scan by scan.

    Args:
        values: By input, (scans, instances).
        points: By type, the points' ids.
        instances: How many.
    """

    values: dict[str, Cells]
    points: dict[ValueType, Cells]
    instances: int

    def blocks(self, scan: int) -> list[SampleBlock]:
        """A scan's samples as a driver makes them: points it has, all else is new."""
        made = []
        for kind, ids in self.points.items():
            names = [name for name in self.values if value_type_of(name) is kind]
            cells = np.concatenate([self.values[name][scan] for name in names]).astype(kind.dtype)
            times = np.full(len(ids), time_us(scan), np.int64)
            made.append(SampleBlock(kind, ids, times, cells, np.zeros(len(ids), np.uint32)))
        return made


def signal(name: str, scans: int, instances: int, seed: int = 1) -> Cells:
    """An input over scans and instances."""
    draw = np.random.default_rng([seed, len(name), ord(name[0])])
    if name == "mode":
        return draw.integers(-1, 6, (scans, instances))
    low, high, swing, noise = MIDDLES[name]
    middles = draw.uniform(low, high, instances)
    phases = draw.uniform(0.0, 2.0 * np.pi, instances)
    turns = np.arange(scans)[:, None] * (2.0 * np.pi / SWING_SCANS) + phases
    found: Cells = middles + swing * np.sin(turns) + draw.normal(0.0, noise, (scans, instances))
    return found


def samples(inputs: Sequence[str], scans: int, instances: int) -> Samples:
    """Samples of all inputs; the ids of an input's points lie together."""
    points: dict[ValueType, list[Cells]] = {}
    for at, name in enumerate(inputs):
        points.setdefault(value_type_of(name), []).append(point_ids(at, instances))
    return Samples(
        {name: signal(name, scans, instances) for name in inputs},
        {kind: np.concatenate(ids) for kind, ids in points.items()},
        instances,
    )


def value_type_of(name: str) -> ValueType:
    """What travels of an input."""
    return ValueType.I64 if name == "mode" else ValueType.F64


def time_us(scan: int) -> int:
    """The instant of a scan."""
    return START_US + scan * PERIOD_US


def point_ids(at: int, instances: int) -> Cells:
    """The ids of an input's points."""
    return np.arange(1 + at * instances, 1 + (at + 1) * instances, dtype=np.uint32)


def installed(source: str, id: str, first: int, instances: int, of: int) -> InstalledApp:
    """An app bound to the points of `samples`.

    Args:
        source: Its program.
        id: Its id.
        first: The instance of the samples with which its own begin.
        instances: How many it has.
        of: How many instances the samples have.
    """
    program = compile_program(source)
    parameters = "".join(
        f"[parameters.{each.name}]\ndefault = {each.initial[0]!r}\n" for each in program.parameters
    )
    read = ", ".join(f'"{column.name}"' for column in program.inputs)
    manifest = _MANIFEST.format(id=id, read=read, parameters=parameters)
    built = build(of_files({"app.toml": manifest.encode(), "programs/main.st": source.encode()}, id))
    points = [
        [
            Point(int(each), f"{name}-{each}", "plc", str(each), field_type(name), "normal")
            for each in point_ids(at, of)[first : first + instances]
        ]
        for at, name in enumerate(built.app.inputs)
    ]
    made = tuple(
        Instance(
            f"i{first + at}",
            tuple(column[at] for column in points),
            tuple(column.initial[0] for column in built.app.parameters.values()),
            tuple(f"{id}-{output}-{at}" for output in built.outputs),
        )
        for at in range(instances)
    )
    return InstalledApp(Path(f"{id}.toml"), "", built, ScanClass("normal", PERIOD_US), made)


def field_type(name: str) -> FieldType:
    """What a device holds of an input."""
    return FieldType.INT64 if value_type_of(name) is ValueType.I64 else FieldType.F64


def engine(apps: Sequence[InstalledApp], now_us: list[int]) -> AppEngine:
    """The engine of a gateway with these apps.

    Args:
        apps: What runs.
        now_us: Its first cell is the gateway's time.
    """
    feed = TASK, Feed(PERIOD_US, 0)
    running = []
    next_id = 1_000_000
    for app in apps:
        derived = []
        for output in app.built.outputs:
            ids = tuple(range(next_id, next_id + len(app.instances)))
            next_id += len(ids)
            derived.append(Derived(output, value_type(app, output), ids))
        feeds = {point.id: feed for instance in app.instances for point in instance.points}
        live = LiveApp(app.built.app, len(app.instances), app.parameters)
        schedule = Schedule(PERIOD_US, 0, START_US - PERIOD_US)
        running.append(RunningApp(app, live, schedule, make_board(app, feeds), tuple(derived)))
    return AppEngine(running, lambda: now_us[0])
