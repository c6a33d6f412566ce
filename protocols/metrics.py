"""Metrics in Prometheus' text format, from one table of definitions over what a node says of itself.

Rules:
1. A metric is declared once, with type, unit and meaning; its name ends in its unit, and a counter's in
   `_total`. `docs/metrics.md` is made from the same tables.
2. What the status does not tell is left out: there is no zero for what is not known.
3. A label takes few values: names of devices, gateways, tables, causes; never of points.

>>> points = Metric("catchment_edge_points", GAUGE, "", "Points in the table.", at("points"))
>>> print(render([points], {"points": 4}), end="")
# HELP catchment_edge_points Points in the table.
# TYPE catchment_edge_points gauge
catchment_edge_points 4

Source: Prometheus, "Exposition formats", text format version 0.0.4; "Metric and label naming".
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

COUNTER, GAUGE = "counter", "gauge"

Status = Mapping[str, Any]
"""What a node says of itself, as in `data/status.json`."""

Reading = tuple[tuple[str, ...], float | None]
"""Values of the labels, in their order, and the value; `None` when it is not known."""

Read = Callable[[Status], Iterable[Reading]]


class Metric(NamedTuple):
    """One metric.

    Args:
        name: As Prometheus knows it.
        type: `COUNTER` or `GAUGE`.
        unit: Of its values; empty for a number of things.
        help: What it means.
        read: Takes its values out of a status.
        labels: Names of its labels.
    """

    name: str
    type: str
    unit: str
    help: str
    read: Read
    labels: tuple[str, ...] = ()


def at(*path: str, scale: float = 1.0) -> Read:
    """Reads one number at a place of the status.

    Args:
        path: Keys, from the outermost on.
        scale: What a number is multiplied with, such as 0.001 for milliseconds.

    >>> list(at("store", "used_bytes")({"store": {"used_bytes": 7}})), list(at("store", "x")({"store": None}))
    ([((), 7.0)], [])
    """

    def read(status: Status) -> Iterator[Reading]:
        value = _number(_inside(status, path))
        if value is not None:
            yield (), value * scale

    return read


def flag(holds: Callable[[Status], bool]) -> Read:
    """Reads 1 where something holds, else 0."""
    return lambda status: [((), float(holds(status)))]


def each(path: Sequence[str], field: Sequence[str], scale: float = 1.0, key: str = "") -> Read:
    """Reads one number of each entry of a mapping, or of a list of entries that have a name.

    Args:
        path: Where the entries are.
        field: Where in an entry the number is; empty when the entry is the number.
        scale: What it is multiplied with.
        key: For a list: the field that names an entry, which becomes the label.

    >>> list(each(["tables"], ["rows"])({"tables": {"samples": {"rows": 3}, "gaps": {}}}))
    [(('samples',), 3.0)]
    """

    def read(status: Status) -> Iterator[Reading]:
        for name, entry in entries(status, path, key):
            value = _number(_inside(entry, field))
            if value is not None:
                yield (name,), value * scale

    return read


def entries(status: Status, path: Sequence[str], key: str = "") -> Iterator[tuple[str, Any]]:
    """Names and entries of a mapping, or of a list whose entries have a name in field `key`."""
    found = _inside(status, path)
    if isinstance(found, Mapping):
        yield from ((str(name), entry) for name, entry in found.items())
    elif isinstance(found, (list, tuple)):
        yield from ((str(entry.get(key, "")), entry) for entry in found if isinstance(entry, Mapping))


def info(**labels: Sequence[str]) -> Read:
    """Reads a 1 whose labels are texts of the status: the usual form for versions and names.

    >>> list(info(site=["site"])({"site": "plant-a"}))
    [(('plant-a',), 1.0)]
    """
    return lambda status: [(tuple(str(_inside(status, path) or "") for path in labels.values()), 1.0)]


def values(metrics: Iterable[Metric], status: Status) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
    """All values of all metrics: metric, values of its labels, value."""
    for metric in metrics:
        for labels, value in metric.read(status):
            if value is not None:
                yield metric, labels, value


def render(metrics: Iterable[Metric], status: Status) -> str:
    """The text that Prometheus reads.

    Args:
        metrics: The table.
        status: What the node says of itself.
    """
    lines: list[str] = []
    for metric in metrics:
        own = [
            f"{metric.name}{_labels(metric, labels)} {_value(value)}"
            for _, labels, value in values([metric], status)
        ]
        if own:
            text = metric.help.replace("\\", r"\\").replace("\n", r"\n")
            lines += [f"# HELP {metric.name} {text}", f"# TYPE {metric.name} {metric.type}", *own]
    return "\n".join([*lines, ""])


def machine(folder: Path) -> dict[str, int]:
    """What every node says of its process and its disk, for its status.

    Args:
        folder: Of its data.

    Returns:
        `memory_bytes` (in RAM, of this process), `disk_free_bytes` and `disk_bytes` (of the file system
        that has the folder; 0 where it cannot be asked).
    """
    try:
        disk = shutil.disk_usage(folder)
        free, total = disk.free, disk.total
    except OSError:
        free = total = 0
    return {"memory_bytes": resident_bytes(), "disk_free_bytes": free, "disk_bytes": total}


def resident_bytes() -> int:
    """Memory of this process that is in RAM; 0 where `/proc` does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGESIZE")


def of_machine(tier: str) -> tuple[Metric, ...]:
    """The metrics of what `machine` puts into a status.

    Args:
        tier: `edge`, `hub` or `hq`.
    """
    name = f"catchment_{tier}"
    return (
        Metric(
            f"{name}_memory_bytes",
            GAUGE,
            "bytes",
            "Memory of the process that is in RAM.",
            at("memory_bytes"),
        ),
        Metric(
            f"{name}_disk_free_bytes", GAUGE, "bytes", "Free on the disk of the data.", at("disk_free_bytes")
        ),
        Metric(f"{name}_disk_bytes", GAUGE, "bytes", "Size of that disk.", at("disk_bytes")),
    )


def of_capacity(tier: str) -> tuple[Metric, ...]:
    """The metrics of what `forecast.Usage` puts into a status.

    Args:
        tier: `edge`, `hub` or `hq`.
    """

    def full(status: Status) -> Iterator[Reading]:
        days = _inside(status, ("capacity", "full_in_days")) or ()
        for name, each in zip(("earliest", "likely", "latest"), days, strict=False):
            yield (name,), None if each is None else 86_400.0 * each

    return (
        Metric(
            f"catchment_{tier}_full_in_seconds",
            GAUGE,
            "seconds",
            "Until the store (of headquarters: the disk) is full; left out while not known, or never.",
            full,
            ("bound",),
        ),
    )


def _inside(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _labels(metric: Metric, labels: tuple[str, ...]) -> str:
    if not metric.labels:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(metric.labels, labels, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _value(value: float) -> str:
    if math.isfinite(value):
        return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
