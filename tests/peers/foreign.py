"""Starts the servers of other vendors that `make peers` builds and installs.

A missing server is a failure with its remedy, never a skipped test: who does not want
these tests says so with `make test PEERS=0`.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SERVERS = Path(__file__).parent / "servers"
MODBUS_SERVER = ROOT / "build" / "peers" / "modbus_server"
START_S_MAX = 60.0
"""node-opcua makes its RSA keys at its first start: seconds, more on a loaded machine."""


class MissingPeerError(Exception):
    """A server that `make peers` would have made is not there."""


class ForeignServer:
    """One running server process; prints one line when it serves.

    Args:
        command: Program and arguments.
        cwd: Where it runs and may write.
    """

    def __init__(self, command: list[str], cwd: Path) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=self._stderr)
        self.ready = self._first_line(command[0])

    def _first_line(self, name: str) -> str:
        assert self._process.stdout is not None
        pipe, line = self._process.stdout.fileno(), b""
        deadline = time.monotonic() + START_S_MAX
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(pipe, 4096) if readable else b""
            if not chunk:
                self._process.kill()
                self._process.wait()
                self._stderr.seek(0)
                said = self._stderr.read()[-2000:].decode(errors="replace")
                self._close()
                raise AssertionError(f"{name} ended, or did not serve within {START_S_MAX:.0f} s: {said}")
            line += chunk
        return line.decode()

    def stop(self) -> None:
        """End it the polite way."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """End it as a power cut would, connections reset."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._stderr.close()

    def __enter__(self) -> ForeignServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class ModbusPeer(NamedTuple):
    """libmodbus on loopback; what it serves is told at the top of servers/modbus_server.c."""

    server: ForeignServer
    port: int


class OpcUaPeer(NamedTuple):
    """node-opcua on loopback; what it serves is told at the top of servers/opcua_server.js."""

    server: ForeignServer
    endpoint: str
    namespace: int
    port: int


def start_modbus(folder: Path, port: int = 0) -> ModbusPeer:
    """Start the libmodbus server; port 0 lets the system choose."""
    if not MODBUS_SERVER.exists():
        raise MissingPeerError(
            f"expected {MODBUS_SERVER.relative_to(ROOT)}, a server on libmodbus; {_REMEDY}"
        )
    server = ForeignServer([str(MODBUS_SERVER), str(port)], folder)
    return ModbusPeer(server, int(server.ready.split()[1]))


def start_opcua(folder: Path, port: int = 0, points: int = 100, period_ms: int = 100) -> OpcUaPeer:
    """Start the node-opcua server with its keys under `folder`; port 0 takes a free one."""
    node = shutil.which("node")
    if node is None or not (SERVERS / "node_modules" / "node-opcua").exists():
        raise MissingPeerError(f"expected node and node-opcua in tests/peers/servers; {_REMEDY}")
    port = port or free_port()
    program = str(SERVERS / "opcua_server.js")
    server = ForeignServer(
        [node, program, str(port), str(folder / "pki"), str(points), str(period_ms)], folder
    )
    told = json.loads(server.ready)
    return OpcUaPeer(server, told["endpoint"], told["namespace"], port)


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


_REMEDY = "run `make peers` (as root on Debian), or leave these tests out with `make test PEERS=0`"
