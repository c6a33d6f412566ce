"""The queue of commands, `data/commands.db`: what was asked of which gateway, and how far it is.

The command line writes to it and the running process gives from it, each with a connection of
its own. Commands stay for good: who asked for what, and when.

Rules:
1. A command is in the queue, signed, before anybody gets it; its nonce is drawn once.
2. It is given to every node that asks for its gateway until that node told that it has it, or
   it expired, or was called off.
3. How far it is, is what nodes on the way told. What became of it is in the lake.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from protocols import limits
from protocols.batch import Signer
from protocols.commandcalls import Stage
from protocols.errors import InputError, Problem, StoreError
from protocols.records import NONCE_BYTES, Command, sign_record
from protocols.records.commands import Argument
from protocols.sqlitefile import sqlite_errors, writing

FILE = "commands.db"

_TABLES = """
create table if not exists commands(
    number integer primary key, nonce blob not null, gateway text not null, expires integer not null,
    signed blob not null, cancelled integer);
create unique index if not exists commands_by_nonce on commands(nonce);
create index if not exists commands_by_gateway on commands(gateway, expires);
create table if not exists stages(
    nonce blob, node text, rank integer not null, time integer not null, primary key(nonce, node));
"""

BUSY_S = 10.0
"""How long one connection waits while the other one writes."""


class Queued(NamedTuple):
    """A command and how far it is.

    Args:
        command: As it was signed.
        signed: Signature and command.
        stage: The furthest that anybody told.
        node: Who told it; empty while it is queued.
        told_us: When.
        cancelled_us: When it was called off, or `None`.
    """

    command: Command
    signed: bytes
    stage: Stage
    node: str
    told_us: int | None
    cancelled_us: int | None

    def fields(self) -> dict[str, Any]:
        """For a machine."""
        command = self.command
        return {
            "number": command.number,
            "command": command.nonce.hex(),
            "gateway": command.target,
            "verb": command.verb,
            "arguments": dict(command.arguments),
            "requester": command.requester,
            "issued_us": command.issued_us,
            "expires_us": command.expires_us,
            "stage": str(self.stage),
            "told_by": self.node,
            "told_us": self.told_us,
            "cancelled_us": self.cancelled_us,
        }


class Draft(NamedTuple):
    """A command before it is signed.

    Args:
        gateway: Its target.
        verb: What to do.
        arguments: With what.
        requester: Who asks for it.
        life_s: For how long it may be begun.
    """

    gateway: str
    verb: str
    arguments: Mapping[str, Argument]
    requester: str
    life_s: float


class CommandQueue:
    """One connection to the queue; used by one thread.

    Args:
        data: The data directory of headquarters.

    Raises:
        StoreError: It cannot be opened.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / FILE
        try:
            data.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=BUSY_S, check_same_thread=False)
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"cannot open {self._path}: {error}; look at the disk") from error

    def add(self, draft: Draft, signer: Signer, now_us: int) -> Queued:
        """Sign a command and queue it.

        Raises:
            LimitError: It is larger, or lives longer, than a command may.
            StoreError: The disk failed; there is no such command.
        """
        nonce = os.urandom(NONCE_BYTES)
        with self._writing() as db:
            (number,) = db.execute("select coalesce(max(number), 0) + 1 from commands").fetchone()
            command = Command(
                number,
                nonce,
                draft.gateway,
                now_us,
                now_us + round(draft.life_s * 1e6),
                draft.requester,
                draft.verb,
                draft.arguments,
            )
            Command.parse(command.pack())  # what a gateway would refuse is refused here
            signed = sign_record(command, signer)
            db.execute(
                "insert into commands values (?, ?, ?, ?, ?, null)",
                (number, nonce, draft.gateway, command.expires_us, signed),
            )
        return Queued(command, signed, Stage.QUEUED, "", None, None)

    def call_off(self, number: int, now_us: int) -> None:
        """Give a command to nobody any more.

        Raises:
            StoreError: The disk failed.
        """
        with self._writing() as db:
            db.execute(
                "update commands set cancelled = ? where number = ? and cancelled is null", (now_us, number)
            )

    def due(self, node: str, gateways: Sequence[str], now_us: int) -> list[tuple[bytes, bytes]]:
        """(nonce, signed command) of what a node is still to get, the oldest first.

        Args:
            node: Who asks.
            gateways: For which gateways.
            now_us: Now.
        """
        names = json.dumps(list(gateways))
        rows = self._rows(
            "select nonce, signed from commands where expires > ? and cancelled is null "
            "and gateway in (select value from json_each(?)) "
            "and not exists (select 1 from stages where stages.nonce = commands.nonce and node = ?) "
            "order by number limit ?",
            (now_us, names, node, limits.COMMANDS_PER_ANSWER_MAX),
        )
        return [(nonce, signed) for nonce, signed in rows]

    def told(self, node: str, told: Sequence[tuple[bytes, Stage]], now_us: int) -> None:
        """Take over how far commands are, as a node tells.

        Raises:
            StoreError: The disk failed.
        """
        with self._writing() as db:
            for nonce, stage in told:
                db.execute(
                    "insert into stages select nonce, ?, ?, ? from commands where nonce = ? "
                    "on conflict(nonce, node) do update set rank = excluded.rank, time = excluded.time "
                    "where excluded.rank > stages.rank",
                    (node, stage.rank, now_us, nonce),
                )

    def get(self, number: int) -> Queued:
        """One command.

        Raises:
            InputError: There is no such command.
        """
        found = self._queued("where number = ?", (number,))
        if not found:
            expected = "the number of a command; catchment-hq command list shows them"
            raise InputError([Problem("commands", "number", str(number), expected)])
        return found[0]

    def latest(self, gateway: str, count: int) -> list[Queued]:
        """The newest commands, to one gateway or (empty name) to any, the newest first."""
        return self._queued(
            "where ? in (gateway, '') order by number desc limit ?",
            (gateway, count),
        )

    @property
    def version(self) -> int:
        """Changes whenever another connection has written."""
        (version,) = self._rows("pragma data_version")[0]
        assert isinstance(version, int)
        return version

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _prepare(self) -> None:
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = full")
        self._connection.isolation_level = None
        self._connection.executescript(_TABLES)

    def _queued(self, where: str, parameters: Sequence[Any]) -> list[Queued]:
        return [
            _queued(row)
            for row in self._rows(
                "select signed, cancelled, "
                "(select json_array(node, rank, time) from stages where stages.nonce = commands.nonce "
                f"order by rank desc, time limit 1) from commands {where}",
                parameters,
            )
        ]

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with sqlite_errors(str(self._path)):
            return self._connection.execute(sql, parameters).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with sqlite_errors(str(self._path)), writing(self._connection) as db:
            yield db


def _queued(row: Sequence[Any]) -> Queued:
    signed, cancelled_us, furthest = row
    command = Command.parse(signed[64:])
    if furthest is None:
        return Queued(command, signed, Stage.QUEUED, "", None, cancelled_us)
    node, rank, told_us = json.loads(furthest)
    return Queued(command, signed, list(Stage)[rank], node, told_us, cancelled_us)
