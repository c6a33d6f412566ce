"""What the configuration says of the page: forms only, so that checking a file loads no server.

>>> split_listen("127.0.0.1:8480"), split_listen("[::1]:0")
(('127.0.0.1', 8480), ('::1', 0))
>>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
(True, False)
"""

from __future__ import annotations

import ipaddress
import re

_HASH = re.compile(r"scrypt:(\d{1,2}):(\d{1,2}):(\d{1,2}):([0-9a-f]{32}):([0-9a-f]{64})")


def is_listen(text: str) -> bool:
    """Whether a page can answer there: `ADDRESS:PORT`, an IP address or `localhost`."""
    host, port = split_listen(text)
    if not 0 <= port <= 65_535:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def split_listen(text: str) -> tuple[str, int]:
    """Address and port; port -1 where there is none."""
    host, _, port = text.rpartition(":")
    number = int(port) if re.fullmatch(r"[0-9]{1,5}", port) else -1
    return host.removeprefix("[").removesuffix("]"), number


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def is_hash(text: str) -> bool:
    """Whether it is a hash as `passwords.make` makes it, and not dearer to check than it may be."""
    match = _HASH.fullmatch(text)
    return match is not None and 14 <= int(match[1]) <= 17 and int(match[2]) == 8 and 1 <= int(match[3]) <= 4
