"""The page's password: kept as a scrypt hash (RFC 7914) in the configuration.

>>> is_right("steam", make("steam")), is_right("water", make("steam"))
(True, False)
"""

from __future__ import annotations

import hashlib
import hmac
import os

LOG2_N, R, P = 15, 8, 1
"""RFC 7914's parameters: 32 MB and about a tenth of a second a try on a small gateway."""


def make(password: str) -> str:
    """Hash a password for the configuration."""
    salt = os.urandom(16)
    return f"scrypt:{LOG2_N}:{R}:{P}:{salt.hex()}:{_hash(password, salt, LOG2_N, R, P).hex()}"


def is_right(password: str, kept: str) -> bool:
    """Whether a password has this hash, in a time that does not tell how near it is."""
    _, log2_n, r, p, salt, digest = kept.split(":")
    found = _hash(password, bytes.fromhex(salt), int(log2_n), int(r), int(p))
    return hmac.compare_digest(found, bytes.fromhex(digest))


def _hash(password: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    n = 1 << log2_n
    return hashlib.scrypt(
        password.encode(), salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * r * (n + p) + (1 << 20), dklen=32
    )
