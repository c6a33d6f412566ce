"""The update repository as desired state needs it: what is there, and documents put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from headquarters.config import HeadquartersConfig
from headquarters.desired.store import DesiredStore


class Target(NamedTuple):
    """A target.

    Args:
        length: Bytes.
        sha256: In hexadecimal.
    """

    length: int
    sha256: str


class Repository(Protocol):
    """The update repository."""

    def targets(self) -> Mapping[str, Target]:
        """What is in it, by path.

        Raises:
            StoreError: It cannot be read.
        """

    def add(self, file: Path, path: str) -> Target:
        """Put a file into it, signed by the role that the path belongs to.

        Raises:
            InputError: There is no such role or no key of it, or the path has another content.
            StoreError: The disk failed; nothing was changed.
        """

    def direct(self, documents: Mapping[str, bytes]) -> None:
        """Put documents of gateways into it, all at once.

        Raises:
            InputError: The repository was not made yet.
            StoreError: The disk failed; nothing was changed.
        """


class UpdateRepository:
    """The one of a headquarters.

    Args:
        config: Its configuration.
        keys: Key files that a person brought, to sign with.
        passphrase: Asked for those that are sealed.

    Raises:
        InputError: A key file is wrong.
    """

    def __init__(
        self,
        config: HeadquartersConfig,
        keys: Iterable[Path] = (),
        passphrase: Callable[[Path], str | None] = lambda path: None,
    ) -> None:
        from headquarters.updates import Updates  # python-tuf takes a while to import

        self._updates = Updates(config.home, config.offline_days, keys, passphrase)

    def targets(self) -> Mapping[str, Target]:
        """See `Repository`."""
        return {
            each.path: Target(each.length, each.sha256.hex())
            for each in self._updates.published()
            if not each.path.startswith("gateways/")
        }

    def add(self, file: Path, path: str) -> Target:
        """See `Repository`."""
        added = self._updates.add(file, path)
        return Target(added.length, added.sha256.hex())

    def direct(self, documents: Mapping[str, bytes]) -> None:
        """See `Repository`."""
        self._updates.direct(dict(documents))


def publish(store: DesiredStore, repository: Repository) -> list[str]:
    """Put into the repository what is not in it yet; returns the gateways concerned.

    Raises:
        InputError: The repository was not made yet.
        StoreError: A disk failed; what is not there is published next time.
    """
    waiting = store.unpublished()
    if waiting:
        repository.direct({gateway: document.pack() for gateway, document in waiting.items()})
        store.mark_published(waiting.values())
    return sorted(waiting)
