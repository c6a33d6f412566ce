"""The types of a point's values, for those who handle definitions and never samples.

A hub knows them without numpy, which it has no use for.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class ValueType(IntEnum):
    """How a block's values are stored; also the number on the wire."""

    F64 = 0
    F32 = 1
    I64 = 2
    BOOL = 3
    TEXT = 4

    @property
    def dtype(self) -> np.dtype[Any]:
        """numpy's type of a value column of this type."""
        return _dtype(self)


@cache
def _dtype(value_type: ValueType) -> np.dtype[Any]:
    import numpy as np

    return np.dtype(("f8", "f4", "i8", "u1", "O")[value_type])
