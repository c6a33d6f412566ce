"""The reference runs of the Tennessee Eastman process, and the app that watches it.

Source: the runs of Russell, Chiang and Braatz, which are not part of this repository.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from protocols.errors import InputError, Problem
from scripts.train_tep.pca import Floats

APP = Path(__file__).parents[2] / "apps" / "process-monitoring"

ONSET = 160
"""Rows of a test run before its fault begins: 8 hours of 3 minutes."""


class Variable(NamedTuple):
    """A variable of the process.

    Args:
        name: The app's input.
        unit: UCUM code.
        meaning: In words.
        meaning_zh: The same in Chinese.
    """

    name: str
    unit: str
    meaning: str
    meaning_zh: str


def read_training(data: Path) -> Floats:
    """The rows of normal operation; the file holds them as columns."""
    return read(data / "d00.dat").T


def read(path: Path) -> Floats:
    """One run.

    Raises:
        InputError: There is no such file, or it is not one of the runs.
    """
    try:
        rows = np.loadtxt(path)
    except (OSError, ValueError) as error:
        raise InputError([Problem(str(path), "", str(error), "a run of the reference data")]) from error
    if len(variables()) not in rows.shape:
        expected = f"{len(variables())} variables"
        raise InputError([Problem(str(path), "", f"{rows.shape}", expected)])
    return rows


def variables() -> list[Variable]:
    """The variables, in the order of the columns."""
    text = Path(__file__).with_name("variables.csv").read_text(encoding="utf-8")
    return [Variable(**row) for row in csv.DictReader(text.splitlines())]
