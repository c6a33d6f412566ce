"""Home directories of the nodes, made as an operator makes them: init, allow, join."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

from scripts.demo.installing import AppStore
from scripts.demo.processes import program, run
from scripts.demo.settings import COMMIT_S, GATEWAYS, Settings
from scripts.plant.layout import Protocol, write_point_table
from scripts.plant.sources import source_of

HOST = "127.0.0.1"
SITE = "demo-plant"
DEVICE = "plant"
SCAN_CLASS = "normal"

PUBLISHING_SHARE = 0.2
"""The plant changes half a period before a scan instant: sent five times a period, it is there in time."""

_GATEWAY = """\
[gateway]
id = "{id}"
site = "{site}"

[scan.{scan_class}]
period_s = {period_s}

[device.{device}]
{driver}

[buffer]
flush_s = {flush_s}
"""


def make_headquarters(settings: Settings) -> str:
    """Make headquarters' home; returns its address."""
    address = f"tcp://{HOST}:{_free_port()}"
    home = settings.headquarters
    run([program("catchment-hq"), "init", "--home", str(home), "--id", "headquarters", "--bind", address])
    config = home / "headquarters.toml"
    text = config.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^commit_interval_s = .*$", f"commit_interval_s = {COMMIT_S}", text)
    config.write_text(text, encoding="utf-8")
    return address


def make_hub(settings: Settings, headquarters: str) -> str:
    """Make the hub's home below headquarters, which allows it; returns its address."""
    address = f"tcp://{HOST}:{_free_port()}"
    hq = settings.headquarters / "identity.toml"
    command = [
        program("catchment-hub"),
        "init",
        "--home",
        str(settings.hub),
        "--id",
        "hub",
        "--bind",
        address,
    ]
    run([*command, "--upstream", str(hq), "--address", headquarters])
    _allow("catchment-hq", settings.headquarters, settings.hub)
    return address


def make_gateway(
    settings: Settings, protocol: Protocol, plant: dict[str, Any], upstream: str, store: AppStore
) -> list[dict[str, Any]]:
    """Make a gateway's home, with the plant's own point table, below the hub or headquarters.

    Args:
        settings: What was asked for.
        protocol: Which plant server it collects from.
        plant: The server's `address.json`.
        upstream: Where the hub, or headquarters when there is none, listens.
        store: Where its apps are from.

    Returns:
        The apps that are installed on it.
    """
    home, name = settings.gateway(protocol), GATEWAYS[protocol]
    edge = program("catchment-edge")
    run([edge, "init", "--home", str(home), "--id", name, "--site", SITE])
    (home / "gateway.toml").write_text(_gateway_toml(settings, name, protocol, plant), encoding="utf-8")
    half = settings.replay is None
    source = source_of(protocol, settings.points, settings.seed, half, settings.replay, settings.transpose)
    write_point_table(home / "points.csv", source.points, protocol, DEVICE, SCAN_CLASS)
    hq = settings.headquarters / "identity.toml"
    if settings.two_level:
        run([edge, "join", "--home", str(home), str(hq), "--address", upstream])
    else:
        run([edge, "join", "--home", str(home), str(settings.hub / "identity.toml"), "--address", upstream])
        run([edge, "join", "--home", str(home), str(hq)])
        _allow("catchment-hub", settings.hub, home)
    _allow("catchment-hq", settings.headquarters, home)
    apps = store.install(home, [point.name for point in source.points]) if settings.apps else []
    run([edge, "check", "--home", str(home)])
    return apps


def _gateway_toml(settings: Settings, name: str, protocol: Protocol, plant: dict[str, Any]) -> str:
    if protocol is Protocol.MODBUS:
        driver = f'driver = "modbus-tcp"\nhost = "{plant["host"]}"\nport = {plant["port"]}'
    else:
        publishing_ms = max(10, round(settings.period_s * 1000 * PUBLISHING_SHARE))
        driver = f'driver = "opcua"\nendpoint = "{plant["endpoint"]}"\npublishing_ms = {publishing_ms}'
    return _GATEWAY.format(
        id=name,
        site=SITE,
        scan_class=SCAN_CLASS,
        period_s=settings.period_s,
        device=DEVICE,
        driver=driver,
        flush_s=settings.flush_s,
    )


def _allow(command: str, home: Path, peer: Path) -> None:
    run([program(command), "allow", "--home", str(home), str(peer / "identity.toml")])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
