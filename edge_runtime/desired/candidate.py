"""Checks a home as it would be: beside the real one, in a process of its own.

In a process of its own, because compiling apps would take the time of collecting, and because a
model that brings onnxruntime down should do so there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.desired.changes import FOLDER
from protocols.errors import Problem, StoreError
from protocols.keyfiles import READY

CANDIDATE = f"{FOLDER}/candidate"

PROGRAM = "import os; os.nice(10); from edge_runtime.cli import main; main()"

CHECK_S = 300.0
"""A hundred apps are compiled in a minute on a small machine."""

HIDDEN = ("data", READY)
"""What is not shown to a check: reading keys finishes a switch of keys, which is the gateway's own to do."""

SEEN = ("data/point_ids.json", f"{FOLDER}/accepted")
"""What a check looks at in the data directory; the rest of it is not shown to it."""


def check_home(home: Path, changes: Mapping[str, bytes | None]) -> list[Problem]:
    """What would keep the gateway from running with some of its files changed.

    Args:
        home: The gateway's home directory.
        changes: New content by path within the home; `None` where a file goes.

    Returns:
        Problems whose files are paths within the home.

    Raises:
        StoreError: The disk failed.
    """
    candidate = home / CANDIDATE
    try:
        shutil.rmtree(candidate, ignore_errors=True)
        lay_out(home, candidate, changes)
        return run_check(candidate)
    except OSError as error:
        raise StoreError(f"{candidate}: {error.strerror}; expected a disk with room") from error
    finally:
        shutil.rmtree(candidate, ignore_errors=True)


def lay_out(home: Path, candidate: Path, changes: Mapping[str, bytes | None]) -> None:
    """Make a directory that looks like a home with some files changed; what is not, is linked."""
    kept = {path: home / path for path in SEEN if (home / path).exists() and path not in changes}
    _mirror(home, candidate, "", set(changes))
    for path, source in kept.items():
        target = candidate / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())
    for path, data in changes.items():
        if data is not None:
            target = candidate / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _mirror(source: Path, target: Path, prefix: str, changed: set[str]) -> None:
    """Link what is in a folder, but for changed files; folders that hold some are made anew."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(source.iterdir()):
        path = f"{prefix}{entry.name}"
        if path in changed or path in HIDDEN:
            continue
        if entry.is_dir() and any(each.startswith(f"{path}/") for each in (*changed, *HIDDEN)):
            _mirror(entry, target / entry.name, f"{path}/", changed)
        else:
            (target / entry.name).symlink_to(entry.resolve())


def run_check(candidate: Path) -> list[Problem]:
    """Run `catchment-edge check` on a directory, at low priority."""
    command = [sys.executable, "-c", PROGRAM, "check", "--home", str(candidate), "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [Problem("check", "", f"no end in {CHECK_S:g} s", "apps that can be compiled in that time")]
    try:
        report = json.loads(done.stdout)
        return [_problem(candidate, found) for found in report["problems"]]
    except (ValueError, KeyError, TypeError):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        found = f"exit code {done.returncode}: {said[-1] if said else 'not a word'}"
        return [Problem("check", "", found, "a check that ends; an app or a model brings it down")]


def _problem(candidate: Path, found: Mapping[str, Any]) -> Problem:
    prefix = f"{candidate}/"
    file, value, expected = (str(found[name]).replace(prefix, "") for name in ("file", "value", "expected"))
    return Problem(file, str(found["place"]), value, expected)


def named_in(problems: Sequence[Problem], home: Path) -> list[str]:
    """Paths within a home that problems name."""
    prefix = f"{home}/"
    return [problem.file.removeprefix(prefix).partition("/app.toml")[0] for problem in problems]
