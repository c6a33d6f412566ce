"""Takes secrets out of what is shown or sent.

>>> without_secrets('{"event": "login", "password": "x", "url": "opc.tcp://me:it@dcs:4840"}')
'{"event": "login", "password": "(secret)", "url": "opc.tcp://(secret)@dcs:4840"}'
"""

from __future__ import annotations

import json
import re
from typing import Any

from protocols.field.settings import SECRET

SECRET_SHOWN = "(secret)"  # noqa: S105 - what is shown in its place

_CREDENTIALS = re.compile(r"(\w[\w+.-]*://)[^/\s\"'@]+@")
_ASSIGNED = re.compile(
    r"(?i)(\"?[\w-]*(?:pas+w|passphrase|pswd|pwd|secret|token)[\w-]*\"?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|\S+)"
)


def without_secrets(line: str) -> str:
    """One log line, or any text, without secrets."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return _ASSIGNED.sub(rf"\1{SECRET_SHOWN}", _CREDENTIALS.sub(rf"\1{SECRET_SHOWN}@", line))
    return json.dumps(masked(document), ensure_ascii=False)


def masked(value: Any) -> Any:
    """A document without the values of keys that say that they are secret."""
    if isinstance(value, dict):
        return {
            key: SECRET_SHOWN if SECRET.search(str(key)) and entry else masked(entry)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [masked(entry) for entry in value]
    return _CREDENTIALS.sub(rf"\1{SECRET_SHOWN}@", value) if isinstance(value, str) else value
