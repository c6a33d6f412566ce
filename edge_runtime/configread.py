"""Reads `gateway.toml` and the point table into a `GatewayConfig`, or says all that is wrong.

Each table is read by itself; then they are compared. What is missing in one never hides a
problem in another: a point table is checked even when `gateway.toml` does not parse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime import pointids, settings
from edge_runtime.config import (
    CONFIG,
    POINTS,
    BufferConfig,
    DeviceConfig,
    ExportConfig,
    GatewayConfig,
    HeadquartersConfig,
    PageConfig,
    QuotaPolicy,
    ScanClass,
    UpdatesConfig,
    UplinkConfig,
    UpstreamConfig,
    WriteGrant,
)  # fmt: skip
from edge_runtime.desired import ACCEPTED
from edge_runtime.page.form import is_loopback, split_listen
from edge_runtime.rawvalues import held
from protocols import limits
from protocols.addresses import is_address, is_link
from protocols.batch import is_name
from protocols.errors import InputError, Problem
from protocols.field import registry
from protocols.field.base import DriverType
from protocols.field.settings import SettingValue
from protocols.keyfiles import STANDING
from protocols.logfile import LogConfig
from protocols.pointrow import AddressCheck, Surroundings
from protocols.points import Point, to_definition
from protocols.pointtable import PointTable, read_points
from protocols.records import Mark, pack_definitions
from protocols.tablefile import read_table
from protocols.tomlfile import KeyPath, Table, TomlFile, suggest

if TYPE_CHECKING:
    from protocols.desired import Document

CONFIG_MISSING = "the configuration; make one with: catchment-edge init --home DIR --id NAME"
POINTS_MISSING = "the point table; write one, or use: catchment-edge points import FILE"
IDENTITY = "identity.toml"
LEVEL = 3

_NAME = re.compile(r"\w[\w.-]{0,62}")
ADDRESS_EXPECTED = "tcp://HOST:PORT, such as tcp://hub.example:7500, with a port from 1 to 65535"
_SIGNING = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


def load(home: Path, *, assign_ids: bool = True) -> GatewayConfig:
    """Read and check `gateway.toml` and the point table of a home directory.

    Args:
        home: The directory that `catchment-edge init` made.
        assign_ids: Write the ids of new points to `data/point_ids.json` before returning;
            without it the ids of new points are what they would be.

    Raises:
        InputError: With every problem of both files.
        StoreError: The ids cannot be written.
    """
    problems: list[Problem] = []
    config, surroundings = read_toml(home, problems)
    table = _read_table(home, surroundings, problems)
    if assign_ids and not problems:
        with pointids.locked(home):
            points = _identify(home, table, problems, save=True)
    else:
        points = _identify(home, table, problems, save=False)
    if config is not None:
        _check_size(config, points, table.file, problems)
        _check_command_writes(config, points, problems)
    if problems:
        raise InputError(problems)
    assert config is not None, "a configuration without problems was read"
    warnings = (*config.warnings, *table.warnings, *_unused(config, points))
    managed = _managed(home, config.id)
    signed, unsigned = _split_writes(config.command_writes, managed)
    file = str(home / CONFIG)
    for grant in unsigned:
        command = f"catchment-hq desired set {config.id} --write {grant.point}={grant.low:g}:{grant.high:g}"
        expected = f"the same range in the desired document, without which it does not count: {command}"
        warnings = (*warnings, Problem(file, grant.place, grant.point, expected))
    return replace(
        config, points=tuple(points), warnings=warnings, managed=managed, command_writes=tuple(signed)
    )


def _managed(home: Path, id: str) -> Document | None:
    """What is desired of the gateway; most have nothing of the kind and need not load what reads it.

    Of a gateway that enrolled nothing is granted before headquarters says so.
    """
    if not (home / ACCEPTED).exists() and not (home / STANDING).exists():
        return None
    from edge_runtime.desired.accepted import managed

    return managed(home, id)


def _split_writes(
    grants: Sequence[WriteGrant], managed: Document | None
) -> tuple[list[WriteGrant], list[WriteGrant]]:
    """What commands may write, and what stands in the configuration and nobody has signed."""
    if managed is None:
        return list(grants), []
    signed = [
        grant
        for grant in grants
        if (range := managed.writes.get(grant.point)) and (range.low, range.high) == (grant.low, grant.high)
    ]
    return signed, [grant for grant in grants if grant not in signed]


def read_candidate(
    home: Path, path: Path, delimiter: str = ",", encoding: str = ""
) -> tuple[GatewayConfig, PointTable]:
    """Check a point table that is not in use yet against the configuration.

    Returns:
        The configuration without points, and the table, whose points may lack ids.

    Raises:
        InputError: With every problem of both.
    """
    problems: list[Problem] = []
    config, surroundings = read_toml(home, problems)
    table = PointTable(str(path))
    try:
        table = read_points(read_table(path, "the table to import", delimiter, encoding), surroundings)
    except InputError as error:
        problems += error.problems
    problems += table.problems
    if problems:
        raise InputError(problems)
    assert config is not None, "a configuration without problems was read"
    return config, table


def _read_table(home: Path, surroundings: Surroundings, problems: list[Problem]) -> PointTable:
    path = home / POINTS
    try:
        return read_points(read_table(path, POINTS_MISSING), surroundings)
    except InputError as error:
        problems += error.problems
        return PointTable(str(path))


def _identify(home: Path, table: PointTable, problems: list[Problem], *, save: bool) -> list[Point]:
    ids = pointids.load(home)
    points = pointids.resolve(table, ids)
    problems += table.problems
    if save and not problems:
        pointids.save(home, ids)
    return points


def read_toml(home: Path, problems: list[Problem]) -> tuple[GatewayConfig | None, Surroundings]:
    """The configuration without points (`None` with problems), and what points are checked against."""
    try:
        file = TomlFile(home / CONFIG, CONFIG_MISSING)
    except InputError as error:
        problems += error.problems
        return None, Surroundings(None, None)
    reader = _Reader(home, file)
    config = reader.config()
    problems += file.problems
    surroundings = Surroundings(reader.scan_names, reader.addresses)
    return (None if file.problems else config), surroundings


class _Reader:
    """Reads one document table by table.

    Args:
        home: The node's home directory.
        file: The parsed file, which collects the problems.
    """

    def __init__(self, home: Path, file: TomlFile) -> None:
        self.scan_names: list[str] = []
        self.addresses: dict[str, AddressCheck | None] = {}
        self._home = home
        self._file = file

    def config(self) -> GatewayConfig:
        """All but the points; to be used only when no problem was noted."""
        document = self._file.document
        self._file.known((), document, settings.SECTIONS.keys())
        gateway = self._section("gateway", required=True)
        self._check_level(gateway)
        self._check_id(gateway)
        scan, devices = self._scan(), self._devices()
        upstreams = self._upstreams()
        return GatewayConfig(
            home=self._home,
            id=str(gateway["id"]),
            site=str(gateway["site"]),
            scan=scan,
            devices=devices,
            points=(),
            upstreams=upstreams,
            headquarters=self._headquarters(upstreams),
            export=self._export(upstreams),
            buffer=self._buffer(),
            uplink=self._uplink(),
            updates=self._updates(),
            log=self._log(),
            command_writes=self._command_writes(),
            page=self._page(),
            warnings=self._warnings(devices, upstreams),
        )

    def _section(self, name: str, required: bool = False) -> Mapping[str, Any]:
        table = self._file.table((name,), self._file.document, required)
        if required and not isinstance(self._file.document.get(name), dict):
            return dict.fromkeys((setting.name for setting in settings.SECTIONS[name].settings), "")
        return self._file.settings((name,), table, settings.SECTIONS[name].settings)

    def _check_level(self, gateway: Mapping[str, Any]) -> None:
        if gateway["level"] != LEVEL:
            expected = (
                "3: the edge layer runs at plants only; at level 2 run catchment-hub, at level 1 catchment-hq"
            )
            self._file.problem(("gateway", "level"), gateway["level"], expected)

    def _check_id(self, gateway: Mapping[str, Any]) -> None:
        for key in ("id", "site"):
            value = gateway[key]
            if value and not is_name(value):
                expected = (
                    "lower-case letters, digits, '-', '_' or '.', such as 'unit-1', a letter or digit first"
                )
                self._file.problem(("gateway", key), value, expected)
        if gateway["id"] and (self._home / IDENTITY).exists():
            try:
                known = TomlFile(self._home / IDENTITY, "").document.get("id")
            except InputError:
                return  # reading the keys says what is wrong with them
            if isinstance(known, str) and known != gateway["id"]:
                expected = f"{known!r}, the id that the keys of {IDENTITY} were made for"
                self._file.problem(("gateway", "id"), gateway["id"], expected)

    # -- scan classes and devices ----------------------------------------------------------

    def _named_tables(self, section: str) -> list[tuple[str, Table]]:
        tables = self._file.table((section,), self._file.document)
        if not tables and isinstance(self._file.document.get(section, {}), dict):
            self._file.problem((section,), "", f"at least one table [{section}.NAME]")
        found = []
        for name in tables:
            if not _NAME.fullmatch(name):
                expected = "a name of letters, digits, '-', '_' and '.', at most 63"
                self._file.problem((section, name), name, expected)
            elif not isinstance(tables[name], dict):
                expected = f"a table, written as [{section}.{name}]"
                if section == "scan" and name in ("period_s", "phase_s"):
                    expected = "a name for the scan class: [scan.NAME], with this setting below it"
                elif section == "device":
                    expected = "a name for the device: [device.NAME], with this setting below it"
                self._file.problem((section, name), tables[name], expected)
            else:
                found.append((name, tables[name]))
        return found

    def _scan(self) -> dict[str, ScanClass]:
        classes: dict[str, ScanClass] = {}
        for name, table in self._named_tables("scan"):
            self.scan_names.append(name)
            path: KeyPath = ("scan", name)
            values = self._file.settings(path, table, settings.SCAN)
            period_ms = self._whole_ms((*path, "period_s"), values["period_s"])
            phase_ms = self._whole_ms((*path, "phase_s"), values["phase_s"])
            if period_ms and phase_ms >= period_ms:
                expected = f"a phase below the period, which is {period_ms / 1000:g} s"
                self._file.problem((*path, "phase_s"), values["phase_s"], expected)
            classes[name] = ScanClass(name, period_ms * 1000, phase_ms * 1000)
        return classes

    def _whole_ms(self, path: KeyPath, value: SettingValue) -> int:
        """Seconds as whole milliseconds; 0 for a value that was already refused."""
        if not isinstance(value, float):
            return 0
        ms = round(value * 1000)
        if abs(value * 1000 - ms) > 1e-6:
            self._file.problem(path, value, f"whole milliseconds, such as {ms / 1000:g}")
        return ms

    def _devices(self) -> dict[str, DeviceConfig]:
        devices: dict[str, DeviceConfig] = {}
        for name, table in self._named_tables("device"):
            self.addresses[name] = None
            path: KeyPath = ("device", name)
            driver = table.get("driver")
            kind = self._driver(path, driver)
            if kind is None:
                continue
            self.addresses[name] = kind.expect
            own = {key: value for key, value in table.items() if key != "driver"}
            self._file.note(path, own, registry.validate(kind, own, self._file.file, "")[1])
            devices[name] = DeviceConfig(name, str(driver), own)
        return devices

    def _driver(self, path: KeyPath, driver: object) -> DriverType | None:
        if not isinstance(driver, str):
            shown = "" if driver is None else driver
            self._file.problem((*path, "driver"), shown, "one of " + ", ".join(registry.names()))
            return None
        try:
            return registry.driver_type(driver)
        except InputError as error:
            for problem in error.problems:
                self._file.problem((*path, "driver"), driver, problem.expected)
            return None

    # -- upwards ---------------------------------------------------------------------------

    def _upstreams(self) -> tuple[UpstreamConfig, ...]:
        found: list[UpstreamConfig] = []
        seen: dict[str, int] = {}
        for index, table in enumerate(self._file.tables("upstream")):
            path: KeyPath = ("upstream", index)
            values = self._file.settings(path, table, settings.UPSTREAM)
            self._check_node(path, values)
            address, link = values["address"], values["link"]
            if isinstance(address, str):
                if not is_address(address):
                    self._file.problem((*path, "address"), address, ADDRESS_EXPECTED)
                first = seen.setdefault(address, index)
                if first != index:
                    expected = f"an address of its own; [[upstream]] {first + 1} has the same"
                    self._file.problem((*path, "address"), address, expected)
            if isinstance(link, str) and not is_link(link):
                expected = "the link key of 40 characters, copied from the upstream's identity.toml"
                self._file.problem((*path, "link"), link, expected)
            if not self._file.problems:
                signing = bytes.fromhex(str(values["signing"]))
                service = values["service"]
                found.append(
                    UpstreamConfig(
                        str(values["id"]),
                        str(address),
                        str(link).encode(),
                        signing,
                        None if service is None else str(service),
                    )
                )
        return tuple(found)

    def _check_node(self, path: KeyPath, values: Mapping[str, SettingValue]) -> None:
        id_, signing = values["id"], values["signing"]
        if isinstance(id_, str) and not is_name(id_):
            self._file.problem((*path, "id"), id_, "the id in its identity.toml, such as 'hub-east'")
        if isinstance(signing, str) and not _SIGNING.fullmatch(signing):
            expected = "the signing key of 64 hexadecimal digits, copied from its identity.toml"
            self._file.problem((*path, "signing"), signing, expected)

    def _headquarters(self, upstreams: tuple[UpstreamConfig, ...]) -> HeadquartersConfig | None:
        table = self._file.table(("headquarters",), self._file.document)
        if not table:
            if "headquarters" not in self._file.document and (
                upstreams or self._file.document.get("upstream")
            ):
                expected = (
                    "a table [headquarters] with id and signing from headquarters' identity.toml, because "
                    "an [[upstream]] is set and only headquarters' receipts let batches leave the buffer"
                )
                self._file.problem(("headquarters",), "", expected)
            elif "headquarters" in self._file.document:
                self._file.settings(("headquarters",), table, settings.HEADQUARTERS)
            return None
        values = self._file.settings(("headquarters",), table, settings.HEADQUARTERS)
        self._check_node(("headquarters",), values)
        if self._file.problems:
            return None
        return HeadquartersConfig(str(values["id"]), bytes.fromhex(str(values["signing"])))

    def _export(self, upstreams: tuple[UpstreamConfig, ...]) -> ExportConfig | None:
        if "export" not in self._file.document:
            return None
        values = self._section("export")
        if upstreams:
            expected = "either [export] or [[upstream]]: a gateway sends over links or through an isolator"
            self._file.problem(("export",), "", expected)
        first, last = values["repeat_s"], values["last_repeat_s"]
        if first and last and first > last:
            expected = f"at least repeat_s, which is {first:g}"
            self._file.problem(("export", "last_repeat_s"), last, expected)
        repeats = tuple(sorted({float(after_s) for after_s in (first, last) if after_s}))
        return ExportConfig(self._home / str(values["directory"] or ""), repeats)

    # -- the rest --------------------------------------------------------------------------

    def _buffer(self) -> BufferConfig:
        values = self._section("buffer")
        trim = settings.TRIM[values["trim"]]
        if "export" in self._file.document:  # no receipt comes back through an isolator
            if trim is not Mark.HUB and "trim" in self._file.table(("buffer",), self._file.document):
                expected = "'hub' or no trim at all, because no receipt comes back through an [export]"
                self._file.problem(("buffer", "trim"), values["trim"], expected)
            trim = Mark.HUB
        return BufferConfig(
            flush_s=values["flush_s"],
            batch_samples_max=values["batch_samples_max"],
            quota_bytes=values["quota_mb"] << 20,
            policy=QuotaPolicy(values["policy"]),
            trim=trim,
        )

    def _uplink(self) -> UplinkConfig:
        values = self._section("uplink")
        return UplinkConfig(
            ack_timeout_s=values["ack_timeout_s"],
            failover_s=values["failover_s"],
            live_first_s=values["live_first_s"] or None,
            backlog_bytes_per_s=values["backlog_kb_per_s"] << 10 or None,
            directory_s=values["directory_s"],
        )

    def _updates(self) -> UpdatesConfig:
        values = self._section("updates")
        budget = values["budget_kb_per_s"]
        return UpdatesConfig(1000.0 * budget if budget else math.inf, values["poll_s"])

    def _log(self) -> LogConfig:
        return LogConfig.of(self._home, self._section("log"))

    def _command_writes(self) -> tuple[WriteGrant, ...]:
        found: dict[str, WriteGrant] = {}
        for index, table in enumerate(self._file.tables("command_write")):
            path: KeyPath = ("command_write", index)
            values = self._file.settings(path, table, settings.COMMAND_WRITE)
            name, low, high = values["point"], values["low"], values["high"]
            if not isinstance(name, str) or not isinstance(low, float) or not isinstance(high, float):
                continue
            if low > high:
                self._file.problem((*path, "low"), low, f"at most high, which is {high:g}")
            if name in found:
                self._file.problem((*path, "point"), name, "each point once")
            found[name] = WriteGrant(name, low, high, self._file.place(path))
        return tuple(found.values())

    def _page(self) -> PageConfig | None:
        values = self._section("status")
        if not values["http"]:
            return None
        host, port = split_listen(values["http"])
        if not is_loopback(host) and not values["password"]:
            expected = "a password, because others than this machine can reach the page; make it with: "
            self._file.problem(("status", "password"), "", expected + "catchment-edge page password")
        return PageConfig(host, port, values["password"] or "", values["metrics"])

    def _warnings(
        self, devices: Mapping[str, DeviceConfig], upstreams: tuple[UpstreamConfig, ...]
    ) -> tuple[Problem, ...]:
        found: list[Problem] = []
        if not upstreams and "export" not in self._file.document:
            expected = "an [[upstream]] to send to; without one the gateway only collects and buffers"
            found.append(Problem(self._file.file, "[[upstream]]", "", expected))
        twins: dict[tuple[object, ...], str] = {}
        for device in devices.values():
            key = (device.driver, *sorted((name, str(value)) for name, value in device.settings.items()))
            first = twins.setdefault(key, device.name)
            if first != device.name:
                expected = f"perhaps other settings: [device.{first}] has the very same"
                place = self._file.place(("device", device.name))
                found.append(Problem(self._file.file, place, device.name, expected))
        return tuple(found)


def _check_size(config: GatewayConfig, points: list[Point], file: str, problems: list[Problem]) -> None:
    """The table must fit one record of the wire."""
    if problems:
        return
    periods = {name: scan.period_ms for name, scan in config.scan.items()}
    size = len(pack_definitions(to_definition(point, periods[point.scan_class]) for point in points))
    if size > limits.RECORD_BYTES_MAX:
        expected = (
            f"at most {limits.RECORD_BYTES_MAX} bytes of names, units and descriptions; shorten descriptions"
        )
        problems.append(Problem(file, "all rows", f"{size} bytes", expected))


def _check_command_writes(config: GatewayConfig, points: list[Point], problems: list[Problem]) -> None:
    """What commands may write must be there, and be something that can be written."""
    known = {point.name: point for point in points}
    for grant in config.command_writes:
        point = known.get(grant.point)
        if point is None:
            expected = f"the name of a point; {suggest(grant.point, known)}"
        else:
            kind = registry.driver_type(config.devices[point.device].driver)
            expected = kind.writable(point.address, point.type) or _misfit(grant, point)
        if expected:
            problems.append(Problem(str(config.home / CONFIG), grant.place, grant.point, expected))


def _misfit(grant: WriteGrant, point: Point) -> str:
    """What is wrong with the range of a grant; empty when nothing is."""
    if point.low is not None and grant.low < point.low:
        return f"a range within the point's own, which begins at {point.low:g}"
    if point.high is not None and grant.high > point.high:
        return f"a range within the point's own, which ends at {point.high:g}"
    if any(held(point, grant.low, grant.high, bound) is None for bound in (grant.low, grant.high)):
        return f"bounds that {point.type}, the point's type at the device, can hold"
    return ""


def _unused(config: GatewayConfig, points: list[Point]) -> list[Problem]:
    """Scan classes and devices that no point is in, and a table without points."""
    file, table = str(config.home / CONFIG), str(config.home / POINTS)
    if not points:
        return [Problem(table, "row 2", "", "points; the gateway has nothing to collect")]
    found = []
    for section, names, used in (
        ("scan", list(config.scan), {point.scan_class for point in points}),
        ("device", list(config.devices), {point.device for point in points}),
    ):
        for name in names:
            if name not in used:
                expected = f"points in {POINTS} that use it"
                found.append(Problem(file, f"[{section}.{name}]", "", expected))
    return found
