"""What runs at which level: the edge layer at 3 alone, the way down to gateways at 1 alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.main import expect_level_3
from headquarters import config
from headquarters.levels import CONTROL, MODULES, has
from headquarters.tenancy.permissions import PERMISSIONS
from protocols.errors import InputError
from protocols.identity import Identity


@pytest.mark.parametrize("role", ("hub", "headquarters"))
def test_the_edge_layer_refuses_keys_of_another_level(role: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="level 3 only"):
        expect_level_3(Identity.generate("north", role).public, tmp_path)
    expect_level_3(Identity.generate("unit-1", "gateway").public, tmp_path)


def test_a_gateway_of_a_site_of_another_level_is_refused(tmp_path: Path) -> None:
    from edge_runtime.configread import load

    (tmp_path / "points.csv").write_text("name,device,address,type\n")
    (tmp_path / "gateway.toml").write_text('[gateway]\nid = "unit-1"\nlevel = 2\n')
    with pytest.raises(InputError, match="the edge layer runs at plants only"):
        load(tmp_path)


def test_the_portal_and_control_are_of_level_1() -> None:
    for level in (1, 2, 3):
        assert has(level, "portal") is has(level, "control") is (level == 1)
        assert has(level, "api") and has(level, "ingest")
    assert PERMISSIONS.keys() >= CONTROL and MODULES


@pytest.mark.parametrize("level", (0, 4))
def test_headquarters_knows_three_levels(level: int, tmp_path: Path) -> None:
    text = config.example("hq", "tcp://127.0.0.1:0").replace("[lake]", f"level = {level}\n\n[lake]")
    (tmp_path / config.CONFIG).write_text(text)
    with pytest.raises(InputError, match="from 1 to 3"):
        config.load(tmp_path)


def test_a_certificate_and_its_key_go_together(tmp_path: Path) -> None:
    text = config.example("hq", "tcp://127.0.0.1:0") + '\n[web]\nbind = "127.0.0.1:0"\nkey = "k.pem"\n'
    (tmp_path / config.CONFIG).write_text(text)
    with pytest.raises(InputError, match="certificate and key go together"):
        config.load(tmp_path)
    (tmp_path / config.CONFIG).write_text(text.replace("key =", "# key ="))
    assert not config.load(tmp_path).web.is_tls
    (tmp_path / config.CONFIG).write_text(text.replace('key = "k.pem"', 'public_url = "https://portal"'))
    assert config.load(tmp_path).web.is_tls
