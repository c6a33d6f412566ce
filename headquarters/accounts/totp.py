"""Time-based one-time codes (RFC 6238: SHA-1, 30 s, 6 figures, as every authenticator has them); no I/O.

>>> matching_step(b"12345678901234567890", "287082", 59_000_000, 0)
1
>>> matching_step(b"12345678901234567890", "287082", 59_000_000, 1) is None
True
"""

from __future__ import annotations

import base64
import hmac
import secrets

import pyotp

STEP_US = 30_000_000
SECRET_BYTES = 20
"""As long as the hash (RFC 4226, section 4, R6)."""

DRIFT_STEPS = 1
"""Codes of the step before and after are taken: clocks differ, people type slowly (RFC 6238, 5.2)."""

ISSUER = "Catchment"


def draw_secret() -> bytes:
    """A new secret."""
    return secrets.token_bytes(SECRET_BYTES)


def uri(secret: bytes, login: str) -> str:
    """What an authenticator reads from a QR code."""
    return _totp(secret).provisioning_uri(name=login, issuer_name=ISSUER)


def text(secret: bytes) -> str:
    """The secret as people type it."""
    return base64.b32encode(secret).decode()


def matching_step(secret: bytes, code: str, at_us: int, last_step: int) -> int | None:
    """The time step that a code is of.

    Args:
        secret: Of the user.
        code: As typed.
        at_us: When, microseconds since 1970.
        last_step: The last step that served; it and those before serve no more.

    Returns:
        The step, to be kept as the last one; `None`: a wrong code, or one that was used.
    """
    code = code.replace(" ", "")
    now, found = at_us // STEP_US, None
    totp = _totp(secret)
    for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1):
        wanted = totp.generate_otp(step) if step > max(0, last_step) else ""
        if hmac.compare_digest(wanted.encode(), code.encode("utf-8", "replace")) and wanted:
            found = step
    return found


def _totp(secret: bytes) -> pyotp.TOTP:
    return pyotp.TOTP(text(secret))
