"""The built scripts and styles: which file stands for which name, and how they are sent.

Names carry a hash of the content, so a browser keeps what it has for good and never shows what is old.
"""

from __future__ import annotations

import json
import mimetypes
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

STATIC = Path(__file__).parent / "static"
PREFIX = "/static"
FOR_GOOD = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@cache
def _manifest() -> dict[str, str]:
    found: dict[str, str] = json.loads((STATIC / "manifest.json").read_text(encoding="utf-8"))
    return found


@cache
def _files() -> dict[str, Path]:
    return {file.name: file for file in STATIC.iterdir() if file.name != "manifest.json"}


def asset(name: str) -> str:
    """The address of a script or style.

    Args:
        name: As in `manifest.json`, such as `portal.js`.

    >>> asset("portal.js").startswith("/static/portal-")
    True
    """
    return f"{PREFIX}/{_manifest()[name]}"


@router.get(PREFIX + "/{name}")
def static(name: str) -> Response:
    """A built file; to everybody, for it says nothing about anybody."""
    file = _files().get(name)
    if file is None:
        return Response("expected a file of this release; reload the page\n", 404, media_type="text/plain")
    kind = mimetypes.guess_type(name)[0] or "text/plain"
    headers = {"Cache-Control": FOR_GOOD, "X-Content-Type-Options": "nosniff"}
    return FileResponse(file, media_type=kind, headers=headers)
