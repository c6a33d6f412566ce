"""Machines that burn, and what their backups bring back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hub.cli import main as hub_cli
from tests.backup_parts import operate
from tests.faults.river import Node, River, change, lose


def test_headquarters_burns_a_drill_tells_what_it_costs_and_hubs_bring_the_rest_again(river: River) -> None:
    headquarters = river.headquarters()
    hub = river.hub(headquarters)
    change(hub.home / "hub.toml", "store", trim="backed-up")
    gateway = river.gateway("unit-1", river.plant(), [hub], headquarters)
    river.start()
    river.collected(gateway, 200)
    apart = {node.name: places(river.root, node) for node in (headquarters, hub)}
    operate("init", *apart["headquarters"])
    operate("init", *apart["hub"], program=hub_cli)

    headquarters.wait("rows", lambda status: status["tables"]["samples"]["rows"] > 100)
    [ran] = operate("run", *apart["headquarters"])
    kept = ran["rows"]["samples"]
    hub.wait("the receipt for the backup", lambda status: backed_up(status) > 0)
    operate("run", *apart["hub"], program=hub_cli)
    headquarters.wait("more", lambda status: status["tables"]["samples"]["rows"] > kept + 200)
    had = headquarters.status()["tables"]["samples"]["rows"]

    headquarters.kill()
    shutil.rmtree(headquarters.home)
    [drilled] = operate("drill", *apart["headquarters"])
    assert drilled["faults"] == [] and drilled["rows"]["samples"]["found"] == kept
    assert drilled["rpo_s"] > 0 and drilled["rto_s"] >= drilled["restore_s"] > 0
    assert not headquarters.home.exists()
    operate("restore", *apart["headquarters"], "--to", str(headquarters.home))
    headquarters.up()
    headquarters.wait("all of it again", lambda status: status["tables"]["samples"]["rows"] > had)

    hub.kill()
    lose(hub.home)
    operate("restore", *apart["hub"], "--to", str(hub.home), program=hub_cli)
    sessions = gateway.status()["uplink"]["sessions"]
    hub.up()
    gateway.wait("a session with the hub again", lambda status: status["uplink"]["sessions"] > sessions)
    verdict = river.finish()
    assert verdict.in_gaps == 0
    assert not headquarters.logged("fork"), "a hub that came back must not look like a clone"
    operate("run", *apart["headquarters"])
    assert operate("verify", *apart["headquarters"])[-1]["faults"] == []


def places(root: Path, node: Node) -> tuple[str, ...]:
    """Where a node's backup is, as options."""
    key = str(root / f"{node.name}.key")
    return "--home", str(node.home), "--place", str(root / f"{node.name}-backup"), "--key-file", key


def backed_up(status: Any) -> int:
    """How many batches of all chains a hub knows to be in a backup."""
    chains = [chain for gateway in status["gateways"].values() for chain in gateway["chains"]]
    return sum(chain["backed_up"] for chain in chains)
