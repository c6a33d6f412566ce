"""A bundle for support: what somebody far away needs to understand a node, as one ZIP file without secrets.

Rules:
1. Only files that are named go in. Nothing below `keys/` is opened, nor any other private key, register,
   database or sample.
2. Settings are shown as JSON, because comments may say what settings must not; a setting of kind secret, a
   key whose name says so, and names and passwords inside addresses become `(secret)`; of a URL that is itself
   a secret nothing stays.
3. Of logs the newest lines go in, `LOG_BYTES_MAX` in all, each without secrets.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from protocols.daemon import read_status
from protocols.durable import write_bytes_durably
from protocols.field.settings import Kind, Setting
from protocols.logfile import lines_of
from protocols.masking import SECRET_SHOWN, masked, without_secrets

LOG_BYTES_MAX = 32 << 20
"""Log lines before they are compressed: JSON lines shrink to a tenth."""

FILE_BYTES_MAX = 8 << 20
"""Of one other file."""

FILES_LISTED_MAX = 20_000


class Parts(NamedTuple):
    """What a tier puts in.

    Args:
        home: The node's directory.
        configs: TOML files.
        texts: Other files, shown line by line without secrets.
        status: The status file.
        logs: Log files that are written; their closed ones go in as well.
        settings: All settings that the files may have, for what is secret.
        further: More documents, by name, as JSON can hold them.
    """

    home: Path
    configs: Sequence[Path]
    texts: Sequence[Path]
    status: Path
    logs: Sequence[Path]
    settings: Iterable[Setting] = ()
    further: Mapping[str, Any] = {}


def bundle(parts: Parts) -> bytes:
    """The bundle.

    Args:
        parts: What goes in. Files that are not there are left out.
    """
    secret = {setting.name for setting in parts.settings if setting.kind is Kind.SECRET}
    files = {
        "versions.json": _json(versions()),
        "status.json": _json(hidden(read_status(parts.status) or {}, secret)),
        "files.json": _json(listed(parts.home)),
        **{f"{name}.json": _json(hidden(document, secret)) for name, document in parts.further.items()},
    }
    for path in parts.configs:
        if path.is_file():
            files[f"config/{path.name}.json"] = settings_shown(_text(path), secret)
    for path in parts.texts:
        if path.is_file():
            files[f"config/{path.name}"] = "\n".join(map(without_secrets, _text(path).splitlines())) + "\n"
    share = LOG_BYTES_MAX // max(1, len(parts.logs))
    for path in parts.logs:
        if lines := lines_of(path):
            files[f"logs/{path.name}"] = newest(lines, share)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def write_bundle(parts: Parts, out: Path) -> int:
    """Write the bundle to a file that its owner alone can read; returns its size.

    Raises:
        StoreError: It cannot be written.
    """
    data = bundle(parts)
    write_bytes_durably(out, data, 0o600)
    return len(data)


def log_files(home: Path, config: Path, *names: str) -> list[Path]:
    """Where a node's log files are, also by a configuration that is wrong elsewhere.

    Args:
        home: The node's directory.
        config: Its configuration.
        names: Of its processes' files.
    """
    try:
        directory = tomllib.loads(_text(config))["log"]["directory"]
        return [home / directory / name for name in names]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError):
        return []


def settings_shown(text: str, secret: set[str]) -> str:
    """A configuration as JSON without secrets.

    >>> print(settings_shown('[metadata]\\nurl = "postgresql+pg8000://a:b@c/d"  # b', {"url"}))
    {
      "metadata": {
        "url": "(secret)"
      }
    }
    """
    try:
        return _json(hidden(tomllib.loads(text), secret))
    except tomllib.TOMLDecodeError as error:
        return f"this file does not parse, and so is not shown: {_place_of(error)}"


def hidden(document: Any, secret: set[str]) -> Any:
    """A document without secrets.

    >>> hidden({"a": [{"url": "x", "password": "y", "at": "http://me:it@host/"}]}, {"url"})
    {'a': [{'url': '(secret)', 'password': '(secret)', 'at': 'http://(secret)@host/'}]}
    """
    if isinstance(document, dict):
        return masked(
            {
                key: SECRET_SHOWN if key in secret and entry else hidden(entry, secret)
                for key, entry in document.items()
            }
        )
    if isinstance(document, list):
        return [hidden(entry, secret) for entry in document]
    return masked(document)


def newest(lines: Iterable[str], bytes_max: int) -> str:
    """The newest lines that fit, without secrets; says so when older ones do not."""
    kept: list[str] = []
    size = 0
    for line in reversed(list(lines)):
        shown = without_secrets(line)
        size += len(shown.encode()) + 1
        if size > bytes_max:
            kept.append('{"event": "older-lines-left-out"}')
            break
        kept.append(shown)
    return "\n".join([*reversed(kept), ""])


def versions() -> dict[str, Any]:
    """Program, Python, system and packages."""
    packages = {each.metadata["Name"]: each.version for each in distributions()}
    return {
        "catchment": packages.get("catchment"),
        "python": sys.version,
        "system": platform.platform(),
        "packages": dict(sorted(packages.items())),
    }


def listed(home: Path) -> list[dict[str, Any]]:
    """Names, sizes, modes and times of what is in a home; nothing of it is opened."""
    found: list[dict[str, Any]] = []
    for folder, folders, names in os.walk(home):
        folders.sort()
        for name in sorted(names):
            if len(found) == FILES_LISTED_MAX:
                return [*found, {"path": "further files are not listed"}]
            path = Path(folder) / name
            try:
                stat = path.lstat()
            except OSError:
                continue
            found.append(
                {
                    "path": str(path.relative_to(home)),
                    "bytes": stat.st_size,
                    "mode": oct(stat.st_mode & 0o777),
                    "changed": round(stat.st_mtime),
                }
            )
    return found


def _text(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(FILE_BYTES_MAX)


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2, default=str)


def _place_of(error: tomllib.TOMLDecodeError) -> str:
    """Where it is wrong: the message itself may quote what is secret."""
    found = re.search(r"\(at (line \d+), column \d+\)$", str(error))
    return found[1] if found else "at its end"
