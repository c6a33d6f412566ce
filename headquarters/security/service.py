"""What the process of headquarters has of all this: the register, the desk, the directory, suspicions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from headquarters.config import HeadquartersConfig
from headquarters.security import authority as authorities
from headquarters.security.authority import DAY_S
from headquarters.security.desk import Desk, Terms
from headquarters.security.publisher import Publisher
from headquarters.security.registry import FILE, AuditRow, NodeStatus, Registry
from protocols.calls import (
    NOT_YOURS,
    Caller,
    CallRefusedError,
    Former,
    Handler,
    read_former,
)
from protocols.daemon import EventLog
from protocols.enrolment import Upstream
from protocols.identity import AllowList, Identity, PublicIdentity
from protocols.records.fields import Fields

DECIDED = frozenset(("enrolment-asked", "enrolled", "renewed"))
"""Lines of the audit that are no refusal."""


class Security:
    """One run of it.

    Args:
        config: The configuration of headquarters.
        identity: Its keys.
        log: For refusals and decisions.
        known: The list in force: whose keys an upstream has.
        clock: Seconds since 1970.

    Raises:
        InputError: The authority is damaged or expired.
        StoreError: The register cannot be opened.
    """

    def __init__(
        self,
        config: HeadquartersConfig,
        identity: Identity,
        log: EventLog,
        known: Callable[[], AllowList],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._identity = identity
        self._log = log
        self._known = known
        self._clock = clock
        self.registry = Registry(config.home / FILE)
        authority = authorities.load(config.home, clock())
        terms = Terms(config.certificate_days, config.offline_days)
        self._desk = Desk(
            self.registry,
            authority,
            identity.public,
            self._upstreams_of,
            terms,
            self._note,
            clock,
            self._updates_root,
        )
        self._publisher = Publisher(self.registry, authority, config.offline_days, clock)
        self._desk.enrol_self()

    def service_handlers(self) -> dict[str, Handler]:
        """Of the socket of known keys."""
        return {
            "directory": self._publisher.directory,
            "enrol": self._desk.enrol,
            "renew": self._desk.renew,
            "suspect": self._suspected,
        }

    def enrolment_handlers(self) -> dict[str, Handler]:
        """Of the socket of any key."""
        return {"enrol": self._desk.enrol}

    def listening(self, addresses: Mapping[str, str]) -> None:
        """Note where our own sockets are, as nodes reach them."""
        row = self.registry.node(self._identity.id)
        if row is None or row.addresses != addresses:
            self.registry.set_addresses(self._identity.id, "headquarters", addresses)

    def former(self) -> Former | None:
        """The door for those who know us by the key that we had before; `None` where there is none.

        Raises:
            InputError: The key is damaged.
        """
        found = read_former(self._config.home)
        if found is None:
            return None
        window_s = self._config.offline_days * DAY_S
        return Former(self._config.home, *found, window_s, self._below, lambda: True, self._clock)

    def _below(self) -> set[str]:
        """Nodes that call us themselves: hubs, and gateways that were let in without one."""
        return {
            node.id
            for node in self.registry.nodes()
            if node.state is NodeStatus.ACTIVE
            and node.id != self._identity.id
            and (node.role == "hub" or not node.via)
            and self.registry.keys_of(node.id)
        }

    def suspect(self, node: str, what: str, detail: str, by: str = "") -> bool:
        """There seem to be two of a node: quarantine it, if it is in the register and in force.

        Args:
            node: Which one.
            what: `clone` or `fork`.
            detail: What was seen.
            by: The hub that saw it; empty for ourselves.

        Returns:
            Whether it is in quarantine by this.

        Raises:
            StoreError: The disk failed.
        """
        row = self.registry.node(node)
        if row is None or row.state is not NodeStatus.ACTIVE or not self.registry.keys_of(node):
            return False
        if what == "fork" and not self._config.quarantine_forks:
            return False
        line = AuditRow(self._clock(), "quarantined", node, by, f"{what}: {detail}"[:200])
        with self.registry.change():
            self.registry.set_status(node, NodeStatus.QUARANTINED, line.detail)
            self.registry.audit(line)
        self._note(line)
        return True

    def close(self) -> None:
        """Close the register."""
        self.registry.close()

    def _suspected(self, caller: Caller, argument: Any) -> bool:
        fields = Fields.of(argument)
        node, what, detail = fields.text("node"), fields.text("what"), fields.text("detail")
        hub = caller.identity
        row = self.registry.node(node)
        if (
            hub is None
            or hub.role != "hub"
            or row is None
            or row.via != hub.id
            or what not in ("clone", "fork")
        ):
            raise CallRefusedError(NOT_YOURS, "a hub reports on nodes that were let in through it")
        return self.suspect(node, what, detail, hub.id)

    def _upstreams_of(self, via: str) -> tuple[Upstream, ...]:
        """Where a node sends that was let in through a hub, or here."""
        row = self.registry.node(via or self._identity.id)
        node = self._identity.public if not via else self._peer(via)
        if row is None or node is None or not row.addresses["data"]:
            return ()
        return (Upstream(node, row.addresses["data"], row.addresses["service"]),)

    def _updates_root(self) -> bytes:
        """What a new node's trust in updates begins with; nothing while there is no signed root."""
        from headquarters.updates import Updates  # python-tuf takes a while to import

        root = Updates(self._config.home, self._config.offline_days).repository.root()
        return b"" if root is None else root.to_bytes()

    def _peer(self, id_: str) -> PublicIdentity | None:
        return next((node for node in self._known().identities if node.id == id_), None)

    def _note(self, row: AuditRow) -> None:
        if row.event in DECIDED:
            self._log.info("node-admitted", what=row.event, node=row.node, via=row.via, detail=row.detail)
        elif row.event == "quarantined":
            self._log.error("node-quarantined", node=row.node, via=row.via, why=row.detail)
        else:
            self._log.warning("enrolment-refused", code=row.event, node=row.node, via=row.via, why=row.detail)


def open_security(
    config: HeadquartersConfig, identity: Identity, log: EventLog, known: Callable[[], AllowList]
) -> Security | None:
    """What there is of it in a home; `None` where no authority was made.

    Raises:
        InputError: The authority is damaged or expired.
        StoreError: The register cannot be opened.
    """
    return Security(config, identity, log, known) if authorities.exists(config.home) else None
