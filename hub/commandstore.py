"""What a hub keeps of commands on their way down, `data/commands.db`.

Rules:
1. A command is on the disk before headquarters is told that it is here, and stays until its
   gateway says that it is over with it, or it expired. Until it expires its nonce is known, so
   that headquarters, or another way, brings nothing back.
2. Gateways that ask are remembered, so that commands for one that is off wait here.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub import limits
from protocols import limits as wire
from protocols.commandcalls import Stage, Told
from protocols.errors import StoreError
from protocols.records import Command
from protocols.sqlitefile import sqlite_errors, writing

FILE = "commands.db"

_TABLES = """
create table if not exists commands(
    nonce blob primary key, gateway text not null, expires integer not null, signed blob,
    rank integer not null, untold integer not null);
create index if not exists commands_by_gateway on commands(gateway, rank);
create table if not exists gateways(name text primary key, asked integer);
"""


class CommandStore:
    """Commands and gateways; safe between threads.

    Args:
        data: The hub's data directory.

    Raises:
        StoreError: The file cannot be used.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / FILE
        self._lock = threading.RLock()
        self._versions: Counter[str] = Counter()
        try:
            self._connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            self._prepare()
        except sqlite3.Error as error:
            raise StoreError(f"cannot open {self._path}: {error}; remove it and start again") from error
        self._gateways = {name for (name,) in self._rows("select name from gateways")}

    def put(self, command: Command, signed: bytes) -> bool:
        """Keep a command from above. Returns whether there was room; known ones are kept already."""
        with self._writing() as db:
            (count,) = db.execute("select count(*) from commands where signed is not null").fetchone()
            if count >= limits.COMMANDS_MAX:
                return False
            db.execute(
                "insert into commands values (?, ?, ?, ?, ?, 1) on conflict(nonce) do update set untold = 1",
                (command.nonce, command.target, command.expires_us, signed, Stage.AT_HUB.rank),
            )
        self._versions[command.target] += 1
        return True

    def due(self, gateway: str, now_us: int) -> list[tuple[bytes, bytes]]:
        """(nonce, signed command) of what a gateway is still to get, in the order in which they came."""
        return self._rows(
            "select nonce, signed from commands where gateway = ? and expires > ? and rank = ? "
            "order by rowid limit ?",
            (gateway, now_us, Stage.AT_HUB.rank, wire.COMMANDS_PER_ANSWER_MAX),
        )

    def told(self, gateway: str, told: Told) -> None:
        """Take over how far a gateway is with its commands."""
        with self._writing() as db:
            for nonce, stage in told:
                db.execute(
                    "update commands set rank = ?, untold = 1, signed = iif(?, null, signed) "
                    "where nonce = ? and gateway = ? and rank < ?",
                    (stage.rank, stage is Stage.ENDED, nonce, gateway, stage.rank),
                )

    def untold(self) -> Told:
        """What headquarters is still to be told."""
        rows = self._rows(
            "select nonce, rank from commands where untold = 1 order by rowid limit ?",
            (wire.COMMANDS_TOLD_MAX,),
        )
        return tuple((nonce, list(Stage)[rank]) for nonce, rank in rows)

    def tell(self, told: Told) -> None:
        """Headquarters was told."""
        with self._writing() as db:
            for nonce, stage in told:
                db.execute("update commands set untold = 0 where nonce = ? and rank = ?", (nonce, stage.rank))

    def saw(self, gateway: str, now_us: int) -> None:
        """A gateway asks."""
        with self._writing() as db:
            db.execute(
                "insert into gateways values (?, ?) on conflict(name) do update set asked = excluded.asked",
                (gateway, now_us),
            )
            self._gateways.add(gateway)

    @property
    def gateways(self) -> frozenset[str]:
        """Who asks here."""
        with self._lock:
            return frozenset(self._gateways)

    def version(self, gateway: str) -> int:
        """Changes whenever a command for a gateway comes."""
        return self._versions[gateway]

    def sweep(self, now_us: int) -> None:
        """Forget what expired, and gateways that have not asked for long."""
        with self._writing() as db:
            db.execute("delete from commands where expires <= ?", (now_us,))
            before_us = now_us - limits.GATEWAY_KEPT_S * 1_000_000
            db.execute("delete from gateways where asked < ?", (before_us,))
            self._gateways = {name for (name,) in db.execute("select name from gateways")}

    def counts(self) -> dict[str, int]:
        """For the status: commands by stage."""
        rows = self._rows("select rank, count(*) from commands group by rank")
        return {str(list(Stage)[rank]): count for rank, count in rows}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = full")
        self._connection.executescript(_TABLES)

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock, sqlite_errors(str(self._path)):
            return self._connection.execute(sql, parameters).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sqlite_errors(str(self._path)), writing(self._connection) as db:
            yield db
