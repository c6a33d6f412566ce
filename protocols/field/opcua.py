"""OPC UA: collects by subscription, or by reading where a server's subscriptions are not to be used; writes.

Needs the library asyncua (`catchment[edge]`), imported when the first device connects.
Addresses: `protocols.field._opcua_address`.

>>> OPCUA.expect("ns=2;s=Boiler.T1", FieldType.F64) is None
True
>>> OPCUA.expect("Boiler.T1", FieldType.F64)
"a node id such as 'ns=2;s=Boiler.T1', or a path of browse names such as '/2:Boiler/2:T1'"
"""

from __future__ import annotations

import urllib.parse

from protocols.field._opcua_address import parse
from protocols.field._opcua_driver import OpcUaDriver, expected_instead
from protocols.field.base import DriverContext, FieldType
from protocols.field.settings import Kind, Setting, Settings
from protocols.field.writing import TEXTS

BATCH_MAX = 10_000

SETTINGS = (
    Setting(
        "endpoint", Kind.TEXT, "Address of the server, such as opc.tcp://plc7:4840/UA.", required=True, low=11
    ),
    Setting(
        "collect",
        Kind.TEXT,
        "Whether the server notifies changes, or is asked at each scan.",
        "subscribe",
        choices=("subscribe", "read"),
    ),
    Setting(
        "security_policy",
        Kind.TEXT,
        "How messages are secured.",
        "None",
        choices=("None", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"),
    ),
    Setting(
        "security_mode",
        Kind.TEXT,
        "Whether messages are signed, or signed and encrypted.",
        "None",
        choices=("None", "Sign", "SignAndEncrypt"),
    ),
    Setting("user", Kind.TEXT, "User name; anonymous without one.", low=1, high=255),
    Setting("password", Kind.SECRET, "The user's password.", high=255),
    Setting(
        "certificate",
        Kind.TEXT,
        "Our certificate (DER or PEM); without one the gateway makes its own and keeps it with its keys.",
    ),
    Setting("private_key", Kind.TEXT, "The key of `certificate` (PEM)."),
    Setting(
        "server_certificate",
        Kind.TEXT,
        "The server's certificate (DER or PEM); no other is accepted. Without it, the one that the "
        "server shows at each connection is believed.",
    ),
    Setting("timeout_s", Kind.NUMBER, "How long to wait for an answer.", 4.0, low=0.05, high=120, unit="s"),
    Setting(
        "connect_timeout_s",
        Kind.NUMBER,
        "How long to wait for a session.",
        10.0,
        low=0.05,
        high=120,
        unit="s",
    ),
    Setting(
        "publishing_ms",
        Kind.NUMBER,
        "How often the server sends changes.",
        500.0,
        low=10,
        high=60_000,
        unit="ms",
    ),
    Setting(
        "sampling_ms",
        Kind.NUMBER,
        "How often the server looks for changes; 0 means once a scan period.",
        0.0,
        low=0,
        high=3_600_000,
        unit="ms",
    ),
    Setting(
        "queue_size",
        Kind.INTEGER,
        "Changes of a point that the server keeps between two sendings.",
        10,
        low=1,
        high=10_000,
    ),
    Setting(
        "keep_alive_s",
        Kind.NUMBER,
        "How often an idle server shows that it lives.",
        5.0,
        low=0.05,
        high=600,
        unit="s",
    ),
    Setting("batch_size", Kind.INTEGER, "Most nodes in one request.", 1000, low=1, high=BATCH_MAX),
    Setting(
        "degrade_failures",
        Kind.INTEGER,
        "Failed reads in a row after which a server counts as silent.",
        3,
        low=1,
        high=100,
    ),
    Setting(
        "degrade_s", Kind.NUMBER, "How often a silent server is read again.", 5.0, low=0, high=3600, unit="s"
    ),
    Setting(
        "reconnect_first_s",
        Kind.NUMBER,
        "Longest first wait before a new session.",
        1.0,
        low=0.01,
        high=60,
        unit="s",
    ),
    Setting(
        "reconnect_longest_s",
        Kind.NUMBER,
        "Longest wait before a new session.",
        30.0,
        low=0.01,
        high=3600,
        unit="s",
    ),
)


class OpcUa:
    """The kind of driver; `protocols.field.base.DriverType`."""

    name = "opcua"
    title = "OPC UA"
    maturity = "peer-tested"
    settings = SETTINGS

    def expect(self, address: str, type: FieldType) -> str | None:
        """What was expected instead of this address, or `None` when it is right."""
        return expected_instead(address)

    def writable(self, address: str, type: FieldType) -> str | None:
        """What was expected instead to write to it, or `None`; only the server knows its nodes' rights."""
        return TEXTS if type is FieldType.STRING else None

    def places(self, address: str, type: FieldType, settings: Settings) -> frozenset[str]:
        """The node, as it is written: that a path leads to the same one only the server knows."""
        return frozenset([f"{settings.text('endpoint')} {parse(address)}"])

    def check(self, settings: Settings) -> list[tuple[str, str]]:
        """Settings that are right alone and wrong together: name, and what was expected."""
        wrong = []
        try:
            url = urllib.parse.urlsplit(settings.text("endpoint"))
            right = url.scheme == "opc.tcp" and bool(url.hostname) and (url.port or 4840) > 0
        except ValueError:
            right = False
        if not right:
            wrong.append(("endpoint", "an address such as opc.tcp://plc7:4840/UA"))
        if (settings.text("security_policy") == "None") != (settings.text("security_mode") == "None"):
            wrong.append(("security_mode", "None with policy None, Sign or SignAndEncrypt with any other"))
        if bool(settings.text("certificate")) != bool(settings.text("private_key")):
            wrong.append(("private_key", "certificate and private_key together"))
        if settings.text("password") and not settings.text("user"):
            wrong.append(("user", "a user for the password"))
        if settings.number("reconnect_longest_s") < settings.number("reconnect_first_s"):
            wrong.append(("reconnect_longest_s", "at least reconnect_first_s"))
        return wrong

    def create(self, settings: Settings, context: DriverContext) -> OpcUaDriver:
        """Make a driver."""
        return OpcUaDriver(settings, context)


OPCUA = OpcUa()
