"""The keys of the stations that a node talks to: what its configuration says, and what the directory says.

Rules:
1. A configuration says where a station is, and whose keys it had when the node was let in. From then on
   the directory names the keys of each station, so that a station may change them and nobody has to
   visit the nodes below it.
2. While a station changes its keys the directory names both: both are tried, those in force first.
3. What the directory does not name and does not revoke is as it is written: a list by hand goes on.
4. Headquarters' own keys are changed by an authority of a higher generation than the one that they were
   known by, and by no other: that takes the offline root. Whoever stole the online authority cannot put
   himself in the place of headquarters, whose receipts let data be trimmed and whose commands write.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from protocols.directory import Directory

HEADQUARTERS = "headquarters"


class StationKeys(NamedTuple):
    """The public keys of a station.

    Args:
        link: CURVE, Z85.
        signing: Ed25519, 32 bytes.
    """

    link: bytes
    signing: bytes


class Pin(NamedTuple):
    """Which key of headquarters is believed.

    Args:
        signing: Ed25519, 32 bytes.
        generation: Of the highest authority that named it.
    """

    signing: bytes
    generation: int

    def follow(self, directory: Directory, generation: int) -> Pin:
        """Which one is believed after a directory, signed by an authority of some generation.

        >>> from protocols.directory import Part
        >>> empty = Directory(Part.STATIONS, 1, 0.0, 0.0, 0.0, ())
        >>> Pin(b"key", 1).follow(empty, 2)
        Pin(signing=b'key', generation=1)
        """
        named = [entry.node.signing for entry in directory.entries if entry.node.role == HEADQUARTERS]
        if self.signing in named:
            return Pin(self.signing, max(generation, self.generation))
        if len(named) == 1 and generation > self.generation:
            return Pin(named[0], generation)
        return self


def keys_of(
    station: str, written: StationKeys, directory: Directory | None, pin: Pin | None
) -> tuple[StationKeys, ...]:
    """The keys by which a station may be reached, those in force first; none when it is out of force.

    Args:
        station: Its name.
        written: What the configuration says.
        directory: The stations' part that is held.
        pin: Which key of headquarters is believed.
    """
    if directory is None:
        return (written,)
    entries = [entry.node for entry in directory.entries if entry.node.id == station]
    named = dict.fromkeys(  # a node that renews its certificate has two of the same keys
        StationKeys(node.link, node.signing)
        for node in entries
        if node.role != HEADQUARTERS or pin is None or node.signing == pin.signing
    )
    if named:
        return tuple(named)
    return () if written.signing in _revoked(directory.revoked) else (written,)


def _revoked(pairs: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    return {signing for signing, _ in pairs}
