"""Bundles for support: what is in them, and that no secret planted anywhere is."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_runtime.cli import cli as edge
from edge_runtime.settings import SECTIONS
from headquarters.cli import main as headquarters
from headquarters.config import TABLES
from hub.cli import main as hub
from protocols.field import registry
from protocols.field.settings import Kind, Setting
from protocols.identity import Identity
from protocols.logfile import FILES
from protocols.support import Parts, bundle

PLANTED = "s3cr3tpl4nt"
"""Stands, with a number, at each place where a secret may."""

ROLES = {"edge": ("gateway", edge, "gateway.toml", "gateway.log"), "hub": ("hub", hub, "hub.toml", "hub.log")}
ROLES["hq"] = ("headquarters", headquarters, "headquarters.toml", "web.log")


def written(settings: Iterable[Setting], count: list[int]) -> str:
    """A table in which every text is an address with a planted password, and every secret one."""
    lines = []
    for setting in settings:
        if setting.kind not in (Kind.TEXT, Kind.SECRET) or setting in FILES:
            continue
        count[0] += 1
        value = f"{PLANTED}{count[0]}"
        if setting.kind is Kind.TEXT:
            value = f"tcp://me:{value}@host:1"
        lines.append(f"{setting.name} = '{value}'  # once it was {PLANTED}")
    return "\n".join(lines)


def configuration(tier: str, count: list[int]) -> str:
    """A configuration of a tier with all its settings."""
    if tier == "hq":
        tables = {f"[{name}]": settings for name, settings in TABLES.items()}
    elif tier == "edge":
        tables = {section.heading.replace("NAME", "x"): section.settings for section in SECTIONS.values()}
        for name in registry.names():
            tables[f"[device.{name}]"] = registry.driver_type(name).settings
    else:
        tables = {"[hub]": (), "[[upstream]]": ()}
    text = "\n".join(f"{heading}\n{written(settings, count)}" for heading, settings in tables.items())
    log = (
        text.replace("[log]", "[log]\ndirectory = 'logs'")
        if "[log]" in text
        else text + "\n[log]\ndirectory = 'logs'"
    )
    return f"# {PLANTED}\n{log}\n[other]\napi_token = '{PLANTED}'\nlist = [{{ passwd = '{PLANTED}' }}]\n"


@pytest.mark.parametrize("tier", ROLES)
def test_no_secret_that_stands_anywhere_is_in_a_bundle(tier: str, tmp_path: Path) -> None:
    role, program, config, log = ROLES[tier]
    home, count = tmp_path / "home", [0]
    home.mkdir()
    Identity.create(home, "node-1", role, **({"site": "works"} if role == "gateway" else {}))
    (home / config).write_text(configuration(tier, count))
    (home / "data").mkdir()
    status = {
        "state": "running",
        "uplink": {"last_error": f"opc.tcp://me:{PLANTED}@dcs:4840"},
        "password": PLANTED,
    }
    (home / "data" / "status.json").write_text(json.dumps(status))
    (home / "data" / "metadata.db").write_text(PLANTED)
    (home / "points.csv").write_text(f"name,description\nFT-1,see http://me:{PLANTED}@host/\n")
    (home / "apps").mkdir()
    (home / "apps" / "gas.toml").write_text(f"[settings]\nmail_password = '{PLANTED}'\n")
    (home / "logs").mkdir()
    lines = [
        {"event": "login", "password": PLANTED, "fields": [{"api_secret": PLANTED}]},
        {"event": "device-lost", "why": f"opc.tcp://me:{PLANTED}@dcs:4840"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + f"password={PLANTED} in a trace\n"
    (home / "logs" / f"{log}.1").write_text('{"event": "older"}\n')
    (home / "logs" / log).write_text(text)
    out = tmp_path / "out.zip"
    result: Result = CliRunner().invoke(
        program, ["support", "bundle", "--home", str(home), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with zipfile.ZipFile(out) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    everything = b"\n".join(files.values())
    assert PLANTED.encode() not in everything
    private = [path for path in (home / "keys").rglob("*") if path.is_file()]
    assert private
    for path in private:
        for line in path.read_bytes().splitlines():
            assert len(line) < 16 or b"=" in line[:3] or line not in everything, path
    assert {
        "versions.json",
        "status.json",
        "files.json",
        f"config/{config}.json",
        f"logs/{log}",
    } <= files.keys()
    assert [json.loads(line)["event"] for line in files[f"logs/{log}"].splitlines()[:3]] == [
        "older",
        "login",
        "device-lost",
    ]
    assert json.loads(files["status.json"])["state"] == "running"
    assert json.loads(files["versions.json"])["packages"]["click"]
    listed = {entry["path"]: entry["bytes"] for entry in json.loads(files["files.json"])}
    assert listed["data/metadata.db"] == len(PLANTED)
    assert tier != "hq" or count[0] > 20


@pytest.mark.parametrize(
    ("text", "place"),
    [(f"[hub]\npassword = {PLANTED}\n", "line 2"), (f"[hub]\npassword = '{PLANTED}", "at its end")],
)
def test_a_configuration_that_does_not_parse_says_where_and_nothing_else(
    tmp_path: Path, text: str, place: str
) -> None:
    (tmp_path / "hub.toml").write_text(text)
    data = bundle(Parts(tmp_path, [tmp_path / "hub.toml"], [], tmp_path / "none", []))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        said = archive.read("config/hub.toml.json").decode()
    assert said == f"this file does not parse, and so is not shown: {place}"
