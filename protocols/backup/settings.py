"""`[backup]` of a node's configuration: where its backup lies. Never what opens it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocols.field.settings import Kind, Setting

BACKUP = (
    Setting(
        "place",
        Kind.TEXT,
        "Where backups go: a folder, seen from the home directory, or s3://BUCKET/PREFIX; credentials come"
        " from the environment or AWS's own files.",
    ),
    Setting(
        "key_file",
        Kind.TEXT,
        "The key file that `backup init` wrote, seen from the home directory; left out: the passphrase"
        " comes from the environment.",
    ),
    Setting(
        "endpoint", Kind.TEXT, "Of an object store that is not AWS's, such as https://minio.example:9000."
    ),
    Setting("region", Kind.TEXT, "Of the object store; left out: as AWS's own files say."),
)
"""What every node has that keeps one."""


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """Where a backup lies.

    Args:
        place: A folder or a URL; empty: none is set.
        key_file: The key file; `None`: a passphrase.
        endpoint: Of an object store; empty: AWS's.
        region: Of an object store; empty: the default.
    """

    place: str = ""
    key_file: Path | None = None
    endpoint: str = ""
    region: str = ""

    @classmethod
    def of(cls, home: Path, table: Mapping[str, Any]) -> BackupSettings:
        """From the table of a configuration."""
        place, key_file = table.get("place") or "", table.get("key_file")
        return cls(
            str(home / place) if place and "://" not in place else place,
            None if key_file is None else home / key_file,
            table.get("endpoint") or "",
            table.get("region") or "",
        )

    @property
    def own(self) -> list[Path]:
        """What is the backup's own on this machine, and is never backed up itself."""
        folder = [Path(self.place)] if self.place and "://" not in self.place else []
        return folder if self.key_file is None else [*folder, self.key_file]
