"""What runs at which level: the edge layer at 3 alone, the way down to gateways at 1 alone."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edge_runtime.main import expect_level_3
from headquarters import config
from headquarters.cli import main
from headquarters.cli.view import ControlCommand
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


def changing() -> list[tuple[str, str]]:
    """Every command that changes gateways."""
    found: list[tuple[str, str]] = []
    for name, group in main.commands.items():
        if isinstance(group, click.Group):
            found += [(name, one) for one, each in group.commands.items() if isinstance(each, ControlCommand)]
    return found


ARGUMENTS = {
    ("command", "send"): ("unit-1", "read", "FT-101"),
    ("command", "cancel"): ("1",),
    ("desired", "set"): ("unit-1",),
    ("gateways", "invite"): ("--id", "unit-1", "--site", "works"),
    ("gateways", "revoke"): ("unit-1", "--why", "stolen"),
}


@pytest.mark.parametrize("words", changing(), ids=" ".join)
def test_what_changes_gateways_is_refused_at_level_2(words: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / config.CONFIG).write_text(
        config.example("hq", "tcp://127.0.0.1:0").replace("[lake]", "level = 2\n\n[lake]")
    )
    given = ARGUMENTS.get(words, (str(tmp_path / config.CONFIG),))
    done = CliRunner().invoke(main, [*words, "--home", str(tmp_path), *given])
    assert (
        done.exit_code == 2
        and "[headquarters] level: got '2'; expected headquarters of level 1" in done.output
    )
    assert sorted(tmp_path.iterdir()) == [tmp_path / config.CONFIG]


def test_commands_that_change_gateways_are_known_as_such() -> None:
    assert {group for group, _ in changing()} == {"command", "desired", "rollout", "publish", "gateways"}
    assert len(changing()) == 20


def test_the_level_of_the_command_line_counts_before_that_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / config.CONFIG).write_text(config.example("hq", "tcp://127.0.0.1:0"))
    done = CliRunner().invoke(main, ["--level", "3", "rollout", "start", "--home", str(tmp_path), "pumps"])
    assert done.exit_code == 2 and "--level: got '3'" in done.output


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
