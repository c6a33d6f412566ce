"""Headquarters and a hub, made as operators make them: init, ceremony, invitation, approval."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.demo.processes import Child, Children, finish, program, run, wait_for

HOST = "127.0.0.1"
START_S = 60.0
"""Longest wait for a process to be up."""

LOOK_S = 1.0
"""Between two looks through a command, which takes most of a second of a core by itself."""

PUBLISHER = "works"
"""Who signs the apps."""


class Group:
    """Headquarters and one hub below it.

    Args:
        root: Where their homes are made.
        children: Ends them, whatever happens.
    """

    def __init__(self, root: Path, children: Children) -> None:
        self.headquarters = root / "headquarters"
        self.hub = root / "hub"
        self._keys = root / "ceremony"
        self._children = children
        self._nodes: dict[str, Child] = {}

    def start(self) -> None:
        """Make both, hold the key ceremony, let the hub in, and run them.

        Raises:
            DemoError: A step did not end well.
        """
        self.hq("init", "--id", "headquarters", *_sockets())
        set_number(self.headquarters / "headquarters.toml", "commit_interval_s", 1)
        self.hq("updates", "init")
        self.hq("updates", "ceremony", "--holders", "2", "--threshold", "2", "--out", str(self._keys))
        signed = ("--out", str(self._keys / "works.key"), "--key", str(self._keys / "targets.key"))
        self.hq("updates", "add-publisher", PUBLISHER, *signed)
        self._run("headquarters", "catchment-hq", self.headquarters)
        hub = program("catchment-hub")
        run([hub, "init", "--home", str(self.hub), "--id", "hub", *_sockets()])
        with (self.hub / "hub.toml").open("a", encoding="utf-8") as config:
            config.write("\n[mirror]\nrefresh_s = 1\n")
        token = self.invite("hub", "--role", "hub")
        enroll = [hub, "enroll", "--home", str(self.hub), "--token", token]
        finish([*enroll, "--no-wait"], (3,))
        self.hq("gateways", "approve", "hub")
        run(enroll)
        self._run("hub", "catchment-hub", self.hub)
        wait_for("the hub's first directory", self._hub_is_known, START_S, [self._nodes["hub"]])

    def hq(self, *arguments: str) -> Any:
        """Run `catchment-hq` and return what it printed: a document after --json, else text."""
        printed = run([program("catchment-hq"), *arguments, "--home", str(self.headquarters)])
        return json.loads(printed) if "--json" in arguments else printed

    def invite(self, node: str, *options: str) -> str:
        """A token for a node."""
        [invited] = self.hq("gateways", "invite", "--id", node, *options, "--json")
        token: str = invited["token"]
        return token

    def publish(self, kind: str, file: Path) -> str:
        """Put a file into the update repository; returns its path there."""
        keys = {"app": "works.key", "firmware": "firmware.key"}
        key = ("--key", str(self._keys / keys[kind])) if kind in keys else ()
        path: str = self.hq("publish", kind, str(file), *key, "--json")["path"]
        return path

    def items(self, gateway: str) -> Mapping[str, str]:
        """How far a gateway says it is with each desired item; empty until its report is of the newest."""
        shown = self.hq("desired", "show", gateway, "--json")
        report = shown["report"]
        if report is None or report["document"] != shown["desired"]:
            return {}
        return {item["item"]: item["state"] for item in shown["items"]}

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the lake."""
        rows: list[dict[str, Any]] = self.hq("query", sql, "--json")
        return rows

    def rows(self) -> dict[str, int]:
        """How many samples the lake has of each gateway."""
        found = self.query(
            "SELECT gateway, count(*) AS rows FROM samples JOIN series USING (series) GROUP BY gateway"
        )
        return {row["gateway"]: int(row["rows"]) for row in found}

    def stop(self) -> None:
        """Stop the hub, then headquarters.

        Raises:
            DemoError: One does not stop.
        """
        for name in ("hub", "headquarters"):
            self._nodes[name].ask_to_stop()
            self._nodes[name].wait(START_S)

    def _hub_is_known(self) -> bool:
        """Whether the hub has asked for the directory, and so told headquarters where its sockets are."""
        status = json.loads((self.hub / "data" / "status.json").read_text(encoding="utf-8"))
        return bool(status["membership"]["directory"]["stations"])

    def _run(self, name: str, command: str, home: Path) -> None:
        child = self._children.start(name, [program(command), "run", "--home", str(home)])
        self._nodes[name] = child
        wait_for(f"a status of {name}", (home / "data" / "status.json").exists, START_S, [child])


def serve_plant(directory: Path, points: int, children: Children) -> Mapping[str, Any]:
    """Start a Modbus server of the simulated unit; returns its address."""
    options = ["--points", str(points), "--period", "1"]
    command = [sys.executable, "-m", "scripts.plant", "serve", "modbus", str(directory), *options]
    child = children.start("plant", command)
    wait_for("the plant to answer", (directory / "address.json").exists, START_S, [child])
    address: Mapping[str, Any] = json.loads((directory / "address.json").read_text(encoding="utf-8"))
    return address


def _sockets() -> list[str]:
    """Options for the three sockets of a hub or of headquarters, on ports that are free."""
    names = ("--bind", "--service", "--enrolment")
    probes = [socket.socket() for _ in names]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        ports = [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
    return [part for name, port in zip(names, ports, strict=True) for part in (name, f"tcp://{HOST}:{port}")]


def set_number(config: Path, setting: str, value: float) -> None:
    """Set a number in a configuration file, wherever it stands there."""
    text = config.read_text(encoding="utf-8")
    config.write_text(re.sub(rf"(?m)^{setting} = .*$", f"{setting} = {value}", text), encoding="utf-8")
