"""Whom headquarters believes: the allow-list, and keys that were replaced but signed before.

A node that got new keys may not connect with the old ones, but what it signed with them
is still under way in hubs, and in the ledger for good.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from protocols import identity
from protocols.durable import write_durably
from protocols.identity import ALLOW, AllowList, PublicIdentity

RETIRED = "retired.toml"
"""Replaced identities, in the format of the allow-list."""


class Trust(AllowList):
    """An allow-list whose retired keys count for signatures only.

    Args:
        current: Who may connect.
        retired: Whose signatures count as well.
    """

    def __init__(self, current: Iterable[PublicIdentity], retired: Iterable[PublicIdentity] = ()) -> None:
        listed = tuple(current)
        super().__init__([*retired, *listed])
        self.current = listed
        self._links = {known.link for known in listed}
        self._sites = {known.id: known.site for known in listed}

    def by_link(self, link: bytes) -> PublicIdentity | None:
        """Who has this CURVE key, if it may connect."""
        return super().by_link(link) if link in self._links else None

    def site_of(self, node: str) -> str:
        """The site of a node; empty for one unknown."""
        return self._sites.get(node, "")


def load(home: Path) -> Trust:
    """Read both lists; missing ones are empty.

    Raises:
        InputError: One of them is not such a list.
    """
    retired = home / RETIRED
    return Trust(
        AllowList.load(home / ALLOW).identities, identity.read_identities(retired) if retired.exists() else ()
    )


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


class TrustFile:
    """Both lists, read again when one of the files changes.

    Raises:
        InputError: One of them is wrong; only the first reading raises.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._seen = self._stamps()
        self.trust = load(home)

    def changed(self) -> bool:
        """Read them again if need be; returns whether there is something new.

        Raises:
            InputError: One of them is wrong; the old ones stay in force.
        """
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        self.trust = load(self._home)
        return True

    def site_of(self, node: str) -> str:
        """The site of a node, by the list in force."""
        return self.trust.site_of(node)

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        stamps: list[tuple[int, int, int] | None] = []
        for name in (ALLOW, RETIRED):
            try:
                status = (self._home / name).stat()
                stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
            except FileNotFoundError:
                stamps.append(None)
        return stamps


def _retire(path: Path, old: PublicIdentity) -> None:
    before = identity.read_identities(path) if path.exists() else []
    if all(known.signing != old.signing for known in before):
        text = "\n".join(known.to_toml("node") for known in [*before, old])
        write_durably(path, text)
