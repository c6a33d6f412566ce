"""Where nodes listen and connect, and the link keys they know each other by: forms, not existence.

>>> is_address("tcp://hub:7500"), is_address("hub:7500"), is_address("tcp://hub:70000")
(True, False, False)
>>> is_bind("tcp://*:0"), is_bind("tcp://[::1]:7500"), is_bind("7500")
(True, True, False)
>>> is_host("plc1.plant-a"), is_host("10.0.0.7"), is_host("10.0.0.999"), is_host("http://plc1")
(True, True, False, False)
"""

from __future__ import annotations

import ipaddress
import re

_HOST = r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)"
_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?")
_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_ADDRESS = re.compile(rf"tcp://{_HOST}:(\d{{1,5}})")
_BIND = re.compile(rf"tcp://(?:\*|{_HOST}):(\d{{1,5}})")
_LINK = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_ANYWHERE = ("0.0.0.0", "[::]")  # noqa: S104 - refused here
_PORT_MAX = 65_535


def is_address(text: str) -> bool:
    """Whether a node can be connected to there: `tcp://HOST:PORT`."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and 1 <= int(match[2]) <= _PORT_MAX and match[1] not in _ANYWHERE


def is_bind(text: str) -> bool:
    """Whether a node can listen there: `tcp://HOST:PORT` or `tcp://*:PORT`; port 0 lets the system choose."""
    match = _BIND.fullmatch(text)
    return match is not None and int(match[2]) <= _PORT_MAX


def is_host(text: str) -> bool:
    """Whether it has the form of a host name, or is an IP address; no scheme, no port, no brackets."""
    if _NAME.fullmatch(text) and not text.replace(".", "").isdigit():
        return True
    return is_ip(text)


def is_ip(text: str) -> bool:
    """Whether it is an IP address; behind the `%` of an IPv6 one stands what an interface may be called.

    Python takes anything there, a new line too, and addresses go into files of the system.

    >>> is_ip("fe80::1%eth0"), is_ip("fe80::1%eth0\\nDHCP=yes"), is_ip("10.0.0.1%eth0")
    (True, False, False)
    """
    address, percent, zone = text.partition("%")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return not percent or (":" in address and _ZONE.fullmatch(zone) is not None)


def reachable(address: str, host: str) -> str:
    """A socket's address as others reach it: its port at our host.

    >>> reachable("tcp://[::]:7601", "hq.example")
    'tcp://hq.example:7601'
    """
    shown = f"[{host}]" if ":" in host else host
    return f"tcp://{shown}:{address.rpartition(':')[2]}"


def is_link(text: str) -> bool:
    """Whether it is a CURVE public key: 32 bytes in Z85.

    Z85 has no quote and no control character, so a key cannot break out of a TOML text.

    Source: ZeroMQ RFC 32 (Z85).
    """
    return _LINK.fullmatch(text) is not None
