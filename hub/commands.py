"""Commands on their way through a hub: fetched from headquarters, kept, given to gateways.

Rules:
1. The hub passes on what headquarters signed. It can lose a command or keep it back; it can
   neither make nor change one, and what became of one it cannot say: that comes signed.
2. While headquarters is dark, gateways get what is here, and what they tell waits.
3. What a command fetched is taken in pieces, kept until headquarters has it, and then removed.
4. Which gateways ask here is told upward in parts (`Serving`), so that headquarters gives this
   hub their commands and no others.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any

from hub import limits
from hub.commandstore import CommandStore
from protocols import limits as wire
from protocols.blobs import Blobs
from protocols.calls import NOT_YOURS, Caller, CallRefusedError, Calls, Handler, Later, ServiceAddress, Upward
from protocols.commandcalls import (
    BLOB,
    COMMANDS,
    TIME,
    Answer,
    Ask,
    Piece,
    Serve,
    bring,
    is_nonce,
)
from protocols.daemon import EventLog
from protocols.errors import MalformedError, PeerError, StoreError
from protocols.identity import LinkKey, VerifyKey
from protocols.records import NONCE_BYTES, Command, open_record

BLOBS = "fetched"
"""Under `data/`: what commands fetched, until headquarters has it."""

POLL_S = 2.0
"""How long headquarters may keep an answer back: also how late it learns of a gateway that came."""

REPEAT_S = 10.0
"""After so long without a word a command is given to its gateway again."""

RETRY_S = 5.0
"""Between attempts while headquarters does not answer."""

SWEEP_S = 60.0
TIME_WAIT_S = 15.0
"""How long a gateway waits for the time that headquarters signs."""

QUESTIONS_MAX = 256
"""Gateways that ask for the time at once; more are told to come again."""


def now_us() -> int:
    """The hub's clock, microseconds since 1970."""
    return time.time_ns() // 1000


class Serving:
    """Tells headquarters which gateways ask here, in parts. Pure but for the session's random name.

    >>> serving = Serving()
    >>> serving.part(frozenset({"unit-1"})).add
    ('unit-1',)
    >>> serving.part(frozenset({"unit-1"})).number  # the same until it has arrived
    0
    >>> serving.arrived(); serving.part(frozenset({"unit-2"})).drop
    ('unit-1',)
    """

    def __init__(self) -> None:
        self.again()

    def again(self) -> None:
        """Tell all of it anew."""
        self._session = os.urandom(NONCE_BYTES)
        self._told: set[str] = set()
        self._number = 0
        self._first = True
        self._sent: Serve | None = None

    def part(self, gateways: frozenset[str]) -> Serve:
        """What to tell now."""
        if self._sent is None:
            add = sorted(gateways - self._told)[: wire.COMMANDS_SERVED_MAX]
            drop = sorted(self._told - gateways)[: wire.COMMANDS_SERVED_MAX - len(add)]
            number = self._number + 1 if (add or drop) and not self._first else self._number
            self._sent = Serve(self._session, number, tuple(add), tuple(drop))
        return self._sent

    def arrived(self) -> None:
        """Headquarters took it."""
        sent, self._sent, self._first = self._sent, None, False
        assert sent is not None
        self._number = sent.number
        self._told.update(sent.add)
        self._told.difference_update(sent.drop)

    def complete(self, gateways: frozenset[str]) -> bool:
        """Whether there is nothing more to tell."""
        return not self._first and self._told == gateways


class CommandDesk:
    """What the hub answers gateways; used by the thread of the call server.

    Args:
        store: Commands that are here.
        blobs: Takes what commands fetched.
        errands: Asks headquarters for the time; `None` at a hub without one.
    """

    def __init__(self, store: CommandStore, blobs: Blobs, errands: Errands | None) -> None:
        self._store = store
        self._blobs = blobs
        self._errands = errands
        self._given: dict[bytes, float] = {}
        self._noted: dict[str, float] = {}
        self._swept_at = time.monotonic()

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By the verb of the call."""
        return {COMMANDS: self.commands, TIME: self.time, BLOB: self.blob}

    def commands(self, caller: Caller, argument: Any) -> object:
        """Give a gateway its commands, or wait for one."""
        gateway = _gateway(caller)
        ask = Ask.parse(argument)
        self._sweep()
        if self._noted.get(gateway, -math.inf) < time.monotonic() - limits.GATEWAY_NOTED_S:
            self._noted[gateway] = time.monotonic()
            self._store.saw(gateway, now_us())
        if ask.told:
            self._store.told(gateway, ask.told)
        answer = self._due(gateway)
        if answer is not None or not ask.wait_s:
            return answer or Answer().fields()
        seen, repeat_at = self._store.version(gateway), time.monotonic() + REPEAT_S

        def check() -> object | None:
            nonlocal seen, repeat_at
            version, now = self._store.version(gateway), time.monotonic()
            if version == seen and now < repeat_at:
                return None
            seen, repeat_at = version, now + REPEAT_S
            return self._due(gateway)

        return Later(check, ask.wait_s, Answer().fields())

    def time(self, caller: Caller, argument: Any) -> object:
        """Have headquarters say what time it is."""
        _gateway(caller)
        if not is_nonce(argument):
            raise MalformedError("expected a nonce of 16 bytes")
        if self._errands is None:
            raise CallRefusedError("no-headquarters", "this hub has no headquarters to ask")
        return self._errands.ask_time(argument)

    def blob(self, caller: Caller, argument: Any) -> object:
        """Take a piece of what a command fetched."""
        gateway, piece = _gateway(caller), Piece.parse(argument)
        if piece.gateway != gateway:
            raise CallRefusedError(NOT_YOURS, f"{gateway} may not bring what is {piece.gateway}'s")
        return self._blobs.take(gateway, piece.sha256, piece.size, piece.offset, piece.data)

    def _due(self, gateway: str) -> dict[str, Any] | None:
        now = time.monotonic()
        self._given = {nonce: at for nonce, at in self._given.items() if now - at < REPEAT_S}
        due = [
            (nonce, signed)
            for nonce, signed in self._store.due(gateway, now_us())
            if nonce not in self._given
        ]
        if not due:
            return None
        self._given.update({nonce: now for nonce, _ in due})
        return Answer(tuple(signed for _, signed in due)).fields()

    def _sweep(self) -> None:
        if time.monotonic() - self._swept_at > SWEEP_S:
            self._swept_at = time.monotonic()
            self._store.sweep(now_us())


class Fetcher:
    """Fetches commands from headquarters; `step` is called by one thread, again and again.

    Args:
        store: Where they are kept.
        upward: Calls headquarters.
        headquarters: Whose signature counts.
        log: For what goes wrong.
        wait: Waits so many seconds, or until the hub stops; whether it does.
    """

    def __init__(
        self,
        store: CommandStore,
        upward: Calls,
        headquarters: VerifyKey,
        log: EventLog,
        wait: Callable[[float], object],
    ) -> None:
        self._store = store
        self._upward = upward
        self._headquarters = headquarters
        self._log = log
        self._wait = wait
        self._serving = Serving()
        self._reached = True

    def step(self) -> None:
        """Ask once, and keep what comes; waits a while when nobody answers."""
        gateways, told = self._store.gateways, self._store.untold()
        serve = self._serving.part(gateways)
        ask = Ask(0.0 if told or not self._serving.complete(gateways) else POLL_S, told, serve)
        try:
            answer = Answer.parse(self._upward.call(COMMANDS, ask.fields(), POLL_S + 10.0))
        except PeerError as error:
            self._lost(str(error))
            return
        if not self._reached:
            self._reached = True
            self._log.info("commands-reached")
        if answer.again:
            self._serving.again()
            return
        self._serving.arrived()
        self._store.tell(told)
        for signed in answer.commands:
            self._keep(signed)

    def _keep(self, signed: bytes) -> None:
        try:
            command = open_record(Command, signed, self._headquarters)
        except PeerError as error:
            self._log.warning("command-wrong", error=str(error))
            return
        if not self._store.put(command, signed):
            self._log.warning("commands-full", kept=limits.COMMANDS_MAX)

    def _lost(self, why: str) -> None:
        if self._wait(0.0):  # we gave up, because the hub stops
            return
        if self._reached:
            self._reached = False
            self._log.warning("commands-unreachable", error=why)
        self._wait(RETRY_S)


class Errands:
    """Other calls to headquarters, one after the other: the time for gateways, and what was fetched.

    Args:
        upward: Calls headquarters.
        blobs: What is to be brought up.
        wait: Waits so many seconds, or until the hub stops.
    """

    def __init__(self, upward: Calls, blobs: Blobs, wait: Callable[[float], object]) -> None:
        self._upward = upward
        self._blobs = blobs
        self._wait = wait
        self._questions: Queue[tuple[bytes, list[object]]] = Queue(QUESTIONS_MAX)

    def ask_time(self, nonce: bytes) -> Later:
        """Have headquarters asked for the time; any thread may call it.

        Raises:
            CallRefusedError: Too many ask at once.
        """
        box: list[object] = []
        try:
            self._questions.put_nowait((nonce, box))
        except Full:
            raise CallRefusedError("busy", "too many gateways ask for the time; try again") from None

        def check() -> object | None:
            if not box:
                return None
            if isinstance(box[0], CallRefusedError):
                raise box[0]
            return box[0]

        return Later(check, TIME_WAIT_S)

    def step(self) -> None:
        """One question, or else one piece of a file; waits when there is neither."""
        try:
            nonce, box = self._questions.get(timeout=0.2)
        except Empty:
            self._bring()
            return
        try:
            box.append(self._upward.call(TIME, nonce))
        except CallRefusedError as error:
            box.append(error)
        except PeerError:
            box.append(CallRefusedError("out-of-reach", "headquarters does not answer; try again"))

    def _bring(self) -> None:
        for owner, sha256, path in self._blobs.whole():
            try:
                if bring(self._upward, owner, sha256, path.read_bytes(), self._asked):
                    path.unlink(missing_ok=True)
            except PeerError:
                self._wait(RETRY_S)
            except OSError as error:
                raise StoreError(f"cannot read {path}: {error.strerror}; look at the disk") from error
            if self._asked():
                return

    def _asked(self) -> bool:
        return not self._questions.empty()


def _gateway(caller: Caller) -> str:
    if caller.identity is None or caller.identity.role != "gateway":
        raise CallRefusedError(NOT_YOURS, "only gateways that are known here get commands")
    return caller.identity.id


class HubCommands:
    """Everything of commands at a hub: what it answers, and the two threads that call headquarters.

    Args:
        data: The hub's data directory.
        addresses: Where headquarters answers calls; empty: it is not asked.
        headquarters: Whose signature counts, or `None`.
        key: The hub's CURVE key.
        log: For what goes wrong.

    Raises:
        StoreError: The file of commands cannot be used.
    """

    def __init__(
        self,
        data: Path,
        addresses: Sequence[ServiceAddress],
        headquarters: VerifyKey | None,
        key: LinkKey,
        log: EventLog,
    ) -> None:
        self._log = log
        self._ended = threading.Event()
        self._store = CommandStore(data)
        self._calling: list[Upward] = []
        blobs = Blobs(data / BLOBS)
        self._threads: list[threading.Thread] = []
        errands = None
        if addresses and headquarters is not None:
            errands = Errands(self._upward(addresses, key), blobs, self._ended.wait)
            fetcher = Fetcher(self._store, self._upward(addresses, key), headquarters, log, self._ended.wait)
            self._threads = [
                threading.Thread(target=self._repeat, args=(step,), name=name, daemon=True)
                for name, step in (("commands", fetcher.step), ("errands", errands.step))
            ]
        self.handlers = CommandDesk(self._store, blobs, errands).handlers

    def start(self) -> None:
        """Begin to fetch."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End; nobody calls the handlers any more."""
        self._ended.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        for upward in self._calling:
            upward.close()
        self._store.close()

    def describe(self) -> dict[str, int]:
        """For the status: commands by stage."""
        return self._store.counts()

    def _upward(self, addresses: Sequence[ServiceAddress], key: LinkKey) -> Upward:
        upward = Upward(addresses, key, give_up=self._ended.is_set)
        self._calling.append(upward)
        return upward

    def _repeat(self, step: Callable[[], None]) -> None:
        while not self._ended.is_set():
            try:
                step()
            except StoreError as error:
                self._log.error("commands-store-failed", error=str(error))
                self._ended.wait(RETRY_S)
