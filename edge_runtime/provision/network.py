"""`network.toml`: the network that an engineer wants a gateway to have, and what systemd makes of it.

Rules:
1. The file says what is wanted and changes nothing by itself. The operating system's side runs
   `catchment-edge network --to DIR` when it changes, which writes units for systemd-networkd.
2. A configuration is taken whole or refused with every problem.

>>> network = parse('''
... hostname = "gw-1"
... ntp = ["10.0.0.1"]
... [[interface]]
... name = "eth0"
... address = "10.0.0.7/24"
... gateway = "10.0.0.1"
... ''')
>>> [(name, text.count("\\n")) for name, text in networkd(network).items()]
[('10-catchment-eth0.network', 8)]
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protocols.addresses import is_host, is_ip
from protocols.durable import write_durably
from protocols.errors import InputError
from protocols.field.settings import Form, Kind, Setting
from protocols.tomlfile import Table, TomlFile

FILE = "network.toml"
UNIT_PREFIX = "10-catchment-"

INTERFACES_MAX = 16
SERVERS_MAX = 8

_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _is_interface_address(text: str) -> bool:
    address, slash, _ = text.partition("/")
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return bool(slash) and is_ip(address)


INTERFACE = (
    Setting(
        "name", Kind.TEXT, "The interface, as `ip link` shows it.", required=True,
        form=Form(lambda text: _INTERFACE.fullmatch(text) is not None, "a name such as 'eth0'"),
    ),
    Setting(
        "address", Kind.TEXT, "Its address with the prefix's length; without one, DHCP.", default="",
        form=Form(lambda text: not text or _is_interface_address(text), "an address such as '10.0.0.7/24'"),
    ),
    Setting(
        "gateway", Kind.TEXT, "The router towards the hub.", default="",
        form=Form(lambda text: not text or is_ip(text), "an address such as '10.0.0.1'"),
    ),
)  # fmt: skip
NETWORK = (
    Setting(
        "hostname", Kind.TEXT, "The machine's name in the network.", default="",
        form=Form(lambda text: not text or _HOSTNAME.fullmatch(text) is not None, "a name such as 'gw-1'"),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface.

    Args:
        name: As the system names it.
        address: With prefix length; empty for DHCP.
        gateway: The default route, or empty.
        dns: Name servers.
    """

    name: str
    address: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """What a gateway's network is to be.

    Args:
        interfaces: Those that are to be changed.
        ntp: Time servers.
        hostname: Empty to leave it.
    """

    interfaces: tuple[Interface, ...] = ()
    ntp: tuple[str, ...] = ()
    hostname: str = ""


def parse(text: str, file: str = FILE) -> Network:
    """Read and check a network configuration.

    Raises:
        InputError: With every problem.
    """
    toml = TomlFile(Path(file), "", text)
    top = {key: value for key, value in toml.document.items() if key not in ("interface", "ntp")}
    names = [setting.name for setting in NETWORK]
    toml.known((), toml.document, [*names, "interface", "ntp"])
    found = toml.settings((), {key: value for key, value in top.items() if key in names}, NETWORK)
    ntp = _servers(toml, ("ntp",), toml.document.get("ntp", []), "time servers")
    interfaces = [_interface(toml, index, table) for index, table in enumerate(toml.tables("interface"))]
    seen: set[str] = set()
    for index, interface in enumerate(interfaces):
        if interface.name in seen:
            toml.problem(("interface", index, "name"), interface.name, "each interface once")
        seen.add(interface.name)
    if len(interfaces) > INTERFACES_MAX:
        toml.problem(("interface",), f"{len(interfaces)} tables", f"at most {INTERFACES_MAX}")
    if toml.problems:
        raise InputError(list(dict.fromkeys(toml.problems)))
    return Network(tuple(interfaces), ntp, str(found["hostname"]))


def _interface(toml: TomlFile, index: int, table: Table) -> Interface:
    path = ("interface", index)
    names = [setting.name for setting in INTERFACE]
    toml.known(path, table, [*names, "dns"])
    found = toml.settings(path, {key: value for key, value in table.items() if key in names}, INTERFACE)
    dns = _servers(toml, (*path, "dns"), table.get("dns", []), "name servers", addresses=True)
    interface = Interface(str(found["name"] or ""), str(found["address"]), str(found["gateway"]), dns)
    if interface.gateway and not interface.address:
        toml.problem((*path, "gateway"), interface.gateway, "an address too; DHCP brings its own router")
    elif interface.gateway and is_ip(interface.gateway) and _is_interface_address(interface.address):
        own = ipaddress.ip_interface(interface.address).network
        if ipaddress.ip_address(interface.gateway) not in own:
            toml.problem((*path, "gateway"), interface.gateway, f"an address within {own}")
    return interface


def _servers(
    toml: TomlFile, path: tuple[str | int, ...], value: object, what: str, addresses: bool = False
) -> tuple[str, ...]:
    fits = is_ip if addresses else is_host
    if (
        not isinstance(value, list)
        or len(value) > SERVERS_MAX
        or not all(isinstance(each, str) and fits(each) for each in value)
    ):
        form = 'addresses, such as ["10.0.0.1"]' if addresses else 'names or addresses, such as ["10.0.0.1"]'
        toml.problem(path, value, f"a list of at most {SERVERS_MAX} {what}: {form}")
        return ()
    return tuple(value)


def to_toml(network: Network) -> str:
    """The file that says this."""
    lines = [f"hostname = {json.dumps(network.hostname)}"] if network.hostname else []
    lines += [f"ntp = {_list(network.ntp)}"] if network.ntp else []
    for each in network.interfaces:
        lines += ["", "[[interface]]", f"name = {json.dumps(each.name)}"]
        lines += [f"address = {json.dumps(each.address)}"] if each.address else []
        lines += [f"gateway = {json.dumps(each.gateway)}"] if each.gateway else []
        lines += [f"dns = {_list(each.dns)}"] if each.dns else []
    return "\n".join(lines).lstrip("\n") + "\n"


def _list(values: Sequence[str]) -> str:
    return "[" + ", ".join(json.dumps(value) for value in values) + "]"


def networkd(network: Network) -> dict[str, str]:
    """Units for systemd-networkd, by file name.

    Source: systemd.network(5): [Match] Name, [Network] DHCP, Address, Gateway, DNS, NTP.
    """
    units = {}
    for each in network.interfaces:
        lines = [
            "# Made from network.toml by catchment-edge network.",
            "[Match]",
            f"Name={each.name}",
            "",
            "[Network]",
        ]
        lines += [f"Address={each.address}"] if each.address else ["DHCP=yes"]
        lines += [f"Gateway={each.gateway}"] if each.gateway else []
        lines += [f"DNS={server}" for server in each.dns]
        lines += [f"NTP={server}" for server in network.ntp]
        units[f"{UNIT_PREFIX}{each.name}.network"] = "\n".join(lines) + "\n"
    return units


def apply(home: Path, folder: Path) -> list[str]:
    """Write the units of a gateway's `network.toml`, and remove those of interfaces it no longer names.

    Returns:
        The names of files that changed.

    Raises:
        InputError: There is no such file, or it is wrong; nothing was changed.
        StoreError: The folder cannot be written.
    """
    network = read(home)
    wanted = networkd(network)
    changed = []
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_durably(path, text)
            changed.append(name)
    for path in sorted(folder.glob(f"{UNIT_PREFIX}*.network")):
        if path.name not in wanted:
            path.unlink()
            changed.append(path.name)
    return changed


def read(home: Path) -> Network:
    """The network that a gateway is to have.

    Raises:
        InputError: There is no such file, or it is wrong.
    """
    path = home / FILE
    missing = "the file that catchment-flash serial network writes"
    TomlFile(path, missing)
    return parse(path.read_text(encoding="utf-8-sig"), str(path))
