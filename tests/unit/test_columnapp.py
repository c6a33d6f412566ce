"""An app over columns gives what it gives scan by scan: outputs, qualities, events and state."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from edge_runtime.rules import Type, compile_program, vectorised
from edge_runtime.rules.apps.app import CompiledApp, LiveApp, Origin, Source, WiredProgram
from edge_runtime.rules.apps.columnapp import ColumnApp, Scans
from edge_runtime.rules.models.model import Model, ModelScorer
from edge_runtime.rules.program import Column
from protocols.package.modelspec import Mode, ModelInput, ModelOutput, ModelSpec
from tests.onnx_parts import weighted_sum

WATCH = compile_program("""
PROGRAM watch
VAR_INPUT score, level : LREAL; running : BOOL; END_VAR
VAR_INPUT CONSTANT limit : LREAL := 1.0; END_VAR
VAR_OUTPUT ratio : LREAL; high : BOOL; END_VAR
VAR late : TON; tell : ALARM; END_VAR
late(IN := running AND (score > limit), PT := T#2s);
high := late.Q;
ratio := score / level;
tell(IN := high, VALUE := score, PRIORITY := 2, TEXT := 'score high');
END_PROGRAM""")

COUNT = compile_program("""
PROGRAM count
VAR_INPUT high : BOOL; END_VAR
VAR_OUTPUT times : DINT; END_VAR
VAR rise : R_TRIG; total : DINT; END_VAR
rise(CLK := high);
IF rise.Q THEN total := total + 1; EVENT('counted', VALUE := DINT_TO_LREAL(total)); END_IF;
times := total;
END_PROGRAM""")

APP = CompiledApp(
    "watcher",
    "1.0.0",
    (
        WiredProgram(
            WATCH, (Source(Origin.MODEL), Source(Origin.POINT, "level"), Source(Origin.POINT, "running"))
        ),
        WiredProgram(COUNT, (Source(Origin.OUTPUT, step=0, output=1),)),
    ),
    {
        "level": Column("level", Type.LREAL, None, (0.0,)),
        "running": Column("running", Type.BOOL, None, (0,)),
        "flow": Column("flow", Type.REAL, None, (0.5,)),
    },
    {column.name: column for column in WATCH.parameters},
    {column.name: column for column in WATCH.outputs + COUNT.outputs},
)
INSTANCES = 3
SCANS = 120


def scorers(mode: Mode = Mode.ACTIVE) -> list[ModelScorer]:
    inputs = (ModelInput("level", low=-1.5, high=1.5), ModelInput("flow", window=3))
    spec = ModelSpec("m", "models/m.onnx", inputs, (ModelOutput("y"),), mode=mode)
    return [ModelScorer(Model.load(spec, weighted_sum([1.0, 0.25, 0.5, 1.0])), INSTANCES)]


def drawn() -> tuple[np.ndarray[Any, Any], dict[str, Any], dict[str, Any]]:
    source = np.random.default_rng(5)
    shape = (SCANS, INSTANCES)
    values = {
        "level": np.round(source.normal(size=shape), 1),
        "running": source.random(shape) < 0.9,
        "flow": source.normal(size=shape) + 0.5,
    }
    values["flow"][source.random(shape) < 0.02] = np.nan
    qualities = {name: source.choice(3, p=[0.9, 0.05, 0.05], size=shape).astype(np.int8) for name in values}
    return 1_700_000_000_000 + 1000 * np.arange(SCANS), values, qualities


def part(columns: dict[str, Any], scans: slice) -> dict[str, Any]:
    return {name: cells[scans] for name, cells in columns.items()}


def live(app: LiveApp, scans: range) -> tuple[dict[str, Any], dict[str, Any], list[tuple[Any, ...]]]:
    times, values, qualities = drawn()
    outputs: dict[str, Any] = {name: [] for name in APP.outputs}
    marks: dict[str, Any] = {name: [] for name in APP.outputs}
    events: list[tuple[Any, ...]] = []
    for scan in scans:
        at = {name: cells[scan] for name, cells in values.items()}
        found = app.scan(int(times[scan]), at, {name: cells[scan] for name, cells in qualities.items()})
        for name in APP.outputs:
            outputs[name].append(found.outputs[name].tolist())
            marks[name].append(found.qualities[name].tolist())
        events += [(e.program, *e.event[1:]) for e in found.events]
    return outputs, marks, events


def assert_same(scans: Scans, expected: tuple[dict[str, Any], dict[str, Any], list[tuple[Any, ...]]]) -> None:
    outputs, marks, events = expected
    for name in APP.outputs:
        assert (
            scans.outputs[name].tobytes() == np.array(outputs[name], scans.outputs[name].dtype).tobytes()
        ), name
        assert scans.qualities[name].tolist() == marks[name], name
    fields = ("program", "instance", "code", "time_ms", "value", "quality")
    assert [tuple(event[name] for name in fields) for event in scans.events] == events


@pytest.mark.parametrize("mode", list(Mode))
def test_columns_give_what_scans_give_and_the_same_state(mode: Mode) -> None:
    times, values, qualities = drawn()
    parameters = {"limit": [0.5, 1.0, 2.0]}
    by_scan = LiveApp(APP, INSTANCES, parameters, scorers(mode))
    expected = live(by_scan, range(SCANS))
    columns = ColumnApp(APP, INSTANCES, parameters, scorers(mode))
    assert_same(columns.run(times, values, qualities), expected)
    assert columns.snapshot() == by_scan.snapshot()
    assert bool(expected[2]) == (mode is Mode.ACTIVE), "alarms come of an acting model only"


def test_a_shadow_models_scores_are_there_to_be_compared() -> None:
    times, values, qualities = drawn()
    shadow = ColumnApp(APP, INSTANCES, None, scorers(Mode.SHADOW)).run(times, values, qualities)
    active = ColumnApp(APP, INSTANCES, None, scorers()).run(times, values, qualities)
    assert shadow.scored["m_y"][0].tolist() == active.scored["m_y"][0].tolist()
    assert set(shadow.qualities["ratio"].ravel().tolist()) == {2}


def test_columns_go_on_from_a_snapshot_of_scans_and_scans_from_one_of_columns() -> None:
    times, values, qualities = drawn()
    first = LiveApp(APP, INSTANCES, None, scorers())
    live(first, range(50))
    second = ColumnApp(APP, INSTANCES, None, scorers())
    second.restore(first.snapshot())
    scans = second.run(times[50:90], part(values, slice(50, 90)), part(qualities, slice(50, 90)))
    assert_same(scans, live(first, range(50, 90)))
    third = LiveApp(APP, INSTANCES, None, scorers())
    third.restore(second.snapshot())
    assert live(third, range(90, SCANS)) == live(first, range(90, SCANS))


def test_a_snapshot_of_another_app_is_refused() -> None:
    app = ColumnApp(APP, INSTANCES, None, scorers())
    parts = app.snapshot()
    for wrong in (parts[:-1], [b"", *parts[1:]], [parts[0], b"", *parts[2:]], [*parts[:-1], b"x"]):
        with pytest.raises(ValueError, match="snapshot is of another"):
            app.restore(wrong)


def test_numba_has_room_to_recurse_while_it_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = sys.getrecursionlimit(), []

    def step(*_: object) -> int:
        seen.append(sys.getrecursionlimit())
        return 0

    monkeypatch.setattr(vectorised, "load_compiled", lambda code: step)
    runner = vectorised.ColumnRunner(COUNT)
    runner.run(np.array([0]), [np.zeros(1, np.int8)], [np.zeros(1, np.int8)])
    assert seen == [vectorised.RECURSION_MAX]
    assert sys.getrecursionlimit() == before
