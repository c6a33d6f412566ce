"""Point tables in and out of a gateway's home directory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_runtime import configread, pointids
from edge_runtime.check import plan_loads, problem_fields
from edge_runtime.config import POINTS, GatewayConfig
from edge_runtime.configread import load
from protocols.durable import write_durably
from protocols.errors import InputError, Problem, StoreError
from protocols.points import Point
from protocols.pointtable import PointTable, write_rows
from protocols.tablefile import write_csv, write_xlsx


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Args:
        points: The table's points with their ids.
        new: Points that had no id before.
        gone: Points of the old table that the new one has no more.
        target: The gateway's point table.
        warnings: What was perhaps not meant.
    """

    points: tuple[Point, ...]
    new: int
    gone: int
    target: Path
    warnings: tuple[Problem, ...]

    def fields(self) -> dict[str, Any]:
        """For a machine."""
        return {
            "points": len(self.points),
            "new": self.new,
            "gone": self.gone,
            "target": str(self.target),
            "warnings": [problem_fields(problem) for problem in self.warnings],
        }


def import_table(home: Path, file: Path, delimiter: str, encoding: str, *, dry_run: bool) -> Imported:
    """Check a table and make it the gateway's, with ids for all its points.

    The ids are durable before the table is: after a power cut between the two, a point may
    have an id that no table names yet, which is then given to the same point again.

    Raises:
        InputError: With every problem of the table and of the configuration.
        StoreError: The home directory cannot be written.
    """
    with pointids.locked(home):
        before = pointids.load(home)
        config, table, ids = _resolved(home, file, delimiter, encoding)
        names = {point.name for point in config.points}
        new = sum(before.owner(point.id) is None for point in config.points)
        gone = sum(name not in names for name in _names(home))
        if not dry_run:
            pointids.save(home, ids)
            write_durably(home / POINTS, write_csv(write_rows(config.points)))
    return Imported(config.points, new, gone, home / POINTS, tuple(table.warnings))


def candidate(home: Path, file: Path | None, delimiter: str, encoding: str) -> GatewayConfig:
    """The configuration with a point table that is not in use yet, or with its own; nothing is written.

    Raises:
        InputError: With every problem.
    """
    if file is None:
        return load(home, assign_ids=False)
    return _resolved(home, file, delimiter, encoding)[0]


def devices_of(home: Path) -> GatewayConfig:
    """The configuration without points, which may not be there yet.

    Raises:
        InputError: With every problem of `gateway.toml`.
    """
    problems: list[Problem] = []
    config, _ = configread.read_toml(home, problems)
    if problems:
        raise InputError(problems)
    assert config is not None
    return config


def export_table(points: tuple[Point, ...], file: Path) -> None:
    """Write points with their ids to a `.csv` or `.xlsx` file.

    Raises:
        InputError: The file's name ends in neither.
        StoreError: It cannot be written.
    """
    rows = write_rows(points)
    if file.suffix.lower() == ".csv":
        write_durably(file, write_csv(rows))
        return
    if file.suffix.lower() != ".xlsx":
        raise InputError([Problem(str(file), "file", file.suffix, "a name that ends in .csv or .xlsx")])
    try:
        write_xlsx(file, rows, "points")
    except (OSError, ValueError) as error:  # on a full disk the workbook's archive is closed under its writer
        why = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{file}: {why}; expected a disk with room that this user can write") from error


def _resolved(
    home: Path, file: Path, delimiter: str, encoding: str
) -> tuple[GatewayConfig, PointTable, pointids.PointIds]:
    config, table = configread.read_candidate(home, file, delimiter, encoding)
    ids = pointids.load(home)
    points = pointids.resolve(table, ids)
    if table.problems:
        raise InputError(table.problems)
    config = replace(config, points=tuple(points))
    plan_loads(config)
    return config, table, ids


def _names(home: Path) -> set[str]:
    """Names in the gateway's present table; none when it cannot be used."""
    try:
        return {point.name for point in load(home, assign_ids=False).points}
    except InputError:
        return set()
