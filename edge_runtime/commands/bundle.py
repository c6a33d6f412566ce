"""Logs and diagnostics as one ZIP file: compressed, without secrets, bounded.

Rules:
1. Private keys are never looked at: only files that are named here go in.
2. Values of settings and log fields whose names say that they are secret become `(secret)`, and
   so do names and passwords inside addresses (`opc.tcp://user:word@host`).
3. What does not fit is left out from the oldest end, and the file says so.
"""

from __future__ import annotations

import io
import json
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.config import CONFIG, POINTS
from protocols import limits
from protocols.identity import IDENTITY
from protocols.masking import masked, without_secrets

LOG_BYTES_MAX = 32 << 20
"""Log lines before they are compressed: JSON lines shrink to a tenth."""

FILE_BYTES_MAX = 8 << 20
"""Of one other file."""


def log_bundle(lines: Iterable[str]) -> bytes:
    """Log lines as a ZIP file with `gateway.log`.

    Args:
        lines: The oldest first.
    """
    return _packed({"gateway.log": _newest(lines)})


def diagnostics_bundle(
    home: Path, status: dict[str, Any], lines: Iterable[str], journal: Sequence[Any], commands: Sequence[Any]
) -> bytes:
    """What somebody far away needs to understand a gateway, as a ZIP file.

    Args:
        home: Its home directory.
        status: What it says of itself now.
        lines: Of its log, the oldest first.
        journal: The newest entries of its journal, as JSON can hold them.
        commands: The newest commands, as JSON can hold them.
    """
    files = {
        "status.json": _json(status),
        "journal.json": _json(list(journal)),
        "commands.json": _json(list(commands)),
        "gateway.log": _newest(lines),
    }
    for path in _chosen(home):
        name = str(path.relative_to(home))
        text = path.read_text(encoding="utf-8", errors="replace")[:FILE_BYTES_MAX]
        files[name] = toml_without_secrets(text) if path.suffix == ".toml" else text
    return _packed(files)


def toml_without_secrets(text: str) -> str:
    """A configuration as JSON, because comments could hold what settings must not show.

    >>> toml_without_secrets('[device.plc]\\nuser = "me"\\npassword = "it"  # my password is it')
    '{\\n  "device": {\\n    "plc": {\\n      "user": "me",\\n      "password": "(secret)"\\n    }\\n  }\\n}'
    """
    try:
        return _json(masked(tomllib.loads(text)))
    except tomllib.TOMLDecodeError as error:
        return f"this file does not parse, and so is not shown: {error}"


def _chosen(home: Path) -> list[Path]:
    found = [home / CONFIG, home / POINTS, home / IDENTITY, *sorted((home / "apps").glob("*.toml"))]
    return [path for path in found if path.is_file()]


def _newest(lines: Iterable[str]) -> str:
    kept: list[str] = []
    size = 0
    for line in reversed(list(lines)):
        shown = without_secrets(line)
        size += len(shown.encode()) + 1
        if size > LOG_BYTES_MAX:
            kept.append('{"event": "older-lines-left-out"}')
            break
        kept.append(shown)
    return "\n".join([*reversed(kept), ""])


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2, default=str)


def _packed(files: dict[str, str]) -> bytes:
    """A ZIP file of at most `BLOB_BYTES_MAX`: the log is halved, then left out, until it fits."""
    while True:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
        data = stream.getvalue()
        if len(data) <= limits.BLOB_BYTES_MAX:
            return data
        largest = max(files, key=lambda name: len(files[name]))
        files = {**files, largest: files[largest][len(files[largest]) // 2 :]}
