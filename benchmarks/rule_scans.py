"""Rules on the gateway: evaluations a second of one thread, and what a rule takes in memory.

An evaluation is one instance in one scan. *Whole way*: from the blocks that collecting hands over,
through board, input stage and program, to what the gateway stores (outputs) and tells (events).
*Step alone*: the generated code over its columns. The loop by hand does what the step does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.frame import Row, Setting
from benchmarks.rule_plant import Samples, engine, installed, samples, time_us
from benchmarks.rule_programs import PUMP, TIMED, WATCH, List, pump_by_hand, watch_by_hand
from edge_runtime.apps.engine import AppEngine
from edge_runtime.rules.program import Program, compile_program
from edge_runtime.rules.running.runner import Runner

SCANS = 240
"""Of one run: a swing of every input."""

WATCHES = 1_000
PROMISED_WATCHES = 5e6
PROMISED_PUMPS = 250e3
EKUIPER = 150e3
"""Evaluations a second that eKuiper publishes, on two cores half used."""

Turn = Callable[[], list[float]]
"""Prepares one run and makes it. Returns the processor time of each scan."""


def measure(setting: Setting) -> Iterator[Row]:
    """Threshold + on-delay, the same with an alarm, and the program of 15 lines."""
    budget_s = 3.0 if setting.quick else 12.0
    title = "threshold + TON"
    yield from _paces(f"{title}, 1,000 instances", TIMED, WATCHES, PROMISED_WATCHES, EKUIPER, budget_s)
    title = "threshold + TON + ALARM"
    yield from _paces(f"{title}, 1,000 instances", WATCH, WATCHES, PROMISED_WATCHES, EKUIPER, budget_s)
    yield from _paces("15 lines, 1,000 instances", PUMP, WATCHES, PROMISED_PUMPS, None, budget_s)


def _paces(
    title: str, source: str, instances: int, promised: float, peer: float | None, budget_s: float
) -> Iterator[Row]:
    program = compile_program(source)
    given = samples([column.name for column in program.inputs], SCANS, instances)
    turns = [whole_way([(source, "app")], given, instances), step_alone(program, given, instances)]
    hand = by_hand(program, given, instances)
    if hand is not None:
        turns.append(hand)
    seconds = best_of(turns, budget_s)
    paces = [SCANS * instances / each for each in seconds]
    unit = "evaluations/s"
    yield Row.of(f"{title}: whole way", paces[0], unit, "promised", promised, ">= 1")
    if peer is not None:
        yield Row.of(f"{title}: whole way", paces[0], unit, "eKuiper's published figure, 2 cores", peer)
    if hand is not None:
        yield Row.of(f"{title}: whole way", paces[0], unit, "loop by hand", paces[2])
        yield Row.of(f"{title}: step alone", paces[1], unit, "loop by hand", paces[2])
    else:
        yield Row.of(f"{title}: step alone", paces[1], unit, "promised, whole way", promised)


def best_of(turns: Sequence[Turn], budget_s: float) -> list[float]:
    """The processor time of a run of each, in turn: the least of every scan, the same in all runs."""
    best: list[list[float]] = [[] for _ in turns]
    end = time.monotonic() + budget_s
    rounds = 0
    while rounds < 3 or time.monotonic() < end:
        for at, turn in enumerate(turns):
            took = turn()
            best[at] = list(map(min, best[at] or took, took))
        rounds += 1
    return [sum(each) for each in best]


def whole_way(apps: Sequence[tuple[str, str]], given: Samples, instances: int) -> Turn:
    """From blocks to events.

    Args:
        apps: Source and id of each; they share the instances evenly.
        given: The samples.
        instances: Of all apps together.
    """
    each = instances // len(apps)
    ready = [installed(source, id, at * each, each, instances) for at, (source, id) in enumerate(apps)]

    def turn() -> list[float]:
        now_us = [0]
        return scan_all(engine(ready, now_us), now_us, given)

    return turn


def scan_all(running: AppEngine, now_us: List, given: Samples) -> list[float]:
    """Run every scan. Returns the processor time of each."""
    took = []
    for scan in range(len(next(iter(given.values.values())))):
        blocks = given.blocks(scan)
        now_us[0] = instant_us = time_us(scan)
        began = time.thread_time()
        running.show("plc/normal", instant_us, blocks)
        outcome = running.advance()
        took.append(time.thread_time() - began)
        assert len(outcome.deliveries) == len(running.apps), "every app ran"
    return took


def step_alone(program: Program, given: Samples, instances: int) -> Turn:
    """The generated code, its columns filled before."""
    cells = [[given.values[column.name][scan].tolist() for column in program.inputs] for scan in range(SCANS)]

    def turn() -> list[float]:
        runner = Runner(program, instances)
        for qualities in runner.qualities:
            qualities[:] = [0] * instances
        took = []
        for scan, columns in enumerate(cells):
            runner.times[0] = time_us(scan) // 1000
            for own, values in zip(runner.inputs, columns, strict=True):
                own[:] = values
            began = time.thread_time()
            runner.step()
            took.append(time.thread_time() - began)
        return took

    return turn


def by_hand(program: Program, given: Samples, instances: int) -> Turn | None:
    """The loop by hand over the same columns, where there is one."""
    scan = {"watch": _watch, "pump": _pump}.get(program.name)
    if scan is None:
        return None
    cells = [[given.values[each.name][at].tolist() for each in program.inputs] for at in range(SCANS)]

    def turn() -> list[float]:
        return scan(cells, instances)

    return turn


def _watch(cells: List, instances: int) -> list[float]:
    good: List = [[0] * instances]
    high: List = [[16.0] * instances]
    states: List = [[-1] * instances, [0] * instances]
    outputs: List = [[0] * instances]
    marks: List = [[0] * instances]
    events: List = []
    took = []
    for at, columns in enumerate(cells):
        began = time.thread_time()
        watch_by_hand(time_us(at) // 1000, instances, columns, good, high, states, outputs, marks, events)
        took.append(time.thread_time() - began)
    return took


def _pump(cells: List, instances: int) -> list[float]:
    good: List = [[0] * instances] * 4
    rings = [[0.0] * 60 for _ in range(instances)]
    states: List = [[0] * instances, [0.0] * instances, rings]
    states += [[0] * instances, [0] * instances, [0.0] * instances, [0.0] * instances]
    states += [[0] * instances, [-1] * instances, [0] * instances]
    outputs: List = [[0.0] * instances for _ in range(4)]
    marks: List = [[0] * instances for _ in range(4)]
    events: List = []
    took = []
    for at, columns in enumerate(cells):
        began = time.thread_time()
        pump_by_hand(time_us(at) // 1000, instances, columns, good, states, outputs, marks, events)
        took.append(time.thread_time() - began)
    return took
