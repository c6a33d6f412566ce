"""Makes the directory from the register, and hands it to whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from headquarters.security.authority import DAY_S, Authority
from headquarters.security.registry import KeyRow, KeyState, NodeRow, NodeStatus, Registry
from protocols.addresses import is_address
from protocols.calls import NOT_YOURS, Caller, CallRefusedError
from protocols.directory import Directory, Entry, NodeState, Part, part_of, pieces, seal
from protocols.enrolment import unpack_link
from protocols.errors import MalformedError
from protocols.records.fields import Fields

REISSUE_S = DAY_S
"""A directory in which nothing changed is signed anew so often, long before it expires."""

SOCKETS = ("data", "service", "enrolment")


def directories(registry: Registry, now: float, version: int, offline_days: float) -> dict[Part, Directory]:
    """Both parts, as the register has them now; the version is for both."""
    nodes = {node.id: node for node in registry.nodes()}
    rows: dict[str, list[KeyRow]] = {}
    for row in registry.keys_of():
        rows.setdefault(row.node.id, []).append(row)
    entries: dict[Part, list[Entry]] = {part: [] for part in Part}
    revoked: dict[Part, list[tuple[bytes, bytes]]] = {part: [] for part in Part}
    for id_, held in rows.items():
        for row in held:
            if row.state is KeyState.REVOKED:
                keys = (row.node.signing, unpack_link(row.node.link))
                revoked[part_of(row.node.role)].append(keys)
        entries[part_of(held[-1].node.role)] += _entries(nodes.get(id_), held)
    rotate: dict[Part, list[str]] = {part: [] for part in Part}
    for node in nodes.values():
        if node.rotate:
            # What a gateway reads is the stations' part: so the wish stands there for everyone.
            rotate[Part.STATIONS].append(node.id)
    window_s = offline_days * DAY_S
    return {
        part: Directory(
            part,
            version,
            now,
            now + window_s,
            window_s,
            tuple(entries[part]),
            tuple(revoked[part]),
            tuple(rotate[part]),
        )
        for part in Part
    }


class Publisher:
    """Signs the directory whenever the register changed, and answers `directory`; safe between threads.

    Args:
        registry: The register.
        authority: Signs.
        offline_days: The offline window.
        clock: Seconds since 1970.
    """

    def __init__(
        self, registry: Registry, authority: Authority, offline_days: float, clock: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._authority = authority
        self._offline_days = offline_days
        self._clock = clock
        self._lock = threading.Lock()
        self._revision = -1
        self._issued = 0.0
        self.version = 0
        self._sealed: dict[Part, bytes] = {}

    def directory(self, caller: Caller, argument: Any) -> object:
        """Answer a `directory` call, and keep what a hub says of its own addresses.

        Raises:
            MalformedError: The argument is none.
        """
        fields = Fields.of(argument)
        part, held, offset = fields.value("part"), fields.whole("held"), fields.whole("offset")
        if part not in list(Part) or offset < 0:
            raise MalformedError("expected a part and an offset of the directory")
        is_hub = caller.identity is not None and caller.identity.role == "hub"
        if part == Part.GATEWAYS and not is_hub:
            raise CallRefusedError(NOT_YOURS, "a gateway holds the stations' part only")
        if caller.identity is not None and is_hub:
            self._keep_addresses(caller.identity.id, fields)
        with self._lock:
            self._refresh()
            return pieces(self._sealed[Part(part)], held, self.version, offset)

    def _refresh(self) -> None:
        revision, now = self._registry.revision, self._clock()
        if revision == self._revision and now - self._issued < REISSUE_S:
            return
        self.version = self._registry.next_version(now)
        for part, directory in directories(self._registry, now, self.version, self._offline_days).items():
            self._sealed[part] = seal(directory, self._authority.certificate.der, self._authority.key)
        self._revision, self._issued = revision, now

    def _keep_addresses(self, hub: str, fields: Fields) -> None:
        given = Fields.of(fields.value("addresses"))
        addresses = {name: given.text(name) for name in SOCKETS}
        if any(address and not is_address(address) for address in addresses.values()):
            raise MalformedError("expected a hub's addresses as tcp://HOST:PORT")
        row = self._registry.node(hub)
        if row is None or row.addresses != addresses:
            self._registry.set_addresses(hub, "hub", addresses)


def _entries(node: NodeRow | None, held: list[KeyRow]) -> list[Entry]:
    if node is None or node.state is NodeStatus.REVOKED:
        return []
    state = NodeState.QUARANTINED if node.state is NodeStatus.QUARANTINED else NodeState.ACTIVE
    in_force = [row for row in held if row.state in (KeyState.CURRENT, KeyState.NEXT)]
    names = {row.node.signing for row in in_force}
    retired = dict.fromkeys(
        row.node.signing for row in held if row.state is KeyState.RETIRED and row.node.signing not in names
    )
    return [
        Entry(
            row.node,
            row.serial,
            int(row.not_before),
            int(row.not_after),
            state,
            tuple(retired) if number == 0 else (),
        )
        for number, row in enumerate(in_force)
    ]
