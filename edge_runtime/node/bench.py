"""Inputs from a file and outputs into one, for a program that is tried before anything is wired.

`inputs.json` is a list of rows, `{"x": 1.5}`, one a scan, again and again; what a row leaves out, or
says `null`, is bad. `outputs.txt` gets a line a scan until it has `LINES_MAX`.
"""

import json

LINES_MAX = 1000


class Bench:
    """The board's surroundings, from files.

    Args:
        folder: Where they lie; ends in a slash, or is empty.
        inputs: Names of the inputs and, for each, what the configuration says of it.
        outputs: The same of outputs.
        clock: The board's clock.
    """

    def __init__(self, folder: str, inputs: dict, outputs: dict, clock) -> None:
        with open(folder + "inputs.json") as file:
            self._rows = json.load(file)
        self._names = inputs
        self._path = folder + "outputs.txt"
        self._at = 0
        with open(self._path, "w"):
            pass

    def read(self, name: str) -> object:
        """A number, or `None`."""
        return self._rows[self._at % len(self._rows)].get(name)

    def write(self, values: dict) -> None:
        """Set outputs: (value, quality) by name. The scan is over."""
        if self._at < LINES_MAX:
            with open(self._path, "a") as file:
                file.write(json.dumps([values[name][0] for name in sorted(values)]) + "\n")
        self._at += 1
