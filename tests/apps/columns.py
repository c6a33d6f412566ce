"""Every recorded test of the apps over columns, as in a replay: `python -m tests.apps.columns [APP ...]`.

Outputs and qualities must be those of the gateway, bit for bit. numba compiles for up to
a minute an app, so this is for the night.
"""

from __future__ import annotations

import sys

import numpy as np

from edge_runtime.rules.apps.app import LiveApp
from edge_runtime.rules.apps.columnapp import ColumnApp
from edge_runtime.rules.apps.recording import read_recording
from tests.apps.__main__ import RECORDINGS
from tests.apps.parts import built


def differences(app: str, name: str) -> int:
    """Cells of a recorded test in which a replay differs from the gateway."""
    one = built(app)
    recording = read_recording(one, name)
    parameters = {each: [value] for each, value in recording.parameters.items()}
    values = {each: np.array(cells)[:, None] for each, cells in recording.values.items()}
    marks = {each: np.array(cells, np.int8)[:, None] for each, cells in recording.qualities.items()}
    replayed = ColumnApp(one.app, 1, parameters).run(np.array(recording.times_ms), values, marks)
    live = LiveApp(one.app, 1, parameters)
    found = 0
    for row, now in enumerate(recording.times_ms):
        scan = live.scan(
            now,
            {each: cells[row] for each, cells in values.items()},
            {each: cells[row] for each, cells in marks.items()},
        )
        for output, cells in replayed.outputs.items():
            same = np.asarray(scan.outputs[output][0], cells.dtype).tobytes() == cells[row, 0].tobytes()
            mark, other = int(scan.qualities[output][0]), int(replayed.qualities[output][row, 0])
            found += not same or mark != other
    return found


if __name__ == "__main__":
    wrong = 0
    for chosen in sys.argv[1:] or RECORDINGS:
        for test in RECORDINGS[chosen]:
            count = differences(chosen, test)
            wrong += count
            print(f"{chosen} {test}: {count or 'no'} cells differ", flush=True)
    sys.exit(1 if wrong else 0)
