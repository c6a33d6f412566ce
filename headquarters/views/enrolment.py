"""The enrolment inbox: who asks to be let in, and who was invited and has not asked yet."""

from __future__ import annotations

from dataclasses import dataclass

from headquarters.security.registry import RequestState
from headquarters.tenancy.scope import Scope
from headquarters.views.seeing import sees_site
from headquarters.views.sources import Sources
from protocols.enrolment import fingerprint


@dataclass(frozen=True, slots=True)
class Asking:
    """A node that waits for an approval.

    Args:
        id: Its name.
        role: `gateway` or `hub`.
        site: Its site.
        fingerprint: Of its keys: to be compared with what the node itself shows.
        via: The hub that passed the request on; empty when it came here directly.
        asked_us: When it asked first.
        is_known: Whether a node of this name was let in before, with other keys.
    """

    id: str
    role: str
    site: str
    fingerprint: str
    via: str
    asked_us: int
    is_known: bool


@dataclass(frozen=True, slots=True)
class Invited:
    """A node that has a token and has not used it.

    Args:
        id: Its name.
        role: `gateway` or `hub`.
        site: Its site.
        created_us: When the token was made.
        expires_us: When it ends.
    """

    id: str
    role: str
    site: str
    created_us: int
    expires_us: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The inbox.

    Args:
        has_authority: Whether nodes can be let in at all; else `allow.toml` says who belongs.
        asking: In the order in which they came.
        invited: The newest first.
    """

    has_authority: bool
    asking: tuple[Asking, ...]
    invited: tuple[Invited, ...]


def enrolment(sources: Sources, scope: Scope) -> Enrolment:
    """The inbox, as far as it is seen.

    Raises:
        StoreError: The register cannot be read.
    """
    if sources.registry is None:
        return Enrolment(False, (), ())
    known, now = sources.nodes(), sources.now_us() / 1e6
    asking = [
        Asking(
            row.node.id,
            row.node.role,
            row.node.site,
            fingerprint(row.node),
            row.via,
            int(row.asked * 1e6),
            row.node.id in known,
        )
        for row in sources.registry.requests()
        if row.state is RequestState.PENDING and sees_site(scope, row.node.site)
    ]
    invited = [
        Invited(row.node, row.role, row.site, int(row.created * 1e6), int(row.expires * 1e6))
        for row in sources.registry.tokens()
        if row.used_by is None and now <= row.expires and sees_site(scope, row.site)
    ]
    return Enrolment(True, tuple(asking), tuple(invited))
