"""The gateway's configuration: `gateway.toml` and the point table beside it, checked.

Rules:
1. `load` returns a configuration that can run, or raises `InputError` with every problem
   of both files at once, each with its place and what was expected there.
2. Every default is in the dataclasses below and nowhere else; `docs/settings.md` lists them.
3. Point ids are durable before anybody sees them: see `pointids`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocols.errors import Problem
from protocols.logfile import LogConfig
from protocols.points import Point
from protocols.records import Mark

if TYPE_CHECKING:
    from protocols.desired import Document

CONFIG = "gateway.toml"
POINTS = "points.csv"


@dataclass(frozen=True, slots=True)
class ScanClass:
    """Points that are read together, at the multiples of a period on the epoch grid.

    Args:
        name: As in `[scan.NAME]`.
        period_us: Microseconds between scan instants; whole milliseconds.
        phase_us: Scan instants are `k * period_us + phase_us`; below the period.
    """

    name: str
    period_us: int
    phase_us: int = 0

    @property
    def period_ms(self) -> int:
        """The period in milliseconds."""
        return self.period_us // 1000


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """One field device.

    Args:
        name: As in `[device.NAME]`.
        driver: Name of the driver in the registry, such as `modbus-tcp`.
        settings: The driver's own settings as they were written; its schema accepts them.
    """

    name: str
    driver: str
    settings: Mapping[str, Any] = field(repr=False)  # there may be a password among them


class QuotaPolicy(StrEnum):
    """What to give up when the buffer is full of what no hub holds yet.

    Whatever the policy, batches that a hub already holds go first.
    """

    THIN = "thin"
    """Keep every other sample of the oldest half, again and again, then drop the oldest."""
    DROP_OLDEST = "drop-oldest"
    DROP_NEWEST = "drop-newest"
    """Keep what is buffered; what is collected meanwhile is dropped."""


@dataclass(frozen=True, slots=True)
class BufferConfig:
    """The store between collecting and sending.

    Args:
        flush_s: A batch is cut at the latest after so many seconds.
        batch_samples_max: And at the latest with so many samples.
        quota_bytes: Disk space that the buffer may use.
        policy: What to give up when it is used up.
        trim: The mark at which batches leave the buffer.
    """

    flush_s: float = 10.0
    batch_samples_max: int = 60_000
    quota_bytes: int = 2 << 30
    policy: QuotaPolicy = QuotaPolicy.THIN
    trim: Mark = Mark.HEADQUARTERS


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """A hub, or headquarters itself, to which the gateway sends.

    Args:
        id: Its node name.
        address: Where it listens: `tcp://HOST:PORT`.
        link: Its CURVE public key, 40 Z85 characters.
        signing: Its Ed25519 public key, 32 bytes.
        service: Where it answers calls; `None`: it is not asked.
    """

    id: str
    address: str
    link: bytes
    signing: bytes
    service: str | None = None


@dataclass(frozen=True, slots=True)
class HeadquartersConfig:
    """Whose receipts let batches leave the buffer.

    Args:
        id: Headquarters' node name.
        signing: Its Ed25519 public key, 32 bytes.
    """

    id: str
    signing: bytes


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """How the gateway sends.

    Args:
        ack_timeout_s: No acknowledgement for so long: a new connection is made.
        failover_s: An upstream out of reach for so long: the next one is tried.
        live_first_s: When the oldest unsent batch is older than this, fresh data gets a
            new epoch and goes first; `None` keeps strict order.
        backlog_bytes_per_s: Most that the backlog may send beside fresh data; `None` for
            as fast as it goes.
        directory_s: How often the directory of hubs is refreshed.
    """

    ack_timeout_s: float = 10.0
    failover_s: float = 30.0
    live_first_s: float | None = 60.0
    backlog_bytes_per_s: int | None = None
    directory_s: float = 300.0


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """Files for a one-way isolator, in the place of an upstream.

    Args:
        directory: Where files are put for the isolator to take.
        repeat_after_s: When a batch is written again, counted from the first time.
    """

    directory: Path
    repeat_after_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class WriteGrant:
    """A point that commands may write.

    Args:
        point: Its name.
        low: Least value, in the point's unit.
        high: Greatest one.
        place: Where the configuration says so.
    """

    point: str
    low: float
    high: float
    place: str = ""


@dataclass(frozen=True, slots=True)
class PageConfig:
    """The local status page.

    Args:
        host: Where it listens.
        port: Its TCP port; 0 for any that is free.
        password: Hash of the password, as `catchment-edge page password` makes it; empty for none.
        metrics: Whether `/metrics` is answered, without the password.
    """

    host: str
    port: int
    password: str = field(default="", repr=False)
    metrics: bool = False


@dataclass(frozen=True, slots=True)
class UpdatesConfig:
    """What comes down.

    Args:
        bytes_per_s: What fetching may take of the line; infinite for all.
        poll_s: How often a newer desired state is asked for.
    """

    bytes_per_s: float = 256e3
    poll_s: float = 60.0


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """All of it, checked against each other.

    Args:
        home: The node's home directory; keys and data are under it.
        id: The gateway's node name.
        site: The site its points belong to.
        scan: Scan classes by name.
        devices: Devices by name.
        points: All points, ids assigned, in the order of the table.
        upstreams: In the order in which they are tried; empty to only collect.
        headquarters: Whose receipts count; `None` only when there is no upstream.
        export: Files for a one-way isolator; `None` to send over links.
        buffer: The store.
        uplink: Sending.
        updates: What comes down.
        log: Logging.
        command_writes: What commands may write.
        page: The local status page; `None` for none.
        warnings: What is allowed but was perhaps not meant.
        managed: The desired document in force; `None` for a gateway without one. Apps of a
            managed gateway write what it grants, and nothing else.
    """

    home: Path
    id: str
    site: str
    scan: Mapping[str, ScanClass]
    devices: Mapping[str, DeviceConfig]
    points: tuple[Point, ...]
    upstreams: tuple[UpstreamConfig, ...] = ()
    headquarters: HeadquartersConfig | None = None
    export: ExportConfig | None = None
    buffer: BufferConfig = field(default_factory=BufferConfig)
    uplink: UplinkConfig = field(default_factory=UplinkConfig)
    updates: UpdatesConfig = field(default_factory=UpdatesConfig)
    log: LogConfig = field(default_factory=LogConfig)
    command_writes: tuple[WriteGrant, ...] = ()
    page: PageConfig | None = None
    warnings: tuple[Problem, ...] = ()
    managed: Document | None = None

    @property
    def data(self) -> Path:
        """Where stores and the status file are."""
        return self.home / "data"

    def points_of(self, device: str, scan_class: str) -> tuple[Point, ...]:
        """The points of one device in one scan class, in the order of the table."""
        return tuple(p for p in self.points if p.device == device and p.scan_class == scan_class)
