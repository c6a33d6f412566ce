"""What a receiver noticed and an operator should see."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from protocols.batch import Chain


class Finding(Enum):
    """Kinds of findings; the value names the log event."""

    FORK = "fork"
    CLONE = "clone"
    REFUSED = "refused"
    HOLE = "hole"
    MALFORMED = "malformed"


class Noticed(NamedTuple):
    """One finding, for the log and the status page."""

    finding: Finding
    node: str
    chain: Chain | None
    detail: str
