"""The gateway's home directory: what `init` writes, and what joins it to a hub or headquarters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.config import CONFIG, POINTS
from protocols.durable import write_durably
from protocols.errors import InputError, Problem

if TYPE_CHECKING:
    from protocols.identity import PublicIdentity

CONFIG_TEMPLATE = """\
# Configuration of a Catchment gateway. After a change: catchment-edge check
# Every setting, with its default and bounds: docs/settings.md

[gateway]
id = {id}
site = {site}

# Scan classes: points of a class are read together, at the multiples of its period.
[scan.fast]
period_s = 1

[scan.slow]
period_s = 10

# Field devices, as many as there are. The point table names them by what follows the dot.
[device.plc1]
driver = "modbus-tcp"
host = "127.0.0.1"
port = 502
unit = 1
timeout_s = 1.0
# word_order = "CDAB"         # low word first, where an address does not say

# [device.dcs]
# driver = "opcua"
# endpoint = "opc.tcp://dcs.example:4840"

[buffer]
flush_s = 10.0                # batches are cut and sent this often; 1.0 for low latency
quota_mb = 2048
policy = "thin"               # when it is full: thin, drop-oldest or drop-newest

# Where to send. `catchment-edge join IDENTITY.toml --address tcp://HOST:PORT` writes these
# tables for you, from the identity.toml of the hub and of headquarters.
# [[upstream]]
# id = "hub-east"
# address = "tcp://hub-east.example:7500"
# link = "..."
# signing = "..."
#
# [headquarters]
# id = "headquarters"
# signing = "..."
"""

POINTS_TEMPLATE = """\
name,device,address,type,scan_class,unit,scale,offset,low,high,report,deadband,deadband_unit,max_silence_s,description
FT-101,plc1,holding:0,uint16,fast,t/h,0.1,,0,2000,always,,,,Feed water flow
PT-102,plc1,holding:2,f32,fast,MPa,,,0,25,swinging_door,0.02,absolute,60,Drum pressure
LT-103,plc1,holding:4,int16,slow,mm,1,,-300,300,deadband,0.5,percent,300,Drum level
XS-104,plc1,coil:0,bool,fast,,,,,,change,,,3600,Feed pump A running
"""


def create(home: Path, id: str, site: str, passphrase: str | None = None) -> PublicIdentity:
    """Write keys, a commented configuration and an example point table.

    Args:
        home: The gateway's home directory.
        id: Its name.
        site: Its site; may be empty.
        passphrase: Seals the private keys; `None` leaves them readable by their owner.

    Raises:
        InputError: The name is not allowed, or something of a node is there already.
    """
    from protocols.identity import IDENTITY, LINK_KEY, SIGNING_KEY, Identity

    there = [name for name in (CONFIG, POINTS, IDENTITY, SIGNING_KEY, LINK_KEY) if (home / name).exists()]
    if there:
        expected = "a directory without a node; nothing was overwritten: choose another --home"
        raise InputError([Problem(str(home / name), "", "a file", expected) for name in there])
    _check_site(home, site)
    identity = Identity.create(home, id, "gateway", site, passphrase)
    config = CONFIG_TEMPLATE.format(id=json.dumps(id), site=json.dumps(site))
    write_durably(home / CONFIG, config, 0o600)  # it may come to hold passwords of devices
    write_durably(home / POINTS, POINTS_TEMPLATE)
    return identity.public


def _check_site(home: Path, site: str) -> None:
    from protocols.batch import is_name

    if site and not is_name(site):
        expected = "lower-case letters, digits, '-', '_' or '.', a letter or digit first, as 'plant-a'"
        raise InputError([Problem(str(home), "--site", site, expected)])


def join(home: Path, identity_file: Path, address: str) -> list[str]:
    """Append a hub or headquarters to the configuration, from its identity file.

    Args:
        home: The gateway's home directory.
        identity_file: The `identity.toml` of the other node.
        address: Where it listens; may be empty for headquarters behind a hub.

    Returns:
        The headings that were appended.

    Raises:
        InputError: A file is wrong, or the node is there already.
        StoreError: The configuration cannot be written.
    """
    from edge_runtime.configread import ADDRESS_EXPECTED
    from protocols.addresses import is_address
    from protocols.identity import read_peers

    node = read_peers(identity_file)[0]
    path = home / CONFIG
    if node.role == "gateway":
        raise InputError(
            [Problem(str(identity_file), "role", node.role, "the identity of a hub or headquarters")]
        )
    if node.role == "hub" and not address:
        raise InputError(
            [Problem("command line", "--address", "", "where the hub listens, as tcp://HOST:PORT")]
        )
    text, document = _read(path)
    added: list[tuple[str, dict[str, str]]] = []
    signing = node.signing.hex()
    if address:
        if not is_address(address):
            raise InputError([Problem("command line", "--address", address, ADDRESS_EXPECTED)])
        if "export" in document:
            expected = "no [export] beside an [[upstream]]; remove it, or join headquarters without --address"
            raise InputError([Problem(str(path), "[export]", "", expected)])
        _refuse_known(path, document, node.id, address)
        fields = {"id": node.id, "address": address, "link": node.link.decode(), "signing": signing}
        added.append(("[[upstream]]", fields))
    if node.role == "headquarters":
        known = document.get("headquarters")
        if isinstance(known, dict) and known.get("signing") != signing:
            expected = "no other headquarters; remove the table by hand when the group has a new one"
            raise InputError([Problem(str(path), "[headquarters]", str(known.get("id", "")), expected)])
        if known is None:
            added.append(("[headquarters]", {"id": node.id, "signing": signing}))
    tables = "".join(f"\n{heading}\n" + _lines(fields) for heading, fields in added)
    write_durably(path, text.rstrip("\n") + "\n" + tables)
    return [heading for heading, _ in added]


def _read(path: Path) -> tuple[str, dict[str, object]]:
    from edge_runtime.configread import CONFIG_MISSING
    from protocols.tomlfile import TomlFile

    document = TomlFile(path, CONFIG_MISSING).document
    text = path.read_text(encoding="utf-8-sig")
    return text, document


def _refuse_known(path: Path, document: dict[str, object], id: str, address: str) -> None:
    upstreams = document.get("upstream", [])
    for index, entry in enumerate(upstreams if isinstance(upstreams, list) else []):
        if isinstance(entry, dict) and address == entry.get("address"):
            expected = f"an address that is not there yet to join {id!r}; remove the old table by hand"
            raise InputError([Problem(str(path), f"[[upstream]] {index + 1}, address", address, expected)])


def _lines(fields: dict[str, str]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())
