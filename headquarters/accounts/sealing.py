"""Seals what must be read again: secrets of second factors, and of sign-ins under way.

The key is `keys/metadata.key` in the home, apart from the database: who has a copy of the one has not
the secrets in it. A sealed text is bound to what it is of, so that it cannot be moved to another user.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocols.errors import InputError, Problem, StoreDamagedError, StoreError

FILE = "keys/metadata.key"
KEY_BYTES = 32
_NONCE_BYTES = 12


class Sealer:
    """Seals and opens (ChaCha20-Poly1305, RFC 8439).

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = ChaCha20Poly1305(self.derive(b"sealing"))

    def __repr__(self) -> str:
        return "Sealer(key not shown)"

    def derive(self, purpose: bytes) -> bytes:
        """A key of 32 bytes for a purpose of its own, such as `b"csrf"`."""
        return hmac.digest(self._key, b"catchment/metadata/" + purpose, hashlib.sha256)

    def seal(self, secret: bytes, of: str) -> bytes:
        """Seal a secret.

        Args:
            secret: What nobody is to read in the database.
            of: Whose it is, such as a user's id.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, of.encode())

    def open(self, sealed: bytes, of: str) -> bytes:
        """Open what was sealed.

        Raises:
            StoreDamagedError: It was altered, moved, or sealed with another key.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], of.encode())
        except (InvalidTag, ValueError) as error:
            raise StoreDamagedError(
                f"expected a secret sealed with {FILE} of this home, got another; restore that file"
                " together with the database"
            ) from error


def load(home: Path) -> Sealer:
    """The sealer of a home; its key is drawn when it is not there.

    Raises:
        InputError: The file is no key.
        StoreError: It cannot be read or made.
    """
    path = home / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _draw(path)
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; expected a file of this user") from error
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InputError([Problem(str(path), "", f"{len(text)} characters", "64 hexadecimal ones")])
    return Sealer(key)


def _draw(path: Path) -> None:
    """Make the key; of two processes that do it at once, the first one's stays."""
    if path.exists():
        return
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secrets.token_hex(KEY_BYTES) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        beside.unlink()
