"""Tables of alerts: rules, silences, notifications, and their deliveries."""

from __future__ import annotations

from sqlalchemy import Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from headquarters.db.base import Base, Micros


class AlertRuleRow(Base):
    """A rule that somebody added, or that takes the place of one that is there from the start."""

    __tablename__ = "alert_rules"

    name: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[str] = mapped_column(Text)
    changed_us: Mapped[Micros]


class AlertSilenceRow(Base):
    """What is not delivered for a while."""

    __tablename__ = "alert_silences"

    id: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str]
    labels: Mapped[str] = mapped_column(Text)
    begins_us: Mapped[Micros]
    ends_us: Mapped[Micros] = mapped_column(index=True)
    comment: Mapped[str] = mapped_column(Text)
    made_by: Mapped[str]


class AlertNotificationRow(Base):
    """One time that a series of a rule fired."""

    __tablename__ = "alert_notifications"
    __table_args__ = (Index("ix_alert_notifications_fired", "fired_us", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str]
    labels: Mapped[str] = mapped_column(Text)
    severity: Mapped[str]
    summary: Mapped[str] = mapped_column(Text)
    fired_us: Mapped[Micros]
    resolved_us: Mapped[Micros | None] = mapped_column(index=True)
    told: Mapped[bool]


class AlertDeliveryRow(Base):
    """A notification on its way to one channel."""

    __tablename__ = "alert_deliveries"

    id: Mapped[str] = mapped_column(primary_key=True)
    notification: Mapped[str] = mapped_column(index=True)
    channel: Mapped[str]
    firing: Mapped[bool]
    tries: Mapped[Micros]
    due_us: Mapped[Micros | None] = mapped_column(index=True)
    error: Mapped[str] = mapped_column(Text)
    made_us: Mapped[Micros]
