"""What docs/backup.md tells to type works, line by line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headquarters.cli import main as headquarters_cli
from headquarters.config import CONFIG
from hub.cli import main as hub_cli
from tests.docs.tracked import ROOT
from tests.lake_parts import HandGateway, Headquarters, scan

PAGE = (ROOT / "docs/backup.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
PROGRAMS: dict[str, Any] = {"catchment-hq": headquarters_cli, "catchment-hub": hub_cli}


def test_every_command_of_the_page_runs_in_the_order_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gateway = HandGateway()
    headquarters = Headquarters(tmp_path / "hq", gateway)
    headquarters.take(gateway.open(), gateway.data(scan(0), scan(1)))
    run(f"catchment-hub init --home {tmp_path / 'hub'} --id hub --bind tcp://127.0.0.1:0")
    lines = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines()]
    assert len(lines) > 12
    for number, line in enumerate(lines):
        if number == 4:  # from here on the page relies on [backup]
            with (tmp_path / "hq" / CONFIG).open("a") as file:
                file.write('\n[backup]\nplace = "../backups"\nkey_file = "../backup.key"\n')
        run(line)


def run(line: str) -> None:
    program, *arguments = shlex.split(line)
    done = CliRunner().invoke(PROGRAMS[program], arguments)
    assert done.exit_code == 0, f"{line}: {done.output}"
