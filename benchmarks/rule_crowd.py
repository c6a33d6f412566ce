"""Eight thousand rules on one gateway: as one program, and as eighty different ones.

What they take in memory is how much a fresh process grows when they are installed, bound and have
run one scan: instances, points, columns and the lists of a scan, and what the allocator keeps.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from struct import calcsize

from benchmarks.frame import Row, Setting
from benchmarks.rule_plant import engine, installed, samples
from benchmarks.rule_programs import WATCH
from benchmarks.rule_scans import PROMISED_WATCHES, SCANS, best_of, scan_all, whole_way
from edge_runtime.rules.program import compile_program

RULES = 8_000
APPS = 80


def measure(setting: Setting) -> Iterator[Row]:
    """Evaluations a second the whole way, and bytes a rule."""
    budget_s = 4.0 if setting.quick else 16.0
    given = samples(["x"], SCANS, RULES)
    one, many = [(WATCH, "app")], _different()
    seconds = best_of([whole_way(one, given, RULES), whole_way(many, given, RULES)], budget_s)
    for apps, took in zip((one, many), seconds, strict=True):
        title = f"threshold + TON + ALARM, {RULES:,} rules, {len(apps)} program{'s' * (len(apps) > 1)}"
        pace = SCANS * RULES / took
        goal = ">= 1" if len(apps) == 1 else None
        yield Row.of(f"{title}: whole way", pace, "evaluations/s", "promised", PROMISED_WATCHES, goal)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            grown = pool.apply(_growth_bytes, (apps,))
        yield Row.of(f"{title}: memory of a rule", grown / RULES, "B", "its columns, packed", _packed_bytes())
    state = compile_program(WATCH).state_bytes
    yield Row.of(
        "threshold + TON + ALARM: state of a rule", state, "B", "its columns, packed", _packed_bytes()
    )


def _packed_bytes() -> int:
    """What a rule's inputs, parameters, state and outputs, with qualities, must take."""
    program = compile_program(WATCH)
    columns = program.inputs + program.parameters + program.outputs
    marks = len(program.inputs) + len(program.outputs)
    return sum(calcsize(f"={column.type.code}") for column in columns) + marks + program.state_bytes


def _different() -> list[tuple[str, str]]:
    """Programs with limits and delays of their own, and their apps' ids."""
    return [
        (WATCH.replace("T#5s", f"T#{5000 + at}ms").replace(":= 16.0", f":= {16 + at / 1000}"), f"app-{at}")
        for at in range(APPS)
    ]


def _growth_bytes(apps: list[tuple[str, str]]) -> int:
    """How much this process grows with so many rules."""
    given = samples(["x"], 1, RULES)
    scan_all(engine([installed(WATCH, "first", 0, 1, RULES)], now_us := [0]), now_us, given)
    before = _resident_bytes()
    each = RULES // len(apps)
    ready = [installed(source, id, at * each, each, RULES) for at, (source, id) in enumerate(apps)]
    running = engine(ready, now_us)
    scan_all(running, now_us, given)
    grown = _resident_bytes() - before
    assert len(running.apps) == len(apps), "they live until here"
    return grown


def _resident_bytes() -> int:
    gc.collect()
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("expected VmRSS in /proc/self/status")
