"""What headquarters' process does for desired state: takes reports, carries on roll-outs, publishes.

Reports are taken by the thread that commits what gateways sent; everything else is done by a
thread of its own, with a connection of its own, so that a slow disk or repository holds up nobody.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from headquarters.desired.store import DesiredStore
from headquarters.desired.targets import Repository, publish
from headquarters.ingest.rows import EventRow
from headquarters.rollout.health import LakeLook
from headquarters.rollout.machine import Note, Said
from headquarters.rollout.service import Rollouts
from protocols.batch import Kind
from protocols.daemon import EventLog, Stop
from protocols.errors import CatchmentError, StoreError

STEP_S = 5.0
"""How often roll-outs are looked at: gateways report once a minute."""

_REPORT, _STATEMENT = Kind.REPORT.name.lower(), Kind.STATEMENT.name.lower()

REPEAT_S = 3600.0
"""How often the same trouble is logged again."""

JUMP_S = 60.0
"""When the date is that much ahead of or behind its course, headquarters slept or had a wrong clock: as long
as gateways are silent between two reports."""


class Listening:
    """Since when headquarters has listened without a break; told of every step.

    However long a step takes, gateways are heard meanwhile: only a jump of the date is a break.

    >>> listening = Listening()
    >>> listening.since(1000.0, 10.0), listening.since(1300.0, 310.0)
    (1000.0, 1000.0)
    >>> listening.since(9000.0, 315.0), listening.since(9005.0, 320.0)
    (9000.0, 9000.0)
    """

    def __init__(self) -> None:
        self._since_s, self._ahead_s = 0.0, float("-inf")

    def since(self, now_s: float, monotonic_s: float) -> float:
        """A step is taken now.

        Args:
            now_s: Seconds since 1970.
            monotonic_s: Seconds that never jump, and stand still while the machine sleeps.

        Returns:
            Since when there was no break, in seconds since 1970.
        """
        ahead_s = now_s - monotonic_s
        if abs(ahead_s - self._ahead_s) > JUMP_S:
            self._since_s = now_s
        self._ahead_s = ahead_s
        return self._since_s


class ReportTaker:
    """Keeps the newest report of each gateway and hub; used by one thread.

    Args:
        data: The data directory of headquarters.
        log: For trouble.
    """

    def __init__(self, data: Path, log: EventLog) -> None:
        self._store = DesiredStore(data, durable=False)  # the lake has them for good
        self._log = log

    def take(self, rows: Iterable[EventRow], received_us: int) -> None:
        """Take what is committed to the lake."""
        gateways, hubs = [], []
        for row in rows:
            if row.kind == _REPORT:
                gateways.append((row.gateway, row.epoch, row.time_us, row.detail))
            elif row.kind == _STATEMENT and (said := json.loads(row.detail).get("report")) is not None:
                hubs.append((row.gateway, row.epoch, json.dumps(said)))
        if not gateways and not hubs:
            return
        try:
            with self._store.transaction():
                self._store.take_reports(gateways, received_us)
                self._store.take_hub_reports(hubs, received_us)
        except StoreError as error:
            self._log.warning("reports-not-kept", why=str(error))

    def close(self) -> None:
        """Close the store."""
        self._store.close()


class DesiredThread(threading.Thread):
    """Carries on roll-outs, and publishes documents that are not in the update repository yet.

    Args:
        data: The data directory of headquarters.
        lake: The lake's folder.
        open_repository: Opens the update repository; called when there is something to publish.
        stop: Ends it.
        log: For what happens.
    """

    def __init__(
        self,
        data: Path,
        lake: Path,
        open_repository: Callable[[], Repository],
        stop: Stop,
        log: EventLog,
    ) -> None:
        super().__init__(name="desired", daemon=True)
        self._data = data
        self._look = LakeLook(lake, time.monotonic)
        self._open_repository = open_repository
        self._stop_asked = stop
        self._log = log
        self._repository: Repository | None = None
        self._trouble: dict[str, tuple[str, float]] = {}
        self._store: DesiredStore | None = None
        self._listening = Listening()
        self.counters = {"published": 0, "open_rollouts": 0}

    def run(self) -> None:
        """Step until a stop."""
        try:
            while not self._stop_asked.asked:
                self._guarded(self._step, self._stand_still)
                self._guarded(self._publish, self._unpublished)
                self._stop_asked.wait(STEP_S)
        finally:
            self._look.close()
            if self._store is not None:
                self._store.close()

    def _step(self) -> None:
        since_s = self._listening.since(time.time(), time.monotonic())
        store = self._opened()
        opened = store.rollouts(open_only=True)
        self.counters["open_rollouts"] = len(opened)
        if not opened:
            return
        rollouts = Rollouts(store, lambda: time.time_ns() // 1000)
        for name, said in rollouts.step(self._look.vitals(since_s), since_s):
            self._tell(name, said)

    def _publish(self) -> None:
        store = self._opened()
        if not store.unpublished():
            return
        if self._repository is None:
            self._repository = self._open_repository()
        gateways = publish(store, self._repository)
        self.counters["published"] += len(gateways)
        self._log.info("desired-published", gateways=gateways)

    def _opened(self) -> DesiredStore:
        """The store; when it is opened, reports that it lacks are taken from the lake."""
        if self._store is None:
            self._store = DesiredStore(self._data)
            try:
                for received_us, report in self._look.latest_reports():
                    self._store.take_reports([report], received_us)
            except CatchmentError:  # no lake yet: then there are no reports either
                self._look.close()
        return self._store

    def _tell(self, name: str, said: Said) -> None:
        fields = {"rollout": name, "what": str(said.note), "gateway": said.gateway, "detail": said.detail}
        if said.note is Note.HALTED:
            self._log.error("rollout-halted", **fields)
        elif said.note is Note.FAILED:
            self._log.warning("rollout-failed", **fields)
        else:
            self._log.info("rollout-went-on", **fields)

    def _guarded(self, step: Callable[[], None], tell: Callable[[str], None]) -> None:
        """Do something; trouble is logged once, and again when it lasts."""
        what = step.__name__
        try:
            step()
        except CatchmentError as error:
            text, now = str(error), time.monotonic()
            known = self._trouble.get(what)
            if known is None or known[0] != text or now - known[1] >= REPEAT_S:
                self._trouble[what] = (text, now)
                tell(text)
        else:
            self._trouble.pop(what, None)

    def _stand_still(self, why: str) -> None:
        self._log.error("rollouts-stand-still", why=why)

    def _unpublished(self, why: str) -> None:
        self._log.error("desired-not-published", why=why)
