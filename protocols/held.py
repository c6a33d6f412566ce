"""The directory as a node holds it: on its disk, refreshed by calls, never replaced by an older one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from protocols import keyfiles
from protocols.calls import Calls
from protocols.directory import Assembly, Directory, Part, Trusted, open_sealed
from protocols.durable import make_folder_durably, write_bytes_durably, write_durably
from protocols.errors import IntegrityError, PeerError
from protocols.standing import read_standing

FOLDER = "directory"
CALLS_MAX = 64
"""Calls that one refresh may take: pieces of the largest directory, four times over."""


class HeldDirectory:
    """What a node holds of the directory; used by one thread, read by any.

    Args:
        home: The node's home directory, with the root that it trusts.
        data: Where it keeps things.
        now: Seconds since 1970.

    Raises:
        InputError: What is beside the certificate is damaged.
    """

    def __init__(self, home: Path, data: Path, now: float) -> None:
        self._folder = data / FOLDER
        standing = read_standing(home)
        self._trusted: Trusted | None = None
        self._sealed: dict[Part, bytes] = {}
        self.parts: dict[Part, Directory] = {}
        if standing is None:
            return
        authority, generation = bytes.fromhex(standing.authority), standing.generation
        known = self._read_known()
        if known is not None and known[1] > generation:
            authority, generation = known
        self._trusted = Trusted(authority, generation, keyfiles.read_root(home))
        for part in Part:
            self._load(part, now)

    @property
    def enrolled(self) -> bool:
        """Whether there is anybody to believe."""
        return self._trusted is not None

    def version(self, part: Part) -> int:
        """Of a part; 0 when none is held."""
        held = self.parts.get(part)
        return 0 if held is None else held.version

    def sealed(self, part: Part) -> bytes:
        """A part as it travels; empty when none is held."""
        return self._sealed.get(part, b"")

    def rotates(self, node: str) -> bool:
        """Whether headquarters asks a node for new keys."""
        held = self.parts.get(Part.STATIONS)
        return held is not None and node in held.rotate

    def refresh(
        self, calls: Calls, part: Part, clock: Callable[[], float], beside: Mapping[str, Any] | None = None
    ) -> bool:
        """Ask for a newer one.

        Args:
            calls: The upstream.
            part: Which part.
            clock: Seconds since 1970.
            beside: What to tell beside.

        Returns:
            Whether there is a newer one now.

        Raises:
            CallRefusedError: The upstream has none.
            CallTimeoutError: No answer came.
            PeerError: What came does not hold; what was held stays.
            StoreError: The disk failed.
        """
        assembly = Assembly(self.version(part))
        for _ in range(CALLS_MAX):
            whole = assembly.take(calls.call("directory", {**assembly.wanted(part), **(beside or {})}))
            if whole is not None:
                self._take(part, whole, clock())
                return True
            if assembly.done:
                return False
        raise IntegrityError(f"{CALLS_MAX} calls were not enough for a directory")

    def _take(self, part: Part, sealed: bytes, now: float) -> None:
        assert self._trusted is not None, "a node without root refreshes nothing"
        directory, trusted = open_sealed(sealed, self._trusted, now)
        if directory.part is not part:
            raise IntegrityError("the directory is of another part than was asked for")
        if directory.version <= self.version(part):
            raise IntegrityError(
                f"the directory is older than the one that is held: {directory.version} after"
                f" {self.version(part)}"
            )
        make_folder_durably(self._folder)
        if trusted.generation > self._trusted.generation:
            known = {"authority": trusted.authority.hex(), "generation": trusted.generation}
            write_durably(self._folder / "authority.json", json.dumps(known) + "\n")
        write_bytes_durably(self._path(part), sealed)
        self._trusted = trusted
        self._sealed[part] = sealed
        self.parts = {**self.parts, part: directory}

    def _load(self, part: Part, now: float) -> None:
        """What is on the disk, if it holds; what does not is asked for anew."""
        assert self._trusted is not None
        try:
            sealed = self._path(part).read_bytes()
            directory, _ = open_sealed(sealed, self._trusted, now)
        except (OSError, PeerError):
            return
        if directory.part is part:
            self._sealed[part] = sealed
            self.parts[part] = directory

    def _read_known(self) -> tuple[bytes, int] | None:
        """The authority that a directory brought, if one did."""
        try:
            found = json.loads((self._folder / "authority.json").read_text(encoding="utf-8"))
            return bytes.fromhex(found["authority"]), int(found["generation"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _path(self, part: Part) -> Path:
        return self._folder / part.name.lower()
