"""What the views look at, open: lake, latest values, register, desired states, commands, roll-outs.

One `Sources` serves a whole process and all its threads. What costs more than a look at one file
is kept in memory for `AGE_S`, and of many threads that ask at once one looks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from headquarters.commands.queue import CommandQueue
from headquarters.config import HeadquartersConfig
from headquarters.desired.store import DesiredStore
from headquarters.lake.query import Engine
from headquarters.lake.schema import EVENTS, LEDGER, SERIES
from headquarters.security import authority
from headquarters.security.registry import FILE, NodeRow, Registry
from headquarters.trust import Trust, TrustSource
from headquarters.views.alarmboard import AlarmBoard
from headquarters.views.fleetboard import FleetBoard
from headquarters.views.lakepool import LakePool
from headquarters.views.livefeed import LiveFeed
from headquarters.views.pointbook import PointBook
from protocols.daemon import read_status
from protocols.errors import InputError

AGE_S = 1.0
"""How old what is kept may be: headquarters commits, and writes its status, once a second."""

STALE_S = 10.0
"""A status older than this is that of a headquarters that does not run."""

BULK_MAX = 2
BULK_WAIT_S = 2.0
"""Bulk reads have engines of their own: whoever takes an hour for a download delays no page."""

T = TypeVar("T")


class Kept(Generic[T]):
    """Something that is made anew when it is older than `age_s`.

    Args:
        make: Makes it.
        age_s: How old it may be.
        monotonic: Seconds that never jump.

    >>> count = iter(range(9))
    >>> now = [0.0]
    >>> kept = Kept(lambda: next(count), 1.0, lambda: now[0])
    >>> kept.get(), kept.get(), now.append(now.pop() + 1.5), kept.get()
    (0, 0, None, 1)
    """

    def __init__(self, make: Callable[[], T], age_s: float, monotonic: Callable[[], float]) -> None:
        self._make = make
        self._age_s = age_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._made: tuple[float, T] | None = None

    def get(self) -> T:
        """It, new enough; what making it raises is raised."""
        made = self._made
        if made is not None and self._monotonic() - made[0] < self._age_s:
            return made[1]
        with self._lock:
            made = self._made
            if made is None or self._monotonic() - made[0] >= self._age_s:
                made = self._made = (self._monotonic(), self._make())
            return made[1]

    def forget(self) -> None:
        """Make it anew the next time."""
        self._made = None


class Sources:
    """Everything that views look at; safe between threads.

    Args:
        config: Of headquarters.
        now_us: Microseconds since 1970.

    Raises:
        InputError: An allow-list is wrong.
        StoreError: The register cannot be read.
    """

    def __init__(
        self, config: HeadquartersConfig, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self.config = config
        self.now_us = now_us
        self.lake = LakePool(config.lake)
        self.bulk = LakePool(config.lake, BULK_MAX, BULK_WAIT_S)
        self.live = LiveFeed(config.data)
        self.registry = Registry(config.home / FILE) if authority.exists(config.home) else None
        self._trust = TrustSource(config.home, self.registry, config.offline_days, lambda: now_us() / 1e6)
        self._fleet = FleetBoard()
        self._alarms = AlarmBoard()
        self._points = PointBook()
        self._versions: dict[str, int] = {}
        self._lock = threading.Lock()
        self._worked_out: dict[str, Kept[Any]] = {}
        self._kept_trust = self._keep(self._read_trust)
        self._kept_status = self._keep(lambda: read_status(config.status))
        self._kept_fleet = self._keep(self._read_fleet)
        self._kept_alarms = self._keep(self._read_alarms)
        self._kept_points = self._keep(self._read_points)
        self._kept_nodes = self._keep(self._read_nodes)

    def close(self) -> None:
        """Close all of it."""
        self.lake.close()
        self.bulk.close()
        if self.registry is not None:
            self.registry.close()

    def trust(self) -> Trust:
        """Who belongs to the group, and to which site."""
        return self._kept_trust.get()

    def nodes(self) -> dict[str, NodeRow]:
        """The register's nodes by name; empty where there is no authority."""
        return self._kept_nodes.get()

    def last_status(self) -> dict[str, Any] | None:
        """What headquarters last said of itself, running or not; `None` when it never ran."""
        return self._kept_status.get()

    def status(self) -> dict[str, Any] | None:
        """What the running headquarters last said of itself; `None` when it does not run."""
        found = self.last_status()
        stale = found is None or found["stopped"] or self.now_us() / 1e6 - found["time"] > STALE_S
        return None if stale else found

    def fleet(self) -> FleetBoard:
        """What the ledger says of gateways and chains; empty while there is no lake."""
        return self._kept_fleet.get()

    def alarms(self) -> AlarmBoard:
        """The state of every alarm; empty while there is no lake."""
        return self._kept_alarms.get()

    def points(self) -> PointBook:
        """All series; none while there is no lake."""
        return self._kept_points.get()

    @contextmanager
    def desired(self) -> Iterator[DesiredStore]:
        """The store of desired states, reports and roll-outs, for this thread."""
        store = DesiredStore(self.config.data)
        try:
            yield store
        finally:
            store.close()

    @contextmanager
    def commands(self) -> Iterator[CommandQueue]:
        """The queue of commands, for this thread."""
        queue = CommandQueue(self.config.data)
        try:
            yield queue
        finally:
            queue.close()

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """An engine over the lake, for this thread.

        Raises:
            InputError: There is no lake yet.
            StoreError: A table cannot be read.
        """
        with self.lake.engine() as engine:
            yield engine

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What views work out for the whole group, at most once in `AGE_S`.

        Args:
            name: What it is.
            make: Works it out.
        """
        with self._lock:
            kept = self._worked_out.get(name)
            if kept is None:
                kept = self._worked_out[name] = self._keep(make)
        found: T = kept.get()
        return found

    def forget(self) -> None:
        """Look anew the next time: somebody has just changed something, and wants to see it."""
        with self._lock:
            worked_out = list(self._worked_out.values())
        all_kept: list[Kept[Any]] = [self._kept_trust, self._kept_nodes, *worked_out]
        for kept in all_kept:
            kept.forget()

    def _keep(self, make: Callable[[], T]) -> Kept[T]:
        return Kept(make, AGE_S, time.monotonic)

    def _read_trust(self) -> Trust:
        with suppress(InputError):  # the old list stays in force, as it does at the running headquarters
            self._trust.changed()
        return self._trust.trust

    def _read_nodes(self) -> dict[str, NodeRow]:
        return {} if self.registry is None else {node.id: node for node in self.registry.nodes()}

    def _read_fleet(self) -> FleetBoard:
        if self.lake.exists:
            with self.lake.engine() as engine:
                if (version := engine.version(LEDGER)) != self._versions.get(LEDGER.name):
                    self._fleet.refresh(engine, self.now_us())
                    self._versions[LEDGER.name] = version
        return self._fleet

    def _read_alarms(self) -> AlarmBoard:
        if self.lake.exists:
            with self.lake.engine() as engine:
                if (version := engine.version(EVENTS)) != self._versions.get(EVENTS.name):
                    self._alarms.refresh(engine)
                    self._versions[EVENTS.name] = version
        return self._alarms

    def _read_points(self) -> PointBook:
        if self.lake.exists:
            with self.lake.engine() as engine:
                if (version := engine.version(SERIES)) != self._versions.get(SERIES.name):
                    self._points = PointBook.read(engine)
                    self._versions[SERIES.name] = version
        return self._points
