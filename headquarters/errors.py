"""What headquarters refuses people, besides wrong input (`protocols.errors`).

::

    CatchmentError
    |-- DeniedError      who asks may not do this (HTTP 403)
    |-- SignInError      nobody is known by what was shown (HTTP 401)
    |-- ConflictError    it was changed, or exists, meanwhile (HTTP 409)
    `-- QuotaError       a tenant's quota is used up (HTTP 429)
"""

from __future__ import annotations

from protocols.errors import CatchmentError


class DeniedError(CatchmentError):
    """Who asks has no right to it.

    Args:
        who: The name of who asked.
        permission: What would be needed, such as `users:write`.
        tenant: Where it would be needed.

    `is_recorded` says whether the audit has it already.
    """

    def __init__(self, who: str, permission: str, tenant: str) -> None:
        super().__init__(
            f"expected a role with {permission} in tenant {tenant}, which {who} has not;"
            " ask the security administrator for one"
        )
        self.who = who
        self.permission = permission
        self.tenant = tenant
        self.is_recorded = False


class SignInError(CatchmentError):
    """A password, code, link, token or answer of a provider that lets nobody in.

    Its text is for the one who tries, and tells nothing of which accounts there are.
    """


class ConflictError(CatchmentError):
    """Somebody else was quicker: it exists already, or is no longer what it was."""


class QuotaError(CatchmentError):
    """A tenant has used up what it was given.

    Args:
        tenant: Whose quota.
        thing: Of what, such as `queries`.
        used: What is used.
        limit: What may be.
        amount: What was asked for besides.
    """

    def __init__(self, tenant: str, thing: str, used: int, limit: int, amount: int) -> None:
        super().__init__(
            f"expected tenant {tenant} to stay within its quota of {limit:,} {thing}, got {used:,} used"
            f" and {amount:,} more asked for; free some, or ask the system administrator for more"
        )
        self.tenant = tenant
        self.thing = thing
        self.used = used
        self.limit = limit
        self.amount = amount
