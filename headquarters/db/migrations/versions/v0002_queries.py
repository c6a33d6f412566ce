"""Queries that were asked, and saved ones.

Revision ID: 0002_queries
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_queries"
down_revision = "0001_ground"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "queries",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("id", "tenant", "asked_by")),
        sa.Column("asked_us", sa.BigInteger(), nullable=False),
        sa.Column("sql", sa.Text(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("state", "fault")),
        sa.Column("message", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("rows_read", "rows", "bytes")),
        sa.Column("truncated", sa.String(), nullable=False),
        sa.Column("took_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queries")),
    )
    op.create_index("ix_queries_asked", "queries", ["tenant", "asked_by", "asked_us"])
    op.create_table(
        "saved_queries",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("id", "tenant", "owner", "name")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("description", "sql")),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_queries")),
    )
    op.create_index("ix_saved_queries_name", "saved_queries", ["tenant", "owner", "name"], unique=True)
