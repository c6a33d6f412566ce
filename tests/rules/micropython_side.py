# Runs under MicroPython: reads cases, one JSON object a line, runs each, writes what it gave.
# ruff: noqa: PTH123
# mypy: ignore-errors
import json
import math
import sys
from array import array
from binascii import hexlify, unhexlify


def wrap64(value):
    return ((value + 9223372036854775808) & 18446744073709551615) - 9223372036854775808


def add64(one, other):
    return wrap64(one + other)


def sub64(one, other):
    return wrap64(one - other)


def mul64(one, other):
    return wrap64(one * other)


def columns(packed):
    return tuple([array(each[0], unhexlify(each[1:])) for each in packed])


def shown(cells):
    return [hexlify(bytes(each)).decode() for each in cells]


def run(case):
    names = {
        "wrap64": wrap64,
        "add64": add64,
        "sub64": sub64,
        "mul64": mul64,
        "sqrt": math.sqrt,
        "__builtins__": {},
    }
    exec(case["code"], names)
    states, outputs, qualities = columns(case["states"]), columns(case["outputs"]), columns(case["seen"])
    events = columns(case["events"])
    [times] = columns([case["times"]])
    count = names["step"](
        0,
        case["rows"],
        0,
        case["instances"],
        case["instances"],
        times,
        array("f", [0.0]),
        columns(case["inputs"]),
        columns(case["qualities"]),
        columns(case["parameters"]),
        states,
        outputs,
        qualities,
        events,
        0,
    )
    return {
        "outputs": shown(outputs),
        "qualities": shown(qualities),
        "states": shown(states),
        "events": shown(events),
        "count": count,
    }


with open(sys.argv[1]) as cases, open(sys.argv[2], "w") as results:
    for line in cases:
        try:
            found = run(json.loads(line))
        except Exception as error:
            found = {"error": repr(error)}
        results.write(json.dumps(found) + "\n")
