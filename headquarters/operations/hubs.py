"""What hubs say of themselves in their statements."""

from __future__ import annotations

from headquarters.desired.store import HubReported
from headquarters.views.hubs import known_hubs
from headquarters.views.sources import Sources


def said_by_hubs(sources: Sources) -> list[tuple[str, HubReported]]:
    """The newest report of each hub that is not revoked, by name; who is no hub is not believed to be one.

    Raises:
        StoreError: The store of reports cannot be read.
    """
    with sources.desired() as store:
        reported = store.hub_reports()
    known = {hub for hub, (state, _) in known_hubs(sources).items() if state != "revoked"}
    return sorted((hub, said) for hub, said in reported.items() if hub in known)
