"""What is asked and answered about commands, one hop after the other (`commands`, `time`, `blob`).

Rules:
1. Whoever holds a command gives it again and again until the one below says how far it is:
   commands come at least once, and the gateway sees to it that they are carried out once.
2. `told` climbs: a gateway tells its hub, the hub tells headquarters. It is for people who
   watch; what became of a command is known from the gateway's own signed event only.
3. A hub says which gateways ask it (`serve`), the whole of it at first and then what changed.
   Headquarters that does not know the list answers so, and gets all of it again.

>>> ask = Ask(2.0, ((bytes(16), Stage.DELIVERED),))
>>> Ask.parse(ask.fields()) == ask
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from protocols import limits
from protocols.batch import is_name
from protocols.calls import Calls
from protocols.errors import LimitError, MalformedError
from protocols.records import NONCE_BYTES
from protocols.records.fields import Fields, is_count

COMMANDS, TIME, BLOB = "commands", "time", "blob"
"""The verbs of the calls."""

WAIT_MAX_S = 25.0
"""How long an answer to `commands` may be kept back until there is a command."""

HASH_BYTES = 32


class Stage(StrEnum):
    """How far a command is, as those on the way tell."""

    QUEUED = "queued"
    AT_HUB = "at-hub"
    DELIVERED = "delivered"
    EXECUTING = "executing"
    ENDED = "ended"

    @property
    def rank(self) -> int:
        """Stages in their order."""
        return list(Stage).index(self)


Told = tuple[tuple[bytes, Stage], ...]


@dataclass(frozen=True, slots=True)
class Serve:
    """Which gateways ask a hub.

    Args:
        session: Drawn at each start of the list; 16 bytes.
        number: Which part of the list it is, from 0; one that came already changes nothing.
        add: Gateways that came.
        drop: Gateways that went.
    """

    session: bytes
    number: int
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """Asks for commands.

    Args:
        wait_s: How long the answer may take when there are none.
        told: How far commands are that came before.
        serve: Of a hub.
    """

    wait_s: float = 0.0
    told: Told = ()
    serve: Serve | None = None

    def fields(self) -> dict[str, Any]:
        """As it travels."""
        serve = self.serve
        return {
            "wait": float(self.wait_s),
            "told": tuple((nonce, str(stage)) for nonce, stage in self.told),
            "serve": None if serve is None else (serve.session, serve.number, serve.add, serve.drop),
        }

    @classmethod
    def parse(cls, argument: object) -> Ask:
        """Read it from a peer.

        Raises:
            MalformedError, LimitError: Not such a question.
        """
        fields = Fields.of(argument)
        wait_s = fields.value("wait")
        if not isinstance(wait_s, float) or not 0 <= wait_s <= WAIT_MAX_S:
            raise MalformedError(f"expected a wait from 0 to {WAIT_MAX_S:g} s, got {wait_s!r:.40}")
        serve = fields.value("serve")
        return cls(wait_s, _told(fields.array("told")), None if serve is None else _serve(serve))


@dataclass(frozen=True, slots=True)
class Answer:
    """Gives commands.

    Args:
        commands: Each as it was signed.
        again: The asker's list of gateways is not known here: it must send all of it.
    """

    commands: tuple[bytes, ...] = ()
    again: bool = False

    def fields(self) -> dict[str, Any]:
        """As it travels."""
        return {"commands": self.commands, "again": self.again}

    @classmethod
    def parse(cls, result: object) -> Answer:
        """Read it from a peer.

        Raises:
            MalformedError, LimitError: Not such an answer.
        """
        fields = Fields.of(result)
        commands = fields.array("commands")
        if len(commands) > limits.COMMANDS_PER_ANSWER_MAX:
            raise LimitError(
                f"expected at most {limits.COMMANDS_PER_ANSWER_MAX} commands, got {len(commands)}"
            )
        if not all(isinstance(packed, bytes) for packed in commands):
            raise MalformedError("expected commands as bytes")
        again = fields.value("again")
        if not isinstance(again, bool):
            raise MalformedError("expected true or false as 'again'")
        return cls(commands, again)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of what a command fetched, on its way up.

    Args:
        gateway: Whose it is; a gateway may name itself only.
        sha256: Of the whole.
        size: Of the whole.
        offset: Where the piece belongs.
        data: The piece; empty to ask how much is there.
    """

    gateway: str
    sha256: bytes
    size: int
    offset: int
    data: bytes

    def fields(self) -> dict[str, Any]:
        """As it travels."""
        return {
            "gateway": self.gateway,
            "sha256": self.sha256,
            "size": self.size,
            "offset": self.offset,
            "data": self.data,
        }

    @classmethod
    def parse(cls, argument: object) -> Piece:
        """Read it from a peer.

        Raises:
            MalformedError, LimitError: Not such a piece.
        """
        fields = Fields.of(argument)
        gateway, data = fields.text("gateway"), fields.value("data")
        size, offset = fields.whole("size"), fields.whole("offset")
        if not is_name(gateway) or not isinstance(data, bytes):
            raise MalformedError("expected a gateway's name and bytes in a piece")
        if not 0 < size <= limits.BLOB_BYTES_MAX or len(data) > limits.BLOB_PIECE_BYTES:
            raise LimitError(f"expected at most {limits.BLOB_BYTES_MAX} bytes in all, got {size}")
        if not 0 <= offset <= size - len(data):
            raise MalformedError(f"expected a piece within {size} bytes, got one at {offset}")
        return cls(gateway, fields.octets("sha256", HASH_BYTES), size, offset, data)


def _told(rows: Sequence[Any]) -> Told:
    if len(rows) > limits.COMMANDS_TOLD_MAX:
        raise LimitError(f"expected to be told of at most {limits.COMMANDS_TOLD_MAX} commands")
    return tuple(_stage(row) for row in rows)


def _stage(row: object) -> tuple[bytes, Stage]:
    if not isinstance(row, tuple) or len(row) != 2 or not is_nonce(row[0]) or row[1] not in list(Stage):
        raise MalformedError(f"expected (nonce, stage), got {row!r:.80}")
    return row[0], Stage(row[1])


def _serve(row: object) -> Serve:
    if not isinstance(row, tuple) or len(row) != 4 or not is_nonce(row[0]):
        raise MalformedError("expected (session, number, gateways that came, gateways that went)")
    session, number, add, drop = row
    if not is_count(number) or not isinstance(add, tuple) or not isinstance(drop, tuple):
        raise MalformedError("expected a number and lists of gateways")
    if len(add) + len(drop) > limits.COMMANDS_SERVED_MAX:
        raise LimitError(f"expected at most {limits.COMMANDS_SERVED_MAX} gateways in one call")
    if not all(isinstance(name, str) and is_name(name) for name in (*add, *drop)):
        raise MalformedError("expected names of gateways")
    return Serve(session, number, add, drop)


def is_nonce(value: object) -> bool:
    """Whether it may name a command."""
    return isinstance(value, bytes) and len(value) == NONCE_BYTES


def next_offset(result: object) -> int:
    """Read the answer to a piece: how much of the whole is there.

    Raises:
        MalformedError: Not such an answer.
    """
    if not is_count(result):
        raise MalformedError(f"expected how many bytes are there, got {result!r:.40}")
    assert isinstance(result, int)
    return result


def bring(
    upward: Calls, owner: str, sha256: bytes, data: bytes, pause: Callable[[], bool] = lambda: False
) -> bool:
    """Bring a file up in pieces, from where an earlier attempt ended.

    Args:
        upward: Calls who takes it.
        owner: The gateway whose it is.
        sha256: Its hash.
        data: All of it.
        pause: Asked before each piece; true ends the attempt.

    Returns:
        Whether all of it is there.

    Raises:
        PeerError: It was refused, nobody answered, or the answers make no sense.
    """
    offset = next_offset(upward.call(BLOB, Piece(owner, sha256, len(data), 0, b"").fields()))
    while offset < len(data) and not pause():
        piece = data[offset : offset + limits.BLOB_PIECE_BYTES]
        there = next_offset(upward.call(BLOB, Piece(owner, sha256, len(data), offset, piece).fields()))
        if there <= offset:
            raise MalformedError(f"expected {offset + len(piece)} bytes to be there, got {there}")
        offset = there
    return offset >= len(data)
