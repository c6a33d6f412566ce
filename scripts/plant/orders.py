"""Orders to a running server, through a file in its directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = "orders.jsonl"


class Orders:
    """Orders that `python -m scripts.plant order` appends to a file, a JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def take(self) -> list[dict[str, Any]]:
        """Those that are new and whole."""
        if not self._path.exists() or self._path.stat().st_size == self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole = file.read().rpartition(b"\n")[0]
        self._offset += len(whole) + 1 if whole else 0
        return [json.loads(line) for line in whole.splitlines()]
