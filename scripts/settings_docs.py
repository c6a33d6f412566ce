"""Writes docs/settings.md from the declared settings, so that it cannot say anything else.

    python -m scripts.settings_docs       rewrite docs/settings.md (`make docs`)

A test compares the file with what this prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import headquarters.config as headquarters_config
import hub.config as hub_config
from edge_runtime import settings as edge_settings
from edge_runtime.slots import settings as slot_settings
from headquarters.operations.alerts.settings import ALERTS
from protocols.backup.settings import BACKUP
from protocols.field import registry
from protocols.field.settings import Kind, Setting
from protocols.logfile import LOG
from protocols.pointtable import COLUMNS
from protocols.probeserver import METRICS

FILE = Path(__file__).parents[1] / "docs" / "settings.md"

HEAD = """\
# Settings

Made from the programs' own declarations by `make docs`.

A node's configuration is one TOML file in its home directory; a gateway has its point table beside it.
`init` writes them with comments. What is left out takes its default; what is not known here is refused,
with its line and the nearest known name. `catchment-edge check` tells every fault at once.
"""


SUPERVISOR_HEAD = """\
In a machine's root directory, beside `slots/`; see [firmware](firmware.md). It need not be there.
`late_ms` and `memory_mb` have defaults of each tier: 200 ms and 1,000 MB for a gateway, 4,000 MB for a hub
(whose `late_ms` means nothing), 10,000 ms and 16,000 MB for headquarters, whose `start_s` is 120 s.
"""


class Table(NamedTuple):
    """One TOML table.

    Args:
        heading: As it is written.
        help: A sentence, or nothing where the name says it.
        settings: What it may hold.
    """

    heading: str
    help: str
    settings: Sequence[Setting]


HUB = (
    Table("[hub]", "Who the hub is, and where it listens.", hub_config.HUB),
    Table("[store]", "What it may keep.", hub_config.STORE),
    Table("[[upstream]]", "Where batches go, one table for each way.", hub_config.UPSTREAM),
    Table("[headquarters]", "Whose receipts let batches go.", hub_config.HEADQUARTERS),
    Table("[[landing]]", "Folders where a one-way isolator puts files.", hub_config.LANDING),
    Table("[backup]", "Where backups go; see [Backups](backup.md).", BACKUP),
    Table("[metrics]", "For monitors; see [Operations](operations.md).", METRICS),
    Table("[log]", "Logging, beside standard error.", LOG),
)
HEADQUARTERS = (
    Table("[headquarters]", "Who headquarters is, and where it listens.", headquarters_config.HEADQUARTERS),
    Table("[lake]", "The lake's folder, commits and roll-ups.", headquarters_config.LAKE),
    Table("[archive]", "Payloads as they came, for `catchment-hq verify`.", headquarters_config.ARCHIVE),
    Table("[security]", "Certificates and enrolment.", headquarters_config.SECURITY),
    Table(
        "[metadata]",
        "Accounts, the audit, and what else is neither sample nor key.",
        headquarters_config.METADATA,
    ),
    Table("[accounts]", "Passwords, sessions and second factors of people.", headquarters_config.ACCOUNTS),
    Table("[oidc]", "An OpenID provider that people may sign in by.", headquarters_config.OIDC),
    Table("[web]", "The API and the portal: see [the API](api.md).", headquarters_config.WEB),
    Table("[backup]", "Where backups go; see [Backups](backup.md).", BACKUP),
    Table("[metrics]", "For monitors; see [Operations](operations.md).", METRICS),
    Table("[alerts]", "How alerts reach people; see [Operations](operations.md#alerts).", ALERTS),
    Table("[log]", "Logging, beside standard error.", LOG),
)


SUPERVISOR = (
    Table(
        "[supervisor]", "When a new firmware is confirmed, and when it is given up.", slot_settings.SUPERVISOR
    ),
    Table("[health]", "What is asked of a program.", slot_settings.HEALTH),
)


def render() -> str:
    """The whole of docs/settings.md."""
    parts = [HEAD, "## gateway.toml\n"]
    parts += [_table(Table(*section)) for section in edge_settings.SECTIONS.values()]
    parts += _drivers()
    parts += ["## points.csv\n", _columns(), "## hub.toml\n", *map(_table, HUB)]
    parts += ["## headquarters.toml\n", *map(_table, HEADQUARTERS)]
    parts += ["## supervisor.toml\n", SUPERVISOR_HEAD, *map(_table, SUPERVISOR)]
    return "\n".join(parts)


def _drivers() -> Iterator[str]:
    for name in registry.names():
        driver = registry.driver_type(name)
        maturity = f"Driver `{name}`: {driver.title}; {driver.maturity}."
        yield _table(Table(f'[device.NAME] with driver = "{name}"', maturity, driver.settings))


def _table(table: Table) -> str:
    lines = [f"### {table.heading}", "", table.help, "", "| setting | takes | default | meaning |"]
    lines += ["|---|---|---|---|", *(_row(setting) for setting in table.settings), ""]
    return "\n".join(lines)


def _row(setting: Setting) -> str:
    cells = (f"`{setting.name}`", setting.expected, _default(setting), setting.help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    if setting.default is None or setting.default == "":
        return "none"
    if setting.kind is Kind.BOOLEAN:
        return f"`{str(setting.default).lower()}`"
    if isinstance(setting.default, float):
        return f"`{setting.default:g}`"
    return f"`{setting.default}`"


def _columns() -> str:
    rows = [f"| `{each.name}` | {'yes' if each.required else ''} | {each.help} |" for each in COLUMNS]
    head = "The point table, as CSV or XLSX; columns may stand in any order."
    return "\n".join([head, "", "| column | required | meaning |", "|---|---|---|", *rows, ""])


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
