"""What an engineer takes home to find out what is wrong with a gateway; never a secret.

Rules:
1. Only what is named here goes in: what a later version keeps in a home stays out by itself.
2. Keys, the token and allow-lists never go in. Of `gateway.toml` every value goes in but those
   under names of secrets; passwords inside addresses are masked.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_runtime.check import check
from edge_runtime.config import CONFIG, POINTS
from edge_runtime.provision import network, provisionfile
from edge_runtime.statusview import STATUS
from protocols.errors import CatchmentError
from protocols.field.settings import SECRET
from protocols.identity import IDENTITY

MASK = "(not shown)"
LOGS_BYTES_MAX = 8 << 20
"""The newest lines of all log files together; over 115,200 baud some minutes."""

_CREDENTIALS = re.compile(r"(://)[^/@\s]+@")

Source = Callable[[], str | bytes]


def collect(home: Path, target: Path, info: dict[str, Any]) -> list[str]:
    """Write a zip file of what there is.

    Args:
        home: The gateway's home.
        target: The file to write.
        info: What the console says of the gateway.

    Returns:
        The names in it.

    Raises:
        OSError: The target cannot be written.
    """
    names = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in _sources(home, info):
            try:
                content = source()
            except (OSError, CatchmentError, ValueError) as error:
                name, content = f"{name}.missing.txt", f"{type(error).__name__}: {error}\n"
            archive.writestr(
                name, _CREDENTIALS.sub(rf"\1{MASK}@", content) if isinstance(content, str) else content
            )
            names.append(name)
    return names


def _sources(home: Path, info: dict[str, Any]) -> Iterator[tuple[str, Source]]:
    yield "info.json", lambda: _json(info)
    yield "machine.json", lambda: _json(_machine(home))
    yield "check.json", lambda: _json(check(home).fields())
    yield "gateway.json", lambda: _json(masked(tomllib.loads(_text(home / CONFIG))))
    yield POINTS, lambda: _text(home / POINTS)
    yield IDENTITY, lambda: _text(home / IDENTITY)
    yield "status.json", lambda: _text(home / STATUS)
    if (home / network.FILE).exists():
        yield network.FILE, lambda: _text(home / network.FILE)
    if (home / provisionfile.FILE).exists():
        yield "provision.json", lambda: _json(masked(tomllib.loads(_text(home / provisionfile.FILE))))
    room = LOGS_BYTES_MAX
    for path in _logs(home):
        size = min(room, path.stat().st_size)
        if size:
            yield f"logs/{path.name}", lambda path=path, size=size: _tail(path, size)  # type: ignore[misc]
        room -= size


def masked(value: Any, name: str = "") -> Any:
    """A document without the values of secrets, however deep.

    >>> masked({"device": {"plc": {"host": "a", "password": "b"}}})
    {'device': {'plc': {'host': 'a', 'password': '(not shown)'}}}
    """
    if isinstance(value, dict):
        return {key: masked(each, key) for key, each in value.items()}
    if SECRET.search(name):
        return MASK
    return [masked(each, name) for each in value] if isinstance(value, list) else value


def _logs(home: Path) -> list[Path]:
    """Log files of the configured folder, the newest first."""
    try:
        folder = tomllib.loads(_text(home / CONFIG)).get("log", {}).get("directory", "")
    except (OSError, ValueError, AttributeError):
        return []
    if not isinstance(folder, str) or not folder:
        return []
    files = [path for path in (home / folder).glob("*.log*") if path.is_file() and not path.is_symlink()]
    return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _machine(home: Path) -> dict[str, Any]:
    disk = shutil.disk_usage(home)
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "disk_bytes": disk.total,
        "disk_free_bytes": disk.free,
        "uptime_s": float(_text(Path("/proc/uptime")).split()[0]),
        "load": _text(Path("/proc/loadavg")).split()[:3],
    }


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _tail(path: Path, size: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(-size, 2)
        return stream.read(size)


def _json(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1, default=str) + "\n"
