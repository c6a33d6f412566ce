"""The door that a station keeps, after its keys were changed, for who knows it by the link key that it had.

A CURVE client knows its server by one key, and a socket has one. So now and then the service socket
opens behind the former key, for a moment, and gives the directory: it is signed by the authority, names
the new keys, and is all that is given there. It does not matter whether the former key was stolen.

Rules:
1. The two keys take turns of five seconds, which is shorter than a call waits: so no caller goes without
   an answer, whichever key it knows. In the first half hour they do so all the time, afterwards for a
   minute in twenty, which is longer than callers pause that got no answer.
2. It opens when the directory that names the new keys is here, and not before.
3. It is forgotten when everyone who should learn the new keys was met behind them, or when the offline
   window is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import zmq

from protocols import keyfiles
from protocols.calls.messages import CallRefusedError
from protocols.calls.server import Caller
from protocols.durable import remove_durably
from protocols.errors import InputError, Problem
from protocols.identity import LinkKey
from protocols.keyfiles import FORMER_KEY

TURN_S = 5.0
"""How long one key has the socket: half of what a call waits."""

OFTEN_S = 1800.0
"""For so long after the change they take turns all the time: most callers are there and wait."""

PERIOD_S, OPEN_S = 1200.0, 60.0
"""Later only those are missing that were away: of each period the keys take turns for so long. A gateway
pauses 20 s between two attempts, each of 10 s."""

VERBS = frozenset(("directory",))
"""What is answered behind a former key."""

REPLACED = "former-key"
"""The code of the refusal that everything else gets there."""


def refuse(caller: Caller, argument: object) -> object:
    """Answer what is not answered behind a former key.

    Raises:
        CallRefusedError: Always.
    """
    raise CallRefusedError(REPLACED, "we have another key now; the directory names it")


def is_open(since_s: float) -> bool:
    """Whether the former key has the socket, so many seconds after the change.

    >>> [is_open(at) for at in (0, 4, 5, 10, 1799, 2400, 2455, 2461, 3600)]
    [True, True, False, True, False, True, False, False, True]
    """
    takes_turns = since_s < OFTEN_S or since_s % PERIOD_S < OPEN_S
    return takes_turns and since_s % (2 * TURN_S) < TURN_S


class Former:
    """A former key, as long as somebody needs it.

    Args:
        home: The station's home directory, where the key lies.
        key: The key.
        since: When the keys were changed, seconds since 1970.
        window_s: How long it is kept at most.
        expected: Names of those who should learn the new keys.
        ready: Whether the directory that names the new keys is here.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        home: Path,
        key: LinkKey,
        since: float,
        window_s: float,
        expected: Callable[[], Iterable[str]],
        ready: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.key = key
        self._path = home / FORMER_KEY
        self._since = since
        self._window_s = window_s
        self._expected = expected
        self._ready = ready
        self._clock = clock
        self._met: set[str] = set()
        self.is_over = False

    def opens(self) -> bool:
        """Whether it has the socket now.

        Raises:
            StoreError: It is over, and its file cannot be removed.
        """
        since_s = max(0.0, self._clock() - self._since)
        if not self._ready():
            return False
        if since_s > self._window_s or set(self._expected()) <= self._met:
            remove_durably(self._path)
            self.is_over = True
            return False
        return is_open(since_s)

    def met(self, node: str) -> None:
        """A node called us by our present key."""
        self._met.add(node)


def read_former(home: Path) -> tuple[LinkKey, float] | None:
    """The link key that a station had before, and when it was replaced; `None` where there is none.

    Raises:
        InputError: It is damaged or readable by others, or its passphrase is missing.
    """
    path = home / FORMER_KEY
    if not path.exists():
        return None
    secret = keyfiles.read_private(path).encode()
    try:
        return LinkKey(zmq.curve_public(secret), secret), path.stat().st_mtime
    except zmq.ZMQError as error:
        expected = "the link key that was replaced; remove the file to do without it"
        raise InputError([Problem(str(path), "", "a damaged key", expected)]) from error
