"""Whom headquarters believes: the register of nodes, a list by hand, and keys that were replaced.

A node that got new keys may not connect with the old ones, but what it signed with them
is still under way in hubs, and in the ledger for good. What a node signed whose keys were
revoked counts no more when it comes in, and is still known to the ledger's verification.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from headquarters.security.publisher import directories
from headquarters.security.registry import FILE, Registry
from protocols import identity
from protocols.directory import Roster
from protocols.durable import write_durably
from protocols.identity import ALLOW, AllowList, PublicIdentity

RETIRED = "retired.toml"
"""Replaced identities of the list by hand, in its format."""


class Trust(AllowList):
    """An allow-list that knows sites.

    Args:
        current: Who may connect.
        retired: Whose signatures count as well.
        limited: Link keys of those that may deliver and renew only.
        changes_at: When it is another one although nothing changed, seconds since 1970.
    """

    def __init__(
        self,
        current: Iterable[PublicIdentity],
        retired: Iterable[PublicIdentity] = (),
        limited: Iterable[bytes] = (),
        changes_at: float = math.inf,
    ) -> None:
        super().__init__(current, retired, limited)
        self.changes_at = changes_at
        self._sites = {known.id: known.site for known in (*self.retired, *self.identities)}

    def site_of(self, node: str) -> str:
        """The site of a node; empty for one unknown."""
        return self._sites.get(node, "")

    @property
    def gateway_sites(self) -> dict[str, str]:
        """The site of each gateway that may deliver, by its name."""
        return {node.id: node.site for node in self.identities if node.role == "gateway"}


def load(home: Path, registry: Registry | None = None, now: float = 0.0, offline_days: float = 0.0) -> Trust:
    """Read both lists and the register; missing ones are empty.

    Args:
        home: The home of headquarters.
        registry: The register; `None` where there is no authority.
        now: Seconds since 1970.
        offline_days: For how long a node may deliver whose certificate expired.

    Raises:
        InputError: One of the lists is not such a list.
        StoreError: The register cannot be read.
    """
    by_hand, retired = AllowList.load(home / ALLOW).identities, _read_retired(home)
    if registry is None:
        return Trust(by_hand, retired)
    parts = directories(registry, now, 0, offline_days).values()
    roster = Roster(parts, by_hand, now)
    gone = {signing for part in parts for signing, _ in part.revoked}
    kept = [known for known in retired if known.signing not in gone]
    return Trust(roster.identities, [*kept, *roster.retired], roster.limited, roster.changes_at)


def in_force(home: Path, offline_days: float) -> Trust:
    """Whom headquarters believes now, read by a command beside the process or without it.

    Raises:
        InputError: One of the lists is not such a list.
        StoreError: The register cannot be read.
    """
    if not (home / FILE).exists():
        return load(home)
    registry = Registry(home / FILE)
    try:
        return load(home, registry, time.time(), offline_days)
    finally:
        registry.close()


def gateway_sites(home: Path, offline_days: float) -> dict[str, str]:
    """The site of each gateway that may deliver, by its name; see `in_force`."""
    return in_force(home, offline_days).gateway_sites


def everyone(home: Path) -> Trust:
    """Everyone who ever was: what verifies the ledger.

    Raises:
        InputError: One of the lists is not such a list.
        StoreError: The register cannot be read.
    """
    by_hand, retired = AllowList.load(home / ALLOW).identities, _read_retired(home)
    known: list[PublicIdentity] = []
    if (home / FILE).exists():
        registry = Registry(home / FILE)
        try:
            known = [row.node for row in registry.keys_of()]
        finally:
            registry.close()
    return Trust(by_hand, [*retired, *known])


def allow(home: Path, new: PublicIdentity) -> bool:
    """Put a node on the allow-list; keys that it had before are retired.

    Returns:
        Whether keys were replaced.

    Raises:
        InputError: One of the lists cannot be read.
        StoreError: One of them cannot be written.
    """
    known = next((node for node in AllowList.load(home / ALLOW).identities if node.id == new.id), None)
    replaced = known is not None and known.signing != new.signing
    if known is not None and replaced:
        _retire(home / RETIRED, known)
    identity.allow(home / ALLOW, new)
    return replaced


class TrustSource:
    """The lists and the register, read again when one of them changes, or when time passes an end.

    Args:
        home: The home of headquarters.
        registry: The register; `None` where there is no authority.
        offline_days: See `load`.
        clock: Seconds since 1970.

    Raises:
        InputError: One of the lists is wrong; only the first reading raises.
        StoreError: The register cannot be read.
    """

    def __init__(
        self,
        home: Path,
        registry: Registry | None = None,
        offline_days: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._home = home
        self._registry = registry
        self._offline_days = offline_days
        self._clock = clock
        self._seen = self._stamps()
        self.trust = self._load()

    def changed(self) -> bool:
        """Read them again if need be; returns whether there is something new.

        Raises:
            InputError: One of them is wrong; the old ones stay in force.
            StoreError: The register cannot be read; the old ones stay in force.
        """
        stamps = self._stamps()
        if stamps == self._seen and self._clock() < self.trust.changes_at:
            return False
        self._seen = stamps
        self.trust = self._load()
        return True

    def site_of(self, node: str) -> str:
        """The site of a node, by the list in force."""
        return self.trust.site_of(node)

    def _load(self) -> Trust:
        return load(self._home, self._registry, self._clock(), self._offline_days)

    def _stamps(self) -> list[object]:
        stamps: list[object] = [None if self._registry is None else self._registry.revision]
        for name in (ALLOW, RETIRED):
            try:
                status = (self._home / name).stat()
                stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
            except FileNotFoundError:
                stamps.append(None)
        return stamps


def _read_retired(home: Path) -> list[PublicIdentity]:
    path = home / RETIRED
    return identity.read_identities(path) if path.exists() else []


def _retire(path: Path, old: PublicIdentity) -> None:
    before = identity.read_identities(path) if path.exists() else []
    if all(known.signing != old.signing for known in before):
        text = "\n".join(known.to_toml("node") for known in [*before, old])
        write_durably(path, text)
