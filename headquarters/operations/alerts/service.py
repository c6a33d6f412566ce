"""Judges alert rules and delivers what fires: in the web process, else in headquarters' own.

Rules:
1. What fires is written down, with what is to be delivered, in one transaction; a restart repeats nothing.
2. A delivery that fails is tried again after 10 s, then twice as long each time up to an hour, for a day.
3. Deliveries of one channel that are due go as one message, `BATCH_MAX` at most.
4. A store that cannot be read stops nothing: it is logged, and the next step tries again.
"""

from __future__ import annotations

import fcntl
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from headquarters.db.engine import reading, writing
from headquarters.operations.alerts.channels import Channel, ChannelError
from headquarters.operations.alerts.evaluator import Evaluator
from headquarters.operations.alerts.store import Notifications, Rules, Silences
from headquarters.operations.signals import Value
from protocols.daemon import EventLog, Stop
from protocols.errors import CatchmentError

BATCH_MAX = 200
RETRY_MIN_S, RETRY_MAX_S = 10.0, 3600.0
GIVE_UP_S = 86_400.0
LOCK_RETRY_S = 30.0


def pause_s(tries: int) -> float:
    """How long to wait after a delivery failed so often.

    >>> [pause_s(tries) for tries in (1, 2, 3, 20)]
    [10.0, 20.0, 40.0, 3600.0]
    """
    return min(RETRY_MAX_S, RETRY_MIN_S * float(1 << min(tries - 1, 20)))


class Alerts:
    """Judges and delivers, step by step.

    Args:
        metadata: The metadata store.
        read: Gives all values now.
        channels: That deliver.
        log: For what goes wrong.
    """

    def __init__(
        self, metadata: Engine, read: Callable[[], list[Value]], channels: Sequence[Channel], log: EventLog
    ) -> None:
        self._metadata = metadata
        self._read = read
        self._channels = channels
        self._log = log
        with reading(metadata) as session:
            firing = [(each.rule, each.labels) for each in Notifications(session).firing()]
        self._evaluator = Evaluator(firing)

    def step(self, now: float) -> None:
        """Judge once, and deliver what is due.

        Args:
            now: Seconds since 1970.

        Raises:
            StoreError: A store failed.
        """
        values, at_us = self._read(), round(now * 1e6)
        with reading(self._metadata) as session:
            rules = Rules(session).all()
        changes = self._evaluator.step(rules, values, now)
        names = [channel.name for channel in self._channels]
        with writing(self._metadata) as session:
            silences = Silences(session).open(at_us)
            Notifications(session).take(changes, silences, names, at_us)
        for change in changes:
            if change.firing:
                self._log.warning(
                    "alert-fires",
                    rule=change.rule.name,
                    summary=change.rule.say(change.labels, change.value),
                    labels=dict(change.labels),
                )
            else:
                self._log.info("alert-ends", rule=change.rule.name, labels=dict(change.labels))
        for channel in self._channels:
            self._deliver(channel, now)

    def _deliver(self, channel: Channel, now: float) -> None:
        at_us = round(now * 1e6)
        with reading(self._metadata) as session:
            due = Notifications(session).due(channel.name, at_us, BATCH_MAX)
        if not due:
            return
        ids = [each.id for each in due]
        try:
            channel.send(due, now)
        except ChannelError as error:
            self._log.error("alert-not-delivered", channel=channel.name, count=len(due), error=str(error))
            with writing(self._metadata) as session:
                for each in due:
                    given_up = now - each.made_us / 1e6 > GIVE_UP_S
                    next_us = None if given_up else round(1e6 * (now + pause_s(each.tries + 1)))
                    Notifications(session).failed([each.id], str(error), next_us)
            return
        with writing(self._metadata) as session:
            Notifications(session).delivered(ids)


def watch(make: Callable[[], Alerts], data: Path, interval_s: float, stop: Stop, log: EventLog) -> None:
    """Judge and deliver until a stop; of several processes on one home one alone judges.

    Args:
        make: Makes the alerts, when this process is the one.
        data: The data folder of headquarters, which has the lock.
        interval_s: Between steps.
        stop: Ends it.
        log: For faults.
    """
    while not stop.asked:
        with _alone(data / "alerts.lock") as is_alone:
            if is_alone:
                _judge(make, interval_s, stop, log)
        stop.wait(LOCK_RETRY_S)


def _judge(make: Callable[[], Alerts], interval_s: float, stop: Stop, log: EventLog) -> None:
    alerts: Alerts | None = None
    while not stop.asked:
        try:
            alerts = alerts or make()
            alerts.step(time.time())
        except CatchmentError as error:
            log.error("alerts-failed", error=str(error))
        except Exception as error:
            log.error("alerts-failed", error="".join(traceback.format_exception(error)))
        stop.wait(interval_s)


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
