"""A hub that lies about commands, between a real gateway and a real headquarters.

The hub in the middle has a hub's own keys and everything it ever saw. It can lose commands and
keep them back. What it changes, makes up, repeats, redirects or is late with is refused, told by a
signed event, and leaves the gateway collecting as before.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from headquarters.lake.query import Engine
from protocols.calls import CallClient, Caller, CallServer, CallTimeoutError
from protocols.commandcalls import BLOB, COMMANDS, TIME, Answer, Ask, Serve, Stage
from protocols.identity import AllowList, Identity
from protocols.records import peek, sign_record
from tests.faults.command_river import Commanded, commanded
from tests.faults.river import River


class LyingHub:
    """Answers the gateway's calls as it likes; the data goes through the honest hub.

    Args:
        all_: The river; nothing of it runs yet.
    """

    def __init__(self, all_: Commanded) -> None:
        self.identity = Identity.load(all_.hub.home)
        self.headquarters = Identity.load(all_.headquarters.home).public
        gateway = Identity.load(all_.gateway.home).public
        allowed = AllowList([gateway])
        handlers = {COMMANDS: self._commands, TIME: self._time, BLOB: lambda caller, argument: 0}
        self.server = CallServer("tcp://127.0.0.1:*", self.identity.link, allowed.by_link, handlers)
        text = (all_.headquarters.home / "headquarters.toml").read_text(encoding="utf-8")
        self.above = text.partition('service = "')[2].partition('"')[0]
        self._upward = CallClient(self.above, self.headquarters.link, self.identity.link, timeout_s=5.0)
        self.give: deque[bytes] = deque()
        self.given = 0
        self.told: dict[bytes, Stage] = {}
        self.old_time: Any = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        config = all_.gateway.home / "gateway.toml"
        before = config.read_text(encoding="utf-8")
        start = before.index('service = "') + len('service = "')
        end = before.index('"', start)
        config.write_text(before[:start] + self.server.address + before[end:], encoding="utf-8")

    def __enter__(self) -> LyingHub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.server.close()
        self._upward.close()

    def hand_over(self, signed: bytes) -> None:
        """Give the gateway something, and wait until it was taken."""
        before = self.given
        self.give.append(signed)
        wait_until("the gateway to take it", lambda: self.given > before)

    def tell_above(self, nonce: bytes, stage: Stage) -> None:
        """Tell headquarters something about a command."""
        client = CallClient(self.above, self.headquarters.link, self.identity.link, timeout_s=5.0)
        with client:
            ask = Ask(0.0, ((nonce, stage),), Serve(b"s" * 16, 0, ("unit-1",)))
            client.call(COMMANDS, ask.fields())

    def ask_time(self, nonce: bytes) -> object:
        """Ask headquarters the time, over a connection that the gateway's questions do not use."""
        with CallClient(self.above, self.headquarters.link, self.identity.link, timeout_s=5.0) as client:
            return client.call(TIME, nonce)

    def _run(self) -> None:
        while not self._over.is_set():
            self.server.step(0.05)

    def _commands(self, caller: Caller, argument: Any) -> object:
        ask = Ask.parse(argument)
        self.told.update(ask.told)
        if not self.give:
            time.sleep(0.02)
            return Answer().fields()
        signed = self.give.popleft()
        self.given += 1
        return Answer((signed,)).fields()

    def _time(self, caller: Caller, argument: Any) -> object:
        if self.old_time is None:
            return self._upward.call(TIME, argument)
        return self.old_time


def wait_until(what: str, so: Any, timeout_s: float = 40.0) -> None:
    end = time.monotonic() + timeout_s
    while not so():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


@contextmanager
def attacked(river: River) -> Iterator[tuple[Commanded, LyingHub]]:
    """A river whose gateway asks a lying hub for commands."""
    with commanded(river) as all_, LyingHub(all_) as hub:
        river.start()
        yield all_, hub
        before = all_.gateway.status()["ledger"]["collected"]
        river.collected(all_.gateway, before + 20)
        assert all_.gateway.child.running


def queued(all_: Commanded, *arguments: str) -> bytes:
    """Have headquarters sign a command; the bytes as a hub would get them."""
    number = all_.hq("send", "unit-1", *arguments, "--wait", "0", code=3)["number"]
    with closing(sqlite3.connect(all_.headquarters.data / "commands.db")) as db:
        [(signed,)] = db.execute("select signed from commands where number = ?", (number,)).fetchall()
    assert isinstance(signed, bytes)
    return signed


def refusals(all_: Commanded) -> list[str]:
    """Why the gateway refused commands, as its signed events in the lake say."""
    engine = Engine(all_.river.lake)
    _, rows = engine.rows(
        "SELECT json_extract_string(detail, '$.detail.why') FROM events WHERE gateway = 'unit-1' "
        "AND type = 'command' AND transition = 'refused' ORDER BY time, batch"
    )
    found = [str(why) for (why,) in rows]
    engine.close()
    return found


def test_a_command_that_is_repeated_changed_redirected_or_late_is_refused_and_told(river: River) -> None:
    with attacked(river) as (all_, hub):
        good = queued(all_, "read", "SP")
        hub.hand_over(good)
        wait_until("the outcome", lambda: hub.told.get(peek(good).nonce) is Stage.ENDED)

        # replayed: it was carried out, and the hub was told so
        hub.hand_over(good)
        # altered: another point, another value, a later expiry; the signature is of what it was
        wanted = queued(all_, "write", "SP=5")
        hub.hand_over(wanted[:64] + replace(peek(wanted), arguments={"point": "SP", "value": 999.0}).pack())
        hub.hand_over(good[:64] + replace(peek(good), expires_us=peek(good).expires_us + 1).pack())
        # made up: signed with the hub's own key
        made = replace(peek(good), nonce=b"m" * 16, verb="restart", arguments={})
        hub.hand_over(sign_record(made, hub.identity.signing))
        # signed by headquarters for another gateway
        other = Identity.load(all_.headquarters.home)
        hub.hand_over(sign_record(replace(peek(good), nonce=b"t" * 16, target="unit-2"), other.signing))
        # kept back until its time was over
        late = queued(all_, "read", "SP", "--expires", "2s")
        time.sleep(3)
        hub.hand_over(late)
        # a verb that nobody knows, signed by headquarters
        hub.hand_over(sign_record(replace(peek(good), nonce=b"v" * 16, verb="self-destruct"), other.signing))
        wanted_whys = ["replayed", *["signature"] * 3, "target", "expired", "unknown-verb"]
        wait_until("every refusal in the lake", lambda: len(refusals(all_)) >= len(wanted_whys))
        assert refusals(all_) == wanted_whys
        # and the gateway still does as headquarters asks
        again = queued(all_, "read", "SP")
        hub.hand_over(again)
        wait_until("another outcome", lambda: hub.told.get(peek(again).nonce) is Stage.ENDED)
        shown = all_.hq("show", "1", "--wait", "20")
        assert (shown["outcome"], shown["repetitions_refused"]) == ("done", 1)


def test_a_hub_that_says_that_a_command_is_over_does_not_make_it_so(river: River) -> None:
    with attacked(river) as (all_, hub):
        kept_back = queued(all_, "write", "SP=5")
        hub.tell_above(peek(kept_back).nonce, Stage.ENDED)
        shown = all_.hq("show", "1", "--wait", "3")
        assert (shown["stage"], shown["told_by"]) == ("ended", "hub"), "what the hub says"
        assert (shown["outcome"], shown["good"]) == (None, None), "what the gateway signed"


def test_a_hub_that_repeats_an_old_word_on_the_time_revives_no_command(river: River) -> None:
    with attacked(river) as (all_, hub):
        hub.old_time = hub.ask_time(b"n" * 16)
        late = queued(all_, "read", "SP", "--expires", "3s")
        time.sleep(4)
        all_.gateway.stop()
        all_.gateway.up()
        hub.give.append(late)

        def status() -> Any:
            return all_.gateway.status()["commands"]["link"]

        wait_until("the gateway to judge it", lambda: refusals(all_) or "repeats" in status()["last_error"])
        # where somebody keeps this machine's clock, the time is not asked for, and it is late all the same
        assert refusals(all_) == ["expired"] or status()["clock"] == "unknown"
        assert peek(late).nonce not in hub.told or refusals(all_) == ["expired"]


def test_a_command_that_was_called_off_is_refused_however_late_it_comes(river: River) -> None:
    with attacked(river) as (all_, hub):
        command = queued(all_, "read", "SP")
        hub.tell_above(peek(command).nonce, Stage.AT_HUB)
        all_.hq("cancel", "1", "--wait", "0", code=3)
        with closing(sqlite3.connect(all_.headquarters.data / "commands.db")) as db:
            [(off,)] = db.execute("select signed from commands where number = 2").fetchall()
        hub.hand_over(off)
        wait_until("the call-off to be over", lambda: hub.told.get(peek(off).nonce) is Stage.ENDED)
        hub.hand_over(command)
        wait_until("the refusal", lambda: refusals(all_) == ["cancelled"])


def test_a_key_that_nobody_knows_gets_no_command(river: River) -> None:
    with commanded(river, direct=True) as all_:
        river.start()
        assert all_.hq("send", "unit-1", "read", "SP", "--wait", "40")["outcome"] == "done"
        text = (all_.headquarters.home / "headquarters.toml").read_text(encoding="utf-8")
        above = text.partition('service = "')[2].partition('"')[0]
        public = Identity.load(all_.headquarters.home).public
        stranger = Identity.generate("unit-1", "gateway")  # the name is right, the key is not
        client = CallClient(above, public.link, stranger.link, timeout_s=2.0)
        with client, pytest.raises(CallTimeoutError):
            client.call(COMMANDS, Ask().fields())
