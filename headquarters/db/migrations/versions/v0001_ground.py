"""Tenants, accounts and the audit.

Revision ID: 0001_ground
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from headquarters.db.base import now_us

revision = "0001_ground"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, the tenant that is the group, and the empty chain of the audit."""
    _tenants()
    _people()
    _credentials()
    _audit()
    _seed()
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)


def _seed() -> None:
    names = ("id", "name", "disabled", "created_us")
    tenants = sa.table("tenants", *(sa.column(name) for name in names))
    op.bulk_insert(tenants, [{"id": "group", "name": "Group", "disabled": False, "created_us": now_us()}])
    hashes = (sa.column(name, sa.LargeBinary()) for name in ("hash", "base_hash"))
    head = sa.table("audit_head", *(sa.column(name) for name in ("id", "seq", "base_seq")), *hashes)
    op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": bytes(32), "base_seq": 0, "base_hash": bytes(32)}])


def _tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
    )
    op.create_table(
        "tenant_sites",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_tenant_sites_tenant")),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_tenant_sites")),
    )
    op.create_index(op.f("ix_tenant_sites_tenant"), "tenant_sites", ["tenant"], unique=False)
    op.create_table(
        "tenant_grants",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("points", sa.String(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("granted_by", sa.String(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_tenant_grants_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant_grants")),
    )
    op.create_index("ix_tenant_grants_place", "tenant_grants", ["tenant", "site", "points"], unique=True)
    op.create_table(
        "tenant_quotas",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("thing", sa.String(), nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_tenant_quotas_tenant")),
        sa.PrimaryKeyConstraint("tenant", "thing", name=op.f("pk_tenant_quotas")),
    )
    op.create_table(
        "tenant_usage",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("thing", sa.String(), nullable=False),
        sa.Column("window_us", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_tenant_usage_tenant")),
        sa.PrimaryKeyConstraint("tenant", "thing", name=op.f("pk_tenant_usage")),
    )


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("password", sa.String(), nullable=True),
        sa.Column("password_us", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until_us", sa.BigInteger(), nullable=False),
        sa.Column("totp", sa.LargeBinary(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_users_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("login", name=op.f("uq_users_login")),
    )
    op.create_index(op.f("ix_users_tenant"), "users", ["tenant"], unique=False)
    op.create_table(
        "user_passwords",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("password", sa.String(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_user_passwords_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_passwords")),
    )
    op.create_index(op.f("ix_user_passwords_user"), "user_passwords", ["user"], unique=False)
    op.create_table(
        "user_roles",
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_user_roles_user")),
        sa.PrimaryKeyConstraint("user", "role", name=op.f("pk_user_roles")),
    )
    op.create_table(
        "groups",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_groups_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
    )
    op.create_index("ix_groups_name", "groups", ["tenant", "name"], unique=True)
    op.create_table(
        "group_roles",
        sa.Column("group", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["group"], ["groups.id"], name=op.f("fk_group_roles_group")),
        sa.PrimaryKeyConstraint("group", "role", name=op.f("pk_group_roles")),
    )
    op.create_table(
        "group_members",
        sa.Column("group", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["group"], ["groups.id"], name=op.f("fk_group_members_group")),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_group_members_user")),
        sa.PrimaryKeyConstraint("group", "user", name=op.f("pk_group_members")),
    )
    op.create_index(op.f("ix_group_members_user"), "group_members", ["user"], unique=False)


def _credentials() -> None:
    op.create_table(
        "sign_in_links",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_sign_in_links_user")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_sign_in_links")),
    )
    op.create_index(op.f("ix_sign_in_links_user"), "sign_in_links", ["user"], unique=False)
    op.create_table(
        "recovery_codes",
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_recovery_codes_user")),
        sa.PrimaryKeyConstraint("user", "hash", name=op.f("pk_recovery_codes")),
    )
    op.create_table(
        "user_sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("before", sa.LargeBinary(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("rotated_us", sa.BigInteger(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.Column("ends_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_user_sessions_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_sessions")),
        sa.UniqueConstraint("before", name=op.f("uq_user_sessions_before")),
        sa.UniqueConstraint("hash", name=op.f("uq_user_sessions_hash")),
    )
    op.create_index(op.f("ix_user_sessions_user"), "user_sessions", ["user"], unique=False)
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.String(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=True),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_api_tokens_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
    )
    op.create_index(op.f("ix_api_tokens_user"), "api_tokens", ["user"], unique=False)
    op.create_table(
        "external_identities",
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_external_identities_user")),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_external_identities")),
    )
    op.create_index(op.f("ix_external_identities_user"), "external_identities", ["user"], unique=False)
    op.create_table(
        "external_sign_ins",
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("verifier", sa.LargeBinary(), nullable=False),
        sa.Column("browser", sa.LargeBinary(), nullable=False),
        sa.Column("next", sa.String(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state", name=op.f("pk_external_sign_ins")),
    )


def _audit() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("actor_name", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_entries")),
    )
    op.create_index(op.f("ix_audit_entries_tenant"), "audit_entries", ["tenant"], unique=False)
    op.create_index(op.f("ix_audit_entries_time_us"), "audit_entries", ["time_us"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("base_seq", sa.BigInteger(), nullable=False),
        sa.Column("base_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "audit_seals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("base_seq", sa.BigInteger(), nullable=False),
        sa.Column("base_hash", sa.LargeBinary(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_seals")),
    )


KEEP_S = 180 * 86_400
"""What is younger cannot be removed; `audit.limits` tells why."""

_SQLITE = (
    """create trigger audit_entries_no_update before update on audit_entries begin
    select raise(abort, 'the audit is append-only'); end""",
    f"""create trigger audit_entries_no_delete before delete on audit_entries
    when old.time_us > (cast(strftime('%s', 'now') as integer) - {KEEP_S}) * 1000000 begin
    select raise(abort, 'the audit is kept for 180 days'); end""",
    """create trigger audit_entries_in_order before insert on audit_entries
    when new.seq <> (select seq + 1 from audit_head where id = 1) begin
    select raise(abort, 'the audit is append-only'); end""",
    """create trigger audit_seals_no_update before update on audit_seals begin
    select raise(abort, 'the audit is append-only'); end""",
    """create trigger audit_seals_no_delete before delete on audit_seals begin
    select raise(abort, 'the audit is append-only'); end""",
)

_POSTGRESQL = (
    """create function audit_refuse() returns trigger language plpgsql as $$
    begin raise exception 'the audit is append-only'; end $$""",
    f"""create function audit_keep() returns trigger language plpgsql as $$ begin
    if old.time_us > (extract(epoch from now())::bigint - {KEEP_S}) * 1000000 then
    raise exception 'the audit is kept for 180 days'; end if; return old; end $$""",
    """create function audit_order() returns trigger language plpgsql as $$ begin
    if new.seq <> (select seq + 1 from audit_head where id = 1) then
    raise exception 'the audit is append-only'; end if; return new; end $$""",
    """create trigger audit_entries_no_update before update on audit_entries
    for each row execute function audit_refuse()""",
    """create trigger audit_entries_no_delete before delete on audit_entries
    for each row execute function audit_keep()""",
    """create trigger audit_entries_in_order before insert on audit_entries
    for each row execute function audit_order()""",
    """create trigger audit_entries_no_truncate before truncate on audit_entries
    for each statement execute function audit_refuse()""",
    """create trigger audit_seals_no_change before update or delete on audit_seals
    for each row execute function audit_refuse()""",
    """create trigger audit_seals_no_truncate before truncate on audit_seals
    for each statement execute function audit_refuse()""",
)
