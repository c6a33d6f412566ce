"""Writes the audit, seals it, keeps its retention, and checks it.

Rules:
1. What changes something is recorded in the transaction of the change: one is not without the other.
2. A denied access changes nothing, so it is recorded in a transaction of its own.
3. What is recorded holds no secret: no password, code, token or key.
4. What is removed by retention is recorded in the chain, and the chain is sealed anew behind it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from headquarters.audit import limits
from headquarters.audit.chain import Base, Content, Report, Seal, check, seal
from headquarters.audit.store import Audit
from headquarters.db.base import now_us
from headquarters.db.engine import clean_text, writing
from headquarters.errors import DeniedError
from headquarters.tenancy.principal import Principal, machine
from protocols.errors import InputError, Problem
from protocols.identity import SigningKey

Outcome = Literal["done", "denied", "failed"]

DAY_US = 86_400_000_000


def record(
    session: Session,
    principal: Principal,
    action: str,
    target: str,
    outcome: Outcome = "done",
    detail: Mapping[str, Any] | None = None,
    tenant: str | None = None,
    at_us: int | None = None,
) -> int:
    """Record what somebody did, in the transaction that does it.

    Args:
        session: A transaction that writes (`db.engine.writing`).
        principal: Who.
        action: What: `thing.verb`, such as `users.disable`.
        target: To whom or what: an id or a name.
        outcome: How it ended.
        detail: More that JSON has a form for; no secrets.
        tenant: Whose affair it is; `None`: that of who did it.
        at_us: When; `None`: now.

    Returns:
        The entry's sequence number.
    """
    return Audit(session).append(
        Content(
            0,
            now_us() if at_us is None else at_us,
            tenant or principal.tenant,
            principal.kind,
            _short(principal.id),
            _short(principal.name),
            action,
            _short(target),
            outcome,
            _detail(detail or {}),
        )
    )


def record_denied(engine: Engine, principal: Principal, denied: DeniedError, target: str) -> None:
    """Record a denied access.

    Args:
        engine: The metadata store.
        principal: Who.
        denied: What was denied, and where.
        target: What it was asked of: a path, a command, an id.

    Raises:
        StoreError: The database failed.
    """
    with writing(engine) as session:
        record(session, principal, denied.permission, target, "denied", tenant=denied.tenant)
    denied.is_recorded = True


def seal_head(session: Session, key: SigningKey, at_us: int | None = None) -> bool:
    """Sign how the chain stands, if it has grown since the last time.

    Args:
        session: A transaction that writes.
        key: Headquarters' own.
        at_us: When; `None`: now.

    Returns:
        Whether there was anything to sign.
    """
    audit = Audit(session)
    head = audit.head()
    if head.seq <= audit.last_seal():
        return False
    audit.add_seal(seal(key, head, audit.base(), now_us() if at_us is None else at_us))
    return True


def prune(session: Session, key: SigningKey, days: int, at_us: int | None = None) -> int:
    """Remove entries that are older than a number of days.

    Args:
        session: A transaction that writes.
        key: Headquarters' own, for the seal behind it.
        days: How long entries are kept; at least `limits.RETENTION_DAYS_MIN`.
        at_us: When; `None`: now.

    Returns:
        How many were removed.

    Raises:
        InputError: So few days may not be.
    """
    if days < limits.RETENTION_DAYS_MIN:
        expected = f"{limits.RETENTION_DAYS_MIN} days or more: the law's six months"
        raise InputError([Problem("audit", "retention_days", str(days), expected)])
    at = now_us() if at_us is None else at_us
    audit = Audit(session)
    begin, upto = audit.base(), audit.oldest_before(at - days * DAY_US)
    if upto is None:
        return 0
    audit.cut(upto)
    detail = {"from": begin.seq + 1, "to": upto.seq, "hash": upto.hash.hex(), "days": days}
    record(
        session, machine("retention"), "audit.prune", f"{begin.seq + 1}-{upto.seq}", "done", detail, at_us=at
    )
    seal_head(session, key, at)
    return upto.seq - begin.seq


def verify(session: Session, keys: Iterable[bytes] | None = None, lost: Seal | None = None) -> Report:
    """Check every entry and every seal in the store.

    Args:
        session: A transaction.
        keys: Public keys that may have signed seals; `None`: any.
        lost: A seal that was kept elsewhere, and that the store has not (`witness.missing`).
    """
    audit = Audit(session)
    base, head = audit.base(), audit.head()
    report = check(audit.walk(), base, audit.seals(), keys)
    if report.last != Base(*head):
        report.faults.append(
            f"head: expected entry {head.seq} as the last, the chain ends at {report.last.seq}"
            + ("" if report.last.seq != head.seq else " with another hash")
        )
    if lost is not None:
        report.faults.append(
            f"seal of entry {lost.seq}: it was signed here, and the store has it not: that is an older copy,"
            " or seals were taken out of it"
        )
    return report


def detail_of(text: str) -> dict[str, Any]:
    """An entry's detail; one that was altered so that it cannot be read is shown as it is.

    >>> detail_of('{"to": 7}'), detail_of('{"to')
    ({'to': 7}, {'damaged': '{"to'})
    """
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        found = None
    return found if isinstance(found, dict) else {"damaged": str(text)}


def _short(text: str) -> str:
    """A name as it may be kept: what somebody typed may hold what no database takes."""
    text = clean_text(text)
    return text if len(text) <= limits.TEXT_CHARS_MAX else text[: limits.TEXT_CHARS_MAX - 1] + "…"


def _detail(detail: Mapping[str, Any]) -> str:
    text = json.dumps(detail, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    text = clean_text(text)
    if len(text) > limits.DETAIL_CHARS_MAX:
        return json.dumps({"cut": text[: limits.DETAIL_CHARS_MAX // 2]}, ensure_ascii=False)
    return text
