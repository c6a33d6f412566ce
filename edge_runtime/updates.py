"""Where a gateway's updates come from: its hub's service socket, verified from the root in its home.

Rules:
1. `root.json` in the home is what trust begins with; enrolment writes it, or `catchment-edge
   trust`. Without it, or without an upstream that answers calls, nothing comes down.
2. What was verified, and what is half here, is kept in `data/updates`.
3. python-tuf is imported when it is first needed: a gateway that nothing comes down to saves 13 MB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from protocols.calls import ServiceAddress, Upward
from protocols.errors import InputError, MalformedError, Problem
from protocols.updates import Pace

if TYPE_CHECKING:
    from protocols.identity import LinkKey
    from protocols.updates.client import Source

ROOT = "root.json"
FOLDER = "updates"


class GatewaySource:
    """Desired documents and targets for one gateway; used by one thread.

    Args:
        home: The gateway's home.
        node: Its name.
        key: Its CURVE key.
        addresses: Where its upstreams answer calls.
        bytes_per_s: The byte budget.
        give_up: Asked while waiting; true ends the wait.
        wait: Waits for so many seconds, or until it should end.
    """

    def __init__(
        self,
        home: Path,
        node: str,
        key: LinkKey,
        addresses: Collection[ServiceAddress],
        bytes_per_s: float = math.inf,
        *,
        give_up: Callable[[], bool] = lambda: False,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._home = home
        self._node = node
        self._upward = Upward(list(addresses), key, give_up=give_up) if addresses else None
        self._pace = Pace(bytes_per_s) if wait is None else Pace(bytes_per_s, wait=wait)
        self._source: Source | None = None

    def desired(self) -> bytes | None:
        """The newest desired document; `None` when there is none, or nothing to begin trust with.

        Raises:
            UpdateRefusedError: What came is not to be trusted.
            PeerError: The hub does not serve.
            StoreError: The disk failed.
        """
        source = self._open()
        return None if source is None else source.desired()

    def fetch(self, path: str, sha256: bytes, length: int) -> Path:
        """A verified local copy of a target; see `protocols.updates.client.Source.fetch`.

        Raises:
            UpdateRefusedError: Director and publisher do not agree on it.
            PeerError: The hub does not serve it; what came is kept for the next time.
            StoreError: The disk failed.
        """
        source = self._open()
        if source is None:
            raise MalformedError(
                f"cannot fetch {path}: expected {self._home / ROOT} and a [[upstream]] with service"
            )
        return source.fetch(path, sha256, length)

    def keep(self, hashes: Collection[bytes]) -> int:
        """Remove fetched targets but those of these hashes; returns how many went."""
        return 0 if self._source is None else self._source.keep(hashes)

    def describe(self) -> dict[str, object] | None:
        """For a status; `None` before the first question."""
        return None if self._source is None else self._source.describe()

    def close(self) -> None:
        """Close the sockets."""
        if self._upward is not None:
            self._upward.close()

    def _open(self) -> Source | None:
        if self._source is None and self._upward is not None and (self._home / ROOT).exists():
            from protocols.updates.client import Source

            root = (self._home / ROOT).read_bytes()
            self._source = Source(
                self._home / "data" / FOLDER, self._node, root, self._upward.call, self._pace
            )
        return self._source


def adopt_root(home: Path, root: bytes) -> int:
    """Begin trust with a root: what enrolment does with what it was handed, or a person by hand.

    Args:
        home: The gateway's home.
        root: Root metadata, as `catchment-hq updates root` writes it.

    Returns:
        Its version.

    Raises:
        InputError: It is no root that its own holders signed, or another root is there already.
        StoreError: The disk failed.
    """
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root

    from protocols.durable import write_bytes_durably

    path = home / ROOT
    try:
        metadata = Metadata[Root].from_bytes(root)
        if metadata.signed.type != Root.type:
            raise RepositoryError(f"it is {metadata.signed.type} metadata")
        metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
    except RepositoryError as error:
        expected = (
            f"root metadata signed by its holders ({error!s:.120}); run: catchment-hq updates root FILE"
        )
        raise InputError([Problem("root", "", f"{len(root)} bytes", expected)]) from error
    if path.exists() and path.read_bytes() != root:
        expected = "the same root; to trust others, remove root.json and data/updates first"
        raise InputError([Problem(str(path), "", "another root", expected)])
    write_bytes_durably(path, root)
    return metadata.signed.version
