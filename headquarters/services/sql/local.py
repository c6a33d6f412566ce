"""Governed queries at the machine itself: `catchment-hq query --as-tenant`.

The same guard, worker and bounds as for people who ask over the portal, but for the size of the result.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import Engine

from headquarters.db.engine import reading
from headquarters.lake.query import literal, require_lake, rows_of, texts_of
from headquarters.services.sql.rights import Reach
from headquarters.services.sql.runner import Runner
from headquarters.services.sql.task import Bounds, Estimate, Task
from headquarters.tenancy.principal import Principal
from headquarters.tenancy.scope import scope_of
from headquarters.tenancy.store import Tenants
from protocols.errors import InputError, Problem

BOUNDS = Bounds(seconds=600.0, rows_read=1 << 62, rows=1 << 62, bytes=1 << 40)
"""Who sits at the machine may wait, and owns the disk."""


def reach_of(engine: Engine, tenant: str) -> Reach:
    """What a tenant may see.

    Args:
        engine: The metadata store.
        tenant: The tenant's id.

    Raises:
        InputError: There is no such tenant.
        StoreError: The metadata store failed.
    """
    with reading(engine) as session:
        if Tenants(session).get(tenant) is None:
            known = ", ".join(each.id for each in Tenants(session).all())
            raise InputError([Problem("--as-tenant", "", tenant, f"one of the tenants {known}")])
        return Reach.of(scope_of(session, Principal("system", "query", "system", tenant, frozenset())))


class GovernedEngine:
    """Asks the lake as a tenant would; with the methods of `lake.query.Engine` that read.

    Args:
        lake: The lake's folder.
        reach: Whose data is seen.
        timezone: The zone in which times are written and read.

    Raises:
        InputError: There is no lake.
    """

    def __init__(self, lake: Path, reach: Reach, timezone: str) -> None:
        require_lake(lake)
        self._reach = reach
        self._timezone = timezone
        self._folder = Path(tempfile.mkdtemp(prefix="catchment-query-"))
        self._runner = Runner(lake, self._folder, workers=1, bounds=BOUNDS)
        self._connection = duckdb.connect()

    def explain(self, sql: str) -> Estimate:
        """What a query would read.

        Raises:
            QueryError: It is refused or wrong.
            StoreError: The lake cannot be read.
        """
        task = Task(sql, self._reach, "", timezone=self._timezone, bounds=BOUNDS)
        return self._runner.submit(task, "machine", explain=True).explanation()

    def rows(self, sql: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Column names and rows as Python values; times are text.

        Raises:
            QueryError: It is refused, wrong or stopped.
            StoreError: The lake cannot be read.
        """
        found = self.arrow(sql)
        return found.schema.names, rows_of(sql, self._relation(found))[1]

    def texts(self, sql: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Column names and rows as text; null stays `None`.

        Raises:
            QueryError: It is refused, wrong or stopped.
            StoreError: The lake cannot be read.
        """
        found = self.arrow(sql)
        return found.schema.names, texts_of(sql, self._relation(found))[1]

    def arrow(self, sql: str) -> pa.RecordBatchReader:
        """The result as Arrow batches.

        Raises:
            QueryError: It is refused, wrong or stopped.
            StoreError: The lake cannot be read.
        """
        pages = pa.ipc.open_file(pa.memory_map(str(self._run(sql))))
        batches = (pages.get_batch(number) for number in range(pages.num_record_batches))
        return pa.RecordBatchReader.from_batches(pages.schema, batches)

    def close(self) -> None:
        """End the worker and delete the result."""
        self._connection.close()
        self._runner.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _relation(self, found: pa.RecordBatchReader) -> Any:
        """A result as DuckDB sees it: of columns that have one name all but the first get another."""
        self._connection.execute(f"SET TimeZone = {literal(self._timezone)}")
        return self._connection.from_arrow(found)

    def _run(self, sql: str) -> Path:
        path = self._folder / "result.arrow"
        task = Task(sql, self._reach, str(path), timezone=self._timezone, bounds=BOUNDS)
        self._runner.submit(task, "machine").result()
        return path
