"""The key of a backup, and `repository.json`, which says whose backup a place holds.

Rules:
1. One random key of 32 bytes seals everything. It lies in a key file, or sealed by a passphrase
   (scrypt) in `repository.json` itself. Whoever has neither reads nothing, and whoever loses both
   has no backup.
2. Objects are named by a keyed hash of what is in them: the place learns neither content nor
   which known file is among it.
3. `repository.json` is one line in one form, with a keyed hash over it: any other byte is refused.
4. The key's passphrase comes from `CATCHMENT_BACKUP_PASSPHRASE`, or from the file that
   `CATCHMENT_BACKUP_PASSPHRASE_FILE` names; it is never an argument and never logged.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols import sealing
from protocols.backup.sealed import DamagedError
from protocols.durable import write_durably
from protocols.errors import InputError, Problem

PASSPHRASE = "CATCHMENT_BACKUP_PASSPHRASE"  # noqa: S105 - the variable's name
PASSPHRASE_FILE = "CATCHMENT_BACKUP_PASSPHRASE_FILE"  # noqa: S105
DESCRIPTION = "repository.json"
FORMAT = "catchment-backup-1"

PASSPHRASE_COST = 1 << 17
"""scrypt's N: 128 MB and half a second. The sealed key lies where others may come to it (OWASP's least)."""

_KEY_FILE = re.compile(r"catchment-backup-key-1 ([0-9a-f]{32}) ([0-9a-f]{64})\n?")


@dataclass(frozen=True, slots=True)
class BackupKey:
    """The key in memory.

    Args:
        sealing: Seals objects, 32 bytes.
        naming: Names objects, 32 bytes.
        proving: Proves `repository.json`, 32 bytes.
    """

    sealing: bytes = field(repr=False)
    naming: bytes = field(repr=False)
    proving: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> BackupKey:
        """The keys that one secret of 32 bytes makes."""
        parts = (
            HKDF(SHA256(), 32, None, b"catchment-backup-key-1\0" + what).derive(secret)
            for what in (b"seal", b"name", b"prove")
        )
        return cls(*parts)

    def name_of(self, content: bytes) -> str:
        """What a piece is called: 64 hexadecimal digits."""
        return hmac.new(self.naming, hashlib.sha256(content).digest(), "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Description:
    """What `repository.json` says.

    Args:
        id: 32 random hexadecimal digits.
        node: Whose backup it is.
        role: `headquarters` or `hub`.
        made: When it was begun, ISO 8601.
        sealed: The secret, sealed by the passphrase; empty with a key file.
    """

    id: str
    node: str
    role: str
    made: str
    sealed: str

    def pack(self, key: BackupKey) -> bytes:
        """As it is stored."""
        body = self._body()
        return _line({**body, "proof": _proof(key, body)})

    def prove(self, key: BackupKey, data: bytes) -> None:
        """Hold it against what is stored.

        Raises:
            DamagedError: It was changed.
        """
        if not hmac.compare_digest(self.pack(key), data):
            raise DamagedError(
                DESCRIPTION, f"bytes 0 to {len(data):,} are not what was written", 0, len(data)
            )

    def _body(self) -> dict[str, str]:
        return {
            "format": FORMAT,
            "id": self.id,
            "node": self.node,
            "role": self.role,
            "made": self.made,
            "sealed": self.sealed,
        }


def parse_description(data: bytes) -> Description:
    """Read `repository.json`; what it says is proved only by `Description.prove`.

    Raises:
        DamagedError: It is no such file.
    """
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        texts = [document[name] for name in ("id", "node", "role", "made", "sealed")]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("not texts")
    except (ValueError, KeyError, TypeError) as error:
        text = f"expected the description of a backup, got something else ({error})"
        raise DamagedError(DESCRIPTION, text, 0, len(data)) from error
    return Description(*texts)


def draw(node: str, role: str, made: str, passphrase: str | None) -> tuple[Description, bytes]:
    """A new backup's description and secret.

    Args:
        node: Whose it will be.
        role: Its role.
        made: Now, ISO 8601.
        passphrase: Seals the secret; `None`: it goes into a key file.
    """
    secret = os.urandom(32)
    sealed = "" if passphrase is None else sealing.seal(secret, passphrase, PASSPHRASE_COST)
    return Description(os.urandom(16).hex(), node, role, made, sealed), secret


def write_key_file(path: Path, description: Description, secret: bytes) -> None:
    """Write the key file, readable by its owner alone.

    Raises:
        InputError: There is a file already.
        StoreError: The disk failed.
    """
    if path.exists():
        raise InputError([Problem(str(path), "", "a file", "none there yet; choose another --key-file")])
    write_durably(path, f"catchment-backup-key-1 {description.id} {secret.hex()}\n", 0o600)


def unlock(description: Description, key_file: Path | None) -> BackupKey:
    """The key of a backup, from its key file or the passphrase of the environment.

    Raises:
        InputError: Neither is given, or it is not the one of this backup.
    """
    if description.sealed:
        given = passphrase()
        if given is None:
            expected = (
                f"the passphrase of the backup in {PASSPHRASE}, or in the file that {PASSPHRASE_FILE} names"
            )
            raise InputError([Problem("backup", "passphrase", "", expected)])
        try:
            return BackupKey.of(sealing.unseal(description.sealed, given))
        except ValueError as error:
            expected = f"the passphrase that init was given, and an undamaged {DESCRIPTION}"
            raise InputError(
                [Problem("backup", "passphrase", "one that does not open it", expected)]
            ) from error
    if key_file is None:
        expected = "the key file that init wrote; name it by --key-file or by key_file in [backup]"
        raise InputError([Problem("backup", "key", "", expected)])
    return BackupKey.of(_read_key_file(key_file, description))


def _read_key_file(path: Path, description: Description) -> bytes:
    try:
        text = path.read_text(encoding="ascii")
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        expected = "the key file that backup init wrote"
        raise InputError([Problem(str(path), "", type(error).__name__, expected)]) from error
    found = _KEY_FILE.fullmatch(text)
    if found is None:
        raise InputError([Problem(str(path), "", "something else", "the key file that backup init wrote")])
    if mode & 0o077:
        expected = "0600; run: chmod 600 on the file"
        raise InputError([Problem(str(path), "permissions", oct(mode & 0o777), expected)])
    if found[1] != description.id:
        expected = f"the key of backup {description.id[:8]}, or an undamaged {DESCRIPTION}"
        raise InputError([Problem(str(path), "", f"the key of backup {found[1][:8]}", expected)])
    return bytes.fromhex(found[2])


def passphrase(environment: Mapping[str, str] | None = None) -> str | None:
    """The backup's passphrase from the environment; `None` where none is given.

    Raises:
        InputError: A file that should hold it cannot be read, or is empty.
    """
    given = os.environ if environment is None else environment
    renamed = {
        sealing.PASSPHRASE: given.get(PASSPHRASE, ""),
        sealing.PASSPHRASE_FILE: given.get(PASSPHRASE_FILE, ""),
    }
    return sealing.passphrase(renamed)


def _proof(key: BackupKey, body: Mapping[str, Any]) -> str:
    return hmac.new(key.proving, _line(body), "sha256").hexdigest()


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"
