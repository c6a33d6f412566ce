"""Who may look and who may act: hosts, visits, tokens against forged requests, the password.

Rules:
1. A page is answered under the addresses of this machine only, never under a name that somebody
   else could point at it (DNS rebinding).
2. A form counts only with the token of its visit, from a page of this server, in one piece.
3. Where a password is set, nothing is shown before it was given; tries are few a minute.

Pure but for the secret that is drawn at the start, with which all visits of an earlier process end.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import time
from collections.abc import Callable

from edge_runtime.page import passwords

LOGIN_S = 8 * 3600
"""A login serves for a shift."""

TRIES_PER_MIN = 5

_VISIT = re.compile(r"[0-9a-f]{32}")


class Guard:
    """Decides for one server.

    Args:
        password: Its hash; empty for none.
        hostname: This machine's own name, under which it may be called, too.
        now_s: Seconds that never jump.
    """

    def __init__(self, password: str, hostname: str, now_s: Callable[[], float] = time.monotonic) -> None:
        self._password = password
        self._names = {"localhost", hostname.lower()}
        self._now_s = now_s
        self._secret = os.urandom(32)
        self._tries: list[float] = []

    @property
    def closed(self) -> bool:
        """Whether there is a password."""
        return bool(self._password)

    def is_own_host(self, host: str) -> bool:
        """Whether a Host header names this machine by an address or by its own name."""
        name = host.rpartition(":")[0] if re.fullmatch(r".*:\d{1,5}", host) else host
        name = name.removeprefix("[").removesuffix("]").lower()
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def visit(self, cookie: str) -> str:
        """The name of a visit: the one in the cookie, or a new one."""
        return cookie if _VISIT.fullmatch(cookie) else os.urandom(16).hex()

    def token(self, visit: str) -> str:
        """What the forms of a visit carry."""
        return self._sign("form", visit)

    def is_token(self, visit: str, token: str) -> bool:
        """Whether a form comes from a page of this visit."""
        return hmac.compare_digest(self.token(visit).encode(), token.encode("utf-8", "replace"))

    def login(self, visit: str, password: str) -> str | None:
        """The cookie of a login, or `None` when the password is wrong.

        Raises:
            TooManyError: Too many tries in a minute; this one was not looked at.
        """
        now_s = self._now_s()
        self._tries = [at for at in self._tries if now_s - at < 60]
        if len(self._tries) >= TRIES_PER_MIN:
            raise TooManyError
        if not passwords.is_right(password, self._password):
            self._tries.append(now_s)
            return None
        until = str(round(now_s + LOGIN_S))
        return f"{until}.{self._sign('login', visit, until)}"

    def is_in(self, visit: str, cookie: str) -> bool:
        """Whether a visitor may look."""
        if not self._password:
            return True
        until, _, signature = cookie.partition(".")
        right = self._sign("login", visit, until)
        if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "replace")):
            return False
        return self._now_s() < int(until)

    def _sign(self, *parts: str) -> str:
        return hmac.digest(self._secret, "\0".join(parts).encode("utf-8", "replace"), "sha256").hex()


class TooManyError(Exception):
    """Too many tries."""
