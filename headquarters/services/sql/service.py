"""The door for portal, API and command line: who may ask, whose data, and what is remembered.

::

    service = QueryService(engine, lake, data / "queries", meter=Meter(engine))
    asked = service.ask(principal, "SELECT count(*) FROM samples")
    service.wait(asked.id)
    page = service.page(principal, asked.id, 0)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Engine

from headquarters.db.base import new_id, now_us
from headquarters.db.engine import reading, writing
from headquarters.services.sql.errors import QueryError
from headquarters.services.sql.results import Results
from headquarters.services.sql.rights import Reach
from headquarters.services.sql.runner import Job, Runner, State
from headquarters.services.sql.store import Asked, History, SavedQueries, SavedQuery
from headquarters.services.sql.task import Bounds, Estimate, Task
from headquarters.tenancy.access import demand
from headquarters.tenancy.meter import JOBS, Meter
from headquarters.tenancy.principal import Principal
from headquarters.tenancy.scope import scope_of
from protocols.errors import InputError, Problem

RESULTS_BYTES_MAX = 4 << 30
TENANT_BYTES_MAX = 1 << 30
"""Room for results, of all and of one tenant: some hundred results of ordinary size."""

KEEP_S = 3600.0
"""Results are kept for an hour: for as long as somebody looks at one."""


class QueryService:
    """Queries of people; safe between threads.

    Args:
        engine: The metadata store.
        lake: The lake's folder.
        folder: For results and what queries set aside.
        workers: Queries at a time.
        bounds: What one query may use.
        meter: Charged before each query.
    """

    def __init__(
        self,
        engine: Engine,
        lake: Path,
        folder: Path,
        *,
        workers: int = 2,
        bounds: Bounds | None = None,
        meter: Meter,
    ) -> None:
        self._engine = engine
        self._bounds = bounds or Bounds()
        self._meter = meter
        self._results = Results(folder, time.monotonic, RESULTS_BYTES_MAX, TENANT_BYTES_MAX, KEEP_S)
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        with writing(engine) as session:
            History(session).abandon("headquarters was stopped before it ended; ask again")
        self._runner = Runner(lake, folder, workers=workers, bounds=self._bounds, ended=self._end)

    def close(self) -> None:
        """Stop all queries."""
        self._runner.close()

    def ask(
        self,
        principal: Principal,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        timezone: str = "UTC",
    ) -> Asked:
        """Have a query run.

        Args:
            principal: Who asks.
            sql: One SELECT.
            parameters: Values of `$name`.
            timezone: Zone of times without one.

        Returns:
            What was written into the history; its `id` is the name of the result.

        Raises:
            DeniedError: Who asks may not.
            QuotaError: The tenant has asked enough, or has enough under way.
            QueryError: Too many queries wait.
            StoreError: The metadata store failed.
        """
        demand(principal, "queries:run")
        _plain("sql", sql)
        self._meter.charge(principal.tenant, queries=1, jobs=1)
        try:
            return self._begin(principal, sql, parameters, timezone)
        except BaseException:
            self._meter.release(principal.tenant, JOBS)
            raise

    def _begin(
        self, principal: Principal, sql: str, parameters: Mapping[str, Any] | None, timezone: str
    ) -> Asked:
        asked = Asked(new_id(), principal.tenant, principal.id, now_us(), sql, State.WAITING.value)
        task = Task(
            sql,
            self._reach(principal),
            str(self._results.path(asked.id)),
            parameters or {},
            timezone,
            self._bounds,
        )
        with writing(self._engine) as session:
            History(session).add(asked)
        try:
            with self._lock:  # which its end takes too: it comes after
                self._jobs[asked.id] = self._runner.submit(task, principal.tenant, id=asked.id)
        except QueryError as error:
            self._write(replace(asked, state=State.FAILED.value, fault=error.fault.value, message=str(error)))
            raise
        return asked

    def explain(
        self,
        principal: Principal,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        timezone: str = "UTC",
    ) -> Estimate:
        """What a query would read; arguments as of `ask`.

        Raises:
            DeniedError: Who asks may not.
            QueryError: It is refused or wrong.
            StoreError: The lake cannot be read.
        """
        demand(principal, "queries:run")
        task = Task(sql, self._reach(principal), "", parameters or {}, timezone, self._bounds)
        return self._runner.submit(task, principal.tenant, explain=True).explanation()

    def wait(self, id: str, seconds: float | None = None) -> bool:
        """Wait until a query has ended; whether it has."""
        with self._lock:
            job = self._jobs.get(id)
        return job is None or job.wait(seconds)

    def look(self, principal: Principal, id: str) -> Asked | None:
        """How far a query of one's own is; `None` when there is none.

        Raises:
            DeniedError: Who asks may not.
        """
        demand(principal, "queries:run")
        with reading(self._engine) as session:
            asked = History(session).get(id, principal.tenant, principal.id)
        with self._lock:
            job = self._jobs.get(id)
        return replace(asked, state=job.state.value) if asked is not None and job is not None else asked

    def page(self, principal: Principal, id: str, number: int) -> pa.RecordBatch | None:
        """A page of the result of a query of one's own; `None` when it is not there (any more).

        Raises:
            DeniedError: Who asks may not.
            StoreError: It cannot be read.
        """
        return None if self.look(principal, id) is None else self._results.page(id, number)

    def cancel(self, principal: Principal, id: str) -> bool:
        """Stop a query of one's own; whether there is such a one.

        Raises:
            DeniedError: Who asks may not.
        """
        if self.look(principal, id) is None:
            return False
        with self._lock:
            job = self._jobs.get(id)
        if job is not None:
            self._runner.cancel(job)
        return True

    def history(
        self, principal: Principal, before_us: int | None = None, limit: int = 100
    ) -> Sequence[Asked]:
        """One's own queries, the newest first.

        Raises:
            DeniedError: Who asks may not.
        """
        demand(principal, "queries:run")
        with reading(self._engine) as session:
            return History(session).of(principal.tenant, principal.id, before_us or now_us() + 1, limit)

    def save(
        self, principal: Principal, name: str, sql: str, *, description: str = "", shared: bool = False
    ) -> SavedQuery:
        """Keep a query under a name.

        Raises:
            DeniedError: Who asks may not, or may not share.
            QuotaError: The tenant takes up as much as it may.
            ConflictError: There is one of this name.
        """
        demand(principal, "queries:share" if shared else "queries:run")
        self._meter.check(principal.tenant, "storage", len(sql))
        for field, text in (("name", name), ("sql", sql), ("description", description)):
            _plain(field, text)
        with writing(self._engine) as session:
            return SavedQueries(session).add(
                principal.tenant,
                principal.id,
                name,
                sql,
                description=description,
                shared=shared,
                at_us=now_us(),
            )

    def change(self, principal: Principal, saved: SavedQuery) -> bool:
        """Change a saved query of one's own; whether there is such a one.

        Raises:
            DeniedError: Who asks may not, or may not share.
            ConflictError: There is another one of this name.
        """
        demand(principal, "queries:share" if saved.shared else "queries:run")
        for field, text in (("name", saved.name), ("sql", saved.sql), ("description", saved.description)):
            _plain(field, text)
        ours = replace(saved, tenant=principal.tenant, owner=principal.id, changed_us=now_us())
        with writing(self._engine) as session:
            return SavedQueries(session).change(ours)

    def saved(self, principal: Principal) -> Sequence[SavedQuery]:
        """One's own saved queries, and those that others of the tenant share.

        Raises:
            DeniedError: Who asks may not.
        """
        demand(principal, "queries:run")
        with reading(self._engine) as session:
            return SavedQueries(session).readable(principal.tenant, principal.id)

    def remove(self, principal: Principal, id: str) -> bool:
        """Delete a saved query of one's own; whether there was one.

        Raises:
            DeniedError: Who asks may not.
        """
        demand(principal, "queries:run")
        with writing(self._engine) as session:
            return SavedQueries(session).remove(id, principal.tenant, principal.id)

    def _reach(self, principal: Principal) -> Reach:
        with reading(self._engine) as session:
            return Reach.of(scope_of(session, principal))

    def _end(self, job: Job) -> None:
        """A query has ended: keep its result and write down what came of it."""
        if job.explain:
            return
        ended = Asked(job.id, job.tenant, "", 0, job.task.sql, job.state.value)
        if job.outcome is not None:
            self._results.keep(job.id, job.tenant)
            ended = replace(
                ended,
                rows_read=job.outcome.estimate.rows,
                rows=job.outcome.rows,
                bytes=job.outcome.bytes,
                truncated=job.outcome.truncated,
                took_us=round(job.outcome.seconds * 1e6),
            )
        elif isinstance(job.error, QueryError):
            ended = replace(ended, fault=job.error.fault.value, message=str(job.error))
        else:
            ended = replace(ended, fault="store", message=str(job.error))
        try:
            self._write(ended)
        finally:
            with self._lock:
                self._jobs.pop(job.id, None)
            self._meter.release(job.tenant, JOBS)

    def _write(self, ended: Asked) -> None:
        with writing(self._engine) as session:
            History(session).end(ended)


def _plain(field: str, text: str) -> None:
    """See that something is text that every metadata store can keep."""
    if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
        expected = "text in UTF-8 without the character NUL"
        raise InputError(
            [Problem("query", field, text[:60].encode("ascii", "backslashreplace").decode(), expected)]
        )
