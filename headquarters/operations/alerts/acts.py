"""What people do to alerts, each with its entry in the audit, in one transaction; for all who offer it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session

from headquarters.audit.trail import record
from headquarters.operations.alerts.store import Silence, Silences
from headquarters.tenancy.principal import Principal


def silence(
    session: Session,
    principal: Principal,
    rule: str,
    labels: Mapping[str, str],
    at_us: int,
    ends_us: int,
    comment: str,
) -> Silence:
    """Deliver nothing of what matches for a while; it is shown all the same.

    Args:
        session: Of the metadata store.
        principal: Who wants it.
        rule: Pattern of rules' names.
        labels: Patterns of labels.
        at_us: Now, microseconds since 1970.
        ends_us: Until when.
        comment: Why.

    Raises:
        InputError: Something of it cannot be.
    """
    made = Silences(session).add(rule, dict(labels), at_us, ends_us, comment, principal.name)
    detail = {"rule": rule, "labels": dict(labels), "ends_us": ends_us, "comment": comment}
    record(session, principal, "alerts.silence", made.id, detail=detail)
    return made


def end_silence(session: Session, principal: Principal, id: str, at_us: int) -> bool:
    """End a silence now; what still fires is delivered. Returns whether it was open."""
    if not Silences(session).end(id, at_us):
        return False
    record(session, principal, "alerts.end-silence", id)
    return True
