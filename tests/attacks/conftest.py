"""A river for each test, ended with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.river import River


@pytest.fixture
def river(tmp_path: Path) -> Iterator[River]:
    """Nothing in it yet."""
    with River(tmp_path) as river:
        yield river
