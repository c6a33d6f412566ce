"""A river whose nodes are let in with tokens, as operators do it: real processes, real sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

from edge_runtime.cli import invoke
from headquarters.cli import main as headquarters_cli
from hub.cli import main as hub_cli
from protocols.enrolment import Token
from scripts.demo.processes import wait_for
from scripts.plant.layout import write_point_table
from tests.faults.river import (
    DEVICE,
    HOST,
    SCAN_CLASS,
    START_S,
    Node,
    PlantServer,
    River,
    change,
    free_address,
)

REFRESH_S = 1.0
"""Of directories, so that tests need not wait long."""


class EnrolledRiver(River):
    """Headquarters and a hub that run, and gateways that enrol through the hub."""

    security = ""
    """Further lines of `[security]`."""

    def headquarters(self, name: str = "headquarters") -> Node:
        """Make headquarters with both call sockets, and start it."""
        node = super().headquarters(name)
        sockets = {"service": free_address(), "enrolment": free_address()}
        change(node.home / "headquarters.toml", "headquarters", **sockets)
        with (node.home / "headquarters.toml").open("a") as file:
            file.write(f'\n[security]\nhost = "{HOST}"\n{self.security}')
        node.up()
        return node

    def hub(self, headquarters: Node, name: str = "hub") -> Node:
        """Make a hub, let it in, and start it."""
        node = self.new_hub(headquarters, name)
        node.up()
        self.wait_for_door(headquarters, name)
        return node

    def new_hub(self, headquarters: Node, name: str) -> Node:
        """Make a hub and let it in."""
        address, home = free_address(), self.root / name
        sockets = ("--service", free_address(), "--enrolment", free_address())
        code, said = operate(hub_cli, "init", "--home", str(home), "--id", name, "--bind", address, *sockets)
        assert code == 0, said
        change(home / "hub.toml", "hub", statement_s=2, host=HOST, directory_s=REFRESH_S)
        token = self.invite(headquarters, name, role="hub")
        node = self._node(name, "hub", home, address)
        self.admit(headquarters, node, token)
        return node

    def enrolled_gateway(
        self, name: str, plant: PlantServer | None, headquarters: Node, token: str = "", site: str = "works"
    ) -> Node:
        """Make a gateway that collects from a plant, and let it in."""
        node = self.new_gateway(name, plant, site)
        self.admit(headquarters, node, token or self.invite(headquarters, name))
        return node

    def new_gateway(self, name: str, plant: PlantServer | None, site: str = "works") -> Node:
        """Make a gateway's home, not let in yet."""
        home = self.root / name
        assert invoke_quietly("init", "--home", str(home), "--id", name, "--site", site)[0] == 0
        if plant is not None:
            answers = (plant.directory / "address.json").exists
            wait_for(f"{plant.name} to answer", answers, START_S, [plant.child])
            uplink = f"directory_s = {REFRESH_S}"
            (home / "gateway.toml").write_text(self._toml(name, plant, "", uplink), encoding="utf-8")
            write_point_table(home / "points.csv", plant.source.points, plant.protocol, DEVICE, SCAN_CLASS)
        return self._node(name, "edge", home, "", plant)

    # -- operators' commands -----------------------------------------------------------------------

    def gateways(self, headquarters: Node, *arguments: str) -> tuple[int, str]:
        """`catchment-hq gateways ...`."""
        command, *rest = arguments
        return operate(headquarters_cli, "gateways", command, "--home", str(headquarters.home), *rest)

    def invite(
        self, headquarters: Node, name: str, *, role: str = "gateway", site: str = "works", via: str = ""
    ) -> str:
        """A token."""
        options = {"--id": name, "--role": role, "--site": site if role == "gateway" else "", "--via": via}
        arguments = [text for option in options.items() for text in option]
        code, said = self.gateways(headquarters, "invite", *arguments, "--json")
        assert code == 0, said
        token: str = json.loads(said)[0]["token"]
        return token

    def enroll(self, node: Node, token: str, *more: str) -> tuple[int, str]:
        """`catchment-edge enroll --no-wait`, or the hub's."""
        arguments = ("enroll", "--home", str(node.home), "--token", token, "--no-wait", "--json", *more)
        return operate(hub_cli, *arguments) if node.tier == "hub" else invoke_quietly(*arguments)

    def admit(self, headquarters: Node, node: Node, token: str, *more: str) -> None:
        """Ask, approve, and ask again."""
        code, said = self.enroll(node, token, *more)
        assert code == 3 and json.loads(said)["state"] == "approval", said
        code, said = self.gateways(headquarters, "approve", node.name)
        assert code == 0, said
        code, said = self.enroll(node, token, *more)
        assert code == 0 and json.loads(said)["state"] == "granted", said

    def listed(self, headquarters: Node, name: str) -> dict[str, Any]:
        """What `gateways list` says of a node."""
        code, said = self.gateways(headquarters, "list", "--json")
        assert code == 0, said
        found: dict[str, Any] = next(row for row in json.loads(said) if row["id"] == name)
        return found

    def audited(self, headquarters: Node) -> list[str]:
        """Names of the audit's lines, the newest first."""
        code, said = self.gateways(headquarters, "audit", "--json")
        assert code == 0, said
        return [row["event"] for row in json.loads(said)]

    def wait_for_door(self, headquarters: Node, hub: str) -> None:
        """Wait until headquarters knows where a hub's enrolment socket is."""

        def known() -> bool:
            arguments = ("invite", "--id", "probe", "--via", hub, "--expires", "1m", "--json")
            return self.gateways(headquarters, *arguments)[0] == 0

        until(known, "the hub's addresses to be known")


def operate(command: Any, *arguments: str) -> tuple[int, str]:
    """Run one of our click commands in this process: its exit code and what it said."""
    said = StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            command(arguments, standalone_mode=False)
    except SystemExit as ended:
        return (ended.code if isinstance(ended.code, int) else 1), said.getvalue()
    return 0, said.getvalue()


def invoke_quietly(*arguments: str) -> tuple[int, str]:
    """Run a command of the gateway in this process."""
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = invoke(arguments)
    return code, said.getvalue()


def until(so: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
    """Wait for something outside of a node's status."""
    end = time.monotonic() + timeout_s
    while not so():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)


def token_of(text: str) -> Token:
    """A token, to be altered."""
    return Token.parse(text)
