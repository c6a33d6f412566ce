"""The metadata store in a backup, where it is not a file of the home.

A SQLite file elsewhere is copied as those of the home are. Of PostgreSQL, `pg_dump` copies a
database as of one moment while others write to it, in a format that `pg_restore` of the same or a
later release reads. It must be of the server's release or later.

Source: PostgreSQL, "pg_dump"; libpq, "Environment Variables".
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from protocols.backup.snapshot import copy_database
from protocols.backup.writing import Source
from protocols.errors import InputError, Problem, StoreError

DUMP, COPY = "data/metadata.pgdump", "data/metadata-copy.db"
"""Where it lies in a backup, relative to the home: of PostgreSQL, and of a SQLite file elsewhere."""

TIMEOUT_S = 3600.0
"""Longest dump: accounts and an audit of years are a few gigabytes."""


def take(url: str, home: Path, folder: Path) -> list[Source]:
    """Copy the metadata store of a URL, unless it lies in the home.

    Args:
        url: `[metadata] url`, as SQLAlchemy writes it.
        home: The home directory.
        folder: Where copies go.

    Raises:
        InputError: There is no `pg_dump`.
        StoreError: The database cannot be copied.
    """
    if url.startswith("sqlite"):
        file = Path(url.partition(":///")[2])
        if file.resolve().is_relative_to(home.resolve()):
            return []
        target = folder / COPY
        copy_database(file, target)
    else:
        target = folder / DUMP
        dump(url, target)
    return [Source("home", target.relative_to(folder).as_posix(), target, target.stat().st_size, 0o600)]


def dump(url: str, target: Path) -> None:
    """Copy the database of a URL to a file.

    Args:
        url: `[metadata] url`, as SQLAlchemy writes it.
        target: The file; its folder is made.

    Raises:
        InputError: There is no `pg_dump`.
        StoreError: It failed.
    """
    program = shutil.which("pg_dump")
    if program is None:
        expected = "pg_dump of the server's release; on Debian: apt-get install postgresql-client"
        raise InputError([Problem("backup run", "pg_dump", "", expected)])
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [program, "--format=custom", "--no-password", f"--file={target}"]
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments, and no shell
            command,
            check=False,
            env={**os.environ, **connection_of(url)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"pg_dump: {error}; expected it to copy the metadata") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        why = said[0] if said else f"exit code {done.returncode}"
        raise StoreError(f"pg_dump: {why}; expected the database that [metadata] url names, of its release")


def connection_of(url: str) -> Mapping[str, str]:
    """How PostgreSQL's own tools find the database of a URL: by their environment, which nobody else sees.

    >>> connection_of("postgresql+pg8000://hq:secret@db.example:5433/catchment")["PGPORT"]
    '5433'
    """
    from sqlalchemy.engine import make_url

    parts = make_url(url)
    socket = parts.query.get("unix_sock", "")
    # A socket is named by its folder and its port: .s.PGSQL.5432
    path = Path(socket if isinstance(socket, str) else socket[0])
    port = path.suffix.removeprefix(".") if socket else parts.port
    found = {
        "PGHOST": str(path.parent) if socket else parts.host,
        "PGPORT": "" if port is None else str(port),
        "PGUSER": parts.username,
        "PGPASSWORD": parts.password,
        "PGDATABASE": parts.database,
    }
    return {name: value for name, value in found.items() if value}
