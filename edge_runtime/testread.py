"""Reads points once and shows what came: the way to try a point table before it is used.

Every device is read in its own task, so that one that does not answer costs its own
time-outs and nobody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_runtime.check import field_point, make_driver
from edge_runtime.config import GatewayConfig
from edge_runtime.process import Processor
from protocols import samples
from protocols.errors import DeviceError
from protocols.field.base import Driver
from protocols.points import Point, Report
from protocols.samples import NO_SOURCE_TIME, SampleBlock, ValueType

_QUALITIES = {
    getattr(samples, name): "".join(part.capitalize() for part in name.split("_"))
    for name in dir(samples)
    if name.startswith(("GOOD", "UNCERTAIN", "BAD")) and isinstance(getattr(samples, name), int)
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One point, read once.

    Args:
        point: The point.
        value: Its scaled value, or `None` when it could not be read.
        quality: OPC UA StatusCode.
        time_us: The device's own time if it gave one, else when it was read; microseconds UTC.
        error: Why its device could not be read at all; empty otherwise.
    """

    point: Point
    value: float | int | bool | str | None
    quality: int
    time_us: int
    error: str = ""

    @property
    def good(self) -> bool:
        """Whether there is a value that can be trusted."""
        return self.quality >> 30 == 0

    def fields(self) -> dict[str, Any]:
        """The reading for a machine."""
        value = self.value
        if isinstance(value, float) and value - value != 0.0:
            value = str(value)  # JSON knows no NaN and no infinity
        return {
            "name": self.point.name,
            "device": self.point.device,
            "address": self.point.address,
            "value": value,
            "unit": self.point.unit,
            "quality": quality_name(self.quality),
            "quality_code": self.quality,
            "time_us": self.time_us,
            "error": self.error,
        }


def quality_name(quality: int) -> str:
    """The name that OPC UA gives a StatusCode, as far as this project uses it.

    >>> quality_name(0), quality_name(0x80310000), quality_name(0x80990000)
    ('Good', 'BadNoCommunication', 'Bad (0x80990000)')
    """
    known = _QUALITIES.get(quality)
    if known is not None:
        return known
    severity = ("Good", "Uncertain", "Bad", "Bad")[quality >> 30]
    return f"{severity} (0x{quality:08x})"


async def read_once(
    config: GatewayConfig,
    points: Sequence[Point],
    now_us: Callable[[], int],
    timeout_s: float,
    progress: Callable[[str], None],
) -> list[Reading]:
    """Connect to every device that points need, and read them once.

    Args:
        config: The devices.
        points: What to read.
        now_us: Gateway time.
        timeout_s: Longest wait for one device, all of its requests together.
        progress: Told what is going on, a sentence at a time.

    Returns:
        One reading a point, in the order of `points`.

    Raises:
        InputError: A driver refuses an address or a setting.
    """
    by_device: dict[str, list[Point]] = {}
    for point in points:
        by_device.setdefault(point.device, []).append(point)
    drivers = {name: make_driver(config, config.devices[name]) for name in by_device}
    found: dict[int, Reading] = {}
    for readings in await asyncio.gather(
        *(_device(name, drivers[name], by_device[name], now_us, timeout_s, progress) for name in by_device)
    ):
        found.update(readings)
    return [found[point.id] for point in points]


async def _device(
    name: str,
    driver: Driver,
    points: Sequence[Point],
    now_us: Callable[[], int],
    timeout_s: float,
    progress: Callable[[str], None],
) -> Mapping[int, Reading]:
    progress(f"{name}: reading {len(points)} points")
    try:
        async with asyncio.timeout(timeout_s):
            await driver.connect()
            blocks: list[SampleBlock] = []
            for group in driver.plan([field_point(point) for point in points]):
                blocks += await driver.read(group, now_us())
    except TimeoutError:
        return unread(points, f"no answer within {timeout_s:g} s", samples.BAD_TIMEOUT, now_us())
    except DeviceError as error:
        return unread(points, str(error), samples.BAD_NO_COMMUNICATION, now_us())
    finally:
        await driver.close()
    progress(f"{name}: done")
    return readings(points, blocks)


def unread(points: Sequence[Point], why: str, quality: int, time_us: int) -> Mapping[int, Reading]:
    """Readings of points whose device could not be read."""
    return {point.id: Reading(point, None, quality, time_us, why) for point in points}


def readings(points: Sequence[Point], blocks: Sequence[SampleBlock]) -> Mapping[int, Reading]:
    """What the gateway would report, before it leaves anything out."""
    whole = [replace(point, report=Report.ALWAYS, max_silence_s=None) for point in points]
    by_id = {point.id: point for point in points}
    found: dict[int, Reading] = {}
    for block in Processor(whole).process(blocks).blocks:
        for row, id_ in enumerate(block.point.tolist()):
            quality, time_us = int(block.quality[row]), int(block.time[row])
            if block.source_time is not None and block.source_time[row] != NO_SOURCE_TIME:
                time_us = int(block.source_time[row])
            found[id_] = Reading(by_id[id_], _value(block, row, quality), quality, time_us)
    return found


def _value(block: SampleBlock, row: int, quality: int) -> float | int | bool | str | None:
    if quality >> 31:  # severity bad: there is no value (OPC UA Part 4, 7.39)
        return None
    if block.type is ValueType.TEXT:
        return str(block.value[row])
    value: float | int = block.value[row].item()
    return bool(value) if block.type is ValueType.BOOL else value
