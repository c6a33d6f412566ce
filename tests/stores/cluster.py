"""A private PostgreSQL in a temporary directory: one for all workers of a test session.

A PostgreSQL that is not there is a failure with its remedy, never a skipped test: who does not want
these tests says so with `make test PEERS=0`.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_S_MAX = 60.0
OPTIONS = {
    "listen_addresses": "''",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
}


class MissingPostgresError(Exception):
    """PostgreSQL's programs are not on this machine."""


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = str(found[-1]) if found else shutil.which(name)
    if path is None:
        raise MissingPostgresError(
            f"expected PostgreSQL's {name}; run `make peers` (as root on Debian), or leave these tests"
            " out with `make test PEERS=0`"
        )
    return path


@contextmanager
def shared_cluster(meeting: Path) -> Iterator[str]:
    """The running cluster that all workers of a session share.

    Args:
        meeting: A folder that all of them know.

    Yields:
        Its socket's path, for `unix_sock`.
    """
    with _locked(meeting) as note:
        if not note.get("users"):
            note |= _start()
        note["users"] = note.get("users", 0) + 1
    try:
        yield f"{note['folder']}/.s.PGSQL.5432"
    finally:
        with _locked(meeting) as note:
            note["users"] -= 1
            if not note["users"]:
                _stop(note)


@contextmanager
def _locked(meeting: Path) -> Iterator[dict[str, Any]]:
    with (meeting / "postgresql.json").open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        note = json.loads(stream.read() or "{}")
        yield note
        stream.seek(0)
        stream.truncate()
        json.dump(note, stream)


def _start() -> dict[str, Any]:
    # Not under pytest's own folder: a socket's path has at most 107 characters, and a root's folder
    # cannot be entered by the user that PostgreSQL runs as.
    folder = Path(tempfile.mkdtemp(prefix="catchment-pg-"))
    user = _user()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    command = [program("initdb"), "-D", str(folder / "data"), "-U", "catchment", "-A", "trust", "-E", "UTF8"]
    command += ["--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, **_as(user))
    settings = " ".join(f"-c{name}={value}" for name, value in OPTIONS.items())
    start = [program("pg_ctl"), "-D", str(folder / "data"), "-w", "-t", f"{START_S_MAX:.0f}"]
    start += ["-l", str(folder / "log"), "-o", f"{settings} -cunix_socket_directories={folder}", "start"]
    begun = subprocess.run(start, check=False, stdout=subprocess.DEVNULL, cwd=folder, **_as(user))
    if begun.returncode:
        raise AssertionError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}")
    return {"folder": str(folder)}


def _stop(note: dict[str, Any]) -> None:
    folder = Path(note["folder"])
    stop = [program("pg_ctl"), "-D", str(folder / "data"), "-m", "immediate", "-w", "stop"]
    subprocess.run(stop, check=True, capture_output=True, cwd=folder, **_as(_user()))
    shutil.rmtree(folder)


def _user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as: it refuses to as root."""
    if os.geteuid():
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
