"""Documents as JSON texts, of what the lake holds."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(document: object) -> str:
    """A document as JSON, which knows no NaN and no infinity: they are texts in it.

    >>> json_text({"value": float("nan"), "header": b"ok"})
    '{"value": "nan", "header": "6f6b"}'
    """
    return json.dumps(_finite(document), ensure_ascii=False, default=json_value, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    return [_finite(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def json_value(value: object) -> object:
    """What JSON has no form for, as text; bytes in hexadecimal."""
    return value.hex() if isinstance(value, (bytes, bytearray)) else str(value)
