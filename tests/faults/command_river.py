"""A river in which commands go down: service sockets open, and a device that can be written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner

from edge_runtime.cli import invoke
from headquarters.cli import main as headquarters_cli
from tests.faults.river import Node, River, change, free_address
from tests.peers.foreign import ROOT, ForeignServer, free_port

WRITABLE = """
[device.plc]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {port}
reconnect_first_s = 0.1

[[command_write]]
point = "SP"
low = 0
high = 1000
"""


@dataclass
class Commanded:
    """A gateway below a hub below headquarters, and the hands that command it."""

    river: River
    headquarters: Node
    hub: Node
    gateway: Node

    def hq(self, *arguments: str, code: int = 0) -> Any:
        """Run `catchment-hq command ... --json`."""
        home = ("--home", str(self.headquarters.home), "--json")
        done = CliRunner().invoke(headquarters_cli, ["command", *arguments[:1], *home, *arguments[1:]])
        assert done.exit_code == code, (arguments, done.exit_code, done.output, done.exception)
        return json.loads(done.stdout) if done.stdout else None

    def edge(self, *arguments: str) -> int:
        """Run `catchment-edge ... --home`; returns its exit code."""
        return invoke([*arguments, "--home", str(self.gateway.home)])


def connect(above: Node, below: Node) -> None:
    """Let `below` call `above`: a service socket, and its address in the configuration below."""
    section = "headquarters" if above.tier == "hq" else "hub"
    file = above.home / f"{section}.toml"
    text = file.read_text(encoding="utf-8")
    own = text.partition(f"[{section}]\n")[2].partition("\n[")[0]
    known = [line.split('"')[1] for line in own.splitlines() if line.startswith("service = ")]
    address = known[0] if known else free_address()
    if not known:
        change(file, section, service=address)
    path = below.home / ("gateway.toml" if below.tier == "edge" else "hub.toml")
    text = path.read_text(encoding="utf-8")
    mark = f'id = "{above.name}"\naddress = '
    assert mark in text, text
    path.write_text(text.replace(mark, f'service = "{address}"\n{mark}', 1), encoding="utf-8")


@contextmanager
def commanded(river: River, *, direct: bool = False) -> Iterator[Commanded]:
    """Everything built, and a Modbus server with a set point; nothing started."""
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    gateway = river.gateway("unit-1", river.plant(), [headquarters if direct else hub], headquarters)
    port = free_port()
    config = gateway.home / "gateway.toml"
    config.write_text(config.read_text(encoding="utf-8") + WRITABLE.format(port=port), encoding="utf-8")
    points = gateway.home / "points.csv"
    rows = points.read_text(encoding="utf-8").rstrip("\n")
    names = rows.splitlines()[0].split(",")
    row = {"name": "SP", "device": "plc", "address": "holding:10", "type": "uint16", "scan_class": "fast"}
    points.write_text(rows + "\n" + ",".join(row.get(name, "") for name in names) + "\n", encoding="utf-8")
    connect(headquarters, hub)
    connect(headquarters if direct else hub, gateway)
    command = [sys.executable, "-m", "tests.contract.servers", "modbus", str(port)]
    with ForeignServer(command, ROOT):
        yield Commanded(river, headquarters, hub, gateway)
