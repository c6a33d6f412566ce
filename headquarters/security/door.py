"""Where new nodes ask to be let in."""

from __future__ import annotations

import time

from headquarters import trust
from headquarters.config import HeadquartersConfig
from headquarters.security.office import Door
from headquarters.security.registry import Registry
from protocols.addresses import is_address, reachable
from protocols.errors import InputError, Problem
from protocols.identity import Identity


def door_for(settings: HeadquartersConfig, registry: Registry, role: str, via: str, address: str) -> Door:
    """Whom new nodes are to ask: the hub that was named, the only one, or headquarters.

    Args:
        settings: Of headquarters.
        registry: The register.
        role: What the nodes are: `gateway` or `hub`.
        via: The hub that was named; empty for none.
        address: Its enrolment socket as the nodes reach it; empty for the one that is known.

    Raises:
        InputError: There is no such hub, or no address of its socket is known.
        StoreError: The register cannot be read.
    """
    own = Identity.load(settings.home).public
    known = trust.load(settings.home, registry, time.time(), settings.offline_days).identities
    hubs = {node.id: node for node in known if node.role == "hub"}
    if not via and role == "gateway" and len(hubs) == 1:
        via = next(iter(hubs))
    if via not in ("", own.id, *hubs):
        expected = f"headquarters or a hub in force: {', '.join(sorted(hubs)) or 'there is none'}"
        raise InputError([Problem("command line", "--via", via, expected)])
    node = hubs.get(via, own)
    row = registry.node(node.id)
    found = address or ("" if row is None else row.addresses["enrolment"])
    if not found and node is own and settings.enrolment is not None:
        found = reachable(settings.enrolment, settings.host)
    if not is_address(found):
        expected = (
            f"the enrolment socket of {node.id} as --address tcp://HOST:PORT; it is not known here: set "
            f"`enrolment` in its configuration, and let a hub refresh its directory once"
        )
        raise InputError([Problem("command line", "--address", found, expected)])
    return Door(node, found)
