"""Rules on a board: a hundred different ones under MicroPython's unix port, inside a heap of 128 kB.

The rules differ in what they compare, how long they wait, and in how: eight kinds of program, each
with numbers of its own, so that there are a hundred generated functions. Compiled for the board
beforehand (`mpy-cross`), as an image is made, or by the board itself. What they tell is compared with
what CPython finds. This machine is some hundred times faster than a microcontroller: times are
shown to compare with each other, memory is what it is (words of 64 bits take twice a board's).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.frame import Row, Setting
from benchmarks.rule_plant import START_US, Cells
from edge_runtime.rules.program import Program, compile_program
from edge_runtime.rules.running.runner import Runner

SIDE = Path(__file__).with_name("board_side.py")
TOOLS = Path(sys.executable).parent
RULES = 100
PERIOD_MS = 100
SECONDS = 10
HEAP_KB = 128
HOW = {"compiled": "compiled before", "source": "from source"}

_TELL = "tell(IN := late.Q, VALUE := x, TEXT := 'high');"
KINDS = (
    f"late(IN := x > {{a}}, PT := T#{{t}}ms); {_TELL}",
    f"late(IN := x < {{a}}, PT := T#{{t}}ms); {_TELL}",
    f"late(IN := (x > {{a}}) OR (x < -{{b}}), PT := T#{{t}}ms); {_TELL}",
    f"late(IN := ABS(x) > {{a}}, PT := T#{{t}}ms); {_TELL}",
    "IF x > {a} THEN n := n + 1; ELSE n := 0; END_IF; tell(IN := n > {c}, VALUE := x, TEXT := 'often');",
    f"s := s + 0.{{c}} * (x - s); late(IN := s > {{a}}, PT := T#{{t}}ms); {_TELL}",
    f"on := (x > {{a}}) OR (on AND (x > {{a}} - 0.{{c}})); late(IN := on, PT := T#{{t}}ms); {_TELL}",
    f"late(IN := x - s > 0.{{c}}, PT := T#{{t}}ms); s := x; {_TELL}",
)
_RULE = """
PROGRAM rule
VAR_INPUT x : LREAL; END_VAR
VAR_OUTPUT on : BOOL; END_VAR
VAR s : LREAL; n : DINT; late : TON; tell : ALARM; END_VAR
{body}
END_PROGRAM
"""


class Found(NamedTuple):
    """What a board says.

    Args:
        heap: Bytes of its heap.
        rules_bytes: Taken by rules and their columns.
        loaded: Taken by all.
        us_mean: Microseconds a scan of all rules.
        us_max: The longest.
        events: How many.
        check: A sum over them.
    """

    heap: int
    rules_bytes: int
    loaded: int
    us_mean: float
    us_max: int
    events: int
    check: int


def measure(setting: Setting) -> Iterator[Row]:
    """Heap and time, compiled beforehand and on the board."""
    programs = [compile_program(text) for text in rules()]
    assert len({program.code for program in programs}) == RULES, "all are different"
    groups = _grouped(programs)
    scans = SECONDS * 1000 // PERIOD_MS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = np.random.default_rng(3).normal(0.0, 1.0, (scans, RULES)).cumsum(axis=0) * 0.2
        _write(folder, groups, values)
        expected = _in_cpython(groups, values)
        for how in ("compiled", "source"):
            found = _run(folder, how)
            title = f"MicroPython, {RULES} rules, {HOW[how]}"
            assert (found.events, found.check) == expected, "the events are those of CPython"
            yield Row.of(f"{title}: heap", found.loaded / 1024, "kB", "given", HEAP_KB, "<= 1")
            yield Row.of(f"{title}: a rule", found.rules_bytes / RULES, "B", "given", HEAP_KB * 1024 / RULES)
            yield Row.of(f"{title}: scans of all", 1e6 / found.us_mean, "scans/s", "10 Hz", 10, ">= 1")
            yield Row.of(f"{title}: the longest scan", found.us_max / 1000, "ms", "10 Hz", PERIOD_MS, "<= 1")


def rules() -> Iterator[str]:
    """The sources."""
    for number in range(RULES):
        body = KINDS[number % len(KINDS)].format(
            a=f"{0.5 + number * 0.01:.2f}",
            b=f"{0.6 + number * 0.01:.2f}",
            t=100 + 10 * number,
            c=1 + number % 9,
        )
        yield _RULE.format(body=body)


def _grouped(programs: Sequence[Program]) -> list[list[tuple[int, Program]]]:
    """Numbered, those with the same columns together."""
    groups: dict[Any, list[tuple[int, Program]]] = {}
    for number, program in enumerate(programs):
        states = tuple((column.type, column.initial) for column in program.states + program.scratch)
        groups.setdefault(states, []).append((number, program))
    return list(groups.values())


def _write(folder: Path, groups: list[list[tuple[int, Program]]], values: Cells) -> None:
    plan = []
    for group in groups:
        first = group[0][1]
        plan.append(
            {
                "rules": len(group),
                "numbers": [number for number, _ in group],
                "inputs": [column.type.code for column in first.inputs],
                "states": [(column.type.code, column.initial[0]) for column in first.states + first.scratch],
                "outputs": [column.type.code for column in first.outputs],
            }
        )
        for number, program in group:
            (folder / f"rule{number}.py").write_text(program.code, encoding="utf-8")
    together = folder / "rules.py"
    together.write_text(
        "".join(
            program.code.replace("def step(", f"def step{number}(")
            for group in groups
            for number, program in group
        ),
        encoding="utf-8",
    )
    subprocess.run([str(TOOLS / "mpy-cross"), str(together)], check=True)
    together.unlink()
    described = {"groups": plan, "scans": len(values), "period_ms": PERIOD_MS}
    (folder / "plan.json").write_text(json.dumps(described), encoding="utf-8")
    order = [number for group in groups for number, _ in group]
    (folder / "inputs").write_bytes(values[:, order].astype("<f8").tobytes())


def _run(folder: Path, how: str) -> Found:
    command = [str(TOOLS / "micropython"), "-X", f"heapsize={HEAP_KB}K", str(SIDE), str(folder), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return Found(**json.loads(done.stdout.splitlines()[-1]))


def _in_cpython(groups: list[list[tuple[int, Program]]], values: Cells) -> tuple[int, int]:
    """How many events, and the sum over them."""
    order = [(at, number, program) for group in groups for at, (number, program) in enumerate(group)]
    runners = [(at, number, Runner(program)) for at, number, program in order]
    count = check = 0
    for scan, row in enumerate(values.tolist()):
        for at, number, runner in runners:
            runner.times[0] = START_US // 1000 + scan * PERIOD_MS
            runner.inputs[0][0] = row[number]
            runner.qualities[0][0] = 0
            for event in runner.events(runner.step()):
                count += 1
                check = (check * 31 + at * 7 + event.code + scan) % 1000003
    return count, check
