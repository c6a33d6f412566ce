"""What the portal needs besides what the API stands on; the web process makes it."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from headquarters.accounts.oidc import Oidc
from headquarters.accounts.own import OwnAccount
from headquarters.accounts.signin import SignIn
from headquarters.api.context import context_of

NAME = "portal"
"""Under which `Context.services` has it."""


@dataclass(frozen=True, slots=True)
class PortalService:
    """What the portal needs.

    Args:
        sign_in: The door of accounts.
        own: What everybody does to one's own account.
        oidc: The OpenID provider that people may sign in by; `None`: none.
        public_url: How people reach us; `None`: as their browser says.
    """

    sign_in: SignIn
    own: OwnAccount
    oidc: Oidc | None = None
    public_url: str | None = None


def service_of(request: Request) -> PortalService:
    """What the portal needs, as the web process made it."""
    found: PortalService = context_of(request).services[NAME]
    return found
