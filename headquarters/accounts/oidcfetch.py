"""Asks an OpenID provider over HTTP: with time-outs, no redirects, and a bound on answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from headquarters.accounts.oidc import is_safe_url, json_of
from protocols.errors import PeerError

TIMEOUT_S = 10.0
"""Somebody waits in front of a browser."""

BYTES_MAX = 1 << 20
"""Metadata and keys are some kilobytes."""


def fetch(url: str, form: Mapping[str, str] | None, basic: tuple[str, str] | None) -> Any:
    """Get a URL, or post a form to it.

    Args:
        url: Over TLS, or of this machine.
        form: What is posted; `None`: nothing.
        basic: User and password; `None`: none.

    Returns:
        The JSON that came.

    Raises:
        PeerError: No such URL, no answer, a refusal, or no JSON.
    """
    if not is_safe_url(url):
        raise PeerError(f"expected an https URL, got {url}; see [oidc] issuer")
    headers = {"Accept": "application/json"}
    try:
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client,
            client.stream(
                "GET" if form is None else "POST", url, data=form, headers=headers, auth=basic
            ) as answer,
        ):
            body = b""
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > BYTES_MAX:
                    raise PeerError(f"expected at most {BYTES_MAX:,} bytes from {url}")
            status = answer.status_code
    except httpx.HTTPError as error:
        raise PeerError(f"expected an answer of {url}: {error}; see [oidc] issuer") from error
    if status != 200:
        raise PeerError(f"expected {url} to answer with 200, got {status}: {body[:200]!r}")
    return json_of(body, url)
