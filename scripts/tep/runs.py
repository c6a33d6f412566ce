"""Runs of the Tennessee Eastman process, and the figures that others found on them.

Source: the reference runs of Russell, Chiang and Braatz, `dNN_te.dat`; a PCA of 9 components
with 99 % limits, trained on `d00.dat`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scripts.train_tep.pca import Floats
from scripts.train_tep.reference import ONSET, read

ROWS = 960
"""Rows of a reference run: figures of shorter ones are not compared."""


class Rates(NamedTuple):
    """Shares of rows over the limits, in percent: of normal operation false alarms, else detected."""

    t2: float
    spe: float


REFERENCE = {
    "d00": Rates(2.1, 5.2),
    "d01": Rates(99.3, 99.8),
    "d02": Rates(98.3, 98.8),
    "d04": Rates(9.9, 99.5),
    "d05": Rates(26.0, 33.0),
    "d06": Rates(99.1, 100.0),
    "d14": Rates(86.0, 100.0),
}
"""By run, with the rows before the fault left out."""

NEAR = 1.0
"""How far from the reference a rate may be, in points."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Args:
        name: `d04` for `d04_te.dat`; also the app's instance.
        rows: (rows, variables).
    """

    name: str
    rows: Floats

    @property
    def onset(self) -> int:
        """Rows before the fault; 0 of normal operation, and of runs that end before."""
        return 0 if self.name == "d00" or len(self.rows) <= ONSET else ONSET

    @property
    def reference(self) -> Rates | None:
        """What others found on it, if it is one of theirs and whole."""
        return REFERENCE.get(self.name) if len(self.rows) == ROWS else None


def read_runs(data: Path, names: Sequence[str] = ()) -> list[Run]:
    """The test runs in a folder.

    Args:
        data: Has `dNN_te.dat`.
        names: Those that are wanted, as `d04`; all by default.

    Raises:
        ValueError: One that is wanted is not there, or there is none.
        InputError: A file is not such a run.
    """
    found = {path.stem.removesuffix("_te"): path for path in sorted(data.glob("d*_te.dat"))}
    unknown = [name for name in names if name not in found]
    if unknown or not found:
        raise ValueError(f"expected {', '.join(unknown) or 'dNN'}_te.dat in {data}")
    return [Run(name, read(path)) for name, path in found.items() if not names or name in names]
