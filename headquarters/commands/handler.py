"""Answers hubs and gateways that ask for commands, for the time, or bring what a command fetched.

Rules:
1. A gateway gets its own commands and nobody else's; a hub those of the gateways that it says
   ask it. A hub that says more than is true gets what it can neither change nor carry out.
2. A command that was given is given again after `REPEAT_S`, until the node told that it has it.
3. The answer waits until there is a command, so that one is on its way at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headquarters.commands.queue import CommandQueue
from protocols.batch import Signer
from protocols.blobs import Blobs
from protocols.calls import NOT_YOURS, Caller, CallRefusedError, Handler, Later
from protocols.commandcalls import BLOB, COMMANDS, TIME, Answer, Ask, Piece, Serve, is_nonce
from protocols.errors import MalformedError
from protocols.identity import PublicIdentity
from protocols.records import SignedTime, sign_record

FETCHED = "fetched"
"""Under `data/`: what commands fetched."""

REPEAT_S = 10.0
"""After so long without a word a command is given again."""

LOOK_S = 0.05
"""How often the queue's file is looked at for something new, by all who wait together."""

KEEP_BLOBS_S = 30 * 86_400
"""What commands fetched is removed after a month."""


@dataclass(slots=True)
class Served:
    """The gateways of one hub, as it says. Pure.

    >>> served = Served()
    >>> served.take(Serve(bytes(16), 0, ("unit-1",))), served.take(Serve(bytes(16), 1, ("unit-2",)))
    (True, True)
    >>> served.take(Serve(bytes(16), 3)), sorted(served.gateways)
    (False, ['unit-1', 'unit-2'])
    """

    session: bytes = b""
    number: int = -1
    gateways: set[str] = field(default_factory=set)

    def take(self, serve: Serve) -> bool:
        """Take a part of the list. Returns whether it fits what came before."""
        if serve.number == 0 and serve.session != self.session:
            self.session, self.number, self.gateways = serve.session, 0, set()
        elif serve.session != self.session or serve.number not in (self.number, self.number + 1):
            return False
        self.number = serve.number
        self.gateways.update(serve.add)
        self.gateways.difference_update(serve.drop)
        return True


class CommandDesk:
    """What headquarters answers about commands; used by one thread.

    Args:
        queue: This thread's connection.
        blobs: Takes what commands fetched.
        signer: Headquarters' key.
        now_us: Headquarters' clock.
        monotonic: Seconds that never jump.
    """

    def __init__(
        self,
        queue: CommandQueue,
        blobs: Blobs,
        signer: Signer,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._blobs = blobs
        self._signer = signer
        self._now_us = now_us
        self._monotonic = monotonic
        self._served: dict[str, Served] = {}
        self._given: dict[tuple[str, bytes], float] = {}
        self._looked_at = -LOOK_S
        self._version = -1
        self._news = 0
        self._swept_at = monotonic()

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By the verb of the call."""
        return {COMMANDS: self.commands, TIME: self.time, BLOB: self.blob}

    def commands(self, caller: Caller, argument: Any) -> object:
        """Give what is due, or wait for it."""
        node = _known(caller)
        ask = Ask.parse(argument)
        if ask.told:
            self._queue.told(node.id, ask.told, self._now_us())
        if node.role == "gateway":
            gateways = [node.id]
        elif node.role == "hub" and ask.serve is not None:
            served = self._served.setdefault(node.id, Served())
            if not served.take(ask.serve):
                return Answer(again=True).fields()
            gateways = sorted(served.gateways)
        else:
            raise CallRefusedError(NOT_YOURS, f"{node.role} {node.id} has no gateways to ask for")
        answer = self._due(node.id, gateways)
        if answer is not None or not ask.wait_s:
            return answer or Answer().fields()
        seen = self._news
        repeat_at = self._monotonic() + REPEAT_S

        def check() -> object | None:
            nonlocal seen, repeat_at
            self._look()
            if self._news == seen and self._monotonic() < repeat_at:
                return None
            seen, repeat_at = self._news, self._monotonic() + REPEAT_S
            return self._due(node.id, gateways)

        return Later(check, ask.wait_s, Answer().fields())

    def time(self, caller: Caller, argument: Any) -> object:
        """Say what time it is, signed together with the asker's nonce."""
        if not is_nonce(argument):
            raise MalformedError("expected a nonce of 16 bytes")
        return sign_record(SignedTime(argument, self._now_us()), self._signer)

    def blob(self, caller: Caller, argument: Any) -> object:
        """Take a piece of what a command fetched."""
        node = _known(caller)
        piece = Piece.parse(argument)
        if node.role != "hub" and piece.gateway != node.id:
            raise CallRefusedError(NOT_YOURS, f"{node.id} may not bring what is {piece.gateway}'s")
        self._sweep()
        return self._blobs.take(piece.gateway, piece.sha256, piece.size, piece.offset, piece.data)

    def _due(self, node: str, gateways: list[str]) -> dict[str, Any] | None:
        now = self._monotonic()
        self._given = {key: at for key, at in self._given.items() if now - at < REPEAT_S}
        due = [
            (nonce, signed)
            for nonce, signed in self._queue.due(node, gateways, self._now_us())
            if (node, nonce) not in self._given
        ]
        if not due:
            return None
        self._given.update({(node, nonce): now for nonce, _ in due})
        return Answer(tuple(signed for _, signed in due)).fields()

    def _look(self) -> None:
        """See whether the queue has something new: once for all who wait."""
        now = self._monotonic()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        version = self._queue.version
        if version != self._version:
            self._version = version
            self._news += 1

    def _sweep(self) -> None:
        if self._monotonic() - self._swept_at > 3600:
            self._swept_at = self._monotonic()
            self._blobs.sweep(KEEP_BLOBS_S)


def _known(caller: Caller) -> PublicIdentity:
    if caller.identity is None:
        raise CallRefusedError("unknown-key", "only nodes that are known here get an answer")
    return caller.identity
