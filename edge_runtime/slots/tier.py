"""What the supervisor has to know of a tier: what to run, and how to read what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime.slots.health import HealthLimits, Reading
from protocols.errors import InputError, Problem

FORMAT_FILE = "data_format.toml"
"""In a tier's package: `current` and `oldest`, the formats of its data directory."""


@dataclass(frozen=True, slots=True)
class Step:
    """Between one format of the data directory and the next.

    Args:
        forward: Bring a folder to the next format.
        back: Bring it from there back.
    """

    forward: Callable[[Path], None]
    back: Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier.

    Args:
        name: `edge`, `hub` or `hq`.
        program: Its command.
        read: What its status file means; `None` when it says nothing of use.
        health: What is asked of its program where `supervisor.toml` does not say.
        steps: Migrations of its data directory, by the older format.
    """

    name: str
    program: str
    read: Callable[[Mapping[str, Any]], Reading | None]
    health: HealthLimits = field(default_factory=HealthLimits)
    steps: Mapping[int, Step] = field(default_factory=dict)


def migrate(tier: Tier, folder: Path, source: int, target: int) -> None:
    """Bring a data directory from one format to another, step by step.

    Args:
        tier: Whose it is.
        folder: The directory, or a copy of it; nothing else uses it.
        source: Its format.
        target: The format it is to have.

    Raises:
        InputError: This program knows no way.
        StoreError: The disk failed; the folder is in no format.
    """
    numbers = range(source, target) if target > source else range(source - 1, target - 1, -1)
    unknown = [number for number in numbers if number not in tier.steps]
    if unknown:
        known = ", ".join(f"{number} to {number + 1}" for number in sorted(tier.steps)) or "none"
        expected = f"formats that this program can bring data between ({known}); use a newer release"
        raise InputError([Problem(str(folder), "data format", f"{source} to {target}", expected)])
    for number in numbers:
        step = tier.steps[number]
        (step.forward if target > source else step.back)(folder)
