"""Opens the metadata store, and gives sessions that are whole transactions.

Rules:
1. A change is made within `writing`: it is committed as a whole, or nothing of it is. On SQLite
   the write lock is taken at its begin, so that nothing read within it can be out of date.
2. What only reads is done within `reading`, which sees one state of the database.
3. Text that not every database takes (NUL, half a surrogate pair) is replaced on its way in: whoever
   types it finds nothing, and breaks nothing.
4. What the database does to us comes out as `StoreError`; two who make the same thing at the same
   time, as `ConflictError` for the later one.

::

    engine = open_database("sqlite:////srv/hq/data/metadata.db")
    with writing(engine) as session:
        Tenants(session).add(...)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from headquarters.errors import ConflictError
from protocols.errors import InputError, Problem, StoreError

BUSY_S = 30.0
"""How long a change waits for another one: changes take milliseconds, a migration seconds."""

DRIVERS = ("sqlite", "postgresql+pg8000")

_WRITE = "catchment_write"


def open_database(url: str | URL) -> Engine:
    """Open the metadata store; nothing is asked of it yet.

    Args:
        url: `sqlite:///PATH`, or `postgresql+pg8000://USER:PASSWORD@HOST/DATABASE`.

    Returns:
        The engine, safe between threads. A SQLite file is made with mode 0600 when it is not there.

    Raises:
        InputError: No such URL.
        StoreError: The file cannot be made.
    """
    parsed = parse_url(url)
    if parsed.drivername.startswith("sqlite"):
        return _open_sqlite(parsed)
    engine = create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=20)
    event.listen(engine, "before_cursor_execute", _clean, retval=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(_WRITE):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

    return engine


def parse_url(url: str | URL) -> URL:
    """Check the URL of a metadata store.

    >>> parse_url("postgresql+pg8000://hq:secret@db/catchment").host
    'db'

    Raises:
        InputError: It is none, or names a database that is not known here.
    """
    expected = "sqlite:///PATH or postgresql+pg8000://USER:PASSWORD@HOST/DATABASE"
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError([Problem("[metadata]", "url", "no URL", expected)]) from error
    if parsed.drivername not in DRIVERS or not parsed.database:
        raise InputError([Problem("[metadata]", "url", parsed.render_as_string(), expected)])
    return parsed


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A transaction that changes something: all of it, or nothing when an error leaves the block.

    Raises:
        ConflictError: Somebody else made the same thing at the same time.
        StoreError: The database failed; nothing was changed.
    """
    with (
        database_errors(),
        Session(engine.execution_options(**{_WRITE: True}), expire_on_commit=False) as session,
        session.begin(),
    ):
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A transaction that changes nothing and sees one state of the database.

    Raises:
        StoreError: The database failed.
    """
    with database_errors(), Session(engine, autoflush=False) as session:
        yield session


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn the database's errors into ours.

    Raises:
        ConflictError: A thing of this name exists already, or what it refers to is gone.
        StoreError: Anything else that the database did to us.
    """
    try:
        yield
    except IntegrityError as error:
        raise ConflictError(
            f"expected what is there not to have changed meanwhile, got: {_said(error)}; look, and try again"
        ) from error
    except (OperationalError, InterfaceError) as error:
        raise StoreError(
            f"the metadata store failed: {_said(error)}; expected [metadata] url to be reachable, with room"
        ) from error
    except DBAPIError as error:
        raise StoreError(f"the metadata store refused: {_said(error)}") from error
    except UnicodeDecodeError as error:  # sqlite3 quotes what is damaged in its own message
        raise StoreError("the metadata store is damaged; restore it from a backup") from error


@contextmanager
def damaged_texts(session: Session) -> Iterator[None]:
    """Within, bytes of a text that are no UTF-8 any more are read as U+FFFD: who checks can say where.

    PostgreSQL keeps none such; SQLite takes what the disk gives.
    """
    raw: Any = session.connection().connection.driver_connection
    if session.get_bind().dialect.name != "sqlite":
        yield
        return
    raw.text_factory = lambda text: text.decode("utf-8", "replace")
    try:
        yield
    finally:
        raw.text_factory = str


def _said(error: DBAPIError) -> str:
    """The database's own sentence, without our SQL and without values."""
    origin: Any = error.orig
    if origin is not None and origin.args and isinstance(origin.args[0], dict):
        return str(origin.args[0].get("M", "no reason given"))
    return str(origin)


def clean_text(text: str) -> str:
    """A text that every database takes.

    >>> clean_text("a\\0b\\ud800"), clean_text("阀 7")
    ('a\ufffdb?', '阀 7')
    """
    if "\0" not in text and text.isascii():
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _clean(
    _connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
) -> tuple[str, Any]:
    rows = parameters if many else [parameters]
    cleaned = [tuple(clean_text(v) if isinstance(v, str) else v for v in row) for row in rows]
    return statement, cleaned if many else cleaned[0]


def _open_sqlite(url: URL) -> Engine:
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {path}: {error.strerror}; expected a folder to write in") from error
    engine = create_engine(url, connect_args={"timeout": BUSY_S})
    event.listen(engine, "before_cursor_execute", _clean, retval=True)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are ours to begin
        for pragma in ("journal_mode = wal", "synchronous = full", "foreign_keys = on"):
            connection.execute(f"pragma {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(_WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN DEFERRED")

    return engine
