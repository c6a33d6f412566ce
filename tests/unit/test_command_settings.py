"""`[[command_write]]` and `[status]`: what may be set, and what is wrong with the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.config import PageConfig, WriteGrant
from edge_runtime.configread import load
from edge_runtime.page import passwords
from protocols.errors import InputError
from tests.gateway_home import GATEWAY_TOML, make_home

HASH = passwords.make("steam")


def problems(tmp_path: Path, more: str) -> str:
    with pytest.raises(InputError) as wrong:
        load(make_home(tmp_path / "gw", GATEWAY_TOML + more))
    assert len(wrong.value.problems) == 1, wrong.value
    return str(wrong.value)


def test_grants_and_the_page_are_read(tmp_path: Path) -> None:
    more = f"""
[[command_write]]
point = "FT-101"
low = 0
high = 1500.5

[[command_write]]
point = "XS-104"
low = 0
high = 1

[status]
http = "0.0.0.0:8480"
password = "{HASH}"
"""
    config = load(make_home(tmp_path / "gw", GATEWAY_TOML + more))
    grants = [WriteGrant(grant.point, grant.low, grant.high) for grant in config.command_writes]
    assert grants == [WriteGrant("FT-101", 0.0, 1500.5), WriteGrant("XS-104", 0.0, 1.0)]
    assert config.command_writes[0].place.startswith("line ")
    assert config.page == PageConfig("0.0.0.0", 8480, HASH)
    assert HASH not in repr(config)


def test_without_them_nothing_is_written_and_there_is_no_page(tmp_path: Path) -> None:
    config = load(make_home(tmp_path / "gw"))
    assert config.command_writes == () and config.page is None


@pytest.mark.parametrize(
    ("point", "low", "high", "said"),
    [
        ("FT-1O1", 0, 1, "did you mean 'FT-101'?"),
        ("TXT-105", 0, 1, "texts are not written"),
        ("FT-101", 5, 1, "at most high"),
        ("FT-101", -1, 1, "begins at 0"),
        ("FT-101", 0, 2001, "ends at 2000"),
    ],
)
def test_what_cannot_be_written_is_refused(
    point: str, low: float, high: float, said: str, tmp_path: Path
) -> None:
    more = f'\n[[command_write]]\npoint = "{point}"\nlow = {low}\nhigh = {high}\n'
    assert said in problems(tmp_path, more)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[[command_write]]\npoint = "FT-101"\nlow = 0\n', "found nothing"),
        ('[[command_write]]\npoint = "FT-101"\nlow = 0\nhigh = 1\nmax = 3\n', "a known setting"),
        ('[[command_write]]\npoint = "FT-101"\nlow = 0\nhigh = 1\n' * 2, "each point once"),
        ('[status]\nhttp = "8480"\n', "ADDRESS:PORT"),
        ('[status]\nhttp = "gw.example:8480"\n', "ADDRESS:PORT"),
        ('[status]\nhttp = "127.0.0.1:99999"\n', "ADDRESS:PORT"),
        ('[status]\nhttp = "0.0.0.0:8480"\n', "others than this machine"),
        ('[status]\nhttp = "[::]:8480"\n', "others than this machine"),
        ('[status]\nhttp = "127.0.0.1:8480"\npassword = "steam"\n', "catchment-edge page password"),
    ],
)
def test_wrong_tables_are_explained(more: str, said: str, tmp_path: Path) -> None:
    assert said in problems(tmp_path, "\n" + more)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    assert "hunter2" not in problems(tmp_path, '\n[status]\nhttp = "127.0.0.1:1"\npassword = "hunter2"\n')
