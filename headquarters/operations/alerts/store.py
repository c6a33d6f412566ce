"""Rules, silences, notifications and deliveries within one transaction of the metadata store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.orm import Session

from headquarters.db.base import new_id
from headquarters.db.upsert import insert_for
from headquarters.operations.alerts.evaluator import Change
from headquarters.operations.alerts.rules import DEFAULTS, Rule, checked, matches, to_json
from headquarters.operations.alerts.tables import (
    AlertDeliveryRow,
    AlertNotificationRow,
    AlertRuleRow,
    AlertSilenceRow,
)

KEPT_US = 90 * 86_400_000_000
"""Notifications that are over are kept for a quarter."""


@dataclass(frozen=True, slots=True)
class Silence:
    """What is not delivered for a while.

    Args:
        id: For good.
        rule: Pattern of the rules' names.
        labels: Patterns of labels.
        begins_us: From when.
        ends_us: Until when.
        comment: Why.
        made_by: Login of who made it.
    """

    id: str
    rule: str
    labels: Mapping[str, str]
    begins_us: int
    ends_us: int
    comment: str
    made_by: str

    def covers(self, rule: str, labels: Mapping[str, str], at_us: int) -> bool:
        """Whether a notification is silenced."""
        return self.begins_us <= at_us < self.ends_us and matches(
            {"": self.rule, **self.labels}, {"": rule, **labels}
        )


@dataclass(frozen=True, slots=True)
class Notification:
    """One time that a series of a rule fired; times in microseconds since 1970.

    Args:
        id: For good.
        rule: Name of the rule.
        labels: Of the series.
        severity: Of the rule then.
        summary: What is said.
        fired_us: Since when.
        resolved_us: Until when; `None` while it fires.
        told: Whether it was given to the channels; not while it is silenced.
    """

    id: str
    rule: str
    labels: dict[str, str]
    severity: str
    summary: str
    fired_us: int
    resolved_us: int | None
    told: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notification on its way.

    Args:
        id: Of the delivery; the same at every try.
        channel: `email` or `webhook`.
        firing: Whether it tells of the begin, or of the end.
        tries: How often it was tried.
        made_us: Since when it is due.
        notification: What is told.
    """

    id: str
    channel: str
    firing: bool
    tries: int
    made_us: int
    notification: Notification


class Rules:
    """The rules in force: those that are there from the start, and what was added."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> list[Rule]:
        """Every rule, by name."""
        rows = self._session.execute(select(AlertRuleRow.content)).scalars()
        stored = {rule.name: rule for rule in (Rule(**json.loads(content)) for content in rows)}
        return sorted(({rule.name: rule for rule in DEFAULTS} | stored).values(), key=lambda rule: rule.name)

    def put(self, rule: Rule, at_us: int) -> None:
        """Add a rule, or put it in the place of the one of its name.

        Raises:
            InputError: It cannot be judged.
        """
        content = json.dumps(to_json(checked(rule)), ensure_ascii=False)
        values = {"name": rule.name, "content": content, "changed_us": at_us}
        statement = insert_for(self._session, AlertRuleRow).values(**values)
        self._session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

    def remove(self, name: str) -> bool:
        """Remove what was added under a name; a rule that is there from the start is then as it was."""
        found = self._session.execute(
            delete(AlertRuleRow).where(AlertRuleRow.name == name).returning(AlertRuleRow.name)
        )
        return found.one_or_none() is not None


class Silences:
    """Silences."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(
        self, rule: str, labels: Mapping[str, str], begins_us: int, ends_us: int, comment: str, made_by: str
    ) -> Silence:
        """Silence what matches."""
        silence = Silence(new_id(), rule, dict(labels), begins_us, ends_us, comment, made_by)
        self._session.add(
            AlertSilenceRow(
                id=silence.id,
                rule=rule,
                labels=json.dumps(silence.labels, ensure_ascii=False),
                begins_us=begins_us,
                ends_us=ends_us,
                comment=comment,
                made_by=made_by,
            )
        )
        self._session.flush()
        return silence

    def open(self, at_us: int) -> list[Silence]:
        """Those that are not over, the first to end first."""
        row = AlertSilenceRow
        columns = (row.id, row.rule, row.labels, row.begins_us, row.ends_us, row.comment, row.made_by)
        rows = self._session.execute(
            select(*columns).where(row.ends_us > at_us).order_by(row.ends_us, row.id)
        )
        return [
            Silence(id, rule, json.loads(labels), begins_us, ends_us, comment, made_by)
            for id, rule, labels, begins_us, ends_us, comment, made_by in rows
        ]

    def end(self, id: str, at_us: int) -> bool:
        """End one now; returns whether it was open."""
        row = AlertSilenceRow
        where = and_(row.id == id, row.ends_us > at_us)
        found = self._session.execute(update(row).where(where).values(ends_us=at_us).returning(row.id))
        return found.one_or_none() is not None


class Notifications:
    """Notifications and their deliveries."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def firing(self) -> list[Notification]:
        """Those that fire, the oldest first."""
        row = AlertNotificationRow
        rows = self._session.execute(
            select(*_COLUMNS).where(row.resolved_us.is_(None)).order_by(row.fired_us, row.id)
        )
        return [_notification(each) for each in rows]

    def page(self, before: tuple[int, str] | None, limit: int) -> list[Notification]:
        """Notifications, the newest first.

        Args:
            before: Time and id of the last of the page before.
            limit: Rows at most.
        """
        row = AlertNotificationRow
        query = select(*_COLUMNS).order_by(row.fired_us.desc(), row.id.desc()).limit(limit)
        if before is not None:
            at_us, id = before
            query = query.where(or_(row.fired_us < at_us, and_(row.fired_us == at_us, row.id < id)))
        return [_notification(each) for each in self._session.execute(query)]

    def take(
        self, changes: Iterable[Change], silences: Sequence[Silence], channels: Sequence[str], at_us: int
    ) -> None:
        """Write down what changed, and what is to be delivered.

        What is silenced is delivered when the silence ends and it still fires. The end of what was never told
        is not told.

        Args:
            changes: Of the evaluator.
            silences: Those that are open.
            channels: That deliver.
            at_us: Now.
        """
        row = AlertNotificationRow
        open_ = {(each.rule, _text(each.labels)): each for each in self.firing()}
        for change in changes:
            key = (change.rule.name, _text(change.labels))
            known = open_.pop(key, None) if not change.firing else open_.get(key)
            if change.firing and known is None:
                made = Notification(
                    new_id(), key[0], dict(change.labels), change.rule.severity,
                    change.rule.say(change.labels, change.value), at_us, None, False,
                )  # fmt: skip
                self._session.add(row(**{name: getattr(made, name) for name in _NAMES} | {"labels": key[1]}))
                open_[key] = made
            elif not change.firing and known is not None:
                self._session.execute(update(row).where(row.id == known.id).values(resolved_us=at_us))
                if known.told:
                    self._deliver(known, channels, False, at_us)
        self._session.flush()
        for each in open_.values():
            if not each.told and not any(
                silence.covers(each.rule, each.labels, at_us) for silence in silences
            ):
                self._session.execute(update(row).where(row.id == each.id).values(told=True))
                self._deliver(each, channels, True, at_us)
        self._forget(at_us - KEPT_US)

    def due(self, channel: str, at_us: int, limit: int) -> list[Delivery]:
        """Deliveries of a channel that are due, the oldest first."""
        row = AlertDeliveryRow
        rows = self._session.execute(
            select(row.id, row.channel, row.firing, row.tries, row.made_us, *_COLUMNS)
            .join(AlertNotificationRow, AlertNotificationRow.id == row.notification)
            .where(row.channel == channel, row.due_us <= at_us)
            .order_by(row.made_us, row.id)
            .limit(limit)
        )
        return [
            Delivery(each[0], each[1], each[2], each[3], each[4], _notification(each[5:])) for each in rows
        ]

    def delivered(self, ids: Sequence[str]) -> None:
        """They arrived."""
        row = AlertDeliveryRow
        self._session.execute(
            update(row).where(row.id.in_(ids)).values(due_us=None, error="", tries=row.tries + 1)
        )

    def failed(self, ids: Sequence[str], error: str, due_us: int | None) -> None:
        """They did not.

        Args:
            ids: Of the deliveries.
            error: Why.
            due_us: When they are tried again; `None`: never.
        """
        row = AlertDeliveryRow
        values = {"due_us": due_us, "error": error[:500], "tries": row.tries + 1}
        self._session.execute(update(row).where(row.id.in_(ids)).values(**values))

    def _deliver(self, each: Notification, channels: Sequence[str], firing: bool, at_us: int) -> None:
        for channel in channels:
            self._session.add(
                AlertDeliveryRow(
                    id=new_id(),
                    notification=each.id,
                    channel=channel,
                    firing=firing,
                    tries=0,
                    due_us=at_us,
                    error="",
                    made_us=at_us,
                )
            )
        self._session.flush()

    def _forget(self, before_us: int) -> None:
        row = AlertNotificationRow
        old = select(row.id).where(row.resolved_us < before_us)
        self._session.execute(delete(AlertDeliveryRow).where(AlertDeliveryRow.notification.in_(old)))
        self._session.execute(delete(row).where(row.resolved_us < before_us))


_NAMES = ("id", "rule", "labels", "severity", "summary", "fired_us", "resolved_us", "told")
_COLUMNS = tuple(getattr(AlertNotificationRow, name) for name in _NAMES)


def _notification(row: Sequence[object]) -> Notification:
    id, rule, labels, *rest = row
    return Notification(id, rule, json.loads(str(labels)), *rest)  # type: ignore[arg-type]


def _text(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(sorted(labels.items())), ensure_ascii=False)
