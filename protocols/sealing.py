"""Private keys sealed by a passphrase: what lies on the disk is worth nothing without it.

Rules:
1. A sealed text is `sealed-1 N SALT NONCE BOX`: scrypt (RFC 7914; r 8, p 1) makes the key, and
   ChaCha20-Poly1305 (RFC 8439) the box. A wrong passphrase and a damaged text look alike.
2. The passphrase comes from the environment (`CATCHMENT_PASSPHRASE`), from a file that it names
   (`CATCHMENT_PASSPHRASE_FILE`), or from systemd's credentials (`catchment-passphrase` in
   `CREDENTIALS_DIRECTORY`), in this order. It is never an argument and never logged.

>>> text = seal(b"secret", "correct horse", cost=1024)
>>> text.split()[:2], unseal(text, "correct horse")
(['sealed-1', '1024'], b'secret')
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from protocols.errors import InputError, Problem

PASSPHRASE = "CATCHMENT_PASSPHRASE"  # noqa: S105 - the variable's name
PASSPHRASE_FILE = "CATCHMENT_PASSPHRASE_FILE"  # noqa: S105
CREDENTIALS = "CREDENTIALS_DIRECTORY"
CREDENTIAL = "catchment-passphrase"

COST = 1 << 14
"""scrypt's N: 16 MB and about 50 ms, which a small gateway has at its start (OWASP's least for r 8 is 2^14
with p 5; our passphrases guard machines that are locked in cabinets)."""

COST_MAX = 1 << 20
"""What a sealed text may ask for: 1 GB."""

_TAG = "sealed-1"


class WrongPassphraseError(ValueError):
    """The passphrase does not open the box, or the box is damaged."""


def is_sealed(text: str) -> bool:
    """Whether a key file holds a sealed key."""
    return text.startswith(_TAG + " ")


def seal(secret: bytes, passphrase: str, cost: int = COST) -> str:
    """Seal a secret; one line of ASCII."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    salt, nonce = os.urandom(16), os.urandom(12)
    box = ChaCha20Poly1305(_key(passphrase, salt, cost)).encrypt(nonce, secret, _TAG.encode())
    return f"{_TAG} {cost} {salt.hex()} {nonce.hex()} {box.hex()}"


def unseal(text: str, passphrase: str) -> bytes:
    """Open what `seal` sealed.

    Raises:
        WrongPassphraseError: Wrong passphrase, or damaged text.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        tag, cost, *parts = text.split()
        salt, nonce, box = (bytes.fromhex(part) for part in parts)
        n = int(cost)
        if tag != _TAG or len(salt) != 16 or len(nonce) != 12 or not 2 <= n <= COST_MAX or n & (n - 1):
            raise WrongPassphraseError("not a sealed key")
        return ChaCha20Poly1305(_key(passphrase, salt, n)).decrypt(nonce, box, _TAG.encode())
    except (ValueError, InvalidTag) as error:
        raise WrongPassphraseError("wrong passphrase, or a damaged file") from error


def passphrase(environment: Mapping[str, str] | None = None) -> str | None:
    """The passphrase of this machine; `None` where none is given.

    Raises:
        InputError: A file that should hold it cannot be read, or is empty.
    """
    given = os.environ if environment is None else environment
    if given.get(PASSPHRASE):
        return given[PASSPHRASE]
    if given.get(PASSPHRASE_FILE):
        return _from_file(Path(given[PASSPHRASE_FILE]))
    if given.get(CREDENTIALS):
        credential = Path(given[CREDENTIALS]) / CREDENTIAL
        if credential.exists():
            return _from_file(credential)
    return None


def _from_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        expected = "a file with the passphrase that this user can read"
        raise InputError([Problem(str(path), "", type(error).__name__, expected)]) from error
    if not text:
        raise InputError([Problem(str(path), "", "", "a passphrase on its first line")])
    return text


def _key(passphrase: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(
        passphrase.encode("utf-8"), salt=salt, n=cost, r=8, p=1, maxmem=256 * cost * 8, dklen=32
    )
