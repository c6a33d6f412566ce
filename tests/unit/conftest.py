"""A gateway whose batches are made by hand, and a headquarters that takes them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lake_parts import HandGateway, Headquarters


@pytest.fixture
def gateway() -> HandGateway:
    return HandGateway()


@pytest.fixture
def headquarters(tmp_path: Path, gateway: HandGateway) -> Headquarters:
    return Headquarters(tmp_path / "hq", gateway)
