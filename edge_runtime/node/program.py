"""A rule program on a board: its columns as arrays, one instance, one scan at a time.

Rules, as on a gateway (docs/rules-reference.md, section 8):
1. An input that is bad, not finite or not within its type keeps its last good value (before there
   was any, its declared one) and is bad.
2. An output that is not finite is bad.

What it is made of is described by `rules.json` beside the code, as `nodeprogram` writes it.
"""

import math
from array import array
from binascii import unhexlify

BAD = 2


def w64(value: int) -> int:
    """Two's complement of 64 bits."""
    return ((value + 9223372036854775808) & 18446744073709551615) - 9223372036854775808


def add64(one: int, other: int) -> int:
    """A sum of 64 bits."""
    return w64(one + other)


def sub64(one: int, other: int) -> int:
    """A difference of 64 bits."""
    return w64(one - other)


def mul64(one: int, other: int) -> int:
    """A product of 64 bits."""
    return w64(one * other)


def help_module(module) -> None:
    """Give a module of generated code the functions that it calls."""
    for helper in (w64, add64, sub64, mul64):
        setattr(module, helper.__name__, helper)
    module.sqrt = math.sqrt


def filled(code: str, packed: str) -> "array[float]":
    """A column from its bytes, little-endian, in hexadecimal digits."""
    return array(code, unhexlify(packed))


class Program:
    """One program.

    Args:
        described: What `rules.json` says.
        module: The module with its `step`.
        parameters: Values in the place of declared ones, by name.
    """

    def __init__(self, described: dict, module, parameters: dict) -> None:
        help_module(module)
        self._step = module.step
        self.name = described["name"]
        self.inputs = described["inputs"]
        self.outputs = described["outputs"]
        self._events = described["events"]
        self._seen = tuple([filled(each[1], each[2]) for each in self.inputs])
        self._marks = tuple([array("b", [BAD]) for _ in self.inputs])
        self._parameters = tuple([filled(each[1], each[2]) for each in described["parameters"]])
        for index, each in enumerate(described["parameters"]):
            if each[0] in parameters:
                self._parameters[index][0] = parameters[each[0]]
        self._states = tuple([filled(code, packed) for code, packed in described["states"]])
        self.values = tuple([filled(each[1], each[2]) for each in self.outputs])
        self._qualities = tuple([array("b", [BAD]) for _ in self.outputs])
        room = described["events_max"]
        self._told = tuple([array(code, [0] * room) for code in "ihqdb"])
        self._times = array("q", [0])
        self._cell = array("f", [0.0])

    def scan(self, now_ms: int, readings: list) -> list:
        """Run once.

        Args:
            now_ms: Milliseconds; never goes back.
            readings: A number for each input, `None` where there is none.

        Returns:
            (path, kind, text, value, quality) of each event.
        """
        for index, value in enumerate(readings):
            self._take(index, value)
        self._times[0] = now_ms
        count = self._step(
            0, 1, 0, 1, 1, self._times, self._cell, self._seen, self._marks, self._parameters,
            self._states, self.values, self._qualities, self._told, 0,
        )  # fmt: skip
        found = []
        for index in range(count):
            code = self._told[1][index]
            kind, path, text = self._events[code // 2]
            if kind == "alarm":
                kind = "returned" if code % 2 else "raised"
            found.append((path, kind, text, self._told[3][index], self._told[4][index]))
        return found

    def quality(self, index: int) -> int:
        """0 good, 1 uncertain, 2 bad, of an output."""
        value = self.values[index][0]
        if value - value != 0:  # not a number, or infinite
            return BAD
        return int(self._qualities[index][0])

    def _take(self, index: int, value) -> None:
        _, code, _, low, high = self.inputs[index]
        sound = value is not None and value - value == 0
        if sound:
            if code == "f" or code == "d":
                self._cell[0] = value
                sound = code == "d" or self._cell[0] - self._cell[0] == 0
            elif low == 0 and high == 1:
                value = 1 if value else 0
            else:
                value = round(value)
                sound = low <= value <= high
        if sound:
            self._seen[index][0] = value
        self._marks[index][0] = 0 if sound else BAD
