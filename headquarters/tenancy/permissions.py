"""Every permission and every role: the tables that all of headquarters decides by.

Rules:
1. A permission is `thing:action`. What is not in the table does not exist; a role names its own.
2. Those marked `group` are of the group alone: a role gives them to members of tenant `group` only.
3. System, security and audit administrators are apart (GB/T 22239, level 3): no one holds two.
4. Administrators' permissions do not overlap where one is to watch the other: who makes accounts
   gives no roles, who gives roles makes no accounts, and only the auditor reads the audit.

>>> sorted(permission for permission in PERMISSIONS if "auditor" in permission)
[]
>>> allowed("audit-administrator")
frozenset({'audit:read'})
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Permission:
    """One row of the table.

    Args:
        en: What it allows, in English.
        zh: The same in Chinese.
        group: Whether it is of the group alone.
    """

    en: str
    zh: str
    group: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """One role.

    Args:
        en: Its name in English.
        zh: Its name in Chinese.
        permissions: What it allows.
    """

    en: str
    zh: str
    permissions: frozenset[str]


PERMISSIONS = {
    "overview:read": Permission("See the overview", "查看总览"),
    "gateways:read": Permission("See gateways, hubs and their health", "查看网关、枢纽及其健康状况"),
    "gateways:approve": Permission("Let gateways and hubs in", "批准网关和枢纽接入", group=True),
    "gateways:revoke": Permission("Put gateways and hubs out", "吊销网关和枢纽", group=True),
    "points:read": Permission("Search points", "检索测点"),
    "samples:read": Permission("Read live values and history", "读取实时值和历史数据"),
    "alarms:read": Permission("See alarms", "查看报警"),
    "alarms:act": Permission("Acknowledge and shelve alarms", "确认和搁置报警"),
    "commands:send": Permission(
        "Have gateways read points, refresh, send logs", "命令网关读点、刷新、上传日志"
    ),
    "commands:write": Permission("Have gateways write points and begin anew", "命令网关写点、重启会话"),
    "events:read": Permission("See events", "查看事件"),
    "queries:run": Permission("Run SQL queries", "运行 SQL 查询"),
    "queries:share": Permission("Share saved queries", "共享已保存的查询"),
    "catalogue:read": Permission("See the catalogue", "查看数据目录"),
    "catalogue:write": Permission("Describe and own catalogue entries", "维护数据目录"),
    "rollouts:read": Permission("See roll-outs", "查看发布"),
    "rollouts:control": Permission("Start, pause and abort roll-outs", "启动、暂停和中止发布", group=True),
    "desired:read": Permission("See what gateways should run", "查看网关的期望状态"),
    "desired:write": Permission("Change what gateways should run", "修改网关的期望状态", group=True),
    "users:read": Permission("See users and groups", "查看用户和用户组"),
    "users:write": Permission("Make and disable users and groups", "创建和停用用户及用户组"),
    "roles:write": Permission("Give and take roles", "授予和收回角色"),
    "tenants:read": Permission("See the tenant, its sites and quotas", "查看租户、站点和配额"),
    "tenants:write": Permission(
        "Make tenants, give sites, views and quotas", "管理租户、站点、视图和配额", True
    ),
    "audit:read": Permission("Read the audit", "查看审计记录"),
    "tokens:write": Permission("Make and revoke tokens of others", "管理他人的访问令牌"),
    "operations:read": Permission("See metrics, jobs and capacity", "查看指标、任务和容量", group=True),
    "operations:write": Permission(
        "Change alert rules, jobs and retention", "管理告警规则、任务和保留期", True
    ),
    "backups:read": Permission("See backups", "查看备份", group=True),
    "backups:run": Permission("Run backups and drills", "执行备份和演练", group=True),
}

_VIEW = {
    "overview:read",
    "gateways:read",
    "points:read",
    "samples:read",
    "alarms:read",
    "events:read",
    "catalogue:read",
    "rollouts:read",
    "desired:read",
}
_ENGINEER = _VIEW | {"queries:run", "queries:share", "catalogue:write"}

ROLES = {
    "viewer": Role("Viewer", "查看者", frozenset(_VIEW)),
    "operator": Role(
        "Operator",
        "操作员",
        frozenset(_VIEW | {"alarms:act", "commands:send", "commands:write", "queries:run"}),
    ),
    "engineer": Role(
        "Data engineer",
        "数据工程师",
        frozenset(_ENGINEER | {"commands:send", "desired:write", "rollouts:control"}),
    ),
    "publisher": Role("Publisher", "发布者", frozenset(_ENGINEER)),
    "system-administrator": Role(
        "System administrator",
        "系统管理员",
        frozenset(
            {
                "overview:read",
                "gateways:read",
                "users:read",
                "users:write",
                "tenants:read",
                "tenants:write",
                "operations:read",
                "operations:write",
                "backups:read",
                "backups:run",
            }
        ),
    ),
    "security-administrator": Role(
        "Security administrator",
        "安全管理员",
        frozenset(
            {
                "overview:read",
                "gateways:read",
                "gateways:approve",
                "gateways:revoke",
                "users:read",
                "roles:write",
                "tenants:read",
                "tokens:write",
            }
        ),
    ),
    "audit-administrator": Role("Audit administrator", "审计管理员", frozenset({"audit:read"})),
}

ADMINISTRATORS = frozenset({"system-administrator", "security-administrator", "audit-administrator"})
"""The three that no one holds two of."""

assert all(role.permissions <= PERMISSIONS.keys() for role in ROLES.values())
assert PERMISSIONS.keys() == frozenset().union(*(role.permissions for role in ROLES.values()))


def allowed(role: str) -> frozenset[str]:
    """What a role allows; nothing for a role that does not exist."""
    found = ROLES.get(role)
    return frozenset() if found is None else found.permissions


def administrators(roles: Iterable[str]) -> tuple[str, ...]:
    """Those of the three administrators that are among some roles, sorted; more than one is forbidden.

    >>> administrators({"viewer", "audit-administrator", "system-administrator"})
    ('audit-administrator', 'system-administrator')
    """
    return tuple(sorted(ADMINISTRATORS.intersection(roles)))
