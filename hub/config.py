"""The hub's configuration: `hub.toml`, checked.

Rules:
1. `load` returns a configuration that can run, or raises `InputError` with every problem of
   the file at once, each with its line and what was expected there.
2. Every default is in the schemas below and nowhere else; `docs/settings.md` lists them.
"""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocols import limits
from protocols.addresses import is_address, is_bind, is_host, is_link
from protocols.backup.settings import BACKUP, BackupSettings
from protocols.batch import is_name
from protocols.errors import InputError
from protocols.field.settings import Form, Kind, Setting
from protocols.identity import PublicIdentity
from protocols.logfile import LOG, LogConfig
from protocols.probeserver import METRICS
from protocols.records import Mark
from protocols.tomlfile import Table, TomlFile

CONFIG = "hub.toml"
TRIM = {"headquarters": Mark.HEADQUARTERS, "backed-up": Mark.BACKED_UP}

HUB = (
    Setting("id", Kind.TEXT, "The hub's node name, as in identity.toml.", required=True),
    Setting("bind", Kind.TEXT, "Where gateways connect.", default="tcp://0.0.0.0:7500"),
    Setting(
        "service",
        Kind.TEXT,
        "Where known nodes call for what comes down, such as tcp://0.0.0.0:7501; left out: closed.",
        form=Form(is_bind, "an address to listen on, such as 'tcp://0.0.0.0:7501'"),
    ),
    Setting(
        "enrolment",
        Kind.TEXT,
        "Where new nodes ask to be let in, such as tcp://0.0.0.0:7502; left out: closed.",
        form=Form(is_bind, "an address to listen on, such as 'tcp://0.0.0.0:7502'"),
    ),
    Setting(
        "host",
        Kind.TEXT,
        "How gateways reach this machine, told to those that enrol through it; left out: its host name.",
        form=Form(is_host, "a host name or an IP address"),
    ),
    Setting(
        "directory_s",
        Kind.NUMBER,
        "How often the directory of nodes is refreshed from headquarters: a revocation takes so long.",
        30.0,
        low=1,
        high=3600,
        unit="s",
    ),
    Setting(
        "statement_s",
        Kind.NUMBER,
        "How often the hub states its ledger.",
        60.0,
        low=0.1,
        high=86_400,
        unit="s",
    ),
)
STORE = (
    Setting(
        "quota_mb",
        Kind.INTEGER,
        "Disk space for batches; when it is used up, gateways get no credit and keep their own.",
        default=20_480,
        low=64,
        high=1 << 30,
        unit="MB",
    ),
    Setting(
        "reserve_mb",
        Kind.INTEGER,
        "Free disk space that is always left.",
        default=512,
        low=64,
        high=1 << 30,
        unit="MB",
    ),
    Setting(
        "trim",
        Kind.TEXT,
        "What must have been signed for before a batch is let go.",
        default="headquarters",
        choices=tuple(TRIM),
    ),
)
UPSTREAM = (
    Setting("id", Kind.TEXT, "Its node name.", required=True),
    Setting("address", Kind.TEXT, "Where it listens.", required=True),
    Setting(
        "service",
        Kind.TEXT,
        "Where it answers calls for what comes down; left out: it is not asked.",
        form=Form(is_address, "an address to connect to, such as 'tcp://hq.example:7601'"),
    ),
    Setting("link", Kind.TEXT, "Its CURVE public key, from its identity.toml.", required=True),
    Setting("signing", Kind.TEXT, "Its Ed25519 public key, from its identity.toml.", required=True),
    Setting(
        "keep",
        Kind.BOOLEAN,
        "For an upstream beside the way to headquarters: keep batches until it has them, too.",
        default=False,
    ),
)
HEADQUARTERS = (
    Setting("id", Kind.TEXT, "Headquarters' node name.", required=True),
    Setting("signing", Kind.TEXT, "Its Ed25519 public key: whose receipts count.", required=True),
)
LANDING = (
    Setting("directory", Kind.TEXT, "Where the isolator puts files.", required=True),
    Setting("done", Kind.TEXT, "Where files go when their batches are stored; left out: deleted."),
    Setting(
        "poll_s", Kind.NUMBER, "How often the directory is looked at.", 1.0, low=0.05, high=3600, unit="s"
    ),
    Setting(
        "hole_wait_s",
        Kind.NUMBER,
        "With files missing by their numbers: how long they may still bring what later ones say never comes.",
        3600.0,
        low=0,
        high=31_536_000,
        unit="s",
    ),
)
MIRROR = (
    Setting(
        "quota_mb",
        Kind.INTEGER,
        "Disk space for apps, models, firmware and configuration that gateways fetched; the least"
        " recently used go first.",
        default=4096,
        low=64,
        high=1 << 30,
        unit="MB",
    ),
    Setting(
        "refresh_s",
        Kind.NUMBER,
        "How often headquarters is asked for news.",
        15.0,
        low=0.1,
        high=86_400,
        unit="s",
    ),
    Setting(
        "budget_kb_per_s",
        Kind.INTEGER,
        "What fetching may take of the line to headquarters; left out: all.",
        low=1,
        high=1 << 30,
        unit="kB/s",
    ),
)
_TABLES = ("hub", "store", "upstream", "headquarters", "landing", "mirror", "backup", "metrics", "log")


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """Where batches go.

    Args:
        id: Its node name.
        address: Where it listens: `tcp://HOST:PORT`.
        link: Its CURVE public key, 40 Z85 characters.
        signing: Its Ed25519 public key, 32 bytes.
        keep: Whether batches are kept until it has them, beside headquarters' custody.
        service: Where it answers calls; `None`: it is not asked.
    """

    id: str
    address: str
    link: bytes
    signing: bytes
    keep: bool
    service: str | None = None


@dataclass(frozen=True, slots=True)
class LandingConfig:
    """A directory into which a one-way isolator puts files.

    Args:
        directory: The directory.
        done: Where files go when their batches are stored; `None`: they are deleted.
        poll_s: How often it is looked at.
        hole_wait_s: How long missing files may still bring what is missing.
    """

    directory: Path
    done: Path | None
    poll_s: float
    hole_wait_s: float


@dataclass(frozen=True, slots=True)
class MirrorConfig:
    """How the hub keeps what comes down from headquarters.

    Args:
        quota_bytes: Disk space for targets.
        refresh_s: How often headquarters is asked for news.
        bytes_per_s: What fetching may take of the line; infinite for all.
    """

    quota_bytes: int
    refresh_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class HubConfig:
    """All of it.

    Args:
        home: The node's home directory; keys and data are under it.
        id: The hub's node name.
        bind: Where gateways connect.
        service: Where known nodes call; `None`: closed.
        enrolment: Where new nodes ask to be let in; `None`: closed.
        quota_bytes: Disk space for batches.
        reserve_bytes: Free disk space that is always left.
        trim: The mark at which batches may go.
        statement_s: How often the hub states its ledger.
        host: How gateways reach this machine.
        directory_s: How often the directory is refreshed.
        upstreams: Where batches go; empty to only store.
        headquarters: Whose receipts count: its name and Ed25519 public key; `None` only when
            there is no upstream.
        landings: Directories of one-way isolators.
        mirror: How what comes down is kept.
        backup: Where backups go.
        metrics_bind: Where monitors ask; `None`: closed.
        log: Where log lines go.
    """

    home: Path
    id: str
    bind: str
    service: str | None
    enrolment: str | None
    quota_bytes: int
    reserve_bytes: int
    trim: Mark
    statement_s: float
    host: str
    directory_s: float
    upstreams: tuple[UpstreamConfig, ...]
    headquarters: tuple[str, bytes] | None
    landings: tuple[LandingConfig, ...]
    mirror: MirrorConfig
    backup: BackupSettings
    metrics_bind: str | None
    log: LogConfig

    @property
    def data(self) -> Path:
        """Where the store and the status file are."""
        return self.home / "data"

    @property
    def store(self) -> Path:
        """The store's file."""
        return self.data / "hub.db"

    @property
    def mirrored(self) -> Path:
        """What came down from headquarters."""
        return self.data / "mirror"

    @property
    def status(self) -> Path:
        """The status file."""
        return self.data / "status.json"


def load(home: Path) -> HubConfig:
    """Read and check `hub.toml` of a home directory.

    Raises:
        InputError: With every problem of the file.
    """
    toml = TomlFile(home / CONFIG, "the file that catchment-hub init writes; run: catchment-hub init")
    toml.known((), toml.document, _TABLES)
    hub = _table(toml, "hub", HUB, required=True)
    store = _table(toml, "store", STORE)
    mirror = _table(toml, "mirror", MIRROR)
    backup = _table(toml, "backup", BACKUP)
    metrics = _table(toml, "metrics", METRICS)
    log = _table(toml, "log", LOG)
    upstreams = [_upstream(toml, index, table) for index, table in enumerate(toml.tables("upstream"))]
    headquarters = None
    if upstreams or "headquarters" in toml.document:
        headquarters = _table(toml, "headquarters", HEADQUARTERS, required=True)
        _check(toml, ("headquarters",), headquarters)
    landings = [_landing(toml, home, index, table) for index, table in enumerate(toml.tables("landing"))]
    _check(toml, ("hub",), hub)
    _refuse_twice(toml, [upstream["id"] for upstream in upstreams])
    if toml.problems:
        raise InputError(toml.problems)
    return HubConfig(
        home=home,
        id=hub["id"],
        bind=hub["bind"],
        service=hub["service"],
        enrolment=hub["enrolment"],
        quota_bytes=store["quota_mb"] << 20,
        reserve_bytes=store["reserve_mb"] << 20,
        trim=TRIM[store["trim"]],
        statement_s=hub["statement_s"],
        host=hub["host"] or socket.gethostname(),
        directory_s=hub["directory_s"],
        upstreams=tuple(
            UpstreamConfig(
                u["id"],
                u["address"],
                u["link"].encode(),
                bytes.fromhex(u["signing"]),
                u["keep"],
                u["service"],
            )
            for u in upstreams
        ),
        headquarters=None
        if headquarters is None
        else (headquarters["id"], bytes.fromhex(headquarters["signing"])),
        landings=tuple(landings),
        mirror=MirrorConfig(
            mirror["quota_mb"] << 20,
            mirror["refresh_s"],
            math.inf if mirror["budget_kb_per_s"] is None else 1000.0 * mirror["budget_kb_per_s"],
        ),
        backup=BackupSettings.of(home, backup),
        metrics_bind=metrics["bind"],
        log=LogConfig.of(home, log),
    )


def example(
    id: str,
    bind: str,
    upstream: PublicIdentity | None,
    address: str | None,
    service: str | None = None,
    enrolment: str | None = None,
) -> str:
    """The `hub.toml` that init writes; without an upstream, how one would look."""
    calls = "".join(
        f'{"" if given else "# "}{name} = "{given or default}"\n'
        for name, given, default in (
            ("service", service, "tcp://0.0.0.0:7501"),
            ("enrolment", enrolment, "tcp://0.0.0.0:7502"),
        )
    )
    mark = "# " if upstream is None else ""
    known = upstream or PublicIdentity("headquarters", "headquarters", bytes(32), b"40 characters")
    signing = known.signing.hex() if upstream is not None else "64 hexadecimal digits"
    return f"""\
# A Catchment hub. All settings: docs/settings.md
[hub]
id = "{id}"
bind = "{bind}"
{calls}
# Where batches go. id, link and signing are those of the upstream's identity.toml.
{mark}[[upstream]]
{mark}id = "{known.id}"
{mark}address = "{address or "tcp://hq.example:7600"}"
{mark}link = "{known.link.decode()}"
{mark}signing = "{signing}"

# Whose receipts let batches leave the store.
{mark}[headquarters]
{mark}id = "{known.id}"
{mark}signing = "{signing}"

[store]
quota_mb = 20480
trim = "headquarters"    # or "backed-up"
"""


def fits(name: str, text: str) -> bool:
    """Whether a text has the form of the setting `name`; `FORMS` says in words what that is."""
    return _RULES[name](text)


def _table(toml: TomlFile, name: str, schema: Sequence[Setting], required: bool = False) -> dict[str, Any]:
    table = toml.table((name,), toml.document, required)
    if not table and required:
        return {setting.name: setting.default for setting in schema}
    return toml.settings((name,), table, schema)


def _upstream(toml: TomlFile, index: int, table: Table) -> dict[str, Any]:
    path = ("upstream", index)
    found: dict[str, Any] = toml.settings(path, table, UPSTREAM)
    _check(toml, path, found)
    return found


def _landing(toml: TomlFile, home: Path, index: int, table: Table) -> LandingConfig:
    path = ("landing", index)
    found: dict[str, Any] = toml.settings(path, table, LANDING)
    directory = home / (found["directory"] or "")
    done = None if found["done"] is None else home / found["done"]
    if found["directory"] == "":
        toml.problem((*path, "directory"), "", "a directory")
    if done is not None and done == directory:
        toml.problem((*path, "done"), found["done"], "another directory than the one files come to")
    return LandingConfig(directory, done, found["poll_s"], found["hole_wait_s"])


def _check(toml: TomlFile, path: tuple[str | int, ...], found: dict[str, Any]) -> None:
    """Hold texts that are there against their form; absent ones were noted before."""
    for name in _RULES:
        value = found.get(name)
        if value is not None and not fits(name, value):
            toml.problem((*path, name), value, FORMS[name])
            found[name] = None


def _refuse_twice(toml: TomlFile, ids: Sequence[str | None]) -> None:
    for index, name in enumerate(ids):
        if name is not None and name in ids[:index]:
            toml.problem(("upstream", index, "id"), name, "another id: each upstream once")


def _is_signing(text: str) -> bool:
    return re.fullmatch(r"[0-9a-fA-F]{64}", text) is not None


_RULES: dict[str, Callable[[str], bool]] = {
    "id": is_name,
    "bind": is_bind,
    "address": is_address,
    "link": is_link,
    "signing": _is_signing,
}

FORMS = {
    "id": (
        f"lower-case letters, digits, '-', '_' or '.', at most {limits.NAME_CHARS_MAX},"
        " starting with a letter or digit"
    ),
    "bind": "an address to listen on, such as 'tcp://0.0.0.0:7500'",
    "address": "an address to connect to, such as 'tcp://hq.example:7600'",
    "link": "40 Z85 characters, as 'link' in the upstream's identity.toml",
    "signing": "64 hexadecimal digits, as 'signing' in its identity.toml",
}
