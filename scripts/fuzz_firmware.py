"""The fuzzer's firmware: images read from end to end, wheels unpacked, and nothing written beside.

Rules:
1. An image or a wheel is refused with `PeerError`, or taken whole; nothing else may happen.
2. Whatever a wheel says, no file is written outside the folder that it is unpacked into.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from edge_runtime.flash.build import Recipe, build
from edge_runtime.slots import firmware, limits
from edge_runtime.slots.image import open_image
from edge_runtime.slots.machine import machine, running_python
from edge_runtime.slots.store import MANIFEST
from edge_runtime.slots.wheel import Budget, Wheel
from scripts.wheels import make_wheel

FILES = {
    "edge_runtime/__init__.py": b"",
    "edge_runtime/cli.py": b"print(1)\n",
    "edge_runtime/data_format.toml": b"current = 1\noldest = 1\n",
    "catchment-1.0.data/purelib/edge_runtime/more.py": b"MORE = 1\n",
}


def _seeds() -> tuple[bytes, bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        wheel = make_wheel(wheels, "catchment", "1.0.0", FILES)
        recipe = Recipe(wheels, None, "edge", running_python(), machine(), version="1.0.0")
        image = open_image(build(recipe, Path(folder) / "seed.cfw").path)
        return firmware.render(image.manifest).encode(), image.path.read_bytes(), wheel.read_bytes()


SEED_MANIFEST, SEED_IMAGE, SEED_WHEEL = _seeds()


def read_image(data: bytes) -> None:
    """Read an image as an installation does before it writes anything."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.cfw"
        path.write_bytes(data)
        image = open_image(path)
        assert image.size == len(data) and MANIFEST not in image.at


def unpack_wheel(data: bytes) -> None:
    """Unpack a wheel into an empty folder, and look for what it left beside."""
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder) / "inside"
        inside.mkdir()
        try:
            wheel = Wheel("any.whl", io.BytesIO(data))
            wheel.unpack(inside, Budget(limits.UNPACKED_BYTES_MAX, limits.UNPACKED_FILES_MAX))
        finally:
            assert list(Path(folder).iterdir()) == [inside], "a wheel wrote outside its folder"
