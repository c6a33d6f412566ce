"""All alarms of one gateway: apps raise them, operators handle them, every transition is journalled.

Rules:
1. What changed is durable before it is sent, and is sent in the order of the journal.
2. While the disk takes nothing, alarms go on in memory; what waits is bounded, the oldest
   journal rows go, and one event says how many.
3. What the process says twice is said once: raising what stands, or taking back what does
   not, changes nothing.
4. Thread-safe: apps, the control door and the clock call it from their own threads.

>>> import sqlite3
>>> store = AlarmStore(sqlite3.connect(":memory:"))
>>> store.prepare()
>>> sent = []
>>> manager = AlarmManager(store, sent.extend)
>>> _ = manager.raise_("gas", "hall-1", "high", "CH4 too high", 1, 20.5, 0, time_us=1)
>>> sent[0].transition, sent[0].state
('raised', 'unacknowledged')
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from edge_runtime import limits
from edge_runtime.alarms.states import Condition, RefusedError, State, Trigger, advance, is_expired
from edge_runtime.alarms.store import Alarm, AlarmId, AlarmStore
from edge_runtime.events import LostEvents
from protocols.errors import StoreDamagedError, StoreError
from protocols.records import EventRecord, EventType, clean_event
from protocols.records.events import Scalar

REMOVED = "removed"
"""The transition of an alarm whose app no longer has it."""


class Act(NamedTuple):
    """Who does something to an alarm, and why."""

    operator: str = ""
    comment: str = ""


class AlarmManager:
    """The alarms of one gateway; see the module's docstring.

    Args:
        store: The alarms' file.
        send: Takes journalled records, in their order; called under the manager's lock.
        after: Journal numbers continue beyond this one, whatever the file says.
    """

    def __init__(
        self, store: AlarmStore, send: Callable[[Sequence[EventRecord]], object], after: int = 0
    ) -> None:
        self._store: AlarmStore | None = store
        self._send = send
        self._lock = threading.RLock()
        self._alarms = {alarm.id: alarm for alarm in store.alarms()}
        self._shelved = {id for id, alarm in self._alarms.items() if alarm.condition.state is State.SHELVED}
        self._next = max(store.last_number(), after) + 1
        self._changed: set[AlarmId] = set()
        self._waiting: list[EventRecord] = []
        self._lost = LostEvents()
        self._depth = 0
        self.trouble = ""
        """Why nothing can be journalled; empty when all is well."""
        self.damaged = False
        """Whether the file must be replaced."""
        self.raised = 0
        """Alarms raised since the start."""
        self.without_state = 0
        """Alarms raised beyond the bound of alarms, which were journalled and have no state."""

    # -- what apps say -------------------------------------------------------------------------

    def define(
        self, app: str, instance: str, path: str, text: str, priority: int, latching: bool = False
    ) -> bool:
        """Make an alarm known before it is ever raised, or take over a new text and priority.

        Returns:
            Whether there is room for it.
        """
        with self.together():
            id = AlarmId(app, instance, path)
            alarm = self._alarms.get(id)
            if alarm is None:
                if len(self._alarms) >= limits.ALARMS_MAX:
                    return False
                alarm = Alarm(id)
            defined = replace(
                alarm,
                text=text,
                priority=priority,
                condition=replace(alarm.condition, latching=latching),
            )
            if defined != self._alarms.get(id):
                self._keep(defined)
            return True

    def raise_(
        self,
        app: str,
        instance: str,
        path: str,
        text: str,
        priority: int,
        value: float | None,
        quality: int,
        time_us: int,
    ) -> list[EventRecord]:
        """The condition of an alarm began. Returns what is journalled of it."""
        with self.together():
            id = AlarmId(app, instance, path)
            known = self._alarms.get(id)
            latching = False if known is None else known.condition.latching
            if not self.define(app, instance, path, text, priority, latching):
                self.without_state += 1
                self.raised += 1
                alarm = Alarm(id, text, priority, value=value, quality=quality)
                return [self._journal(alarm, Trigger.RAISE, time_us, Act())]
            alarm = replace(self._alarms[id], value=value, quality=quality)
            return self._process(alarm, Trigger.RAISE, time_us)

    def return_(
        self, app: str, instance: str, path: str, value: float | None, quality: int, time_us: int
    ) -> list[EventRecord]:
        """The condition of an alarm ended. Returns what is journalled of it."""
        with self.together():
            known = self._alarms.get(AlarmId(app, instance, path))
            if known is None:
                return []
            return self._process(replace(known, value=value, quality=quality), Trigger.RETURN, time_us)

    def tell(self, record: EventRecord) -> EventRecord:
        """Journal and send what is no alarm: a program's event, a command's result, an app's life."""
        with self.together():
            return self._number(record)

    def journalled(self, type: EventType, transition: str, mark: str) -> bool:
        """Whether the file has such an entry; see `AlarmStore.holds`."""
        with self._lock:
            return self._store is not None and self._store.holds(type, transition, mark)

    def latest(self, count: int) -> list[EventRecord]:
        """The newest entries that tell people something, oldest first; none while there is no file."""
        with self._lock:
            return [] if self._store is None else self._store.latest(count)

    def standing(self, app: str) -> set[tuple[str, str]]:
        """(instance, path) of the app's alarms whose condition stands, as far as is known."""
        with self._lock:
            return {id[1:] for id, alarm in self._alarms.items() if id.app == app and alarm.condition.active}

    def reconcile(self, app: str, standing: Iterable[tuple[str, str]], time_us: int) -> list[EventRecord]:
        """An app started anew: take back what it no longer sees, which may have ended meanwhile.

        Args:
            app: The app.
            standing: (instance, path) of the alarms whose condition stands after its first scan.
            time_us: Time of that scan.
        """
        with self.together():
            ended = sorted(self.standing(app) - set(standing))
            return [
                record
                for instance, path in ended
                for record in self.return_(app, instance, path, None, 0, time_us)
            ]

    def retire(self, kept: Iterable[AlarmId], time_us: int) -> list[EventRecord]:
        """Forget all alarms but those that an installed app still has.

        Returns:
            What is journalled: of those that were not normal.
        """
        with self.together():
            records = []
            for id in sorted(self._alarms.keys() - set(kept)):
                alarm = self._alarms.pop(id)
                self._shelved.discard(id)
                self._changed.add(id)
                if alarm.condition != Condition(latching=alarm.condition.latching):
                    alarm = replace(alarm, condition=Condition())
                    records.append(self._journal(alarm, REMOVED, time_us, Act()))
            return records

    # -- what operators and the clock say ------------------------------------------------------

    def command(
        self, id: AlarmId, trigger: Trigger, now_us: int, act: Act, until_us: int | None = None
    ) -> list[EventRecord]:
        """An operator does something to an alarm.

        Args:
            id: Which alarm.
            trigger: What.
            now_us: Now.
            act: Who and why.
            until_us: With SHELVE: until when.

        Raises:
            RefusedError: There is no such alarm, its state does not allow it, or the time is wrong.
        """
        with self.together():
            alarm = self._alarms.get(id)
            if alarm is None:
                raise RefusedError("there is no such alarm")
            if trigger is Trigger.SHELVE:
                latest_us = now_us + limits.SHELVE_MAX_S * 1_000_000
                if until_us is None or not now_us < until_us <= latest_us:
                    raise RefusedError(f"it can be shelved for at most {limits.SHELVE_MAX_S // 86_400} days")
            return [self._move(alarm, trigger, now_us, act, until_us)]

    def step(self, now_us: int) -> list[EventRecord]:
        """End what is shelved long enough, and write what could not be written before."""
        with self.together():
            due = [id for id in sorted(self._shelved) if is_expired(self._alarms[id].condition, now_us)]
            return [self._move(self._alarms[id], Trigger.EXPIRE, now_us, Act()) for id in due]

    def alarms(self) -> Mapping[AlarmId, Alarm]:
        """Every alarm, as of now."""
        with self._lock:
            return dict(self._alarms)

    # -- durability ----------------------------------------------------------------------------

    def send_again(self, after: int) -> int:
        """At a start: send what is journalled beyond this number. Returns how many."""
        with self._lock:
            assert self._store is not None, "called at a start, with a file that was just opened"
            records = list(self._store.journal(after))
            self._send(records)
            return len(records)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Join several calls into one transaction; the lock is held meanwhile."""
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth:
                    self._flush()

    def _flush(self) -> None:
        """Make durable what changed, then send it."""
        if not self._changed and not self._waiting:
            return
        lost, self._lost = self._lost, LostEvents()
        if lost.count:
            latest_us = self._waiting[-1].time_us if self._waiting else lost.t_to_us
            self._number(lost.declaration(latest_us))
        try:
            self._write()
        except StoreError as error:
            self.trouble = str(error)
            self.damaged = isinstance(error, StoreDamagedError)
            if lost.count:  # it is told when there is room, with what is lost until then
                self._waiting.pop()
                self._lost = lost
            self._bound()
            return
        records, self._waiting = self._waiting, []
        self._changed = set()
        self.trouble = ""
        if records:
            self._send(records)

    def _write(self) -> None:
        if self._store is None:
            raise StoreDamagedError("expected a file of alarms, got none that could be made")
        with self._store.transaction():
            self._store.forget(id for id in self._changed if id not in self._alarms)
            self._store.write((self._alarms[id] for id in self._changed if id in self._alarms), self._waiting)

    def replace_store(self, make: Callable[[], AlarmStore]) -> None:
        """Go on with a new file in place of one that is damaged; every state is written to it.

        Args:
            make: Closes the damaged file and makes a new one; nobody else uses either meanwhile.

        Raises:
            StoreError: None can be made now. Alarms go on in memory, and `damaged` stays.
        """
        with self.together():
            self._store = None
            self._store = make()
            self.damaged = False
            self._changed = set(self._alarms)

    def _bound(self) -> None:
        gone = max(0, len(self._waiting) - limits.ALARM_RECORDS_WAITING_MAX)
        for record in self._waiting[:gone]:
            self._lost.add(record.time_us)
        del self._waiting[:gone]

    # -- leaves --------------------------------------------------------------------------------

    def _process(self, alarm: Alarm, trigger: Trigger, time_us: int) -> list[EventRecord]:
        if advance(alarm.condition, trigger) is alarm.condition:
            return []
        if trigger is Trigger.RAISE:
            self.raised += 1
            alarm = replace(alarm, raised_us=time_us, count=alarm.count + 1)
        return [self._move(alarm, trigger, time_us, Act())]

    def _move(
        self, alarm: Alarm, trigger: Trigger, time_us: int, act: Act, until_us: int | None = None
    ) -> EventRecord:
        moved = replace(alarm, condition=advance(alarm.condition, trigger, until_us), changed_us=time_us)
        if act.operator:
            moved = replace(moved, operator=act.operator, comment=act.comment)
        self._keep(moved)
        detail: dict[str, Scalar] = {} if until_us is None else {"until_us": until_us}
        return self._journal(moved, trigger, time_us, act, detail)

    def _keep(self, alarm: Alarm) -> None:
        self._alarms[alarm.id] = alarm
        self._changed.add(alarm.id)
        if alarm.condition.state is State.SHELVED:
            self._shelved.add(alarm.id)
        else:
            self._shelved.discard(alarm.id)

    def _journal(
        self,
        alarm: Alarm,
        transition: str,
        time_us: int,
        act: Act,
        detail: Mapping[str, Scalar] | None = None,
    ) -> EventRecord:
        return self._number(
            EventRecord(
                time_us,
                EventType.ALARM,
                *alarm.id,
                alarm.text,
                alarm.priority,
                str(transition),
                str(alarm.condition.state),
                alarm.value,
                alarm.quality,
                act.operator,
                act.comment,
                detail=detail or {},
            )
        )

    def _number(self, record: EventRecord) -> EventRecord:
        numbered = replace(clean_event(record), number=self._next)
        self._next += 1
        self._waiting.append(numbered)
        return numbered
