"""Whether there are two of a gateway: what its own batches say, and what follows.

Rules:
1. A process draws a boot id when it starts, and every batch carries it with its times. The lives of
   one gateway follow each other. Two whose times lie well within each other ran at the same time:
   that is a clone, whichever way its batches came.
2. Only times of a synchronised clock count, and only an overlap that no correction of a clock
   explains.
3. A hub may report what it saw only of nodes that were let in through it: it could starve them anyway.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from protocols.batch import ClockState, Header, Kind

OVERLAP_US = 120 * 1_000_000
"""Lives may overlap by a clock's correction at the start: 128 ms are slewed, more is stepped; two minutes
are far beyond what a synchronised clock is off."""

LIVES_KEPT = 16
"""Lives of one gateway that are compared: more than it has within the time that a backlog drains."""


@dataclass(slots=True)
class _Life:
    from_us: int
    to_us: int


class Lives:
    """The lives of gateways, as their data tells; pure.

    >>> lives = Lives()
    >>> header = Header(1, 0, "gw", 2, 1, 0, Kind.DATA, 1, 0, 0, b"a", 0, ClockState.SYNCHRONISED, 0,
    ...     b"", b"", b"", b"", 0)
    >>> second = 1_000_000
    >>> for boot, at in ((b"a", 0), (b"a", 600), (b"b", 100)):
    ...     print(lives.note(header._replace(boot_id=boot, t_min_us=at * second, t_max_us=at * second)))
    None
    None
    None
    >>> lives.note(header._replace(boot_id=b"b", t_min_us=300 * second, t_max_us=300 * second))
    'two processes collected at the same time, for 200 s at least'
    """

    def __init__(self) -> None:
        self._lives: dict[str, OrderedDict[bytes, _Life]] = {}

    def note(self, header: Header) -> str | None:
        """Take a batch that was verified; gives what is suspicious about it."""
        if header.kind is not Kind.DATA or header.clock_state is not ClockState.SYNCHRONISED:
            return None
        lives = self._lives.setdefault(header.gateway, OrderedDict())
        life = lives.get(header.boot_id)
        if life is None:
            life = lives[header.boot_id] = _Life(header.t_min_us, header.t_max_us)
            if len(lives) > LIVES_KEPT:
                lives.popitem(last=False)
        life.from_us = min(life.from_us, header.t_min_us)
        life.to_us = max(life.to_us, header.t_max_us)
        if len(lives) == 1:
            return None
        for boot_id, other in lives.items():
            if boot_id != header.boot_id:
                overlap_us = min(life.to_us, other.to_us) - max(life.from_us, other.from_us)
                if overlap_us > OVERLAP_US:
                    return (
                        f"two processes collected at the same time, for {overlap_us // 1_000_000} s at least"
                    )
        return None

    def forget(self, gateway: str) -> None:
        """What was noted of a gateway was dealt with."""
        self._lives.pop(gateway, None)
