"""The register: tokens, requests, the keys of every node that ever was, and what was refused.

Rules:
1. One SQLite file, `synchronous=FULL`: what was answered survives a power cut. The running process
   and the commands write to it at the same time; each change grows the revision, by which the
   process notices.
2. Keys are never deleted, only moved from state to state: what they signed is in the ledger for good.

::

    request:  pending -> approved -> granted
              pending -> rejected, any -> rejected (by revoking the node)
    keys:     next -> current -> retired        (renewal, rotation, enrolment anew)
              any -> revoked
    node:     active <-> quarantined, any -> revoked -> active (by enrolling anew)
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from protocols.errors import StoreError
from protocols.identity import PublicIdentity
from protocols.sqlitefile import sqlite_errors, writing

FILE = "security/registry.db"
WHAT = "the register of nodes"

VERSION = 1

AUDIT_ROWS_MAX = 100_000
"""What was refused is kept up to so many lines: a hostile peer fills no disk."""

_TABLES = """
create table if not exists tokens(
    token blob primary key, verify blob not null, node text not null, role text not null,
    site text not null, created real not null, expires real not null, used_by blob, used_at real
    ) without rowid;
create table if not exists requests(
    node text primary key, role text not null, site text not null, signing blob not null,
    link blob not null, token blob not null, via text not null, asked real not null,
    state text not null, why text not null) without rowid;
create table if not exists keys(
    serial text primary key, node text not null, role text not null, site text not null,
    signing blob not null, link blob not null, not_before real not null, not_after real not null,
    der blob not null, state text not null, changed real not null);
create index if not exists keys_by_node on keys(node);
create table if not exists nodes(
    node text primary key, role text not null, site text not null, via text not null,
    state text not null, why text not null, rotate integer not null default 0,
    data text not null default '', service text not null default '',
    enrolment text not null default '') without rowid;
create table if not exists audit(
    id integer primary key, time real not null, event text not null, node text not null,
    via text not null, detail text not null);
create table if not exists state(key text primary key, value) without rowid;
insert or ignore into state values('revision', 0), ('version', 0);
"""


class KeyState(StrEnum):
    """Where a set of keys stands."""

    NEXT = "next"
    CURRENT = "current"
    RETIRED = "retired"
    REVOKED = "revoked"


class RequestState(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    APPROVED = "approved"
    GRANTED = "granted"
    """A certificate was made for it; no other one will be."""
    REJECTED = "rejected"


class NodeStatus(StrEnum):
    """Where a node stands."""

    ACTIVE = "active"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"


class TokenRow(NamedTuple):
    """A token, without its secret."""

    token: bytes
    verify: bytes
    node: str
    role: str
    site: str
    created: float
    expires: float
    used_by: bytes | None
    used_at: float | None


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request to be let in.

    Args:
        node: Who asks, with the keys that it would use.
        token: The id of its token.
        via: The hub that passed it on; empty when it came here directly.
        asked: When it came first, seconds since 1970.
        state: How it stands.
        why: Why it was rejected.
    """

    node: PublicIdentity
    token: bytes
    via: str
    asked: float
    state: RequestState
    why: str


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A set of keys and its certificate.

    Args:
        serial: Of the certificate.
        node: Whose, with these keys.
        not_before: Seconds since 1970.
        not_after: Seconds since 1970.
        der: The certificate.
        state: Where it stands.
    """

    serial: int
    node: PublicIdentity
    not_before: float
    not_after: float
    der: bytes
    state: KeyState


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node.

    Args:
        id: Its name.
        role: Its role.
        site: Its site.
        via: The hub that it was let in through; empty for none.
        state: Where it stands.
        why: Why it was quarantined or revoked.
        rotate: Whether it should make new keys.
        addresses: Of a hub: its sockets as gateways reach them, by `data`, `service`, `enrolment`.
    """

    id: str
    role: str
    site: str
    via: str
    state: NodeStatus
    why: str
    rotate: bool
    addresses: Mapping[str, str]


class AuditRow(NamedTuple):
    """Something that was refused, or decided."""

    time: float
    event: str
    node: str
    via: str
    detail: str


class Registry:
    """The register; safe between threads.

    Args:
        path: The SQLite file; made when it is not there.

    Raises:
        StoreError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        with sqlite_errors(WHAT, "restore it"):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = sqlite3.connect(
                path, isolation_level=None, timeout=30.0, check_same_thread=False
            )
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = full")
            version = self._connection.execute("pragma user_version").fetchone()[0]
            if version > VERSION:
                raise StoreError(f"expected a register of version {VERSION} at most, got {version}")
            if version < VERSION:
                self._connection.executescript(_TABLES)
                self._connection.execute(f"pragma user_version = {VERSION}")
        path.chmod(0o600)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Several changes at once, or none of them; may be nested.

        Raises:
            StoreError: The disk failed; nothing was changed.
        """
        with self._lock, sqlite_errors(WHAT, "restore it"):
            if self._connection.in_transaction:
                yield
                return
            with writing(self._connection):
                yield
                self._connection.execute("update state set value = value + 1 where key = 'revision'")

    @property
    def revision(self) -> int:
        """Grows with each change."""
        return int(self._one("select value from state where key = 'revision'")[0])

    def next_version(self, now: float) -> int:
        """A version for a directory: above every one before, also after a restored backup.

        Raises:
            StoreError: The disk failed.
        """
        with self._lock, sqlite_errors(WHAT, "restore it"):
            self._connection.execute(
                "update state set value = max(value + 1, ?) where key = 'version'", (int(now),)
            )
            return int(self._one("select value from state where key = 'version'")[0])

    # -- tokens and requests -----------------------------------------------------------------------

    def add_token(self, row: TokenRow) -> None:
        """Keep a token's public half.

        Raises:
            StoreError: The disk failed.
        """
        with self.change():
            self._do("insert into tokens values(?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def token(self, token: bytes) -> TokenRow | None:
        """A token by its id."""
        row = self._one("select * from tokens where token = ?", (token,))
        return None if row is None else TokenRow(*row)

    def tokens(self) -> list[TokenRow]:
        """Every token, the newest first."""
        return [TokenRow(*row) for row in self._all("select * from tokens order by created desc")]

    def use_token(self, token: bytes, used_by: bytes, now: float) -> None:
        """A token was used, by these keys and no others."""
        with self.change():
            self._do(
                "update tokens set used_by = ?, used_at = ? where token = ? and used_by is null",
                (used_by, now, token),
            )

    def file_request(self, request: RequestRow) -> None:
        """Keep a request, in the place of an older one of the same node."""
        node = request.node
        with self.change():
            self._do(
                "insert or replace into requests values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    node.id,
                    node.role,
                    node.site,
                    node.signing,
                    node.link,
                    request.token,
                    request.via,
                    request.asked,
                    request.state,
                    request.why,
                ),
            )

    def request(self, node: str) -> RequestRow | None:
        """The request of a node."""
        row = self._one("select * from requests where node = ?", (node,))
        return None if row is None else _request(row)

    def requests(self) -> list[RequestRow]:
        """Every request, in the order in which they came."""
        return [_request(row) for row in self._all("select * from requests order by asked, node")]

    def decide(self, node: str, state: RequestState, why: str = "") -> None:
        """Approve or reject a request."""
        with self.change():
            self._do("update requests set state = ?, why = ? where node = ?", (state, why, node))

    # -- keys --------------------------------------------------------------------------------------

    def add_keys(self, row: KeyRow, now: float) -> None:
        """Keep a certificate."""
        node = row.node
        with self.change():
            self._do(
                "insert into keys values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    f"{row.serial:040x}",
                    node.id,
                    node.role,
                    node.site,
                    node.signing,
                    node.link,
                    row.not_before,
                    row.not_after,
                    row.der,
                    row.state,
                    now,
                ),
            )

    def keys_of(self, node: str | None = None) -> list[KeyRow]:
        """All keys of a node, or of all nodes, the oldest first."""
        if node is None:
            return [_keys(row) for row in self._all("select * from keys order by rowid")]
        return [_keys(row) for row in self._all("select * from keys where node = ? order by rowid", (node,))]

    def keys_by_serial(self, serial: int) -> KeyRow | None:
        """The keys of one certificate."""
        row = self._one("select * from keys where serial = ?", (f"{serial:040x}",))
        return None if row is None else _keys(row)

    def move_keys(self, serial: int, state: KeyState, now: float) -> None:
        """Put keys into another state."""
        with self.change():
            self._do(
                "update keys set state = ?, changed = ? where serial = ?", (state, now, f"{serial:040x}")
            )

    def note_asked(self, serial: int, time_s: float) -> None:
        """When a renewal was asked for that a certificate was given for, by its node's own clock."""
        with self.change():
            self._do("insert or replace into state values(?, ?)", (f"asked:{serial:040x}", time_s))

    def asked(self, serial: int) -> float:
        """What was noted; 0 where nothing was."""
        row = self._one("select value from state where key = ?", (f"asked:{serial:040x}",))
        return 0.0 if row is None else float(row[0])

    def forget_asked(self, serial: int) -> None:
        """The certificate is in force, or never will be."""
        with self.change():
            self._do("delete from state where key = ?", (f"asked:{serial:040x}",))

    def whose(self, node: PublicIdentity) -> set[str]:
        """Every node that has, or had, one of these keys."""
        rows = self._all(
            "select distinct node from keys where signing = ? or link = ?", (node.signing, node.link)
        )
        return {row[0] for row in rows}

    # -- nodes -------------------------------------------------------------------------------------

    def put_node(self, node: PublicIdentity, via: str) -> None:
        """A node is let in: it is active from now on."""
        with self.change():
            self._do(
                "insert into nodes(node, role, site, via, state, why) values(?, ?, ?, ?, ?, '')"
                " on conflict(node) do update set role = excluded.role, site = excluded.site,"
                " via = excluded.via, state = excluded.state, why = '', rotate = 0",
                (node.id, node.role, node.site, via, NodeStatus.ACTIVE),
            )

    def node(self, id: str) -> NodeRow | None:
        """One node."""
        row = self._one(_NODES + " where node = ?", (id,))
        return None if row is None else _node(row)

    def nodes(self) -> list[NodeRow]:
        """Every node, by name."""
        return [_node(row) for row in self._all(_NODES + " order by node")]

    def set_status(self, node: str, state: NodeStatus, why: str) -> None:
        """Quarantine a node, revoke it, or take that back."""
        with self.change():
            self._do("update nodes set state = ?, why = ? where node = ?", (state, why, node))

    def set_rotate(self, node: str, rotate: bool) -> None:
        """Ask a node for new keys, or note that it made some."""
        with self.change():
            self._do("update nodes set rotate = ? where node = ?", (int(rotate), node))

    def set_addresses(self, node: str, role: str, addresses: Mapping[str, str]) -> None:
        """Where a hub, or headquarters itself, listens, as others reach it.

        A node of the list by hand is not in the register; it becomes known here by its addresses.
        """
        with self.change():
            self._do(
                "insert into nodes(node, role, site, via, state, why, data, service, enrolment)"
                " values(?, ?, '', '', 'active', '', ?, ?, ?) on conflict(node) do update"
                " set data = excluded.data, service = excluded.service, enrolment = excluded.enrolment",
                (node, role, addresses["data"], addresses["service"], addresses["enrolment"]),
            )

    # -- audit -------------------------------------------------------------------------------------

    def audit(self, row: AuditRow) -> None:
        """Keep what was refused or decided; does not grow the revision."""
        with self._lock, sqlite_errors(WHAT, "restore it"):
            cursor = self._do("insert into audit(time, event, node, via, detail) values(?, ?, ?, ?, ?)", row)
            last = cursor.lastrowid or 0
            if last % 1000 == 0:
                self._do("delete from audit where id <= ?", (last - AUDIT_ROWS_MAX,))

    def audited(self, rows_max: int) -> list[AuditRow]:
        """The newest lines, the newest first."""
        rows = self._all(
            "select time, event, node, via, detail from audit order by id desc limit ?", (rows_max,)
        )
        return [AuditRow(*row) for row in rows]

    # -- leaves ------------------------------------------------------------------------------------

    def _do(self, sql: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, parameters)

    def _one(self, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
        with self._lock, sqlite_errors(WHAT, "restore it"):
            return self._connection.execute(sql, parameters).fetchone()

    def _all(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock, sqlite_errors(WHAT, "restore it"):
            return self._connection.execute(sql, parameters).fetchall()


_NODES = "select node, role, site, via, state, why, rotate, data, service, enrolment from nodes"


def _request(row: Any) -> RequestRow:
    id_, role, site, signing, link, token, via, asked, state, why = row
    node = PublicIdentity(id_, role, signing, link, site)
    return RequestRow(node, token, via, asked, RequestState(state), why)


def _keys(row: Any) -> KeyRow:
    serial, id_, role, site, signing, link, not_before, not_after, der, state, _ = row
    node = PublicIdentity(id_, role, signing, link, site)
    return KeyRow(int(serial, 16), node, not_before, not_after, der, KeyState(state))


def _node(row: Any) -> NodeRow:
    id_, role, site, via, state, why, rotate, data, service, enrolment = row
    addresses = {"data": data, "service": service, "enrolment": enrolment}
    return NodeRow(id_, role, site, via, NodeStatus(state), why, bool(rotate), addresses)
