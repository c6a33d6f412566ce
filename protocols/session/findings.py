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


SUSPICIOUS = frozenset((Finding.CLONE, Finding.FORK))
"""Findings that tell of two of a node, where they are proven."""


class Noticed(NamedTuple):
    """One finding, for the log and the status page.

    Args:
        finding: What.
        node: Whose session.
        chain: Which chain, if one.
        detail: What was seen.
        proven: Of a fork or a clone: the node itself is at both ends of it, by its own keys.
    """

    finding: Finding
    node: str
    chain: Chain | None
    detail: str
    proven: bool = False
