"""Back to a bare gateway, with its data or without.

Rules:
1. `keep` takes away the configuration, the point table, the installed apps, network and hub, and
   leaves data and keys: what is buffered is still this gateway's and can still be sent.
2. `wipe` takes away everything in the home: data and keys too. What was not sent is lost, and
   the gateway has to be enrolled anew.
3. The gateway must not run meanwhile. What a power cut left undone is done at the next start.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.apps.home import FOLDER
from edge_runtime.config import CONFIG, POINTS
from edge_runtime.provision import network, provisionfile
from edge_runtime.provision.console_config import INCOMING
from protocols.daemon import alone
from protocols.durable import remove_durably, write_durably
from protocols.errors import InputError, Problem, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER = "reset.under-way"


class Fate(StrEnum):
    """What becomes of data and keys."""

    KEEP = "keep"
    WIPE = "wipe"


def reset(home: Path, fate: Fate) -> list[str]:
    """Make the gateway bare.

    Returns:
        What was taken away.

    Raises:
        InputError: The gateway runs.
        StoreError: The disk failed; the next start goes on.
    """
    with _stopped(home):
        write_durably(home / MARKER, fate)
        return _take_away(home, fate)


def finish(home: Path) -> bool:
    """Go on with what was cut; returns whether there was anything.

    Raises:
        InputError: The gateway runs.
        StoreError: The disk failed.
    """
    path = home / MARKER
    if not path.exists():
        return False
    with _stopped(home):
        _take_away(home, Fate(path.read_text(encoding="utf-8")))
    return True


def _take_away(home: Path, fate: Fate) -> list[str]:
    gone = []
    for name in _names(home, fate):
        path = home / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            gone.append(name)
        elif path.exists() or path.is_symlink():
            path.unlink()
            gone.append(name)
    remove_durably(home / MARKER)
    return gone


def _names(home: Path, fate: Fate) -> list[str]:
    if fate is Fate.WIPE:
        return sorted(path.name for path in home.iterdir() if path.name != MARKER)
    return [CONFIG, POINTS, FOLDER, network.FILE, provisionfile.FILE, INCOMING]


@contextmanager
def _stopped(home: Path) -> Iterator[None]:
    data = home / "data"
    if not data.is_dir():
        yield
        return
    with _alone(data):
        yield


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    held = alone(data)
    try:
        held.__enter__()
    except StoreError as error:
        expected = "a gateway that does not run; stop its service first"
        raise InputError([Problem(str(data), "", "a running gateway", expected)]) from error
    try:
        yield
    finally:
        held.__exit__(None, None, None)
