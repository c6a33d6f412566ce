"""Who asks: a person, a program with a token, or the system itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Args:
        id: Never given again.
        name: For people.
        kind: A person, a program with a token, or the system itself.
        tenant: The tenant's id; the group itself is `group`.
        roles: Names of roles held in that tenant.
        scopes: Permissions that a token is limited to; `None` for no further limit.
    """

    id: str
    name: str
    kind: Literal["user", "token", "system"]
    tenant: str
    roles: frozenset[str]
    scopes: frozenset[str] | None = None
