"""Desired state through real processes: published, fetched through a hub, applied, reported, rolled out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from edge_runtime.cli import invoke
from headquarters.cli import main as headquarters_cli
from protocols.package import archive
from tests.app_parts import manifest
from tests.faults.command_river import connect
from tests.faults.river import Node, River

PROGRAM = b"""
PROGRAM calm
VAR_INPUT x : LREAL; END_VAR
VAR_OUTPUT y : LREAL; END_VAR
y := 0.5 * x;
END_PROGRAM
"""
WANTS_MORE = PROGRAM.replace(b"x : LREAL;", b"x : LREAL; z : LREAL;").replace(b"0.5 * x", b"0.5 * x + z")
"""Of a version whose instances bind too little: right by itself, and not at the gateway."""


@dataclass
class Managed:
    """Gateways below a hub below a headquarters with an update repository."""

    river: River
    headquarters: Node
    hub: Node
    gateways: list[Node]
    keys: Path

    def hq(self, *arguments: str, code: int = 0) -> Any:
        """Run `catchment-hq ... --json`."""
        home = ("--home", str(self.headquarters.home), "--json")
        done = CliRunner().invoke(headquarters_cli, [*arguments, *home])
        assert done.exit_code == code, (arguments, done.exit_code, done.output, done.exception)
        return json.loads(done.stdout) if done.stdout else None

    def publish_app(self, folder: Path, version: str, program: bytes = PROGRAM) -> str:
        package = folder / f"calm-{version}.capp"
        read = ("x", "z") if program is WANTS_MORE else ("x",)
        described = manifest("calm", version=version, period_s=0.2, read=read)
        files = {"app.toml": described, "programs/calm.st": program}
        package.write_bytes(archive.pack(files))
        path: str = self.hq("publish", "app", str(package), "--key", str(self.keys / "own.key"))["path"]
        return path

    def accepted(self, gateway: Node, version: int) -> None:
        """Wait until a gateway has a document in force."""
        wait_until(
            f"version {version} is accepted",
            lambda: (gateway.status().get("desired") or {}).get("document") == version,
        )

    def settled(self, gateway: str, version: str) -> None:
        """Wait until headquarters knows that the app runs."""
        wait_until(f"{version} runs", lambda: self.states(gateway) == {"app/calm": ("active", version)})

    def states(self, gateway: str) -> dict[str, tuple[str, str]]:
        """State and running version of each item, as headquarters knows it."""
        shown = self.hq("desired", "show", gateway)
        if shown["report"] is None or shown["report"]["document"] != shown["desired"]:
            return {}
        return {item["item"]: (item["state"], item["running"]) for item in shown["items"]}


def wait_until(what: str, so: Callable[[], bool], timeout_s: float = 90.0) -> None:
    end = time.monotonic() + timeout_s
    while not so():
        assert time.monotonic() < end, f"{what} did not come true"
        time.sleep(0.3)


def managed(river: River, names: tuple[str, ...]) -> Managed:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    gateways = [river.gateway(name, river.plant(f"plant-{name}"), [hub], headquarters) for name in names]
    connect(headquarters, hub)
    for gateway in gateways:
        connect(hub, gateway)
        with (gateway.home / "gateway.toml").open("a") as config:
            config.write("\n[updates]\npoll_s = 0.5\n")
    with (hub.home / "hub.toml").open("a") as config:
        config.write("\n[mirror]\nrefresh_s = 0.5\n")
    for node in (headquarters, *gateways):
        node.replaced("hasty", node.tier)
    keys = river.root / "keys"
    keys.mkdir()
    home = ("--home", str(headquarters.home))
    operate("updates", "init", *home)
    operate("updates", "ceremony", "--holders", "1", "--threshold", "1", "--out", str(keys), *home)
    own = ("--out", str(keys / "own.key"), "--key", str(keys / "targets.key"))
    operate("updates", "add-publisher", "own", *own, *home)
    operate("updates", "root", str(river.root / "root.json"), *home)
    for gateway in gateways:
        assert invoke(["trust", str(river.root / "root.json"), "--home", str(gateway.home)]) == 0
    return Managed(river, headquarters, hub, gateways, keys)


def operate(*arguments: str) -> None:
    done = CliRunner().invoke(headquarters_cli, arguments)
    assert done.exit_code == 0, (arguments, done.output, done.exception)


WANTED = """
[app.calm]
target = "{app}"
[app.calm.instance.main]
inputs = {{x = "{point}"}}
"""


def test_what_headquarters_desires_runs_at_the_gateway_and_is_reported(river: River, tmp_path: Path) -> None:
    all_ = managed(river, ("unit-1",))
    [gateway] = all_.gateways
    river.start()
    assert gateway.plant is not None
    point = (gateway.home / "points.csv").read_text().splitlines()[1].split(",")
    names = (gateway.home / "points.csv").read_text().splitlines()[0].split(",")
    wanted = tmp_path / "wanted.toml"
    app = all_.publish_app(tmp_path, "1.0.0")
    wanted.write_text(WANTED.format(app=app, point=point[names.index("name")]))
    all_.hq("desired", "set", "unit-1", "--file", str(wanted))
    wait_until("the app runs", lambda: all_.states("unit-1") == {"app/calm": ("active", "1.0.0")})
    assert [entry["app"] for entry in gateway.status()["apps"]] == ["calm"]
    assert len(gateway.logged("gateway-ready")) == 2, "a new session in the same process"
    all_.headquarters.kill()
    (gateway.home / "apps" / "calm.toml").write_text("nothing\n")
    wait_until("drift is seen", lambda: gateway.status()["desired"]["items"][0]["state"] == "drifted")
    all_.headquarters.up()
    wait_until("drift is told", lambda: all_.states("unit-1") == {"app/calm": ("drifted", "1.0.0")})
    all_.hq("desired", "set", "unit-1", "--put", app, "--drift", "overwrite")
    wait_until("it is overwritten", lambda: all_.states("unit-1") == {"app/calm": ("active", "1.0.0")})
    river.finish()


def test_a_bad_app_in_a_ring_halts_and_returns_over_a_restart_of_headquarters(
    river: River, tmp_path: Path
) -> None:
    all_ = managed(river, ("unit-1", "unit-2"))
    river.start()
    rows = (all_.gateways[0].home / "points.csv").read_text().splitlines()
    point = rows[1].split(",")[rows[0].split(",").index("name")]
    wanted = tmp_path / "wanted.toml"
    wanted.write_text(WANTED.format(app=all_.publish_app(tmp_path, "1.0.0"), point=point))
    all_.hq("desired", "set", "unit-1", "unit-2", "--file", str(wanted))
    for name in ("unit-1", "unit-2"):
        all_.settled(name, "1.0.0")
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f"""
name = "calm-2"
[change.app.calm]
target = "{all_.publish_app(tmp_path, "2.0.0", WANTS_MORE)}"
[[ring]]
name = "first"
gateways = ["unit-1"]
soak_s = 5
[[ring]]
name = "rest"
"""
    )
    all_.hq("rollout", "plan", str(plan))
    all_.hq("rollout", "start", "calm-2")
    all_.headquarters.kill()
    all_.headquarters.up()
    wait_until("it halts", lambda: bool(all_.hq("rollout", "list")[0]["phase"] == "halted"))
    back = {"app/calm": ("active", "1.0.0")}
    wait_until("unit-1 is back", lambda: all_.states("unit-1") == back and not _is_open(all_))
    log = all_.hq("rollout", "watch", "calm-2", code=1)
    assert log["members"]["unit-1"]["course"] == "returned"
    assert log["members"]["unit-2"]["course"] == "waiting"
    assert "[instance.main.inputs] z" in log["why"], log["why"]
    assert all_.hq("desired", "show", "unit-2")["desired"] == 1
    river.finish()


def _is_open(all_: Managed) -> bool:
    return bool(all_.hq("rollout", "watch", "calm-2", code=1)["open"])


def test_a_gateway_killed_at_any_time_of_a_change_comes_up_with_the_old_or_the_new(
    river: River, tmp_path: Path
) -> None:
    all_ = managed(river, ("unit-1",))
    [gateway] = all_.gateways
    river.start()
    rows = (gateway.home / "points.csv").read_text().splitlines()
    point = rows[1].split(",")[rows[0].split(",").index("name")]
    wanted = tmp_path / "wanted.toml"
    for number in range(1, 5):
        wanted.write_text(WANTED.format(app=all_.publish_app(tmp_path, f"1.0.{number}"), point=point))
        all_.hq("desired", "set", "unit-1", "--file", str(wanted))
        all_.accepted(gateway, number)
        time.sleep(0.7 * number)
        gateway.kill()
        gateway.up()
        all_.settled("unit-1", f"1.0.{number}")
        packages = {path.name for path in (gateway.home / "apps").iterdir()}
        assert packages == {f"calm-1.0.{number}.capp", "calm.toml"}
    river.finish()
