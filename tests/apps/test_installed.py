"""What the READMEs of the apps say to write installs them on a gateway of the demo's plant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_runtime.cli import invoke
from scripts.plant.layout import Protocol, write_point_table
from scripts.plant.model import Plant
from tests.apps.__main__ import RECORDINGS
from tests.apps.parts import APPS

ON_THE_PLANT = [app for app in RECORDINGS if app != "process-monitoring"]
"""That one watches another process, the Tennessee Eastman one."""


@pytest.fixture
def gateway(tmp_path: Path) -> Path:
    home = tmp_path / "gw"
    assert invoke(["init", "--home", str(home), "--id", "unit-1"]) == 0
    write_point_table(home / "points.csv", Plant(1000).points, Protocol.MODBUS, "plc1", "fast")
    return home


@pytest.mark.parametrize("app", ON_THE_PLANT)
def test_the_settings_of_the_readme_install_the_app(app: str, gateway: Path, tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", (APPS / app / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    settings = tmp_path / "settings.toml"
    settings.write_text(found[1], encoding="utf-8")
    assert (
        invoke(["app", "install", str(APPS / app), "--home", str(gateway), "--settings", str(settings)]) == 0
    )
    assert (gateway / "apps" / f"{app}.toml").exists()
