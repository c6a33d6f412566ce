"""What `catchment-edge status` shows: the status file of the gateway, and how old it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocols.daemon import iso_time, read_status

STATUS = Path("data/status.json")

FRESH_S = 5.0
"""The gateway rewrites its status every second; five missed times, and it is not running."""

_DATES_FROM_US = 10**15
"""Microseconds from here on (September 2001) are a date and not a duration."""


@dataclass(frozen=True, slots=True)
class StatusView:
    """The last status and what its age says.

    Args:
        home: The gateway's home directory.
        status: What the gateway last wrote, or `None` when it never ran here.
        written_s: When it wrote it, seconds since 1970.
        now_s: Now.
    """

    home: Path
    status: Mapping[str, Any] | None
    written_s: float
    now_s: float

    @property
    def running(self) -> bool:
        """Whether the gateway runs: its status is fresh and does not say that it stopped."""
        if self.status is None or self.status.get("state") == "stopped":
            return False
        return self.now_s - self.written_s <= FRESH_S

    def fields(self) -> dict[str, Any]:
        """For a machine."""
        written = None if self.status is None else iso_time(self.written_s)
        return {"running": self.running, "written": written, "status": self.status}

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.status is None:
            yield f"not running: no gateway has run in {self.home} yet; start it with catchment-edge run"
            return
        age_s = max(self.now_s - self.written_s, 0.0)
        if self.running:
            yield f"running; status of {age_s:.1f} s ago"
        else:
            since = f"{iso_time(self.written_s)} ({_duration(age_s)} ago)"
            yield f"not running since {since}; this was its last status:"
        yield from outline(self.status, "  ")


def view(home: Path, now_s: float) -> StatusView:
    """Read the status of a home directory."""
    path = home / STATUS
    status = read_status(path)
    written_s = path.stat().st_mtime if status is not None else 0.0
    return StatusView(home, status, written_s, now_s)


def _duration(seconds: float) -> str:
    """A duration in the two greatest units.

    >>> _duration(42), _duration(3723), _duration(200_000)
    ('42 s', '1 h 2 min', '2 d 7 h')
    """
    whole = int(seconds)
    for unit_s, unit, part_s, part in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit_s:
            return f"{whole // unit_s} {unit} {whole % unit_s // part_s} {part}"
    return f"{whole} s"


def outline(value: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """A document as lines for people."""
    width = max((len(str(key)) for key in value), default=0)
    for key, entry in value.items():
        if isinstance(entry, Mapping) and entry:
            yield f"{indent}{key}"
            yield from outline(entry, indent + "  ")
        elif isinstance(entry, list) and entry and all(isinstance(item, Mapping) for item in entry):
            yield f"{indent}{key}"
            for item in entry:
                yield f"{indent}  {_summary(item)}"
        else:
            yield f"{indent}{str(key).ljust(width)}  {_plain(str(key), entry)}"


def _summary(item: Mapping[str, Any]) -> str:
    """One line; counters at zero and empty texts say nothing and are left out."""
    return ", ".join(
        f"{name} {_plain(name, part)}" for name, part in item.items() if part not in (0, "", None)
    )


def _plain(name: str, value: object) -> str:
    """A value as people read it; the unit is at the end of its name."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        if name.endswith("_us") and value >= _DATES_FROM_US:
            return iso_time(value / 1e6)
        return str(value) if name == "pid" else f"{value:,}"
    if value is None or value in ("", {}, []):
        return "-"
    return str(value)
