"""Tokens against forged requests (OWASP: HMAC based, bound to the session); no I/O.

>>> key = bytes(32)
>>> token = make(key, "5f0c", b"random 16 bytes.")
>>> holds(key, "5f0c", token), holds(key, "77aa", token), holds(key, "5f0c", "")
(True, False, False)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

SALT_BYTES = 16
_TAG = b"catchment/csrf/1"


def make(key: bytes, session: str, salt: bytes) -> str:
    """A token for a session.

    Args:
        key: Headquarters' secret, 32 bytes.
        session: The id of the session, which rotation does not change.
        salt: 16 random bytes: each page has another token, and compression tells nothing of it.
    """
    return base64.urlsafe_b64encode(salt + _mac(key, session, salt)).decode()


def holds(key: bytes, session: str, token: str) -> bool:
    """Whether a token was made for this session; never raises."""
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    salt, mac = raw[:SALT_BYTES], raw[SALT_BYTES:]
    return len(salt) == SALT_BYTES and hmac.compare_digest(mac, _mac(key, session, salt))


def _mac(key: bytes, session: str, salt: bytes) -> bytes:
    return hmac.digest(key, _TAG + salt + session.encode("utf-8", "replace"), hashlib.sha256)
