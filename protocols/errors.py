"""The errors of every room, split by whose fault they are.

::

    CatchmentError
    |-- InputError        the operator's: configuration, point table, command line
    |-- PeerError         the peer's: what came over a link, a field line or a file
    |   |-- MalformedError    bytes that do not parse, or are not in canonical form
    |   |-- LimitError        well-formed, but larger than `limits` allows
    |   |-- IntegrityError    a hash, chain or signature that does not hold
    |   `-- DeviceError       a field device that answers wrongly or not at all
    `-- StoreError        ours: the local disk
        |-- StoreDamagedError the store cannot be read and was set aside
        `-- StoreFullError    no room, on the disk or in the quota

A bug is none of these: it is an `AssertionError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CatchmentError(Exception):
    """Root of every error that this project raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in what an operator wrote, with its place and its remedy.

    Args:
        file: The file as the operator named it.
        place: Where in it: `"line 7"`, `"row 12, column scale"`, `"[device.plc1] port"`.
        value: What was found there, as text; empty when something is missing.
        expected: What would have been right, with an example where that helps.
    """

    file: str
    place: str
    value: str
    expected: str

    def __str__(self) -> str:
        found = f"got {self.value!r}" if self.value else "found nothing"
        where = f"{self.file}: {self.place}" if self.place else self.file
        return f"{_printable(where)}: {found}; expected {self.expected}"


def _printable(text: str) -> str:
    """One line of text, in which a name from a file moves no cursor.

    >>> _printable("[scan.a\\n] 周期")
    '[scan.a\\\\n] 周期'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class InputError(CatchmentError):
    """The operator's input is wrong; carries every problem found, not only the first.

    >>> print(InputError([Problem("points.csv", "row 3, column scale", "ten", "a number")]))
    points.csv: row 3, column scale: got 'ten'; expected a number
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class PeerError(CatchmentError):
    """What a peer sent cannot be accepted; the peer's fault, never fatal to us."""


class MalformedError(PeerError):
    """Bytes that do not parse, or are not in the one canonical form."""


class LimitError(PeerError):
    """Well-formed, but larger than `protocols.limits` allows."""


class IntegrityError(PeerError):
    """A hash, a chain link or a signature does not hold."""


class DeviceError(PeerError):
    """A field device answered wrongly, refused, or did not answer in time."""


class StoreError(CatchmentError):
    """The local disk failed us."""


class StoreDamagedError(StoreError):
    """A store cannot be read; it was set aside and a new one must be begun."""


class StoreFullError(StoreError):
    """No room: the disk is full or the quota is used up."""
