"""A configuration that came over the cable: checked as `catchment-edge check` does, then taken whole.

Rules:
1. It is checked beside the gateway's other files in a folder of its own; a problem leaves the
   gateway as it was.
2. `gateway.toml` and `points.csv` change together: they lie whole in `incoming/commit` before the
   first is replaced, and what a power cut left undone there is done at the next start.
3. The first configuration of a bare gateway names it: its keys are drawn then, and never leave it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_runtime.check import CheckReport, check
from edge_runtime.config import CONFIG, POINTS
from edge_runtime.configread import read_toml
from protocols.durable import write_bytes_durably
from protocols.errors import InputError, Problem
from protocols.identity import IDENTITY, Identity

NAMES = (CONFIG, POINTS)
KEYS = "keys"
INCOMING = "incoming"
COMMIT = f"{INCOMING}/commit"


def take(home: Path, given: Mapping[str, bytes]) -> dict[str, Any]:
    """Check a configuration and make it the gateway's.

    Args:
        home: The gateway's home.
        given: Content of `gateway.toml`, `points.csv` or both, by name.

    Returns:
        What the gateway then is: id, numbers of points and devices, warnings.

    Raises:
        InputError: With every problem; nothing has changed.
        StoreError: The disk failed.
    """
    unknown = sorted(set(given) - set(NAMES))
    if unknown or not given:
        expected = f"{' or '.join(NAMES)}, or both"
        raise InputError([Problem("configuration", "", ", ".join(unknown), expected)])
    finish(home)
    (home / INCOMING).mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=home / INCOMING, prefix="check-") as name:
        beside = Path(name)
        bare = not (home / IDENTITY).exists()
        _lay_out(home, beside, given, bare)
        report = _checked(home, beside, bare)
        if bare:
            _take_identity(home, beside)
    _commit(home, given)
    assert report.config is not None
    return {
        "id": report.config.id,
        "site": report.config.site,
        "points": len(report.config.points),
        "devices": len(report.config.devices),
        "warnings": [str(_named(problem, beside)) for problem in report.warnings],
        "new_identity": bare,
    }


def _lay_out(home: Path, beside: Path, given: Mapping[str, bytes], bare: bool) -> None:
    """Everything of the home by reference, but for what is new."""
    left_out = {*given, INCOMING, *((KEYS,) if bare else ())}
    for path in home.iterdir():
        if path.name not in left_out:
            (beside / path.name).symlink_to(path.resolve())
    for name, content in given.items():
        (beside / name).write_bytes(content)


def _checked(home: Path, beside: Path, bare: bool) -> CheckReport:
    if bare:
        _draw_identity(beside)
    report = check(beside)
    if report.problems:
        raise InputError([_named(problem, beside) for problem in report.problems])
    return report


def _draw_identity(beside: Path) -> None:
    problems: list[Problem] = []
    config, _ = read_toml(beside, problems)
    if config is None:
        raise InputError([_named(problem, beside) for problem in problems])
    Identity.create(beside, config.id, "gateway", config.site)


def _take_identity(home: Path, beside: Path) -> None:
    """Keys first: without `identity.toml` they are nobody's, and are drawn anew."""
    shutil.rmtree(home / KEYS, ignore_errors=True)
    (beside / KEYS).rename(home / KEYS)
    write_bytes_durably(home / IDENTITY, (beside / IDENTITY).read_bytes())


def _named(problem: Problem, beside: Path) -> Problem:
    """With the file's own name: the folder beside is gone when somebody reads it."""
    prefix = f"{beside}/"
    texts = (problem.file, problem.place, problem.value, problem.expected)
    return Problem(*(text.replace(prefix, "") for text in texts))


def _commit(home: Path, given: Mapping[str, bytes]) -> None:
    staged = home / f"{COMMIT}.new"
    shutil.rmtree(staged, ignore_errors=True)
    for name, content in given.items():
        write_bytes_durably(staged / name, content)
    staged.rename(home / COMMIT)
    finish(home)


def finish(home: Path) -> bool:
    """Take what is wholly there and was not taken yet; returns whether there was anything.

    Raises:
        StoreError: The disk failed.
    """
    staged = home / COMMIT
    if not staged.is_dir():
        return False
    for name in NAMES:
        if (staged / name).exists():
            # gateway.toml may hold passwords of devices.
            write_bytes_durably(home / name, (staged / name).read_bytes(), 0o600 if name == CONFIG else 0o644)
    shutil.rmtree(staged)
    return True
