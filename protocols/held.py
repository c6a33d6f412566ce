"""The directory as a node holds it: on its disk, refreshed by calls, never replaced by an older one."""

from __future__ import annotations

import hashlib
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
from protocols.stations import Pin, StationKeys, keys_of

FOLDER = "directory"
AUTHORITY = "authority.json"
"""The newest authority that a directory brought."""
PIN = "keys/headquarters.json"
"""In the home: the key of headquarters that is believed, and by which authority."""
LAST = "stations.json"
"""The keys that each station had last."""

CALLS_MAX = 64
"""Calls that one refresh may take: pieces of the largest directory, four times over."""


def believed_headquarters(home: Path) -> bytes | None:
    """The Ed25519 key of headquarters that a home believed last; `None` for one that never enrolled."""
    try:
        return bytes.fromhex(json.loads((home / PIN).read_text(encoding="utf-8"))["signing"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class HeldDirectory:
    """What a node holds of the directory; used by one thread, read by any.

    Args:
        home: The node's home directory, with the root that it trusts.
        data: Where it keeps things.
        now: Seconds since 1970.
        headquarters: The Ed25519 key of headquarters in the configuration; `None` where there is none.

    Raises:
        InputError: What is beside the certificate is damaged.
        StoreError: The disk failed.
    """

    def __init__(self, home: Path, data: Path, now: float, headquarters: bytes | None = None) -> None:
        self._home = home
        self._folder = data / FOLDER
        standing = read_standing(home)
        self._trusted: Trusted | None = None
        self._pin: Pin | None = None
        self._last: dict[str, StationKeys] = {}
        self._sealed: dict[Part, bytes] = {}
        self.parts: dict[Part, Directory] = {}
        if standing is None:
            return
        root = keyfiles.read_root(home)
        self._root = hashlib.sha256(root).hexdigest()
        authority, generation = bytes.fromhex(standing.authority), standing.generation
        known = self._read_known()
        if known is not None and known[1] > generation:
            authority, generation = known
        self._trusted = Trusted(authority, generation, root)
        as_enrolled = Trusted(bytes.fromhex(standing.authority), standing.generation, root)
        self._pin = self._read_pin()
        self._last = self._read_last()
        if self._pin is None and headquarters is not None:
            self._keep_pin(Pin(headquarters, standing.generation))
        for part in Part:
            self._load(part, now, as_enrolled)

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

    @property
    def headquarters(self) -> bytes | None:
        """The Ed25519 key of headquarters that is believed; `None` where none is known."""
        return None if self._pin is None else self._pin.signing

    def keys_of(self, station: str, written: StationKeys) -> tuple[StationKeys, ...]:
        """The keys by which a station may be reached; see `protocols.stations.keys_of`."""
        return keys_of(station, written, self.parts.get(Part.STATIONS), self._pin)

    def last_keys(self, station: str, written: StationKeys) -> StationKeys:
        """The keys that a station had last, also when it is out of force now."""
        return self._last.get(station, written)

    def outdated(self) -> bool:
        """Whether our certificate is of an authority that was replaced."""
        standing = read_standing(self._home)
        return (
            standing is not None
            and self._trusted is not None
            and standing.generation < self._trusted.generation
        )

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
            self._write(self._folder / AUTHORITY, known)
        if part is Part.STATIONS and self._pin is not None:
            pin = self._pin.follow(directory, trusted.generation)
            if pin != self._pin:
                self._keep_pin(pin)
        if part is Part.STATIONS:
            self._keep_last(directory)
        write_bytes_durably(self._path(part), sealed)
        self._trusted = trusted
        self._sealed[part] = sealed
        self.parts = {**self.parts, part: directory}

    def _load(self, part: Part, now: float, as_enrolled: Trusted) -> None:
        """What is on the disk, if it holds; what does not is asked for anew.

        A part that came before the authority was replaced stays in force until a newer one comes, as
        it does in a process that goes on: what is on this disk was verified when it came.
        """
        assert self._trusted is not None
        for trusted in dict.fromkeys((self._trusted, as_enrolled)):
            try:
                sealed = self._path(part).read_bytes()
                directory, _ = open_sealed(sealed, trusted, now)
            except (OSError, PeerError):
                continue
            if directory.part is part:
                self._sealed[part] = sealed
                self.parts[part] = directory
                return

    def _read_known(self) -> tuple[bytes, int] | None:
        """The authority that a directory brought, if one did."""
        return self._read(self._folder / AUTHORITY, "authority")

    def _read_pin(self) -> Pin | None:
        found = self._read(self._home / PIN, "signing")
        return None if found is None else Pin(*found)

    def _keep_pin(self, pin: Pin) -> None:
        self._write(self._home / PIN, {"signing": pin.signing.hex(), "generation": pin.generation})
        self._pin = pin

    def _read_last(self) -> dict[str, StationKeys]:
        try:
            found = json.loads((self._folder / LAST).read_text(encoding="utf-8"))
            return {
                station: StationKeys(link.encode("ascii"), bytes.fromhex(signing))
                for station, (link, signing) in found.items()
            }
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _keep_last(self, directory: Directory) -> None:
        named = {
            entry.node.id: StationKeys(entry.node.link, entry.node.signing) for entry in directory.entries
        }
        last = {**self._last, **named}
        if last != self._last:
            rows = {station: (keys.link.decode(), keys.signing.hex()) for station, keys in last.items()}
            write_durably(self._folder / LAST, json.dumps(rows) + "\n")
            self._last = last

    def _read(self, path: Path, key: str) -> tuple[bytes, int] | None:
        """A key and its generation, as they were known below the root that is trusted now."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            known = bytes.fromhex(found[key]), int(found["generation"])
            return known if found["root"] == self._root else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, path: Path, fields: Mapping[str, Any]) -> None:
        write_durably(path, json.dumps({**fields, "root": self._root}) + "\n")

    def _path(self, part: Part) -> Path:
        return self._folder / part.name.lower()
