"""The web process beside headquarters: it serves, comes back when it was killed, and goes with its parent."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from headquarters.accounts import tokens
from headquarters.accounts.store import Users
from headquarters.cli import main as headquarters_cli
from headquarters.config import load
from headquarters.db.base import now_us
from headquarters.db.engine import writing
from headquarters.metadata import open_metadata
from headquarters.tenancy.permissions import ROLES
from headquarters.tenancy.principal import GROUP, machine
from protocols.daemon import read_status
from scripts.demo.processes import Children, program

WAIT_S = 60.0


def until(what: Callable[[], Any]) -> Any:
    """What something gives, as soon as it gives anything."""
    end = time.monotonic() + WAIT_S
    while not (found := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


class Group:
    """Headquarters as a process, with a web process that it keeps."""

    def __init__(self, home: Path, children: Children) -> None:
        self.home, self._seen = home, set[int]()
        self.process = children.add("hq", [program("catchment-hq"), "run", "--home", str(home)])
        made = CliRunner().invoke(
            headquarters_cli, ["init", "--home", str(home), "--id", "hq", "--bind", "tcp://127.0.0.1:0"]
        )
        assert made.exit_code == 0, made.output
        with (home / "headquarters.toml").open("a", encoding="utf-8") as file:
            file.write('\n[web]\nbind = "127.0.0.1:0"\n\n[log]\ndirectory = "logs"\n')
        self.config = load(home)
        self.token = self._token()
        self.start()

    def start(self) -> None:
        self.process.start()

    def status(self) -> dict[str, Any]:
        return read_status(self.config.status) or {}

    def next_web(self) -> int:
        """The pid of the next web process that serves."""

        def serving() -> int:
            for line in self._lines():
                if line["event"] == "web-started" and line["pid"] not in self._seen:
                    self.url = line["url"]
                    return int(line["pid"])
            return 0

        self._seen.add(found := int(until(serving)))
        return found

    def get(self, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.get(f"{self.url}/api/v1{path}", headers=headers, timeout=WAIT_S)

    def _lines(self) -> list[dict[str, Any]]:
        file = self.home / "logs" / "web.log"
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        return [json.loads(line) for line in reversed(text.splitlines(keepends=True)) if line.endswith("\n")]

    def _token(self) -> str:
        engine = open_metadata(self.config.data, None)
        try:
            with writing(engine) as session:
                user = Users(session).add(GROUP, "viewer", "Viewer", "", now_us())
                Users(session).give_role(user, "viewer")
                wanted = ROLES["viewer"].permissions
                return tokens.make(session, machine("tests"), "tests", wanted, 1, user=user).text
        finally:
            engine.dispose()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    with Children(tmp_path / "children") as children:
        yield Group(tmp_path / "hq", children)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[-1].startswith("Z")


def test_it_serves_comes_back_and_goes_with_its_parent(group: Group) -> None:
    first = group.next_web()
    found = until(lambda: group.get("/overview").json() if group.status() else None)
    assert found["is_running"] and found["gateways"] == 0
    assert until(lambda: group.get("/tables").json())
    assert httpx.get(f"{group.url}/api/v1/overview", timeout=WAIT_S).status_code == 401

    os.kill(first, signal.SIGKILL)
    second = group.next_web()
    assert group.get("/me").json()["tenant"] == GROUP
    assert until(lambda: group.status()["web"]["starts"] == 2)

    group.process.kill()
    until(lambda: gone(second))

    group.start()
    third = group.next_web()
    headers = {"Authorization": f"Bearer {group.token}"}
    with httpx.stream("GET", f"{group.url}/api/v1/live", headers=headers, timeout=WAIT_S) as answer:
        assert next(answer.iter_text()).startswith("retry:")
        group.process.ask_to_stop()
        assert group.process.wait(WAIT_S) == 0
    assert gone(third)
