"""Models on the gateway: within a time budget, on threads of their own.

Rules:
1. The scan waits for a model as long as its time budget says and no longer. What comes later
   is not used: in that scan its outputs are bad, with the declared fallback or the last value.
2. While a late call still runs, no other is begun; those scans count as overruns, too.
3. After `OVERRUNS_MAX` scans in a row without an answer the model is suspended until the app
   is started again, and a notice says so.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from edge_runtime.rules.models.model import Cells, Model, ModelScorer

OVERRUNS_MAX = 5
"""Scans in a row without an answer: a disturbance of the host passes sooner, a model that is
too large does not."""


class Notice(NamedTuple):
    """What there is to tell about a model.

    Args:
        kind: `model-suspended` or `model-failed`.
        model: Its name.
        detail: In words.
    """

    kind: str
    model: str
    detail: str


class Worker(Protocol):
    """Who asks the graph."""

    def ask(self, features: Cells, timeout_s: float) -> Cells | None:
        """The results; `None` when they do not come in time.

        Raises:
            Exception: The graph failed.
        """

    def close(self) -> None:
        """Ask no more."""


class LiveModel(ModelScorer):
    """A model within an app on the gateway.

    Args:
        model: The model.
        instances: How many.
        worker: Who asks the graph; a thread by default.
    """

    def __init__(self, model: Model, instances: int, worker: Worker | None = None) -> None:
        super().__init__(model, instances)
        self._worker = worker or ThreadWorker(model.graph.run, model.spec.name)
        self._timeout_s = model.spec.time_budget_ms / 1000
        self._in_a_row = 0
        self._notices: list[Notice] = []
        self.overruns = 0
        """Scans in which it did not answer in time."""
        self.failures = 0
        """Scans in which onnxruntime failed."""
        self.rows = 0
        """Answers, one for each instance and scan."""
        self.outside = 0
        """Of these, such as are not good: inputs bad, or outside of what the model was trained on."""
        self.suspended = False
        self.silent = False
        """Whether it gave no answer in the last scan: what a replay must be told."""

    def evaluate(self, values: Cells, qualities: Cells) -> tuple[Cells, Cells]:
        """What programs see, for one scan; see `Model.evaluate`."""
        self.silent = False
        seen = super().evaluate(values, qualities)
        marks = self.scored.qualities
        self.rows += len(marks)
        self.outside += int(np.count_nonzero(marks.max(axis=1, initial=0)))
        return seen

    def notices(self) -> list[Notice]:
        """What there is to tell since this was last asked."""
        told, self._notices = self._notices, []
        return told

    def close(self) -> None:
        """End its thread, as soon as a running call allows."""
        self._worker.close()

    def _infer(self, features: Cells) -> Cells | None:
        results = self._ask(features)
        self.silent = results is None
        return results

    def _ask(self, features: Cells) -> Cells | None:
        if self.suspended:
            return None
        try:
            results = self._worker.ask(features, self._timeout_s)
        except Exception as error:  # whatever onnxruntime or memory says: the scan goes on
            results = None
            self.failures += 1
            if self._in_a_row == 0:
                self._tell("model-failed", str(error)[:300])
        else:
            self.overruns += results is None
        self._in_a_row = 0 if results is not None else self._in_a_row + 1
        if self._in_a_row >= OVERRUNS_MAX:
            self.suspended = True
            budget = self.model.spec.time_budget_ms
            self._tell("model-suspended", f"no answer within {budget} ms in {OVERRUNS_MAX} scans in a row")
            self._worker.close()
        return results

    def _tell(self, kind: str, detail: str) -> None:
        self._notices.append(Notice(kind, self.model.spec.name, detail))


class _Job:
    """One call of the graph."""

    def __init__(self, features: Cells) -> None:
        self.features = features
        self.results: Cells | None = None
        self.error: Exception | None = None
        self.done = threading.Event()


class ThreadWorker:
    """Asks a graph on a thread of its own, one call at a time.

    Args:
        run: The graph.
        name: Of the thread.
    """

    def __init__(self, run: Callable[[Cells], Cells], name: str) -> None:
        self._run = run
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._current: _Job | None = None
        threading.Thread(target=self._work, name=f"model-{name}", daemon=True).start()

    def ask(self, features: Cells, timeout_s: float) -> Cells | None:
        """See `Worker`."""
        if self._current is not None and not self._current.done.is_set():
            return None
        job = self._current = _Job(features)
        self._jobs.put(job)
        if not job.done.wait(timeout_s):
            return None
        if job.error is not None:
            raise job.error
        return job.results

    def close(self) -> None:
        """See `Worker`."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job.results = self._run(job.features)
            except Exception as error:  # handed to who asked
                job.error = error
            job.done.set()
