"""Firmware as desired state sees it: the machine's two slots, through their public door."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol


class Image(NamedTuple):
    """A firmware image.

    Args:
        version: Its version.
        sha256: Hash of its file, in hexadecimal: two of the same version are told apart.
    """

    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Firmware:
    """What the slots say.

    Args:
        slot: The good slot.
        good: What is in it.
        trying: What is being tried, or is to be; `None` for nothing.
        given_up: What was given up last; `None` for nothing.
        why: Why it was.
    """

    slot: str
    good: Image
    trying: Image | None = None
    given_up: Image | None = None
    why: str = ""


class Slots(Protocol):
    """The machine's slots."""

    def state(self) -> Firmware | None:
        """What they say; `None` where the gateway is not run by a supervisor."""

    def install(self, image: Path) -> None:
        """Unpack an image and mark it to be tried.

        Raises:
            InputError, PeerError: It is not acceptable.
            StoreError: The disk failed, or a firmware is being tried right now.
        """


class NoSlots:
    """A gateway that no supervisor runs."""

    def state(self) -> Firmware | None:
        """See `Slots`."""
        return None

    def install(self, image: Path) -> None:
        """See `Slots`."""
        raise AssertionError("nothing is installed where there are no slots")


class MachineSlots:
    """The slots of the machine whose root is the folder above the home.

    Args:
        root: The machine's root.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def state(self) -> Firmware | None:
        """See `Slots`."""
        from edge_runtime.slots import state
        from protocols.errors import InputError

        try:
            found = state(self._root)
        except InputError:
            return None
        good = found.of(found.good)
        trial = None if found.trial is None else found.of(found.trial.slot)
        lost = found.given_up
        return Firmware(
            found.good,
            Image(good.version, good.sha256),
            None if trial is None else Image(trial.version, trial.sha256),
            None if lost is None else Image(lost.firmware.version, lost.firmware.sha256),
            "" if lost is None else lost.why,
        )

    def install(self, image: Path) -> None:
        """See `Slots`."""
        from edge_runtime.slots import install

        install(self._root, image)


def slots_of(home: Path) -> Slots:
    """The slots of the machine that a home is on."""
    root = home.resolve().parent
    return MachineSlots(root) if (root / "slots" / "state").exists() else NoSlots()
