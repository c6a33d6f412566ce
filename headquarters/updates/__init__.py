"""The update repository of headquarters: apps, models, firmware, configuration, desired states.

`Updates` is what the rest of headquarters uses; each of its methods is one change, under the
repository's lock, whole or not at all.

>>> import tempfile
>>> from headquarters.updates.keyfile import KeyPair
>>> holders, targets, firmware = [KeyPair.new(), KeyPair.new()], KeyPair.new(), KeyPair.new()
>>> updates = Updates(Path(tempfile.mkdtemp()), window_days=90)
>>> updates.begin([holder.public for holder in holders], 2, targets, firmware)
>>> bool(updates.sign_root(holders[:1])), updates.sign_root(holders[1:])
(False, None)
>>> updates.direct({"unit-1": b"{}"})["unit-1"].path
'gateways/unit-1/desired.json'
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from securesystemslib.signer import SSlibKey
from tuf.api.metadata import RootVerificationResult, Targets

from headquarters.updates import publishing, roots, upkeep
from headquarters.updates.keyfile import KeyPair, KeyRing, Passphrase, no_passphrase
from headquarters.updates.publishing import Published
from headquarters.updates.repository import FOLDER, KEYS, TOP, Disk, Repository
from headquarters.updates.terms import Alarm, Terms
from protocols.errors import InputError, Problem
from protocols.updates.names import CONFIG, DIRECTOR, FIRMWARE, publisher_role

__all__ = ["Published", "Updates"]


class Updates:
    """The repository in the home of a headquarters.

    Args:
        home: The home.
        window_days: How long gateways must do without news: `[security] offline_days`.
        given: Key files that a person brought.
        passphrase: Asked for those that are sealed.
        now: Seconds since 1970.
        disk: Where changes go.

    Raises:
        InputError: A key file is wrong.
    """

    def __init__(
        self,
        home: Path,
        window_days: int,
        given: Iterable[Path] = (),
        passphrase: Passphrase = no_passphrase,
        now: Callable[[], float] = time.time,
        disk: Disk | None = None,
    ) -> None:
        self.repository = Repository(home / "data" / FOLDER, Terms(window_days), now, disk)
        self.keys = KeyRing(home / KEYS, given, passphrase)

    def make_online_keys(self) -> list[str]:
        """Make the keys that are used without anybody's hand, where they are missing; returns the roles."""
        with self.repository.locked():
            return list(roots.make_online_keys(self.keys))

    def begin(
        self, holders: Sequence[SSlibKey], threshold: int, targets_key: KeyPair, firmware_key: KeyPair
    ) -> None:
        """Make the first root, which then waits for `sign_root`; see `roots.begin`."""
        for key in (targets_key, firmware_key):
            self.keys.hold(key)
        with self.repository.locked():
            roots.begin(
                self.repository, self.keys, holders, threshold, targets_key.public, firmware_key.public
            )

    def sign_root(self, holders: Sequence[KeyPair]) -> RootVerificationResult | None:
        """Add holders' signatures to the root that waits; `None` when it is published. See `roots.sign`."""
        with self.repository.locked():
            return roots.sign(self.repository, self.keys, holders)

    def add(self, file: Path, path: str) -> Published:
        """Publish a file; see `publishing.add`."""
        with self.repository.locked():
            return publishing.add(self.repository, self.keys, file, path)

    def remove(self, path: str) -> None:
        """Take a target back; see `publishing.remove`."""
        with self.repository.locked():
            publishing.remove(self.repository, self.keys, path)

    def unsigned(self, path: str, file: Path | None) -> bytes:
        """What is to be signed elsewhere; see `publishing.unsigned`."""
        return publishing.unsigned(self.repository, path, file)

    def take_signed(self, role: str, metadata: Path, targets: Mapping[str, Path]) -> None:
        """Bring into force what was signed elsewhere; see `publishing.take_signed`."""
        with self.repository.locked():
            publishing.take_signed(self.repository, self.keys, role, metadata, targets)

    def direct(self, documents: Mapping[str, bytes | None]) -> dict[str, Published]:
        """Say what gateways should be, in one step for all of them; see `publishing.direct`."""
        with self.repository.locked():
            return publishing.direct(self.repository, self.keys, documents)

    def published(self) -> list[Published]:
        """Every target in force, sorted by path."""
        return publishing.published(self.repository)

    def publishers(self) -> list[str]:
        """Who may publish."""
        return publishing.publishers(self.repository)

    def add_publisher(self, name: str, public: SSlibKey) -> None:
        """Let a publisher publish; see `publishing.add_publisher`."""
        with self.repository.locked():
            publishing.add_publisher(self.repository, self.keys, name, public)

    def revoke_publisher(self, name: str) -> None:
        """Take a publisher's right away; see `publishing.revoke_publisher`."""
        with self.repository.locked():
            publishing.revoke_publisher(self.repository, self.keys, name)

    def rotate(
        self, role: str, new: SSlibKey, *, signed: Path | None = None, old_is_lost: bool = False
    ) -> None:
        """Give a role another key. Of `targets`, `snapshot` and `timestamp` the root must be signed then.

        Args:
            role: `targets`, `snapshot`, `timestamp`, `director`, `firmware`, `config` or a publisher's name.
            new: The new key; ours is added to the ring by who calls.
            signed: The role's next metadata, if its key is elsewhere.
            old_is_lost: See `roots.rotate_top`.

        Raises:
            InputError: There is no such role, or a key is not at hand.
        """
        with self.repository.locked():
            if role in TOP:
                roots.rotate_top(self.repository, self.keys, role, new, old_is_lost=old_is_lost)
            else:
                publishing.rotate_delegated(self.repository, self.keys, role_called(role), new, signed)

    def rotate_here(self, role: str) -> SSlibKey:
        """The same with a new key that is made in the home.

        Args:
            role: `snapshot`, `timestamp`, `director` or `config`.

        Returns:
            The new key.

        Raises:
            InputError: A key is not at hand.
        """
        assert role in roots.ONLINE
        with self.repository.locked():
            key = KeyPair.new()
            self.keys.add(role, key)
            if role in TOP:
                roots.rotate_top(self.repository, self.keys, role, key.public)
            else:
                publishing.rotate_delegated(self.repository, self.keys, role, key.public)
        return key.public

    def rotate_holder(self, old_keyid: str, new: SSlibKey) -> None:
        """Put another holder of the root in the place of one; the root must be signed then."""
        with self.repository.locked():
            roots.rotate_holder(self.repository, old_keyid, new)

    def renew(self, role: str) -> None:
        """Sign a role anew, as it is, so that it is valid for longer.

        Raises:
            InputError: There is no such role, or its key is not at hand.
        """
        with self.repository.locked():
            name = role if role in TOP else role_called(role)
            changed: dict[str, Targets] = {}
            if name not in ("snapshot", "timestamp"):
                changed[name] = self.repository.need(name)
            self.repository.release(changed, self.keys)

    def keep_valid(self) -> list[Alarm]:
        """Finish what a killed change left, sign anew what is due; see `upkeep.keep_valid`."""
        with self.repository.locked():
            return upkeep.keep_valid(self.repository, self.keys)

    def alarms(self) -> list[Alarm]:
        """What will expire too soon."""
        return upkeep.alarms(self.repository, self.keys)

    def root(self) -> bytes:
        """The newest root, for gateways to begin with.

        Raises:
            InputError: There is none.
        """
        found = self.repository.root()
        if found is None:
            expected = "a root that was signed; see: catchment-hq updates status"
            raise InputError([Problem(str(self.repository.folder), "", "nothing", expected)])
        return found.to_bytes()


def role_called(name: str) -> str:
    """The role that a person calls so: a publisher by its name alone.

    >>> role_called("acme"), role_called("firmware")
    ('publisher-acme', 'firmware')
    """
    return name if name in (DIRECTOR, FIRMWARE, CONFIG) else publisher_role(name)
