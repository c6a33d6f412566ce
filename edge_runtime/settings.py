"""What may be set in `gateway.toml`, declared once: it drives checking, documentation and forms.

The defaults are those of the dataclasses in `config`. What a `[device.NAME]` takes besides
`driver` is declared by its driver.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_runtime.config import BufferConfig, QuotaPolicy, UpdatesConfig, UplinkConfig
from edge_runtime.page.form import is_hash, is_listen
from protocols import limits
from protocols.addresses import is_address
from protocols.exporter import REPEAT_AFTER_S
from protocols.field.settings import Form, Kind, Setting
from protocols.logfile import LOG
from protocols.records import Mark

_BUFFER, _UPLINK = BufferConfig(), UplinkConfig()

TRIM = {"hub": Mark.HUB, "headquarters": Mark.HEADQUARTERS, "backed-up": Mark.BACKED_UP}
"""How the configuration calls the custody marks."""

GATEWAY = (
    Setting(
        "id", Kind.TEXT, "The gateway's name in the whole group; the one given to init.",
        required=True, low=1, high=limits.NAME_CHARS_MAX,
    ),
    Setting(
        "site", Kind.TEXT, "The site that its points belong to.",
        default="", high=limits.NAME_CHARS_MAX,
    ),
    Setting(
        "level", Kind.INTEGER, "The level of its site: 3, a plant. The edge layer runs nowhere else.",
        default=3, low=1, high=3,
    ),
)  # fmt: skip

SCAN = (
    Setting(
        "period_s", Kind.NUMBER, "Points of the class are read at the multiples of this period, in whole ms.",
        required=True, low=0.01, high=86_400, unit="s",
    ),
    Setting(
        "phase_s", Kind.NUMBER, "Shifts the scan instants, to spread the load of classes; below the period.",
        default=0.0, low=0, high=86_400, unit="s",
    ),
)  # fmt: skip

DEVICE = (Setting("driver", Kind.TEXT, "The driver that speaks the device's protocol.", required=True),)

BUFFER = (
    Setting(
        "flush_s", Kind.NUMBER,
        "A batch is cut and sent at the latest after so long. Above 1, what is collected is "
        "journalled every second, so that a crash costs no more than that.",
        default=_BUFFER.flush_s, low=0.1, high=3600, unit="s",
    ),
    Setting(
        "batch_samples_max", Kind.INTEGER, "A batch is cut at the latest with so many samples.",
        default=_BUFFER.batch_samples_max, low=100, high=limits.BATCH_SAMPLES_MAX,
    ),
    Setting(
        "quota_mb", Kind.INTEGER, "Disk space that the buffer may use.",
        default=_BUFFER.quota_bytes >> 20, low=16, high=16 << 20, unit="MiB",
    ),
    Setting(
        "policy", Kind.TEXT,
        "What to give up when the quota is used up and no hub holds it yet: thin out the oldest, "
        "drop the oldest, or drop what is collected from then on.",
        default=_BUFFER.policy.value, choices=tuple(policy.value for policy in QuotaPolicy),
    ),
    Setting(
        "trim", Kind.TEXT,
        "When a batch may leave the buffer: held by a hub, in the lake of headquarters (by its "
        "signed receipt), or backed up there.",
        default=next(word for word, mark in TRIM.items() if mark is _BUFFER.trim), choices=tuple(TRIM),
    ),
)  # fmt: skip

UPSTREAM = (
    Setting("id", Kind.TEXT, "The node name in the upstream's identity.toml.", required=True),
    Setting("address", Kind.TEXT, "Where it listens, as tcp://HOST:PORT.", required=True),
    Setting(
        "service",
        Kind.TEXT,
        "Where it answers calls for what comes down, as tcp://HOST:PORT; left out: it is not asked.",
        form=Form(is_address, "tcp://HOST:PORT, such as tcp://hub.example:7501, with a port from 1 to 65535"),
    ),
    Setting("link", Kind.TEXT, "The link key in its identity.toml (40 characters).", required=True),
    Setting("signing", Kind.TEXT, "The signing key in its identity.toml (64 digits).", required=True),
)

HEADQUARTERS = (
    Setting("id", Kind.TEXT, "The node name in headquarters' identity.toml.", required=True),
    Setting("signing", Kind.TEXT, "The signing key in its identity.toml (64 digits).", required=True),
)

EXPORT = (
    Setting(
        "directory", Kind.TEXT,
        "Where files are put for the isolator to take, relative to the home directory.",
        required=True, low=1, high=limits.POINT_TEXT_CHARS_MAX,
    ),
    Setting(
        "repeat_s", Kind.NUMBER, "Each batch is written again after so long; 0 for never.",
        default=REPEAT_AFTER_S[0], low=0, high=86_400, unit="s",
    ),
    Setting(
        "last_repeat_s", Kind.NUMBER,
        "And for the last time after so long, counted from the first; longer than any hiccup of the "
        "isolator. 0 for never.",
        default=REPEAT_AFTER_S[1], low=0, high=86_400, unit="s",
    ),
)  # fmt: skip

UPLINK = (
    Setting(
        "ack_timeout_s", Kind.NUMBER, "Without an answer for so long, a new connection is made.",
        default=_UPLINK.ack_timeout_s, low=1, high=600, unit="s",
    ),
    Setting(
        "failover_s", Kind.NUMBER, "With an upstream out of reach for so long, the next one is tried.",
        default=_UPLINK.failover_s, low=1, high=86_400, unit="s",
    ),
    Setting(
        "live_first_s", Kind.NUMBER,
        "With a backlog older than this, fresh data goes first and the backlog behind it; 0 keeps "
        "strict order.",
        default=_UPLINK.live_first_s, low=0, high=86_400, unit="s",
    ),
    Setting(
        "backlog_kb_per_s", Kind.INTEGER,
        "Most that the backlog may send beside fresh data; 0 for as fast as it goes.",
        default=0, low=0, high=1 << 20, unit="KiB/s",
    ),
    Setting(
        "directory_s", Kind.NUMBER,
        "How often an enrolled gateway asks which hubs are in force, and whether it should make new keys.",
        default=_UPLINK.directory_s, low=1, high=86_400, unit="s",
    ),
)  # fmt: skip

UPDATES = (
    Setting(
        "budget_kb_per_s", Kind.INTEGER,
        "Most that fetching apps, models, firmware and configuration may take of the line; 0 for all.",
        default=int(UpdatesConfig().bytes_per_s) // 1000, low=0, high=1 << 20, unit="kB/s",
    ),
    Setting(
        "poll_s", Kind.NUMBER, "How often a newer desired state is asked for.",
        default=UpdatesConfig().poll_s, low=0.5, high=86_400, unit="s",
    ),
)  # fmt: skip

COMMAND_WRITE = (
    Setting("point", Kind.TEXT, "The point's name.", required=True),
    Setting("low", Kind.NUMBER, "Least value that may be written, in the point's unit.", required=True),
    Setting("high", Kind.NUMBER, "Greatest one.", required=True),
)

STATUS = (
    Setting(
        "http", Kind.TEXT,
        "Where the status page answers, as ADDRESS:PORT such as 127.0.0.1:8480; left out: there is none.",
        form=Form(is_listen, "ADDRESS:PORT, such as 127.0.0.1:8480"),
    ),
    Setting(
        "password", Kind.SECRET,
        "Hash of the page's password, made by catchment-edge page password; must be there where others "
        "than this machine can reach the page.",
        form=Form(is_hash, "what catchment-edge page password prints"),
    ),
    Setting(
        "metrics", Kind.BOOLEAN,
        "Whether /metrics is answered there in Prometheus' text format, without the password.",
        default=False,
    ),
)  # fmt: skip


class SectionSpec(NamedTuple):
    """One table of the configuration.

    Args:
        heading: As it is written.
        help: One sentence.
        settings: What may be set in it.
    """

    heading: str
    help: str
    settings: tuple[Setting, ...]


SECTIONS = {
    "gateway": SectionSpec("[gateway]", "Who the gateway is.", GATEWAY),
    "scan": SectionSpec("[scan.NAME]", "A scan class: points that are read together.", SCAN),
    "device": SectionSpec("[device.NAME]", "A field device; the driver adds settings of its own.", DEVICE),
    "buffer": SectionSpec("[buffer]", "The store between collecting and sending.", BUFFER),
    "upstream": SectionSpec(
        "[[upstream]]", "A hub or headquarters to send to; several are tried in their order.", UPSTREAM
    ),
    "headquarters": SectionSpec(
        "[headquarters]", "Whose receipts let batches leave the buffer.", HEADQUARTERS
    ),
    "export": SectionSpec(
        "[export]",
        "Files for a one-way isolator, in the place of upstreams. Nothing comes back through it: "
        "batches leave the buffer when they have been written for the last time.",
        EXPORT,
    ),
    "uplink": SectionSpec("[uplink]", "How the gateway sends.", UPLINK),
    "updates": SectionSpec("[updates]", "What comes down from headquarters.", UPDATES),
    "log": SectionSpec("[log]", "Logging, beside standard error.", LOG),
    "command_write": SectionSpec(
        "[[command_write]]",
        "A point that commands may write, and in which range; without such a table none is written.",
        COMMAND_WRITE,
    ),
    "status": SectionSpec("[status]", "The local status page.", STATUS),
}
"""Every table that `gateway.toml` may have."""
