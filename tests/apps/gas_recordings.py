"""Recorded tests of gas detection."""

from __future__ import annotations

import itertools

from tests.apps.gas_by_hand import expect
from tests.apps.parts import Columns, Order, watch
from tests.apps.recordings import Recorded, steps

TAGS = {"gas_a": "10CYQ10CQ001", "gas_b": "10CYQ10CQ002", "gas_c": "10CYQ10CQ003", "test": "10CYQ10GS001"}
"""The generator's hydrogen detectors and their test switch."""

LEAK = Order(20, "gas-leak", 90.0, "CYQ10")
TEST = Order(10, "gas-test", 90.0, "CYQ10")
WIRE = Order(5, "broken-wire", 150.0, TAGS["gas_b"])


def _cases() -> Columns:
    """Every detector low, above the trip and bad, without a test and in one."""
    low = {"gas_a": 5.0, "gas_b": 5.0, "gas_c": 5.0, "test": 0.0}
    # A scan with all low comes before each case, so that no level of the one before stands.
    return steps(
        *(
            (1, values)
            for test in (0.0, 1.0)
            for a, b, c in itertools.product((5.0, 60.0, None), repeat=3)
            for values in (low, {"gas_a": a, "gas_b": b, "gas_c": c, "test": test})
        )
    )


def _boundaries() -> Columns:
    """Each detector alone at, and a little beyond, every level and the ends of its range."""
    levels = (19.99, 20.0, 18.01, 18.0, 39.99, 40.0, 38.01, 38.0, 1.0, -5.0, -5.01, 105.0, 105.01, 1.0)
    quiet: dict[str, float | None] = {"gas_a": 1.0, "gas_b": 1.0, "gas_c": 1.0, "test": 0.0}
    return steps(*((2, quiet | {f"gas_{each}": level}) for each in "abc" for level in levels))


def _test_mode() -> Columns:
    quiet: dict[str, float | None] = {"gas_a": 1.0, "gas_b": 1.2, "gas_c": 0.9}
    gas: dict[str, float | None] = {"gas_a": 55.0, "gas_b": 52.0, "gas_c": 57.0}
    on: dict[str, float | None] = {"test": 1.0}
    off: dict[str, float | None] = {"test": 0.0}
    unknown: dict[str, float | None] = {"test": None}
    return steps(
        (5, quiet | off),
        (5, quiet | on),
        (10, gas | on),  # the detectors are tested: no trip
        (5, quiet | on),
        (5, quiet | off),
        (5, gas | unknown),  # a switch that cannot be read does not hold the trip back
        (10, quiet | off),
        (70, quiet | on),  # forgotten: armed again after a minute
        (5, gas | on),
        (5, quiet | off),
    )


def _blind() -> Columns:
    sound, none = {"gas_a": 2.0, "gas_b": 3.0, "gas_c": 4.0}, dict.fromkeys(("gas_a", "gas_b", "gas_c"))
    return steps(
        (5, {**sound, "test": 0.0}),
        (8, {**none, "test": 0.0}),  # shorter than the delay
        (5, {**sound, "test": 0.0}),
        (15, {**none, "test": 0.0}),
        (10, {**sound, "test": 0.0}),
    )


_AT_ONCE = ('pre_delay = "T#0s"', 'trip_delay = "T#0s"', 'fault_delay = "T#0s"', 'test_max = "T#8h"')

RECORDINGS = {
    "normal": Recorded(lambda: watch(TAGS, 60), expect),
    "leak": Recorded(lambda: watch(TAGS, 200, [LEAK]), expect),
    "leak-with-broken-wire": Recorded(lambda: watch(TAGS, 160, [WIRE, LEAK]), expect),
    "leak-in-a-test": Recorded(lambda: watch(TAGS, 200, [TEST, LEAK]), expect),
    "voting-to-trip": Recorded(_cases, expect, parameters=_AT_ONCE),
    "voting-to-availability": Recorded(
        _cases, expect,
        parameters=(*_AT_ONCE, "degrade_to_trip = false", "trip_when_blind = false"),
    ),
    "boundaries": Recorded(_boundaries, expect, parameters=_AT_ONCE),
    "test-mode": Recorded(_test_mode, expect, parameters=('test_max = "T#1m"',)),
    "blind": Recorded(_blind, expect),
}  # fmt: skip
