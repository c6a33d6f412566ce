"""What monitors ask of a node: `/metrics`, `/healthz` and `/readyz`. Pure; a server puts it on the wire.

Rules:
1. `/healthz` says whether the process works: whether it has said something of itself lately. A process
   that does not is to be restarted.
2. `/readyz` says whether the node does its work now; else it names every reason. A node that is not ready
   is to be looked at, and not to be restarted: it goes on by itself when the reason is gone.
3. `/metrics` is the node's table of metrics.

>>> probe = Probe((), lambda status: ["the lake fails"] if status["failing"] else [], monotonic=lambda: 0.0)
>>> probe.answer("/healthz").status, probe.tell({"failing": True}), probe.answer("/readyz").body
(503, None, b'the lake fails\\n')
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from protocols.metrics import MEDIA_TYPE, Metric, Status, render

STALE_S = 30.0
"""Every node speaks once a second; a hub with many thousands of chains may take some seconds."""

PATHS = ("/metrics", "/healthz", "/readyz")

_TEXT = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """An answer of HTTP: status, body, and the body's type."""

    status: int
    body: bytes
    type: str = _TEXT


class Probe:
    """Holds what a node last said of itself; safe between threads.

    Args:
        metrics: The node's metrics.
        why_not: Why a node of this status does not do its work; empty when it does.
        monotonic: Seconds that never jump.
        metrics_shown: Whether `/metrics` is answered.
    """

    def __init__(
        self,
        metrics: Sequence[Metric],
        why_not: Callable[[Status], list[str]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        metrics_shown: bool = True,
    ) -> None:
        self._metrics = metrics
        self._why_not = why_not
        self._monotonic = monotonic
        self._metrics_shown = metrics_shown
        self._told: tuple[float, dict[str, Any]] | None = None

    def tell(self, status: dict[str, Any]) -> None:
        """Take what the node says of itself now."""
        self._told = self._monotonic(), status

    def answer(self, path: str) -> Answer | None:
        """Answer a request for a path; `None` when it is none of ours."""
        if path not in PATHS or (path == "/metrics" and not self._metrics_shown):
            return None
        told = self._told
        if told is None:
            return _faults(["it is starting"])
        age_s = self._monotonic() - told[0]
        stuck = [f"it has said nothing of itself for {age_s:.0f} s"] if age_s > STALE_S else []
        if path == "/metrics":
            return Answer(200, render(self._metrics, told[1]).encode(), MEDIA_TYPE)
        if path == "/healthz" or stuck:
            return _faults(stuck)
        return _faults(self._why_not(told[1]))


def _faults(faults: list[str]) -> Answer:
    return Answer(503 if faults else 200, "".join(f"{fault}\n" for fault in faults or ["ok"]).encode())
