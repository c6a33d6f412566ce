"""Keeps the update repository valid: signs anew what is signed here, warns of what is not.

Rules:
1. Whatever a killed change left half-way is finished first.
2. A role whose keys are in the home is signed anew long before it expires, the timestamp daily.
3. A role whose keys are elsewhere is told of, in the log once a day and in the status always,
   from a month before gateways could no longer be served for the promised window.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from headquarters.updates import roots
from headquarters.updates.keyfile import KeyRing
from headquarters.updates.repository import FOLDER, KEYS, Repository
from headquarters.updates.terms import DAY_S, Alarm, Terms
from protocols.daemon import EventLog, Stop
from protocols.errors import CatchmentError

LOOK_S = 60.0
"""How often it is looked after; the first time at the start."""

REPEAT_S = float(DAY_S)
"""How often an alarm is logged again."""

KEEP_S = 7.0 * DAY_S
"""What is no longer in force stays for clients that are in the middle of it, and for whoever looks back."""


def keep_valid(repository: Repository, keys: KeyRing) -> list[Alarm]:
    """Finish, sign anew, remove what is old, and say what somebody must do.

    Args:
        repository: One that has a root; its lock is held by who calls.
        keys: The ring of the home.

    Returns:
        Alarms, the most urgent first.

    Raises:
        InputError, StoreError: It cannot be done; what was in force stays so.
    """
    roots.complete(repository, keys)
    held = payloads(repository)
    late = {
        role
        for role, signed in held.items()
        if repository.days_left(signed) < repository.terms.renew_below_days(role)
    }
    due = {
        role: signed
        for role, signed in held.items()
        if role in late and isinstance(signed, Targets) and at_hand(repository, keys, role)
    }
    if due or late & {"snapshot", "timestamp"}:
        repository.release(due, keys)
    if repository.staged_root() is None:
        keys.drop_but(roots.keyids_in_use(repository), roots.ONLINE)
    repository.prune(KEEP_S)
    return alarms(repository, keys)


def alarms(repository: Repository, keys: KeyRing) -> list[Alarm]:
    """What will expire too soon, and what to do about it."""
    found: list[Alarm] = []
    for role, signed in payloads(repository).items():
        days_left = repository.days_left(signed)
        level = repository.terms.alarm(role, days_left)
        if level is not None:
            found.append(
                Alarm(role, level, round(days_left, 1), _remedy(role, at_hand(repository, keys, role)))
            )
    return sorted(found, key=lambda alarm: alarm.days_left)


def payloads(repository: Repository) -> dict[str, Root | Timestamp | Snapshot | Targets]:
    """What is in force, by role."""
    payloads: dict[str, Root | Timestamp | Snapshot | Targets] = {}
    root, snapshot, timestamp = repository.root(), repository.snapshot(), repository.timestamp()
    for role, metadata in (("root", root), ("snapshot", snapshot), ("timestamp", timestamp)):
        if metadata is not None:
            payloads[role] = metadata.signed
    for role in repository.live_roles():
        found = repository.role(role)
        assert found is not None
        payloads[role] = found.signed
    return payloads


def at_hand(repository: Repository, keys: KeyRing, role: str) -> bool:
    """Whether a role can be signed with the keys of a ring; a root never, its holders sign it."""
    if role == "root":
        return False
    for authority in repository.authorities(role):
        wanted = authority.get_delegated_role(role)
        if len(keys.signers(wanted.keyids)) < wanted.threshold:
            return False
    return True


def _remedy(role: str, at_hand: bool) -> str:
    if role == "root":
        return "let holders sign: catchment-hq updates sign-root --key FILE"
    if at_hand:
        return "headquarters signs it anew while it runs; see its log"
    return f"sign it anew: catchment-hq updates renew {role.removeprefix('publisher-')} --key FILE"


class UpdatesThread(threading.Thread):
    """Looks after the repository of a running headquarters.

    Args:
        home: The home of headquarters.
        terms: For how long signatures count.
        stop: When to end.
        log: Where alarms go.
        now: Seconds since 1970.
    """

    def __init__(
        self, home: Path, terms: Terms, stop: Stop, log: EventLog, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(name="updates", daemon=True)
        self._repository = Repository(home / "data" / FOLDER, terms, now)
        self._keys = home / KEYS
        self._stop_asked = stop
        self._log = log
        self._now = now
        self._alarms: list[Alarm] = []
        self._failing = ""
        self._told: dict[tuple[str, str], float] = {}

    def describe(self) -> dict[str, object] | None:
        """For the status; `None` without a repository."""
        if not self._repository.exists:
            return None
        return {
            "failing": self._failing,
            "alarms": [
                {"role": a.role, "level": a.level, "days_left": a.days_left, "remedy": a.remedy}
                for a in self._alarms
            ],
        }

    def run(self) -> None:
        """Look after it until a stop."""
        while True:
            self.look()
            if self._stop_asked.wait(LOOK_S):
                return

    def look(self) -> None:
        """Look after it once."""
        if self._repository.root() is None:
            return
        try:
            with self._repository.locked():
                self._alarms = keep_valid(self._repository, KeyRing(self._keys))
            self._failing = ""
        except (CatchmentError, OSError) as error:
            self._failing = str(error)
            if self._due("failing", "error"):
                self._log.error("updates-not-signed", error=str(error))
            return
        for alarm in self._alarms:
            if self._due(alarm.role, alarm.level):
                fields = {"role": alarm.role, "days_left": alarm.days_left, "remedy": alarm.remedy}
                if alarm.level == "error":
                    self._log.error("updates-expire-soon", **fields)
                else:
                    self._log.warning("updates-expire", **fields)

    def _due(self, what: str, level: str) -> bool:
        now = self._now()
        if now - self._told.get((what, level), float("-inf")) < REPEAT_S:
            return False
        self._told[what, level] = now
        return True
