"""Whether a request that changes something was made by a page of ours, as its browser says. Pure.

Rules:
1. `Sec-Fetch-Site` must be `same-origin`, or `none` (the address bar); `Origin` must be ours.
2. A browser sends both, an old one `Origin` alone, a program neither: what is not sent counts for nothing.

>>> stranger({"Origin": "https://hq.example"}, "https://hq.example:443/")
''
>>> stranger({"Origin": "https://evil.example"}, "https://hq.example")
'https://evil.example'
>>> stranger({"Origin": "http://hq:8600", "Host": "hq:8600"}, None), stranger({"Origin": "null"}, None)
('', 'null')

Source: W3C Fetch Metadata Request Headers, 2.1 "Sec-Fetch-Site"; RFC 6454, 7 "The HTTP Origin Header Field".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

SHOWN_CHARS = 80

_HOST = re.compile(rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_PORTS = {"http": ":80", "https": ":443"}


def stranger(headers: Mapping[str, str], public_url: str | None) -> str:
    """The site whose page made a request; empty for one of ours, and for what is no browser.

    Args:
        headers: Of the request; names are looked up as they are written here.
        public_url: How people reach us; `None`: by the name that the request gives.
    """
    site = headers.get("Sec-Fetch-Site", "same-origin")
    if site not in ("same-origin", "none"):
        return site[:SHOWN_CHARS]
    origin = headers.get("Origin")
    if origin is None:
        return ""
    known = {_place(origin_of(public_url))} if public_url else set()
    scheme, mark, _ = origin.partition("://")
    if mark and scheme in _PORTS and "Host" in headers:
        known.add(_place(f"{scheme}://{headers['Host']}"))
    return "" if _place(origin) in known else origin[:SHOWN_CHARS]


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL.

    >>> origin_of("https://hq.example/portal/")
    'https://hq.example'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def is_host(given: bytes) -> bool:
    """Whether something may stand in `Host`: a name or an address, and a port (RFC 9110, 7.2).

    >>> is_host(b"hq.example:8600"), is_host(b"[::1]:80"), is_host(b"hq/x?y"), is_host(b"a@b"), is_host(b"")
    (True, True, False, False, False)
    """
    return _HOST.fullmatch(given) is not None


def _place(origin: str) -> str:
    text = origin.lower()
    scheme = text.partition("://")[0]
    return text.removesuffix(_PORTS.get(scheme, " "))
