"""Runs under MicroPython: loads the rules of a folder, runs scans over what a file holds, prints figures.

Rules with the same columns share them: rule number n of a group works on cell n of each.
"""

# ruff: noqa: B905, D103, PTH123, SIM113, UP031
# mypy: ignore-errors
import gc
import json
import math
import sys
import time
from array import array


def wrap64(value):
    return ((value + 9223372036854775808) & 18446744073709551615) - 9223372036854775808


HELPERS = {
    "wrap64": wrap64,
    "add64": lambda one, other: wrap64(one + other),
    "sub64": lambda one, other: wrap64(one - other),
    "mul64": lambda one, other: wrap64(one * other),
    "sqrt": math.sqrt,
}
START_MS = 1_760_000_000_000


def load_source(folder, number):
    """One rule's step function, compiled here."""
    names = dict(HELPERS)
    with open(folder + "/rule%d.py" % number) as source:
        exec(source.read(), names)
    gc.collect()
    return names["step"]


class Group:
    """Rules with the same columns, and these."""

    def __init__(self, described):
        count = described["rules"]
        self.inputs = tuple([array(code, [0] * count) for code in described["inputs"]])
        self.qualities = tuple([array("b", bytes(count)) for _ in described["inputs"]])
        self.states = tuple([array(code, [initial] * count) for code, initial in described["states"]])
        self.outputs = tuple([array(code, [0] * count) for code in described["outputs"]])
        self.marks = tuple([array("b", bytes(count)) for _ in described["outputs"]])
        self.steps = []


def main(folder, compiled):
    """Load, run, print one line of JSON."""
    sys.path.insert(0, folder)
    with open(folder + "/plan.json") as file:
        plan = json.load(file)
    gc.collect()
    empty = gc.mem_alloc()
    groups = [Group(described) for described in plan["groups"]]
    if compiled:
        import rules

        for helper, value in HELPERS.items():
            setattr(rules, helper, value)
    for group, described in zip(groups, plan["groups"]):
        for number in described["numbers"]:
            group.steps.append(getattr(rules, "step%d" % number) if compiled else load_source(folder, number))
    scans, period_ms = plan["scans"], plan["period_ms"]
    del plan, described, number
    room = 2 * sum([len(group.steps) for group in groups])
    events = tuple([array(code, [0] * room) for code in "ihqdb"])
    times, cell = array("q", [0]), array("f", [0.0])
    gc.collect()
    loaded = gc.mem_alloc()
    worst = total = told = check = 0
    with open(folder + "/inputs", "rb") as file:
        for scan in range(scans):
            for group in groups:
                for column in group.inputs:
                    file.readinto(column)
            begun = time.ticks_us()
            times[0] = START_MS + scan * period_ms
            found = 0
            for group in groups:
                at, many = 0, len(group.steps)
                for step in group.steps:
                    found = step(
                        0, 1, at, at + 1, many, times, cell, group.inputs, group.qualities, (),
                        group.states, group.outputs, group.marks, events, found,
                    )  # fmt: skip
                    at += 1
            took = time.ticks_diff(time.ticks_us(), begun)
            worst = max(worst, took)
            total += took
            told += found
            for n in range(found):
                check = (check * 31 + events[0][n] * 7 + events[1][n] + scan) % 1000003
    print(
        json.dumps(
            {
                "heap": gc.mem_alloc() + gc.mem_free(),
                "rules_bytes": loaded - empty,
                "loaded": loaded,
                "us_mean": total / scans,
                "us_max": worst,
                "events": told,
                "check": check,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "compiled")
