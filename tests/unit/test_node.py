"""What runs on a board, run here: the program as on a gateway, and the supervisor's choices."""

from __future__ import annotations

import json
import math
import random
import types
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.flash import nodebuild
from edge_runtime.node import supervisor as supervising
from edge_runtime.node.program import Program
from edge_runtime.node.supervisor import BITES_MAX, PROVEN_SCANS, SLOW_MAX, Supervisor
from edge_runtime.rules import BOARD, Runner, compile_program
from edge_runtime.rules.running.inputs import InputStage

SOURCE = """
PROGRAM watch
VAR_INPUT x : REAL; n : INT; run : BOOL; END_VAR
VAR_INPUT CONSTANT limit : REAL := 16.0; END_VAR
VAR_OUTPUT high : BOOL; sum : REAL; count : DINT; END_VAR
VAR late : TON; tell : ALARM; END_VAR
late(IN := run AND (x > limit), PT := T#250ms);
high := late.Q;
sum := sum * 0.5 + x / limit;
count := count + n;
tell(IN := late.Q, VALUE := x, TEXT := 'high');
END_PROGRAM
"""


def described(folder: Path, source: str = SOURCE) -> dict[str, Any]:
    path = folder / "program.st"
    path.write_text(source, encoding="utf-8")
    found: dict[str, Any] = json.loads(nodebuild.program(path, None, nodebuild.Target())["rules.json"])
    return found


def module_of(source: str = SOURCE) -> types.ModuleType:
    module = types.ModuleType("rules")
    exec(compile_program(source, budget=BOARD).code, module.__dict__)
    return module


def test_a_board_computes_what_a_gateway_does(tmp_path: Path) -> None:
    import numpy as np

    draw = random.Random(4)
    board = Program(described(tmp_path), module_of(), {})
    compiled = compile_program(SOURCE, budget=BOARD)
    runner, stage = Runner(compiled), InputStage(compiled.inputs, 1)
    odd = [math.nan, math.inf, 1e39, -40_000, 32_767.4, -0.0, 0.1]
    told = 0
    for scan in range(3000):
        readings = [
            draw.choice([None, 17.5, 15.0, draw.uniform(0, 40), draw.choice(odd)]),
            draw.choice([None, draw.randrange(-9, 9), draw.choice(odd)]),
            draw.choice([None, 0, 1, True, 3.5, 1, 1, 1]),
        ]
        for index, value in enumerate(readings):
            given = np.array([[0.0 if value is None else float(value)]])
            bad = np.array([[2 if value is None else 0]], np.int8)
            values, qualities = stage.take(index, given, bad)
            runner.inputs[index][:], runner.qualities[index][:] = values.tolist(), qualities.tolist()
        runner.times[0] = scan * 100
        expected = runner.events(runner.step())
        found = board.scan(scan * 100, readings)
        assert [column[0] for column in board.values] == pytest.approx(
            [column[0] for column in runner.outputs], rel=0, abs=0, nan_ok=True
        ), scan
        marks = [
            2 if not math.isfinite(v[0]) else q[0]
            for v, q in zip(runner.outputs, runner.output_qualities, strict=True)
        ]
        assert [board.quality(index) for index in range(3)] == marks
        assert [(kind, value, quality) for _, kind, _, value, quality in found] == [
            (("raised", "returned")[event.code % 2], event.value, event.quality) for event in expected
        ]
        told += len(found)
    assert told > 20


def test_parameters_take_the_place_of_declared_ones(tmp_path: Path) -> None:
    program = Program(described(tmp_path), module_of(), {"limit": 8.0})
    program.scan(0, [4.0, 0, 1])
    assert program.values[1][0] == 0.5


class FakeClock:
    def __init__(self) -> None:
        self.now = 0
        self.step = 0
        self.bit = False
        self.fed = 0
        self.guarded = 0

    def now_ms(self) -> int:
        self.now += self.step
        return self.now

    def sleep_ms(self, many: int) -> None:
        self.now += many

    def bitten(self) -> bool:
        return self.bit

    def guard(self, timeout_ms: int) -> None:
        self.guarded = timeout_ms

    def feed(self) -> None:
        self.fed += 1


class FakeIo:
    def __init__(self) -> None:
        self.readings: dict[str, Any] = {"x": 20.0, "n": 1, "run": 1}
        self.written: list[dict[str, Any]] = []

    def read(self, name: str) -> Any:
        return self.readings[name]

    def write(self, values: dict[str, Any]) -> None:
        self.written.append(values)


class Board:
    """A board's files in a folder, its modules from sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = f"{folder}/"
        self.path = folder
        self.clock = FakeClock()
        self.io = FakeIo()
        self.modules: dict[str, Any] = {}
        self.lines: list[str] = []
        config = {"scan_ms": 100, "outputs": {"high": {"safe": 1}}, "watchdog_ms": 5000}
        (folder / "node.json").write_text(json.dumps(config))

    def put(self, name: str, hash_: str, module: object) -> None:
        document = described(self.path) | {"hash": hash_, "name": f"{hash_}-program"}
        (self.path / f"{name}.json").write_text(json.dumps(document))
        self.modules[name] = module

    def load(self, name: str) -> object:
        module = self.modules[name]
        if isinstance(module, Exception):
            raise module
        return module

    def start(self, scans: int = 0) -> Supervisor:
        running = Supervisor(self.folder, self.clock, lambda *_: self.io, self.load, self.lines.append)
        running.start()
        for _ in range(scans):
            running.scan()
        return running

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "state.json").read_text())
        return found


def failing(after: int) -> types.SimpleNamespace:
    """A module whose step raises from the n-th scan on."""
    left = [after]
    right = module_of()

    def step(*arguments: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise ZeroDivisionError("divide by zero")
        return int(right.step(*arguments))

    return types.SimpleNamespace(step=step)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_a_good_program_is_proven(board: Board) -> None:
    board.put("rules", "new", module_of())
    running = board.start(PROVEN_SCANS)
    assert board.state["proven"] == "new" and not board.state["trying"]
    assert running.program is not None and board.clock.guarded == 5000
    assert board.clock.fed == PROVEN_SCANS
    assert board.io.written[-1]["high"][1] == 0


@pytest.mark.parametrize("bad", [failing(0), failing(30), ImportError("no module"), types.SimpleNamespace()])
def test_a_bad_program_is_given_up_for_the_one_before(board: Board, bad: object) -> None:
    board.put("rules", "new", bad)
    board.put("rules_old", "old", module_of())
    running = board.start(60)
    assert running.program is not None and running.program.name == "old-program"
    assert list(board.state["bad"]) == ["new"]
    assert any("given up new" in line for line in board.lines)
    assert board.state["proven"] == "old"
    # It is not tried again at the next start; a newer one is.
    board.lines.clear()
    board.start()
    assert "not running new-program" in " ".join(board.lines)
    board.put("rules", "newer", module_of())
    again = board.start(1)
    assert again.program is not None and again.program.name == "newer-program"


def test_without_any_good_program_outputs_are_safe(board: Board) -> None:
    board.put("rules", "new", failing(2))
    running = board.start(5)
    assert running.program is None
    assert board.io.written[-1] == {"high": (1, 0)}
    assert "no program runs" in board.lines[-1]
    running.scan()  # and it lives on


def test_a_program_that_is_too_slow_is_given_up(board: Board) -> None:
    board.put("rules", "new", module_of())
    board.clock.step = 101
    running = board.start(SLOW_MAX)
    assert running.overruns == SLOW_MAX
    assert "too slow" in board.state["bad"]["new"]


def test_only_the_watchdog_uses_up_tries(board: Board) -> None:
    board.put("rules", "new", module_of())
    for _ in range(10):
        board.start(1)  # switched off and on
    assert board.state["bad"] == {}
    board.clock.bit = True
    for _ in range(BITES_MAX):
        board.start(1)
    assert "watchdog" in board.state["bad"]["new"]


def test_torn_files_stop_nothing(board: Board) -> None:
    board.put("rules", "new", module_of())
    (board.path / "state.json").write_text('{"bad": {')
    (board.path / "rules_old.json").write_text("")
    assert board.start(1).program is not None


def test_a_flash_that_was_cut_is_seen(tmp_path: Path) -> None:
    import hashlib

    folder = f"{tmp_path}/"
    assert supervising.unfinished(folder) == "manifest.json"
    (tmp_path / "a").write_bytes(b"1" * 600)
    hashes = {"a": hashlib.sha256(b"1" * 600).hexdigest()}
    (tmp_path / "manifest.json").write_bytes(nodebuild.manifest(hashes))
    assert supervising.unfinished(folder) == ""
    (tmp_path / "a").write_bytes(b"1" * 599)
    assert supervising.unfinished(folder) == "a"


def test_the_log_keeps_the_newest_within_its_bounds(tmp_path: Path) -> None:
    from edge_runtime.node.ring import Ring

    shown: list[str] = []
    ring = Ring(f"{tmp_path}/", 1000, shown.append)
    for number in range(200):
        ring.say(number * 1000, "info", f"line {number}\nand more")
    kept = (tmp_path / "node.log.old").read_text() + (tmp_path / "node.log").read_text()
    assert len(kept) <= 1000 and kept.endswith("199.000 info line 199 | and more\n")
    assert len(kept) > 500 and len(shown) == 200
    again = Ring(f"{tmp_path}/", 1000, shown.append)
    again.say(0, "info", "started")
    assert (tmp_path / "node.log").read_text().endswith("0.000 info started\n")
