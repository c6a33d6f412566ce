"""The verdict on many random programs: how many agree on all runtimes, and where one does not."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

from edge_runtime.rules.reading.errors import RuleError
from tests.rules import runtimes
from tests.rules.programs import program
from tests.rules.runtimes import Case, Judged


class Fault(NamedTuple):
    """A disagreement.

    Args:
        seed: Of the program.
        runtime: Who disagrees; `compiler` when it refuses a good program.
        what: The first differences.
    """

    seed: int
    runtime: str
    what: str


class Verdict(NamedTuple):
    """What came of a number of programs.

    Args:
        programs: How many were judged.
        lines: Of their sources.
        scans: Of all their instances, on each runtime.
        events: That the interpreter told.
        compiled: Programs that were run under numba.
        too_large: Programs that MicroPython's byte code cannot hold, whatever they would give.
        faults: Disagreements.
    """

    programs: int = 0
    lines: int = 0
    scans: int = 0
    events: int = 0
    compiled: int = 0
    too_large: int = 0
    faults: tuple[Fault, ...] = ()

    def __add__(self, other: Verdict) -> Verdict:  # type: ignore[override]
        return Verdict(
            self.programs + other.programs,
            self.lines + other.lines,
            self.scans + other.scans,
            self.events + other.events,
            self.compiled + other.compiled,
            self.too_large + other.too_large,
            self.faults + other.faults,
        )


OVERFLOW = "bytecode overflow"


def judge(seeds: Sequence[int], compiled: Sequence[int] = (), longest: int = sys.maxsize) -> Verdict:
    """Compare CPython and MicroPython with the interpreter, and numba where asked.

    Args:
        seeds: Programs.
        compiled: Those of them that are run under numba too.
        longest: But for programs whose generated code has more characters.
    """
    count = 0
    faults: list[Fault] = []
    judged: list[tuple[Case, Judged]] = []
    for seed in seeds:
        try:
            case = runtimes.case(seed)
            judged.append((case, runtimes.by_oracle(case)))
        except RuleError as error:
            faults.append(Fault(seed, "compiler", str(error)))
        except Exception:
            faults.append(Fault(seed, "compiler or interpreter", traceback.format_exc()))
    for case, expected in judged:
        faults += _compare(case, expected, "CPython")
        if case.seed in compiled and len(case.program.code) <= longest:
            count += 1
            faults += _compare(case, expected, "numba")
    too_large = 0
    traces = runtimes.on_micropython([case for case, _ in judged]) if judged else []
    for (case, expected), trace in zip(judged, traces, strict=True):
        if isinstance(trace, str) and OVERFLOW in trace:
            too_large += 1
            continue
        found = runtimes.differences(case, expected, trace)
        faults += [Fault(case.seed, "MicroPython", "\n".join(found))] if found else []
    return Verdict(
        len(seeds),
        sum(case.text.count("\n") for case, _ in judged),
        sum(case.inputs.rows * case.instances for case, _ in judged),
        sum(len(events) for _, expected in judged for events in expected.events),
        count,
        too_large,
        tuple(faults),
    )


def judge_task(task: tuple[Sequence[int], Sequence[int], int]) -> Verdict:
    """`judge`, for a pool of processes that hands over one argument."""
    return judge(*task)


def _compare(case: Case, expected: Judged, runtime: str) -> list[Fault]:
    run = {"CPython": runtimes.on_cpython, "numba": runtimes.on_numba}[runtime]
    try:
        found = runtimes.differences(case, expected, run(case))
    except Exception:
        found = [traceback.format_exc()]
    return [Fault(case.seed, runtime, "\n".join(found))] if found else []


def explained(seed: int, *, shrink: bool = True) -> str:
    """A program that is judged differently: made small, with what differs."""
    from tests.rules.shrinking import shrunk

    text = program(seed)
    first = _kinds(text, seed)
    if first and shrink:
        text = shrunk(text, lambda smaller: bool(first & _kinds(smaller, seed)))
    return "\n".join([text, *_differences(text, seed)])


def _kinds(text: str, seed: int) -> set[str]:
    return {found.split(":")[0].split(" ")[0] for found in _differences(text, seed)}


def _differences(text: str, seed: int) -> list[str]:
    try:
        case = runtimes.case_of(text, seed)
        expected = runtimes.by_oracle(case)
    except Exception:
        return []
    try:
        return runtimes.differences(case, expected, runtimes.on_cpython(case))
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
