"""Recorded tests of the process-monitoring app."""

from __future__ import annotations

import numpy as np

from tests.apps.monitoring_by_hand import expect, trained
from tests.apps.parts import Columns, built
from tests.apps.recordings import Recorded

PERIOD_MS = 180_000


def _columns(scaled: list[list[float]]) -> Columns:
    """Columns of rows that are given in standard deviations from the mean."""
    [model] = built("process-monitoring").package.manifest.models
    return {
        each.name: [float(f"{each.offset + each.scale * row[at]:.9g}") for row in scaled]
        for at, each in enumerate(model.inputs)
    }


def _usual(count: int) -> list[list[float]]:
    """Rows as the process usually has them: along the components, and a little noise besides."""
    draw = np.random.default_rng(7)
    loadings, variances = trained()
    along = draw.normal(size=(count, len(variances))) * np.sqrt(variances) @ loadings.T
    rows: list[list[float]] = (along + draw.normal(size=along.shape) * 0.6).tolist()
    return rows


def _excursions() -> Columns:
    """Far along a component (T2), off all of them (SPE), beyond the envelope, and back each time."""
    loadings, variances = trained()
    rows = [list(row) for row in _usual(24)]
    for at in (6, 7, 8):
        rows[at] = (6.0 * np.sqrt(variances[0]) * loadings[:, 0]).tolist()
    for at in (12, 13):
        rows[at][6] += 9.0  # the reactor's pressure alone: no other variable follows
    rows[18][8] = 11.0  # its temperature beyond what the model was trained with
    return _columns(rows)


def _lost() -> Columns:
    """A measurement is lost for a while: the last good value stands, and results are bad."""
    columns = _columns(_usual(10))
    lost = [None if 3 <= at < 6 else cell for at, cell in enumerate(columns["xmeas_9"])]
    return {**columns, "xmeas_9": lost}


RECORDINGS = {
    "excursions": Recorded(_excursions, expect, period_ms=PERIOD_MS),
    "lost-measurement": Recorded(_lost, expect, period_ms=PERIOD_MS),
}
