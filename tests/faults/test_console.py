"""Real processes set a gateway up over a cable that damages one byte in a hundred and is pulled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import slots
from edge_runtime.flash.consolehost import ConsoleHost
from edge_runtime.provision import network, provisionfile
from edge_runtime.provision.port import SerialLine
from protocols.identity import LINK_KEY, SIGNING_KEY, Identity
from tests.gateway_home import GATEWAY_TOML, POINTS_CSV, token_of
from tests.serial_cable import SerialCable
from tests.slot_parts import demo_image, demo_root

CONSOLE = "from edge_runtime.cli import main; main()"
FLASH = "from edge_runtime.flash.cli import main; main()"
TOKEN = token_of()
POINTS = 30
BAUD = 921_600
"""A pseudo-terminal knows no rate: the fastest makes both sides wait least."""


class Gateway:
    """The console's process of one home."""

    def __init__(self, home: Path, device: Path, log: Path, *options: str) -> None:
        self.home = home
        arguments = ["console", "--serial", str(device), "--home", str(home), *options]
        self._command = [sys.executable, "-c", CONSOLE, *arguments]
        self._log = log
        self.start()

    def start(self) -> None:
        with self._log.open("a") as log:
            self.process = subprocess.Popen(self._command, stderr=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self._log.read_text().splitlines()]


@contextmanager
def gateway(folder: Path, cable: SerialCable) -> Iterator[Gateway]:
    running = Gateway(folder / "home", cable.gateway, folder / "log")
    try:
        yield running
    finally:
        running.kill()


def flash(cable: SerialCable, *arguments: str, stdin: str = "") -> Any:
    command = [sys.executable, "-c", FLASH, "serial", "--port", str(cable.host)]
    command += ["--baud", str(BAUD), *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def point_table() -> str:
    lines = POINTS_CSV.splitlines()
    lines += [f",T-{n},plc1,holding:{300 + 2 * n},f32,slow,,,,,,always,,,,Point {n}" for n in range(POINTS)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[ConsoleHost, SerialCable, Gateway]]:
    with (
        SerialCable(tmp_path, 3, damaged=0.01, pulled_each=12_000) as cable,
        gateway(tmp_path, cable) as running,
    ):
        host = ConsoleHost(lambda: SerialLine(str(cable.host)), BAUD, device=str(cable.host))
        yield host, cable, running
        host.close()


def test_a_bare_gateway_is_set_up_by_the_commands(tmp_path: Path) -> None:
    config, points = tmp_path / "any.toml", tmp_path / "any.csv"
    config.write_text(GATEWAY_TOML)
    points.write_text(point_table())
    with (
        SerialCable(tmp_path, 1, damaged=0.01, pulled_each=10_000) as cable,
        gateway(tmp_path, cable) as running,
    ):
        assert flash(cable, "info")["identity"] is None
        flash(cable, "network", "--interface", "eth0", "--address", "10.0.0.7/24", "--ntp", "10.0.0.1")
        flash(cable, "hub", "tcp://10.0.0.2:7502", "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7")
        flash(cable, "token", "--file", "-", stdin=TOKEN + "\n")
        assert flash(cable, "config", str(config), str(points))["points"] == 6 + POINTS
        diagnostics = tmp_path / "diagnostics.zip"
        flash(cable, "diagnostics", str(diagnostics))
        home = running.home
        assert network.read(home).interfaces[0].address == "10.0.0.7/24"
        assert provisionfile.read(home).token == TOKEN
        assert Identity.load(home).id == "unit-1"
        assert (home / "points.csv").read_text() == point_table()
        with zipfile.ZipFile(diagnostics) as archive:
            said = b"".join(archive.read(name) for name in archive.namelist())
        assert b"plc1" in said
        for secret in (TOKEN, *((home / name).read_text().strip() for name in (SIGNING_KEY, LINK_KEY))):
            assert secret.encode() not in said
        assert flash(cable, "factory-reset", "--data", "wipe", "--yes", "unit-1")["gone"]
        assert list(home.iterdir()) == []
        assert cable.pulls >= 2 and cable.hurt > 100
        assert "console-port-away" in running.events()
    text = (tmp_path / "log").read_text()
    assert TOKEN not in text


def test_a_transfer_outlasts_pulls_kills_and_damage(
    host: tuple[ConsoleHost, SerialCable, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    console, cable, running = host
    data = os.urandom(8_000)
    path = running.home.parent / "file"
    path.write_bytes(data)
    kills = [2_500, 5_500]
    seen: list[int] = []

    def progress(done: int, size: int) -> None:
        seen.append(done)
        if kills and done >= kills[0]:
            kills.pop(0)
            running.kill()
            running.start()

    with path.open("rb") as stream:
        sha256 = console.send_file(stream, progress)
    assert (running.home / "incoming" / f"{sha256.hex()}.whole").read_bytes() == data
    assert not kills and cable.pulls >= 2 and console.reconnected >= 2
    assert sum(done == 0 for done in seen) <= 1, "it went on where it was and did not begin anew"


def test_a_firmware_image_lands_in_the_idle_slot(tmp_path: Path) -> None:
    root = demo_root(tmp_path, demo_image(tmp_path))
    image = demo_image(tmp_path, "1.1.0")
    damaged = tmp_path / "damaged.cfw"
    damaged.write_bytes(image.read_bytes()[:-100] + bytes(100))
    with SerialCable(tmp_path, 2, damaged=0.01) as cable:
        running = Gateway(root / "home", cable.gateway, tmp_path / "log", "--root", str(root))
        try:
            assert flash(cable, "info")["slots"]["good"] == "a"
            command = [
                sys.executable,
                "-c",
                FLASH,
                "serial",
                "--port",
                str(cable.host),
                "image",
                str(damaged),
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
            assert done.returncode != 0 and slots.state(root).trial is None
            installed = flash(cable, "image", str(image))
            assert installed["slot"] == "b" and "1.1.0" in installed["firmware"]
            trial = slots.state(root).trial
            assert trial is not None and trial.slot == "b"
            assert flash(cable, "image", str(image)), "a second time changes nothing"
        finally:
            running.kill()


def test_nobody_at_the_other_end_is_told_in_time(tmp_path: Path) -> None:
    with SerialCable(tmp_path) as cable:
        command = [sys.executable, "-c", FLASH, "serial", "--port", str(cable.host), "--timeout", "1", "info"]
        begun = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 3 and "nobody answered for 1 s" in done.stderr
        assert time.monotonic() - begun < 20
    missing = [*command[:5], str(tmp_path / "nothing"), *command[6:]]
    done = subprocess.run(missing, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3 and "expected a serial port" in done.stderr


def test_a_console_ends_cleanly_and_says_why_a_clock_is_not_set(tmp_path: Path) -> None:
    with SerialCable(tmp_path) as cable, gateway(tmp_path, cable) as running:
        assert abs(flash(cable, "time", "--read")["ahead_s"]) < 60
        command = [sys.executable, "-c", FLASH, "serial", "--port", str(cable.host), "time"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 3 and "--set-clock" in done.stderr
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
        assert running.events()[-1] == "console-stopped"
