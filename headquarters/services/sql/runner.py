"""Runs queries in worker processes: some at a time, each within its bounds, any of them stoppable.

Rules:
1. The process that serves people parses and runs no query. A worker that does not answer to an
   interruption within the grace, ends by itself, or says that it is spent, is replaced; its query fails
   and no other.
2. The queue is bounded. A tenant has at most so many queries in it and under way, so that one who
   asks a lot waits for themselves and not the others for them.
3. A query is stopped `seconds` after it began: first by an interruption, then by ending its worker.

::

    with Runner(Path("data/lake"), Path("data/queries")) as runner:
        job = runner.submit(Task("SELECT count(*) FROM samples", reach), tenant="plant-a")
        outcome = job.result()
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

from headquarters.services.sql.errors import Fault, QueryError
from headquarters.services.sql.frames import receive, send
from headquarters.services.sql.limits import STOP_GRACE_S
from headquarters.services.sql.task import (
    Bounds,
    Estimate,
    Outcome,
    Task,
    unpack_error,
    unpack_estimate,
    unpack_outcome,
)
from protocols.errors import StoreError

START_S = 60.0
"""How long a worker may take to start: a second on an idle machine, most of it for its libraries."""


class State(StrEnum):
    """How far a query is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Job:
    """One query on its way; made by the runner.

    Args:
        id: Its name, which nobody can guess.
        tenant: Who asks.
        task: What is asked.
        explain: It is only explained.
    """

    def __init__(self, id: str, tenant: str, task: Task, explain: bool) -> None:
        self.id = id
        self.tenant = tenant
        self.task = task
        self.explain = explain
        self.state = State.WAITING
        self.outcome: Outcome | None = None
        self.estimate: Estimate | None = None
        self.error: QueryError | StoreError | None = None
        self.cancelled = threading.Event()
        self._ended = threading.Event()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it has ended; whether it has."""
        return self._ended.wait(seconds)

    def result(self) -> Outcome:
        """Wait for the outcome of a query that runs.

        Raises:
            QueryError: It has none, through what it asks.
            StoreError: It has none, through us.
        """
        self._ended.wait()
        if self.error is not None:
            raise self.error
        assert self.outcome is not None, "a query that was only explained has no outcome"
        return self.outcome

    def explanation(self) -> Estimate:
        """Wait for the estimate of a query that is explained.

        Raises:
            QueryError: It has none, through what it asks.
            StoreError: It has none, through us.
        """
        self._ended.wait()
        if self.error is not None:
            raise self.error
        assert self.estimate is not None, "a query that runs has an outcome"
        return self.estimate

    def end(self, state: State) -> None:
        """Its state is final."""
        self.state = state
        self._ended.set()


class Runner:
    """A pool of workers; safe between threads.

    Args:
        lake: The lake's folder.
        folder: Where results and what queries set aside are kept; made when missing.
        workers: Processes, so many queries at a time; each starts when it is first needed.
        waiting_max: Queries that wait; a further one is refused.
        tenant_max: Queries of one tenant that wait or run; a further one is refused.
        bounds: What a worker's process must be able to hold.
        ended: Told of each query that has ended, in a thread of the runner.
    """

    def __init__(
        self,
        lake: Path,
        folder: Path,
        *,
        workers: int = 2,
        waiting_max: int = 64,
        tenant_max: int = 8,
        bounds: Bounds | None = None,
        ended: Callable[[Job], None] | None = None,
    ) -> None:
        self._waiting: deque[Job] = deque()
        self._running: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._waiting_max = waiting_max
        self._tenant_max = tenant_max
        self._ended = ended
        folder.mkdir(parents=True, exist_ok=True)
        self._workers = [
            _Worker(lake, folder / f"spill-{number}", bounds or Bounds()) for number in range(workers)
        ]
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), name=f"query-{number}", daemon=True)
            for number, worker in enumerate(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, task: Task, tenant: str, *, explain: bool = False, id: str = "") -> Job:
        """Put a query into the queue.

        Args:
            task: What is asked.
            tenant: Who asks.
            explain: Do not run it, only say what it would read.
            id: Its name; drawn when empty.

        Raises:
            QueryError: Too many are there already.
        """
        job = Job(id or secrets.token_hex(12), tenant, task, explain)
        with self._changed:
            assert not self._closed, "a closed runner takes no query"
            ours = sum(each.tenant == tenant for each in [*self._waiting, *self._running.values()])
            if ours >= self._tenant_max:
                expected = f"at most {self._tenant_max} queries of a tenant at a time; wait, or cancel one"
                raise QueryError(Fault.BUSY, "", f"{ours} queries", expected)
            if len(self._waiting) >= self._waiting_max:
                expected = f"at most {self._waiting_max} queries that wait; try again in a minute"
                raise QueryError(Fault.BUSY, "", f"{len(self._waiting)} queries", expected)
            self._waiting.append(job)
            self._changed.notify()
        return job

    def cancel(self, job: Job) -> None:
        """Stop a query, whether it waits or runs; one that has ended stays as it is."""
        job.cancelled.set()
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
            elif job.id in self._running:
                return  # its thread looks after it
            else:
                return
        self._finish(job, error=_stopped())

    def processes(self) -> list[int]:
        """Ids of the worker processes that run."""
        return [worker.pid for worker in self._workers if worker.pid]

    def close(self) -> None:
        """Stop everything and end the workers."""
        with self._changed:
            self._closed = True
            waiting, running = list(self._waiting), list(self._running.values())
            self._changed.notify_all()
        for job in [*waiting, *running]:
            self.cancel(job)
        for thread in self._threads:
            thread.join()

    def _serve(self, worker: _Worker) -> None:
        while (job := self._next()) is not None:
            try:
                answer = worker.ask(job)
            except QueryError as error:
                self._finish(job, error=error)
            except (StoreError, OSError) as error:
                self._finish(job, error=error if isinstance(error, StoreError) else StoreError(str(error)))
            else:
                self._finish(job, answer)
        worker.close()

    def _next(self) -> Job | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return None
            job = self._fairest()
            self._waiting.remove(job)
            job.state = State.RUNNING
            self._running[job.id] = job
            return job

    def _fairest(self) -> Job:
        """The first of the tenant that has the fewest under way."""
        running = [job.tenant for job in self._running.values()]
        return min(self._waiting, key=lambda job: running.count(job.tenant))

    def _finish(
        self, job: Job, answer: dict[str, Any] | None = None, error: QueryError | StoreError | None = None
    ) -> None:
        if answer is not None and "error" in answer:
            error = unpack_error(answer["error"])
        elif answer is not None and "store" in answer:
            error = StoreError(answer["store"])
        elif answer is not None and "estimate" in answer:
            job.estimate = unpack_estimate(answer["estimate"])
        elif answer is not None:
            job.outcome = unpack_outcome(answer["outcome"])
            job.estimate = job.outcome.estimate
        job.error = error
        if error is not None and job.task.result:
            Path(job.task.result).unlink(missing_ok=True)
        with self._changed:
            self._running.pop(job.id, None)
        job.state = State.DONE if error is None else State.FAILED
        try:
            if self._ended is not None:
                self._ended(job)
        finally:
            job.end(job.state)


class _Worker:
    """One process, started when there is something to do."""

    def __init__(self, lake: Path, spill: Path, bounds: Bounds) -> None:
        self._lake = lake
        self._spill = spill
        self._bounds = bounds
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None

    @property
    def pid(self) -> int:
        """The process's id; 0 when there is none."""
        process = self._process
        return 0 if process is None else process.pid

    def ask(self, job: Job) -> dict[str, Any]:
        """Have a query run, and wait for the answer or for its time to be over.

        Raises:
            QueryError: It was stopped, or the process did not survive it.
            StoreError: No process can be started.
        """
        link = self._started()
        verb = "explain" if job.explain else "run"
        try:
            send(link, {"id": job.id, verb: job.task.pack()})
        except ValueError as error:
            raise QueryError(Fault.WRONG, "parameters", "", str(error)) from error
        answers: list[dict[str, Any] | None] = []
        listener = threading.Thread(target=lambda: answers.append(_answer(link)), daemon=True)
        listener.start()
        fault = self._watch(job, listener)
        if fault is not None:
            send_quietly(link, {"cancel": job.id})
            listener.join(STOP_GRACE_S)
        if listener.is_alive():
            self.close()
            listener.join()
        answer = answers[0] if answers else None
        if answer is None or answer["spent"]:
            self.close()
        if answer is None and fault is None:
            expected = "less to hold at once; the query's process did not survive it"
            raise QueryError(Fault.MEMORY, "", "", expected)
        if fault is Fault.TIMEOUT and (answer is None or "error" in answer):
            expected = f"an answer within {job.task.bounds.seconds:g} s; ask for fewer dates or series"
            raise QueryError(Fault.TIMEOUT, "", "", expected)
        if answer is None:
            raise _stopped()
        return answer

    def close(self) -> None:
        """End the process."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        shutil.rmtree(self._spill, ignore_errors=True)

    def _watch(self, job: Job, listener: threading.Thread) -> Fault | None:
        """Wait for the answer; why it was not waited for any longer."""
        deadline = time.monotonic() + job.task.bounds.seconds
        pause = 0.002
        while True:
            listener.join(pause)
            if not listener.is_alive():
                return None
            if job.cancelled.is_set():
                return Fault.CANCELLED
            if time.monotonic() >= deadline:
                return Fault.TIMEOUT
            pause = min(0.05, pause * 1.5)

    def _started(self) -> socket.socket:
        if self._link is not None and self._process is not None and self._process.poll() is None:
            return self._link
        self.close()
        ours, theirs = socket.socketpair()
        self._spill.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "headquarters.services.sql.worker", "--link", str(theirs.fileno()),
            "--lake", str(self._lake), "--spill", str(self._spill),
            "--memory", str(self._bounds.memory_bytes), "--threads", str(self._bounds.threads),
        ]  # fmt: skip
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )
        self._link = ours
        ours.settimeout(START_S)
        ready = _answer(ours)
        ours.settimeout(None)
        if ready is None:
            self.close()
            raise StoreError("the query worker did not start; its log says why")
        return ours


def _answer(link: socket.socket) -> dict[str, Any] | None:
    try:
        return receive(link)
    except OSError:
        return None


def send_quietly(link: socket.socket, message: dict[str, Any]) -> None:
    """Send to a worker that may be gone already."""
    with suppress(OSError):
        send(link, message)


def _stopped() -> QueryError:
    return QueryError(Fault.CANCELLED, "", "", "nothing: it was stopped")
