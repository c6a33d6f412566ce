"""A group of two plants, whose headquarters has a small lake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.doors import Doors
from tests.web.plants import Plants


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plants]:
    """One lake for the tests of a file, which read and do not write."""
    plants = Plants(tmp_path_factory.mktemp("plants"))
    yield plants
    plants.close()


@pytest.fixture
def own_plants(tmp_path: Path) -> Iterator[Plants]:
    """A lake of a test's own."""
    plants = Plants(tmp_path)
    yield plants
    plants.close()


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """API and portal over the hostile plants."""
    found = Doors(tmp_path_factory.mktemp("doors"))
    yield found
    found.close()
