"""Small packages for tests."""

from __future__ import annotations

from collections.abc import Sequence


def manifest(
    id: str,
    *,
    read: Sequence[str] = ("x",),
    write: Sequence[str] = (),
    events: bool = False,
    period_s: float = 0.1,
    version: str = "1.0.0",
    more: str = "",
) -> bytes:
    """An `app.toml` of one program, `programs/ID.st`; `more` are further tables."""
    asked = {"read": list(read), "write": list(write), "events": str(events).lower()}
    permissions = "\n".join(f"{name} = {value}" for name, value in asked.items())
    text = f"""
[app]
id = "{id}"
version = "{version}"
class = "operations"
publisher = "own"
period_s = {period_s}
title = {{en = "{id}"}}
[permissions]
{permissions}
{more}
[[program]]
file = "programs/{id}.st"
"""
    return text.encode()
