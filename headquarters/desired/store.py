"""Documents of all gateways with their history, newest reports of nodes, tags, roll-outs: one SQLite file.

Rules:
1. A document is never changed: another one gets the next version. What goes to the update
   repository is always the newest, and a document is marked when it is there, so that whoever
   comes next publishes what a killed command or process did not.
2. What a roll-out decides and the documents that follow from it are one transaction: after a kill
   neither is there without the other.
3. Several processes use the file at once: headquarters, and the commands of its operators.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from protocols.desired import Document, Item, Report, WriteRange, parse_document
from protocols.errors import MalformedError, StoreDamagedError, StoreError
from protocols.records import HubReport
from protocols.records.fields import Fields
from protocols.sqlitefile import sqlite_errors, writing

FILE = "desired.db"
VERSION = 1

_SCHEMA: tuple[tuple[str, dict[str, type], tuple[str, ...]], ...] = (
    (
        "documents",
        {
            "gateway": str,
            "version": int,
            "document": bytes,
            "made_us": int,
            "author": str,
            "comment": str,
            "published": int,
        },
        ("gateway", "version"),
    ),
    ("reports", {"gateway": str, "time_us": int, "received_us": int, "report": str}, ("gateway",)),
    ("hubs", {"hub": str, "epoch": int, "received_us": int, "report": str}, ("hub",)),
    ("tags", {"gateway": str, "tag": str}, ("gateway", "tag")),
    ("rollouts", {"name": str, "made_us": int, "plan": str, "state": str, "open": int}, ("name",)),
    (
        "rollout_log",
        {"id": int, "rollout": str, "time_us": int, "gateway": str, "event": str, "detail": str},
        ("id",),
    ),
)


_REPORT_EPOCHS = "create table if not exists report_epochs(gateway text primary key, epoch integer not null)"
"""In which chain the newest report came. Beside the table of reports, so that a program of before, to which
headquarters may return, reads the file as ever."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One document in a gateway's history.

    Args:
        document: The document.
        made_us: When it was set, microseconds since 1970.
        author: Who set it: a person, or a roll-out.
        comment: Why.
        published: Whether the update repository has it, or had it before a newer one.
    """

    document: Document
    made_us: int
    author: str
    comment: str
    published: bool


@dataclass(frozen=True, slots=True)
class Reported:
    """The newest report of a gateway.

    Args:
        report: What it says.
        received_us: When it came, microseconds since 1970.
    """

    report: Report
    received_us: int


@dataclass(frozen=True, slots=True)
class HubReported:
    """The newest report of a hub.

    Args:
        report: What it says.
        received_us: When it came, microseconds since 1970.
    """

    report: HubReport
    received_us: int


@dataclass(frozen=True, slots=True)
class Logged:
    """One thing that happened in a roll-out.

    Args:
        time_us: When, microseconds since 1970.
        gateway: To which gateway; empty for the whole.
        event: What.
        detail: In words.
    """

    time_us: int
    gateway: str
    event: str
    detail: str


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """A roll-out as it is kept.

    Args:
        name: Its name.
        made_us: When it was planned.
        plan: JSON.
        state: JSON.
        is_open: Whether something may still happen.
    """

    name: str
    made_us: int
    plan: str
    state: str
    is_open: bool


class DesiredStore:
    """The file; one connection, used by one thread.

    Args:
        data: The data directory of headquarters.
        durable: Whether a power cut may cost nothing of what is written; else the last writes.

    Raises:
        StoreError: It cannot be opened, or was written by a newer release.
    """

    def __init__(self, data: Path, durable: bool = True) -> None:
        self._path = data / FILE
        with sqlite_errors(str(self._path), "restore it from a backup"):
            data.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=20.0)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
            self._prepare()
            self._connection.execute(_REPORT_EPOCHS)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written within, or nothing; nobody else writes meanwhile.

        Raises:
            StoreError: The disk failed; nothing was written.
        """
        if self._connection.in_transaction:
            yield
            return
        with sqlite_errors(str(self._path), "restore it from a backup"), writing(self._connection):
            yield

    # -- documents ---------------------------------------------------------------------------------

    def gateways(self) -> list[str]:
        """Gateways that have, or had, a document or sent a report."""
        sql = "select gateway from documents union select gateway from reports order by 1"
        return [gateway for (gateway,) in self._rows(sql)]

    def newest(self, gateway: str) -> Entry | None:
        """The document in force."""
        return next(iter(self.history(gateway, 1)), None)

    def versions(self) -> dict[str, int]:
        """Versions of the documents in force."""
        return dict(self._rows("select gateway, max(version) from documents group by gateway"))

    def history(self, gateway: str, most: int = -1) -> list[Entry]:
        """Documents of a gateway, the newest first."""
        sql = (
            "select document, made_us, author, comment, published from documents "
            "where gateway = ? order by version desc limit ?"
        )
        return [self._entry(row) for row in self._rows(sql, (gateway, most))]

    def entry(self, gateway: str, version: int) -> Entry | None:
        """One document of a gateway."""
        sql = (
            "select document, made_us, author, comment, published from documents "
            "where gateway = ? and version = ?"
        )
        return next((self._entry(row) for row in self._rows(sql, (gateway, version))), None)

    def put(
        self,
        gateway: str,
        items: Iterable[Item],
        now_us: int,
        author: str,
        comment: str = "",
        above: int | None = None,
        writes: Mapping[str, WriteRange] | None = None,
    ) -> tuple[Document, bool]:
        """Desire something of a gateway.

        Args:
            gateway: Which.
            items: All of it.
            now_us: Microseconds since 1970.
            author: Who wants it.
            comment: Why.
            above: Make a new version above this one, also of what is desired already.
            writes: What commands may write; `None` for what they may now.

        Returns:
            The document in force now, and whether it is another one than before.

        Raises:
            StoreError: The disk failed; nothing was changed.
        """
        with self.transaction():
            known = self.newest(gateway)
            last = 0 if known is None else known.document.version
            if writes is None:
                writes = {} if known is None else known.document.writes
            document = Document(gateway, max(last, above or 0) + 1, tuple(items), writes)
            if above is None and known is not None and known.document.content == document.content:
                return known.document, False
            row = (gateway, document.version, document.pack(), now_us, author, comment, 0)
            self._connection.execute("insert into documents values(?, ?, ?, ?, ?, ?, ?)", row)
            return document, True

    def unpublished(self) -> dict[str, Document]:
        """The newest documents that the update repository does not have."""
        sql = (
            "select document from documents d where published = 0 and version = "
            "(select max(version) from documents where gateway = d.gateway)"
        )
        found = [parse_document(data) for (data,) in self._rows(sql)]
        return {document.gateway: document for document in found}

    def mark_published(self, documents: Iterable[Document]) -> None:
        """The update repository has these, and so needs none before them.

        Raises:
            StoreError: The disk failed; they are published again.
        """
        with self.transaction():
            self._connection.executemany(
                "update documents set published = 1 where gateway = ? and version <= ?",
                [(document.gateway, document.version) for document in documents],
            )

    # -- reports -----------------------------------------------------------------------------------

    def take_reports(self, reports: Iterable[tuple[str, int, int, str]], received_us: int) -> None:
        """Keep reports that are newer than what is known.

        Which of two is newer is said by their chains and never by a gateway's clock: chains come in their
        order, and a later epoch has a larger number.

        Args:
            reports: Gateway, epoch of its chain, its time in microseconds, and the report as JSON; those
                of one chain in its order.
            received_us: Now.

        Raises:
            StoreError: The disk failed.
        """
        with self.transaction():
            for gateway, epoch, time_us, text in reports:
                known = self._connection.execute(
                    "select epoch from report_epochs where gateway = ?", (gateway,)
                ).fetchone()
                if known is None or epoch >= known[0]:
                    self._connection.execute(
                        "insert or replace into report_epochs values(?, ?)", (gateway, epoch)
                    )
                    row = (gateway, time_us, received_us, text)
                    self._connection.execute("insert or replace into reports values(?, ?, ?, ?)", row)

    def take_hub_reports(self, reports: Iterable[tuple[str, int, str]], received_us: int) -> None:
        """Keep reports of hubs that are newer than what is known.

        Args:
            reports: Hub, epoch of its chain, and the report as JSON; newer as with `take_reports`.
            received_us: Now.

        Raises:
            StoreError: The disk failed.
        """
        with self.transaction():
            self._connection.executemany(
                "insert into hubs values(?, ?, ?, ?) on conflict(hub) do update set "
                "epoch = excluded.epoch, received_us = excluded.received_us, report = excluded.report "
                "where excluded.epoch >= epoch",
                [(hub, epoch, received_us, text) for hub, epoch, text in reports],
            )

    def hub_reports(self) -> dict[str, HubReported]:
        """The newest report of each hub."""
        rows = self._rows("select hub, received_us, report from hubs")
        return {
            hub: HubReported(HubReport.of(Fields.of(_tuples(json.loads(text)))), received_us)
            for hub, received_us, text in rows
        }

    def reported(self, gateway: str) -> Reported | None:
        """The newest report of a gateway."""
        return self.all_reported((gateway,)).get(gateway)

    def all_reported(self, gateways: Iterable[str] | None = None) -> dict[str, Reported]:
        """The newest report of some gateways, or of all."""
        rows = self._rows("select gateway, received_us, report from reports")
        wanted = None if gateways is None else set(gateways)
        return {
            gateway: Reported(report_of(text), received_us)
            for gateway, received_us, text in rows
            if wanted is None or gateway in wanted
        }

    # -- tags --------------------------------------------------------------------------------------

    def tags(self) -> dict[str, set[str]]:
        """Tags of gateways."""
        found: dict[str, set[str]] = {}
        for gateway, tag in self._rows("select gateway, tag from tags"):
            found.setdefault(gateway, set()).add(tag)
        return found

    def tag(self, gateway: str, add: Iterable[str], remove: Iterable[str]) -> set[str]:
        """Give a gateway tags, and take some away. Returns those it has then.

        Raises:
            StoreError: The disk failed; nothing was changed.
        """
        with self.transaction():
            rows = [(gateway, tag) for tag in add]
            self._connection.executemany("insert or ignore into tags values(?, ?)", rows)
            rows = [(gateway, tag) for tag in remove]
            self._connection.executemany("delete from tags where gateway = ? and tag = ?", rows)
        return self.tags().get(gateway, set())

    # -- roll-outs ---------------------------------------------------------------------------------

    def rollouts(self, open_only: bool = False) -> list[RolloutRow]:
        """Roll-outs, the newest first."""
        where = "where open = 1" if open_only else ""
        sql = f"select name, made_us, plan, state, open from rollouts {where} order by made_us desc, name"
        return [_rollout(*row) for row in self._rows(sql)]

    def rollout(self, name: str) -> RolloutRow | None:
        """One roll-out."""
        rows = self._rows("select name, made_us, plan, state, open from rollouts where name = ?", (name,))
        return next((_rollout(*row) for row in rows), None)

    def keep_rollout(self, row: RolloutRow, log: Iterable[Logged] = ()) -> None:
        """Make a roll-out's state durable, and what happened.

        Raises:
            StoreError: The disk failed; nothing was changed.
        """
        with self.transaction():
            self._connection.execute(
                "insert or replace into rollouts(name, made_us, plan, state, open) values(?, ?, ?, ?, ?)",
                (row.name, row.made_us, row.plan, row.state, int(row.is_open)),
            )
            self._connection.executemany(
                "insert into rollout_log(rollout, time_us, gateway, event, detail) values(?, ?, ?, ?, ?)",
                [(row.name, each.time_us, each.gateway, each.event, each.detail) for each in log],
            )

    def rollout_log(self, name: str) -> list[Logged]:
        """What happened in a roll-out, in its order."""
        sql = "select time_us, gateway, event, detail from rollout_log where rollout = ? order by id"
        return [Logged(*row) for row in self._rows(sql, (name,))]

    # -- leaves ------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        (version,) = self._connection.execute("pragma user_version").fetchone()
        if version > VERSION:
            raise StoreError(f"{self._path}: expected version {VERSION} at most, got {version}; upgrade")
        known = {name for (name,) in self._connection.execute("select name from sqlite_master")}
        # What only adds a table keeps the version: a release before it leaves that table alone.
        if version == VERSION and known.issuperset(name for name, _, _ in _SCHEMA):
            return
        from sqlite_utils import Database

        with self.transaction():
            database = Database(self._connection)
            for name, columns, key in _SCHEMA:
                pk = key[0] if len(key) == 1 else key
                if name not in database.table_names():
                    database.table(name).create(columns, pk=pk, not_null=set(columns) - {"id"})
            self._connection.execute(f"pragma user_version = {VERSION}")

    def _rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with sqlite_errors(str(self._path), "restore it from a backup"):
            return self._connection.execute(sql, values).fetchall()

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        data, made_us, author, comment, published = row
        try:
            document = parse_document(data)
        except MalformedError as error:
            raise StoreDamagedError(f"{self._path}: a document cannot be read: {error}") from error
        return Entry(document, made_us, author, comment, bool(published))


def _rollout(name: str, made_us: int, plan: str, state: str, is_open: int) -> RolloutRow:
    return RolloutRow(name, made_us, plan, state, bool(is_open))


def report_of(text: str) -> Report:
    """A report from its JSON.

    Raises:
        MalformedError, LimitError: It is none.
    """
    return Report.of(Fields.of(_tuples(json.loads(text))))


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(each) for each in value)
    return {key: _tuples(each) for key, each in value.items()} if isinstance(value, Mapping) else value


def with_item(items: Iterable[Item], item: Item) -> tuple[Item, ...]:
    """Items with one more, or with another one in the place of one of the same ref."""
    return (*(each for each in items if each.ref != item.ref), item)


def without(items: Iterable[Item], ref: str) -> tuple[Item, ...]:
    """Items without one; what needs it no longer does."""
    return tuple(
        replace(each, needs=tuple(need for need in each.needs if need != ref))
        for each in items
        if each.ref != ref
    )
