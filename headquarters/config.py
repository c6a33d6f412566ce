"""Headquarters' configuration: `headquarters.toml`, checked.

Rules:
1. `load` returns a configuration that can run, or raises `InputError` with every problem of
   the file at once, each with its line and what was expected there.
2. Every default is in the schemas below and nowhere else; `docs/settings.md` lists them.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headquarters.operations.alerts.settings import ALERTS
from protocols.addresses import is_bind, is_host
from protocols.backup.settings import BACKUP, BackupSettings
from protocols.batch import is_name
from protocols.errors import InputError
from protocols.field.settings import Form, Kind, Setting
from protocols.logfile import LOG, LogConfig
from protocols.probeserver import METRICS
from protocols.tomlfile import TomlFile

CONFIG = "headquarters.toml"


def is_database_url(text: str) -> bool:
    """Whether a text is the URL of a metadata store.

    >>> is_database_url("postgresql+pg8000://hq:secret@db/catchment"), is_database_url("mysql://db/x")
    (True, False)
    """
    return re.fullmatch(r"(sqlite:///|postgresql\+pg8000://)\S+", text) is not None


def is_host_port(text: str) -> bool:
    """Whether a text is a host and a port.

    >>> is_host_port("127.0.0.1:8600"), is_host_port("[::]:0"), is_host_port("8600")
    (True, True, False)
    """
    return is_bind(f"tcp://{text}")


def is_web_url(text: str) -> bool:
    """Whether a text is the URL of a site, without a path.

    >>> is_web_url("https://portal.example.com:8443"), is_web_url("portal.example.com")
    (True, False)
    """
    return re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", text) is not None


HEADQUARTERS = (
    Setting("id", Kind.TEXT, "The node name of headquarters, as in identity.toml.", required=True),
    Setting("bind", Kind.TEXT, "Where hubs and gateways connect.", default="tcp://0.0.0.0:7600"),
    Setting(
        "service",
        Kind.TEXT,
        "Where known nodes call for what comes down, such as tcp://0.0.0.0:7601; left out: closed.",
        form=Form(is_bind, "an address to listen on, such as 'tcp://0.0.0.0:7601'"),
    ),
    Setting(
        "enrolment",
        Kind.TEXT,
        "Where new nodes ask to be let in, such as tcp://0.0.0.0:7602; left out: closed.",
        form=Form(is_bind, "an address to listen on, such as 'tcp://0.0.0.0:7602'"),
    ),
    Setting(
        "level",
        Kind.INTEGER,
        "Where this platform stands: 1 headquarters of the group; 2 beside a hub, or 3 in a large plant,"
        " fed by the same stream: no portal, and no way down to gateways.",
        1,
        low=1,
        high=3,
    ),
    Setting(
        "hole_wait_s",
        Kind.NUMBER,
        "How long to wait for batches that their sender no longer holds, before they are declared missing.",
        3600.0,
        low=0,
        high=31_536_000,
        unit="s",
    ),
)
LAKE = (
    Setting("path", Kind.TEXT, "The lake's folder, seen from the home directory.", "data/lake"),
    Setting("commit_interval_s", Kind.NUMBER, "Time between commits.", 1.0, low=0.05, high=60, unit="s"),
    Setting(
        "commit_rows_max",
        Kind.INTEGER,
        "A commit is made at once with so many rows.",
        2_000_000,
        low=1000,
        high=20_000_000,
    ),
    Setting(
        "buckets",
        Kind.INTEGER,
        "Partitions of each date; raise it when one site's dates grow too large.",
        1,
        low=1,
        high=1024,
    ),
    Setting(
        "rollup_interval_s",
        Kind.NUMBER,
        "How often the roll-ups of hours that changed are made anew.",
        60.0,
        low=1,
        high=86_400,
        unit="s",
    ),
)
ARCHIVE = (
    Setting("path", Kind.TEXT, "The archive's folder, seen from the home directory.", "data/archive"),
    Setting(
        "retention_days",
        Kind.INTEGER,
        "How long payloads are kept as they came; 0 for ever.",
        400,
        low=0,
        high=36_500,
        unit="days",
    ),
)
SECURITY = (
    Setting(
        "host",
        Kind.TEXT,
        "How nodes reach this machine, told to those that enrol here; left out: its host name.",
        form=Form(is_host, "a host name or an IP address"),
    ),
    Setting(
        "certificate_days",
        Kind.INTEGER,
        "How long a node's certificate is valid; it is renewed when a third is left.",
        365,
        low=1,
        high=3650,
        unit="days",
    ),
    Setting(
        "offline_days",
        Kind.INTEGER,
        "How long nodes may be cut off: for so long one whose certificate expired may deliver and renew,"
        " and what is signed for updates is valid for longer.",
        90,
        low=1,
        high=3650,
        unit="days",
    ),
    Setting(
        "forks",
        Kind.TEXT,
        "What follows when a gateway's chain forks: it is quarantined, or only reported.",
        "quarantine",
        choices=("quarantine", "report"),
    ),
)
METADATA = (
    Setting(
        "url",
        Kind.SECRET,
        "Where accounts, audit and all other metadata are kept, such as"
        " postgresql+pg8000://USER:PASSWORD@HOST/DATABASE; left out: a SQLite file, data/metadata.db.",
        form=Form(is_database_url, "sqlite:///PATH or postgresql+pg8000://USER:PASSWORD@HOST/DATABASE"),
    ),
    Setting(
        "audit_retention_days",
        Kind.INTEGER,
        "How long the audit is kept.",
        400,
        low=180,
        high=36_500,
        unit="days",
    ),
)
ACCOUNTS = (
    Setting("password_chars_min", Kind.INTEGER, "Least length of a password.", 12, low=8, high=64),
    Setting(
        "password_classes_min",
        Kind.INTEGER,
        "Least kinds of characters in a password, of lower case, upper case, figures and others.",
        3,
        low=1,
        high=4,
    ),
    Setting(
        "password_history", Kind.INTEGER, "So many passwords before are not taken again.", 5, low=0, high=24
    ),
    Setting(
        "password_days",
        Kind.INTEGER,
        "After how long a password must be changed; 0: when its owner wants.",
        0,
        low=0,
        high=3650,
        unit="days",
    ),
    Setting("lock_failures", Kind.INTEGER, "Failures in a row that lock an account.", 5, low=3, high=100),
    Setting(
        "lock_minutes",
        Kind.INTEGER,
        "How long an account is locked first; each further failure doubles it, up to a day.",
        15,
        low=1,
        high=1440,
        unit="min",
    ),
    Setting(
        "idle_minutes",
        Kind.INTEGER,
        "A session that is not used so long ends.",
        30,
        low=1,
        high=1440,
        unit="min",
    ),
    Setting(
        "session_hours",
        Kind.INTEGER,
        "A session ends after so long, used or not.",
        12,
        low=1,
        high=168,
        unit="h",
    ),
    Setting(
        "second_factor",
        Kind.TEXT,
        "Who must have a second factor.",
        "nobody",
        choices=("nobody", "administrators", "everybody"),
    ),
)
OIDC = (
    Setting("name", Kind.TEXT, "What the provider is called on the sign-in page.", "single sign-on"),
    Setting("issuer", Kind.TEXT, "URL of an OpenID provider that people may sign in by; left out: none."),
    Setting("client_id", Kind.TEXT, "What headquarters is called at the provider.", "catchment"),
    Setting("client_secret", Kind.SECRET, "The secret of headquarters at the provider."),
    Setting("tenant", Kind.TEXT, "The tenant that its users are members of.", "group"),
    Setting("scopes", Kind.TEXT, "What is asked for.", "openid profile email"),
    Setting("roles_claim", Kind.TEXT, "The claim that roles come from; left out: none do."),
    Setting("roles", Kind.TEXT, "Roles for values of that claim, such as `plant=operator, data=engineer`."),
    Setting("makes_users", Kind.BOOLEAN, "Whether somebody who is not known here becomes a user.", True),
)
WEB = (
    Setting(
        "bind",
        Kind.TEXT,
        "Where browsers and programs connect, such as 127.0.0.1:8600 or [::]:8600; left out: closed.",
        form=Form(is_host_port, "a host and a port such as '127.0.0.1:8600'"),
    ),
    Setting(
        "certificate",
        Kind.TEXT,
        "PEM file of the certificate chain for HTTPS, seen from the home directory; left out: HTTP.",
    ),
    Setting("key", Kind.TEXT, "PEM file of its private key, readable by its owner only."),
    Setting(
        "public_url",
        Kind.TEXT,
        "How people reach it, for links; with https:// cookies are for HTTPS only, also behind a proxy.",
        form=Form(is_web_url, "a URL such as 'https://portal.example.com', without a path"),
    ),
    Setting(
        "requests_per_minute",
        Kind.INTEGER,
        "Requests of one user or token in a minute, on average; a tenth of that at once.",
        1200,
        low=10,
        high=1_000_000,
    ),
)
TABLES = {
    "headquarters": HEADQUARTERS,
    "lake": LAKE,
    "archive": ARCHIVE,
    "security": SECURITY,
    "metadata": METADATA,
    "accounts": ACCOUNTS,
    "oidc": OIDC,
    "web": WEB,
    "backup": BACKUP,
    "metrics": METRICS,
    "alerts": ALERTS,
    "log": LOG,
}


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The web side.

    Args:
        bind: Host and port; `None`: closed.
        certificate: PEM file for HTTPS; `None`: HTTP.
        key: PEM file of its private key.
        public_url: How people reach it; `None`: as it is bound.
        requests_per_minute: Of one user or token.
    """

    bind: str | None
    certificate: Path | None
    key: Path | None
    public_url: str | None
    requests_per_minute: int

    @property
    def url(self) -> str | None:
        """How people reach it, as far as that is known here; `None`: closed."""
        scheme = "http" if self.certificate is None else "https"
        return self.public_url or (None if self.bind is None else f"{scheme}://{self.bind}")

    @property
    def is_tls(self) -> bool:
        """Whether people reach it by HTTPS."""
        return self.certificate is not None or (self.public_url or "").startswith("https://")


@dataclass(frozen=True, slots=True)
class HeadquartersConfig:
    """All of it.

    Args:
        home: The node's home directory; keys and data are under it.
        id: Our node name.
        level: 1, 2 or 3.
        bind: Where hubs and gateways connect.
        service: Where known nodes call; `None`: closed.
        enrolment: Where new nodes ask to be let in; `None`: closed.
        hole_wait_s: How long a hole may stay open.
        lake: The lake's folder.
        commit_interval_s: Time between commits.
        commit_rows_max: Rows that make a commit at once.
        buckets: Partitions of each date.
        rollup_interval_s: How often roll-ups follow.
        archive: The archive's folder.
        retention_days: How long payloads are kept; `None` for ever.
        host: How nodes reach this machine.
        certificate_days: How long a node's certificate is valid.
        offline_days: For how long one that expired lets its node deliver and renew.
        quarantine_forks: Whether a forked chain puts its gateway into quarantine.
        metadata_url: Where metadata is kept; `None`: a SQLite file in the folder of data.
        audit_retention_days: How long the audit is kept.
        accounts: The settings of `[accounts]`, by name, as `accounts.terms.Terms` takes them.
        oidc: The settings of `[oidc]`, as `accounts.oidc.Provider` takes them; `None`: no provider.
        web: Where browsers and programs connect.
        backup: Where backups go.
        metrics_bind: Where monitors ask; `None`: closed.
        alerts: The settings of `[alerts]`, by name.
        log: Where log lines go.
    """

    home: Path
    id: str
    level: int
    bind: str
    service: str | None
    enrolment: str | None
    hole_wait_s: float
    lake: Path
    commit_interval_s: float
    commit_rows_max: int
    buckets: int
    rollup_interval_s: float
    archive: Path
    retention_days: int | None
    host: str
    certificate_days: int
    offline_days: int
    quarantine_forks: bool
    metadata_url: str | None = field(repr=False)
    audit_retention_days: int
    accounts: Mapping[str, Any]
    oidc: Mapping[str, Any] | None = field(repr=False)
    web: WebConfig
    backup: BackupSettings
    metrics_bind: str | None
    alerts: Mapping[str, Any] = field(repr=False)
    log: LogConfig

    @property
    def data(self) -> Path:
        """Where what is ours lies, but for lake and archive."""
        return self.home / "data"

    @property
    def quarantine(self) -> Path:
        """Payloads that could not be read."""
        return self.data / "quarantine"

    @property
    def status(self) -> Path:
        """The status file."""
        return self.data / "status.json"

    @property
    def audit_seal(self) -> Path:
        """The last seal of the audit, beside the metadata store."""
        return self.data / "audit-seal.json"

    @property
    def custody(self) -> Path:
        """What is confirmed to be backed up."""
        return self.data / "custody.json"


def load(home: Path) -> HeadquartersConfig:
    """Read and check `headquarters.toml` of a home directory.

    Raises:
        InputError: With every problem of the file.
    """
    toml = TomlFile(home / CONFIG, "the file that catchment-hq init writes; run: catchment-hq init")
    toml.known((), toml.document, tuple(TABLES))
    tables = [_table(toml, name, schema) for name, schema in TABLES.items()]
    own, lake, archive, security, metadata, accounts, oidc, web, backup, metrics, alerts, log = tables
    if own["id"] is not None and not is_name(own["id"]):
        toml.problem(("headquarters", "id"), own["id"], "a node name such as 'headquarters'")
    if own["bind"] is not None and not is_bind(own["bind"]):
        expected = "an address to listen on, such as 'tcp://0.0.0.0:7600'"
        toml.problem(("headquarters", "bind"), own["bind"], expected)
    if (web["certificate"] is None) != (web["key"] is None):
        missing = "key" if web["key"] is None else "certificate"
        toml.problem(("web", missing), "", "a PEM file: certificate and key go together")
    if toml.problems:
        raise InputError(toml.problems)
    return HeadquartersConfig(
        home=home,
        id=own["id"],
        level=own["level"],
        bind=own["bind"],
        service=own["service"],
        enrolment=own["enrolment"],
        hole_wait_s=own["hole_wait_s"],
        lake=home / lake["path"],
        commit_interval_s=lake["commit_interval_s"],
        commit_rows_max=lake["commit_rows_max"],
        buckets=lake["buckets"],
        rollup_interval_s=lake["rollup_interval_s"],
        archive=home / archive["path"],
        retention_days=archive["retention_days"] or None,
        host=security["host"] or socket.gethostname(),
        certificate_days=security["certificate_days"],
        offline_days=security["offline_days"],
        quarantine_forks=security["forks"] == "quarantine",
        metadata_url=metadata["url"],
        audit_retention_days=metadata["audit_retention_days"],
        accounts=accounts,
        oidc=oidc if oidc["issuer"] else None,
        web=WebConfig(
            web["bind"],
            None if web["certificate"] is None else home / web["certificate"],
            None if web["key"] is None else home / web["key"],
            web["public_url"],
            web["requests_per_minute"],
        ),
        backup=BackupSettings.of(home, backup),
        metrics_bind=metrics["bind"],
        alerts=alerts,
        log=LogConfig.of(home, log),
    )


def example(id: str, bind: str, service: str | None = None, enrolment: str | None = None) -> str:
    """The `headquarters.toml` that init writes: what must be set, and how the rest would look."""
    calls = "".join(
        f'{"" if address else "# "}{name} = "{address or default}"\n'
        for name, address, default in (
            ("service", service, "tcp://0.0.0.0:7601"),
            ("enrolment", enrolment, "tcp://0.0.0.0:7602"),
        )
    )
    return f"""\
# Catchment headquarters. All settings: docs/settings.md
[headquarters]
id = "{id}"
bind = "{bind}"
{calls}hole_wait_s = 3600

[lake]
path = "data/lake"
commit_interval_s = 1.0

[archive]
path = "data/archive"
retention_days = 400    # 0: for ever
"""


def _table(toml: TomlFile, name: str, schema: Sequence[Setting]) -> dict[str, Any]:
    required = any(setting.required for setting in schema)
    table = toml.table((name,), toml.document, required)
    if not table and required:
        return {setting.name: setting.default for setting in schema}
    return toml.settings((name,), table, schema)
