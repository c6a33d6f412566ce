"""Apps built and run, and what the plant's instruments show while a fault happens."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.rules.apps.app import LiveApp, Scan
from edge_runtime.rules.apps.build import BuiltApp, build
from protocols.package import open_package
from scripts.plant.model import GOOD, Plant

APPS = Path(__file__).resolve().parents[2] / "apps"

BEGIN_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: when recordings begin."""


@functools.cache
def built(app: str) -> BuiltApp:
    """An app of `apps/`, compiled once."""
    return build(open_package(APPS / app))


class Order(NamedTuple):
    """Something that happens to the plant.

    Args:
        at_s: When, from the beginning.
        name: An order of `scripts.plant.model`.
        seconds: For how long.
        point: The place or the instrument, where it needs one.
    """

    at_s: int
    name: str
    seconds: float
    point: str = ""


Columns = Mapping[str, Sequence[float | None]]
"""What was seen, by input, one value a scan; `None` is bad."""


def watch(tags: Mapping[str, str], seconds: int, orders: Sequence[Order] = (), *, seed: int = 1) -> Columns:
    """What instruments of the plant show, once a second.

    Args:
        tags: For each input its instrument.
        seconds: How long.
        orders: What happens meanwhile.
        seed: Of the plant.
    """
    plant = Plant(1000, seed)
    at = {point.name: index for index, point in enumerate(plant.points)}
    decimals = {point.name: point.decimals for point in plant.points}
    found: dict[str, list[float | None]] = {name: [] for name in tags}
    for second in range(seconds):
        for order in orders:
            if order.at_s == second:
                plant.order(order.name, 0, order.seconds, order.point)
        plant.step(1.0)
        held, status = plant.held(), plant.status()
        for name, tag in tags.items():
            index = at[tag]
            # The device holds a binary fraction; what is meant has so many decimals.
            shown = round(float(held[index]), decimals[tag])
            found[name].append(shown if status[index] == GOOD else None)
    return found


class Run:
    """An app scan by scan, for some instances.

    Args:
        app: Its id.
        instances: How many.
        parameters: That differ from the app's own: one value, or one an instance; times in ms.
    """

    def __init__(self, app: str, instances: int = 1, **parameters: float | Sequence[float]) -> None:
        self.built = built(app)
        given = {
            name: [value] * instances if isinstance(value, float | int) else list(value)
            for name, value in parameters.items()
        }
        own = {name: [each.column.initial[0]] * instances for name, each in self.built.parameters.items()}
        self.live = LiveApp(self.built.app, instances, own | given)
        self._instances = instances

    def scan(self, time_ms: int, values: Mapping[str, Sequence[float | None] | float | None]) -> Scan:
        """One scan; inputs that are not given are 0, `None` is bad."""
        cells: dict[str, npt.NDArray[Any]] = {}
        marks: dict[str, npt.NDArray[np.int8]] = {}
        for name, column in self.built.app.inputs.items():
            given = values.get(name, 0.0)
            row = given if isinstance(given, Sequence) else [given] * self._instances
            marks[name] = np.array([2 if cell is None else 0 for cell in row], np.int8)
            kind = np.float64 if column.type.is_real else np.bool_
            cells[name] = np.array([cell or 0.0 for cell in row], kind)
        return self.live.scan(time_ms, cells, marks)

    def told(self, scan: Scan) -> list[tuple[str, str]]:
        """What a scan told: `alarm`, `returned` or `event`, and the text."""
        found = []
        for each in scan.events:
            site = self.built.app.programs[each.program].program.events[each.event.code // 2]
            found.append(("returned" if each.event.code % 2 else site.kind, site.text))
        return found
