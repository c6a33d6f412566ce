"""What may be set in a root's `supervisor.toml`; without that file everything has its default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.slots import limits
from edge_runtime.slots.health import HealthLimits
from protocols.errors import InputError
from protocols.field.settings import Kind, Setting, Settings
from protocols.tomlfile import TomlFile

FILE = "supervisor.toml"

_HEALTH = HealthLimits()

SUPERVISOR = (
    Setting(
        "tries", Kind.INTEGER, "Failures of a new firmware until it is given up, the last included.",
        default=3, low=1, high=limits.TRIES_MAX,
    ),
    Setting(
        "confirm_s", Kind.NUMBER, "A new firmware is confirmed when it was healthy for so long in one life.",
        default=300.0, low=1, high=86_400, unit="s",
    ),
    Setting(
        "patience_s", Kind.NUMBER,
        "It is given up when it was not healthy for so long, all tries together; below confirm_s, so that "
        "nothing is collected for no longer than that.",
        default=120.0, low=1, high=86_400, unit="s",
    ),
    Setting(
        "stop_s", Kind.NUMBER, "A program that was asked to stop is killed after so long.",
        default=30.0, low=0.1, high=600, unit="s",
    ),
    Setting(
        "pause_first_s", Kind.NUMBER, "A program that ended by itself is started again after so long,",
        default=1.0, low=0.05, high=60, unit="s",
    ),
    Setting(
        "pause_longest_s", Kind.NUMBER, "and then after twice as long each time, up to this.",
        default=60.0, low=0.05, high=3600, unit="s",
    ),
)  # fmt: skip

HEALTH = (
    Setting(
        "start_s", Kind.NUMBER, "A program says something of itself within so long.",
        default=_HEALTH.start_s, low=0.5, high=3600, unit="s",
    ),
    Setting(
        "stale_s", Kind.NUMBER, "And then again within so long, each time; else it hangs.",
        default=_HEALTH.stale_s, low=0.5, high=3600, unit="s",
    ),
    Setting(
        "window_s", Kind.NUMBER, "Rates are means over so long; longer than the longest scan period.",
        default=_HEALTH.window_s, low=0.5, high=3600, unit="s",
    ),
    Setting(
        "rate_part", Kind.NUMBER, "A new firmware collects at least this part of what was collected before.",
        default=_HEALTH.rate_part, low=0, high=1,
    ),
    Setting(
        "lost_part", Kind.NUMBER, "It may miss this part of the scan instants, or twice as many as before.",
        default=_HEALTH.lost_part, low=0, high=1,
    ),
    Setting(
        "late_ms", Kind.NUMBER, "Its scans may begin so late, or three times as late as before.",
        low=1, high=3_600_000, unit="ms",
    ),
    Setting(
        "memory_mb", Kind.INTEGER, "Memory that a program may take; above it, it is ended and started again.",
        low=16, high=1 << 20, unit="MB",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """All of `supervisor.toml`.

    Args:
        tries, confirm_s, patience_s, stop_s, pause_first_s, pause_longest_s: See `SUPERVISOR`.
        health: See `HEALTH`.
    """

    tries: int = 3
    confirm_s: float = 300.0
    patience_s: float = 120.0
    stop_s: float = 30.0
    pause_first_s: float = 1.0
    pause_longest_s: float = 60.0
    health: HealthLimits = HealthLimits()  # noqa: RUF009 - it is frozen


def load(path: Path, health: HealthLimits = _HEALTH) -> SupervisorSettings:
    """Read `supervisor.toml`.

    Args:
        path: The file; it need not be there.
        health: The tier's own defaults.

    Raises:
        InputError: With every problem.
    """
    file = TomlFile(path, "", None if path.exists() else "")
    file.known((), file.document, ("supervisor", "health"))
    table = file.table(("supervisor",), file.document)
    own = Settings(file.settings(("supervisor",), table, SUPERVISOR))
    table = file.table(("health",), file.document)
    asked = file.settings(("health",), table, HEALTH)
    asked["late_ms"] = health.late_ms if asked["late_ms"] is None else asked["late_ms"]
    memory = asked["memory_mb"]
    if own.number("patience_s") >= own.number("confirm_s"):
        file.problem(("supervisor", "patience_s"), own.number("patience_s"), "less than confirm_s")
    if file.problems:
        raise InputError(file.problems)
    numbers = {name: Settings(asked).number(name) for name in asked if name != "memory_mb"}
    bytes_max = health.memory_bytes if memory is None else int(memory) * 1_000_000
    return SupervisorSettings(
        own.integer("tries"),
        own.number("confirm_s"),
        own.number("patience_s"),
        own.number("stop_s"),
        own.number("pause_first_s"),
        own.number("pause_longest_s"),
        HealthLimits(**numbers, memory_bytes=bytes_max),
    )
