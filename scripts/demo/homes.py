"""Home directories of the nodes, made as an operator makes them: init, allow, join."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass
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
USER, USER_NAME = "demo", "Demo"
ROLES = ("operator", "engineer")

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


@dataclass(frozen=True, slots=True)
class Station:
    """Where a hub or headquarters listens.

    Args:
        address: For batches.
        service: For calls, such as for commands.
        web: Where headquarters' portal is reached; empty where there is none.
    """

    address: str
    service: str
    web: str = ""


def make_headquarters(settings: Settings, portal: bool = False) -> Station:
    """Make headquarters' home, with or without a portal; returns where it listens."""
    home, web = settings.headquarters, f"{HOST}:{_free_port()}" if portal else ""
    station = Station(_tcp(), _tcp(), f"http://{web}" if portal else "")
    command = [program("catchment-hq"), "init", "--home", str(home), "--id", "headquarters"]
    run([*command, "--bind", station.address, "--service", station.service])
    config = home / "headquarters.toml"
    text = config.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^commit_interval_s = .*$", f"commit_interval_s = {COMMIT_S}", text)
    if portal:
        text += f'\n[web]\nbind = "{web}"\n'
    config.write_text(text, encoding="utf-8")
    return station


def sign_in_link(settings: Settings, headquarters: Station) -> str:
    """Make the demo's user, who may look at everything and act on it; returns the link to sign in by.

    Administrators are made by `init`; this is the engineer on duty.
    """
    roles = [part for role in ROLES for part in ("--role", role)]
    command = [program("catchment-hq"), "users", "add", USER, "--home", str(settings.headquarters)]
    answer = json.loads(run([*command, "--name", USER_NAME, *roles, "--url", headquarters.web, "--json"]))
    link: str = answer["sign_in_link"]
    return link


def make_hub(settings: Settings, headquarters: Station) -> Station:
    """Make the hub's home below headquarters, which allows it; returns where it listens."""
    station = Station(_tcp(), _tcp())
    hq = settings.headquarters / "identity.toml"
    command = [program("catchment-hub"), "init", "--home", str(settings.hub), "--id", "hub"]
    command += ["--bind", station.address, "--service", station.service]
    run([*command, "--upstream", str(hq), "--address", headquarters.address])
    _add_service(settings.hub / "hub.toml", headquarters)
    _allow("catchment-hq", settings.headquarters, settings.hub)
    return station


def make_gateway(
    settings: Settings, protocol: Protocol, plant: dict[str, Any], upstream: Station, store: AppStore
) -> list[dict[str, Any]]:
    """Make a gateway's home, with the plant's own point table, below the hub or headquarters.

    Args:
        settings: What was asked for.
        protocol: Which plant server it collects from.
        plant: The server's `address.json`.
        upstream: The hub, or headquarters when there is none.
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
    above = hq if settings.two_level else settings.hub / "identity.toml"
    run([edge, "join", "--home", str(home), str(above), "--address", upstream.address])
    _add_service(home / "gateway.toml", upstream)
    if not settings.two_level:
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


def _add_service(config: Path, upstream: Station) -> None:
    """Say where an upstream answers calls: commands come down there."""
    text = config.read_text(encoding="utf-8")
    address = f'address = "{upstream.address}"\n'
    assert text.count(address) == 1
    config.write_text(text.replace(address, f'{address}service = "{upstream.service}"\n'), encoding="utf-8")


def _tcp() -> str:
    return f"tcp://{HOST}:{_free_port()}"


def _allow(command: str, home: Path, peer: Path) -> None:
    run([program(command), "allow", "--home", str(home), str(peer / "identity.toml")])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
