"""Who acts: a user, a token of a user, or the machine itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GROUP = "group"
"""The tenant that is the whole group: its members see and look after every tenant."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts, with what was known of it when it signed in or called.

    Args:
        id: The user's id, also of a token's owner; of the machine, who called the command.
        name: For people to read: `anna`, or `anna/nightly export` of a token.
        kind: `user`, `token`, or `system` for commands on the machine and for background work.
        tenant: The tenant it belongs to.
        roles: The roles it has there, its own and those of its groups.
        scopes: Permissions that a token is limited to; `None`: no further limit.
    """

    id: str
    name: str
    kind: Literal["user", "token", "system"]
    tenant: str
    roles: frozenset[str]
    scopes: frozenset[str] | None = None


def machine(name: str) -> Principal:
    """Who sits at the machine of headquarters: owns its files, and so may do everything.

    Args:
        name: The name of the operating system's user, or of the background work.
    """
    return Principal(f"system:{name}", name, "system", GROUP, frozenset())
