"""Write the recorded tests of the apps: `python -m tests.apps [APP ...]`."""

from __future__ import annotations

import shutil
import sys

from edge_runtime.rules.apps.build import build
from edge_runtime.rules.apps.recording import read_recording
from protocols.package import open_package
from tests.apps import (
    carbon_recordings,
    gas_recordings,
    heat_rate_recordings,
    monitoring_recordings,
    vibration_recordings,
)
from tests.apps.parts import APPS
from tests.apps.recordings import Recorded, inputs, outputs

RECORDINGS: dict[str, dict[str, Recorded]] = {
    "gas-detection": gas_recordings.RECORDINGS,
    "vibration": vibration_recordings.RECORDINGS,
    "carbon": carbon_recordings.RECORDINGS,
    "heat-rate": heat_rate_recordings.RECORDINGS,
    "process-monitoring": monitoring_recordings.RECORDINGS,
}


def write(app: str) -> None:
    """Write all recorded tests of an app anew."""
    folder = APPS / app / "tests"
    shutil.rmtree(folder, ignore_errors=True)
    for name, test in RECORDINGS[app].items():
        place = folder / name
        place.mkdir(parents=True)
        for file, text in inputs(test).items():
            (place / file).write_text(text, encoding="utf-8")
        recording = read_recording(build(open_package(APPS / app)), name, with_expectations=False)
        for file, text in outputs(test, recording).items():
            (place / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or RECORDINGS:
        write(chosen)
