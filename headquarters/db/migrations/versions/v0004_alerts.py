"""Alert rules, silences, notifications and deliveries.

Revision ID: 0004_alerts
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_alerts"
down_revision = "0003_api"
branch_labels = None
depends_on = None


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _long(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _times(*names: str, nullable: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=nullable) for name in names]


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "alert_rules",
        *_texts("name"),
        *_long("content"),
        *_times("changed_us"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_alert_rules")),
    )
    op.create_table(
        "alert_silences",
        *_texts("id", "rule"),
        *_long("labels"),
        *_times("begins_us", "ends_us"),
        *_long("comment"),
        *_texts("made_by"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_silences")),
    )
    op.create_index(op.f("ix_alert_silences_ends_us"), "alert_silences", ["ends_us"])
    op.create_table(
        "alert_notifications",
        *_texts("id", "rule"),
        *_long("labels"),
        *_texts("severity"),
        *_long("summary"),
        *_times("fired_us"),
        *_times("resolved_us", nullable=True),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_notifications")),
    )
    op.create_index("ix_alert_notifications_fired", "alert_notifications", ["fired_us", "id"])
    op.create_index(op.f("ix_alert_notifications_resolved_us"), "alert_notifications", ["resolved_us"])
    op.create_table(
        "alert_deliveries",
        *_texts("id", "notification", "channel"),
        sa.Column("firing", sa.Boolean(), nullable=False),
        *_times("tries"),
        *_times("due_us", nullable=True),
        *_long("error"),
        *_times("made_us"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_deliveries")),
    )
    op.create_index(op.f("ix_alert_deliveries_notification"), "alert_deliveries", ["notification"])
    op.create_index(op.f("ix_alert_deliveries_due_us"), "alert_deliveries", ["due_us"])
