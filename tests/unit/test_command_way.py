"""The way of a command: headquarters' queue, the hub that keeps it, and what each tells the one above."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headquarters.commands.handler import REPEAT_S, CommandDesk
from headquarters.commands.queue import CommandQueue, Draft, Queued
from hub import commands as hub_commands
from hub import limits as hub_limits
from hub.commands import CommandDesk as HubDesk
from hub.commands import Errands, Fetcher, Serving
from hub.commandstore import CommandStore
from protocols import limits
from protocols.blobs import Blobs
from protocols.calls import CallClient, Caller, CallRefusedError, CallServer, Later
from protocols.commandcalls import Answer, Ask, Piece, Serve, Stage
from protocols.daemon import EventLog
from protocols.errors import InputError, LimitError, PeerError
from protocols.identity import Identity, SigningKey, VerifyKey
from protocols.records import SignedTime, open_record, peek

KEY = SigningKey(b"q" * 32)
S = 1_000_000
HUB = Identity.generate("hub", "hub")
GATEWAY = Identity.generate("unit-1", "gateway")
OTHER = Identity.generate("unit-2", "gateway")
HQ = Identity.generate("hq", "headquarters")


def caller(identity: Identity) -> Caller:
    return Caller(identity.link.public, identity.public)


class Headquarters:
    """A queue as the command line has it, and the desk that answers from it."""

    def __init__(self, directory: Path) -> None:
        self.now_us = 1000 * S
        self.now = 0.0
        self.queue = CommandQueue(directory)
        self.blobs = Blobs(directory / "fetched")
        self.desk = CommandDesk(
            CommandQueue(directory), self.blobs, KEY, lambda: self.now_us, lambda: self.now
        )

    def send(self, gateway: str = "unit-1", life_s: float = 3600.0, verb: str = "read") -> Queued:
        return self.queue.add(Draft(gateway, verb, {"points": ("A",)}, "li@hq", life_s), KEY, self.now_us)

    def ask(self, who: Identity, ask: Ask) -> Answer:
        """An answer that does not wait."""
        return Answer.parse(self.desk.commands(caller(who), ask.fields()))

    def later(self, who: Identity, ask: Ask) -> Callable[[], list[int] | None]:
        """An answer that waits; the numbers of what it gives."""
        waiting = self.desk.commands(caller(who), ask.fields())
        assert isinstance(waiting, Later)

        def check() -> list[int] | None:
            self.now += 0.1
            given = waiting.check()
            return None if given is None else numbers(Answer.parse(given))

        return check


def numbers(answer: Answer) -> list[int]:
    return [peek(signed).number for signed in answer.commands]


@pytest.fixture
def hq(tmp_path: Path) -> Headquarters:
    return Headquarters(tmp_path / "hq")


class TestQueue:
    def test_commands_are_numbered_signed_and_stay(self, hq: Headquarters) -> None:
        first, second = hq.send(), hq.send("unit-2")
        assert (first.command.number, second.command.number) == (1, 2)
        assert first.command.nonce != second.command.nonce
        assert hq.queue.get(1) == first and first.stage is Stage.QUEUED
        assert [each.command.number for each in hq.queue.latest("", 10)] == [2, 1]
        assert [each.command.number for each in hq.queue.latest("unit-2", 10)] == [2]
        with pytest.raises(InputError, match="command list"):
            hq.queue.get(3)

    def test_what_a_gateway_would_refuse_is_refused_at_once(self, hq: Headquarters) -> None:
        with pytest.raises(LimitError):
            hq.send(life_s=8 * 86_400)
        with pytest.raises(PeerError):
            hq.send(verb="No verb")
        assert hq.queue.latest("", 10) == []

    def test_the_furthest_that_anybody_told_is_shown_and_nobody_goes_back(self, hq: Headquarters) -> None:
        nonce = hq.send().command.nonce
        hq.queue.told("hub-a", [(nonce, Stage.AT_HUB)], 1)
        hq.queue.told("hub-b", [(nonce, Stage.EXECUTING)], 2)
        hq.queue.told("hub-b", [(nonce, Stage.DELIVERED)], 3)
        hq.queue.told("hub-b", [(b"x" * 16, Stage.ENDED)], 4)
        found = hq.queue.get(1)
        assert (found.stage, found.node, found.told_us) == (Stage.EXECUTING, "hub-b", 2)


class TestDesk:
    def test_a_gateway_gets_its_own_commands_until_it_told_that_it_has_them(self, hq: Headquarters) -> None:
        nonce = hq.send().command.nonce
        hq.send("unit-2")
        assert numbers(hq.ask(GATEWAY, Ask())) == [1]
        assert numbers(hq.ask(GATEWAY, Ask())) == [], "it is under way"
        hq.now += REPEAT_S
        assert numbers(hq.ask(GATEWAY, Ask())) == [1]
        hq.now += REPEAT_S
        assert numbers(hq.ask(GATEWAY, Ask(told=((nonce, Stage.DELIVERED),)))) == []

    def test_a_hub_gets_those_of_its_gateways(self, hq: Headquarters) -> None:
        hq.send(), hq.send("unit-2")
        serve = Serve(b"s" * 16, 0, ("unit-1",))
        assert numbers(hq.ask(HUB, Ask(serve=serve))) == [1]
        assert numbers(hq.ask(HUB, Ask(serve=Serve(b"s" * 16, 1, ("unit-2",), ("unit-1",))))) == [2]

    def test_a_list_that_is_not_known_is_asked_for_again(self, hq: Headquarters) -> None:
        hq.send()
        assert hq.ask(HUB, Ask(serve=Serve(b"s" * 16, 3, ("unit-1",)))).again
        assert not hq.ask(HUB, Ask(serve=Serve(b"s" * 16, 0, ("unit-1",)))).again
        assert hq.ask(HUB, Ask(serve=Serve(b"t" * 16, 1))).again

    def test_an_answer_waits_for_a_command(self, hq: Headquarters) -> None:
        check = hq.later(GATEWAY, Ask(20.0))
        assert check() is None
        hq.send("unit-2")
        assert check() is None
        hq.send()
        assert check() == [2]

    def test_what_expired_or_was_called_off_is_given_to_nobody(self, hq: Headquarters) -> None:
        hq.send(life_s=5), hq.send()
        hq.queue.call_off(2, hq.now_us)
        hq.now_us += 5 * S
        assert numbers(hq.ask(GATEWAY, Ask())) == []

    def test_an_answer_has_a_bound_and_the_next_one_goes_on(self, hq: Headquarters) -> None:
        for _ in range(limits.COMMANDS_PER_ANSWER_MAX + 2):
            hq.send()
        first = hq.ask(GATEWAY, Ask())
        told = tuple((peek(signed).nonce, Stage.DELIVERED) for signed in first.commands)
        assert numbers(hq.ask(GATEWAY, Ask(told=told))) == [33, 34]

    @pytest.mark.parametrize("who", [HQ, HUB])
    def test_who_has_no_gateways_gets_nothing(self, hq: Headquarters, who: Identity) -> None:
        with pytest.raises(CallRefusedError):
            hq.ask(who, Ask())

    def test_the_time_is_signed_for_the_question(self, hq: Headquarters) -> None:
        answer = hq.desk.time(caller(GATEWAY), b"n" * 16)
        assert isinstance(answer, bytes)
        assert open_record(SignedTime, answer, VerifyKey(KEY.public)) == SignedTime(b"n" * 16, hq.now_us)
        with pytest.raises(PeerError):
            hq.desk.time(caller(GATEWAY), b"short")

    def test_a_gateway_brings_only_what_is_its_own(self, hq: Headquarters) -> None:
        piece = Piece("unit-2", bytes(32), 10, 0, b"x").fields()
        with pytest.raises(CallRefusedError):
            hq.desk.blob(caller(GATEWAY), piece)
        assert hq.desk.blob(caller(HUB), piece) == 1


def test_a_list_of_gateways_is_told_in_parts_and_then_what_changes() -> None:
    serving = Serving()
    many = frozenset(f"unit-{number}" for number in range(1, limits.COMMANDS_SERVED_MAX + 11))
    parts = []
    while not serving.complete(many):
        parts.append(serving.part(many))
        serving.arrived()
    assert [(len(part.add), part.number) for part in parts] == [(limits.COMMANDS_SERVED_MAX, 0), (10, 1)]
    same = serving.part(many)
    assert (same.add, same.drop, same.number) == ((), (), 1)
    serving.arrived()
    fewer = serving.part(many - {"unit-7"})
    assert (fewer.drop, fewer.number) == (("unit-7",), 2)
    serving.again()
    assert serving.part(frozenset()).session != fewer.session


class Hub:
    """A hub's store, desk and fetcher over a call server of headquarters."""

    def __init__(self, directory: Path, address: str) -> None:
        directory.mkdir(exist_ok=True)
        self.store = CommandStore(directory)
        self.blobs = Blobs(directory / "fetched")
        self.log = io.StringIO()
        self.waited: list[float] = []
        self._upward = [CallClient(address, HQ.link.public, HUB.link, timeout_s=5.0) for _ in range(2)]
        self.errands = Errands(self._upward[0], self.blobs, self.waited.append)
        log = EventLog(stream=self.log)
        self.fetcher = Fetcher(self.store, self._upward[1], VerifyKey(KEY.public), log, self.waited.append)
        self.desk = HubDesk(self.store, self.blobs, self.errands)

    def ask(self, who: Identity, ask: Ask) -> Answer:
        return Answer.parse(self.desk.commands(caller(who), ask.fields()))

    def close(self) -> None:
        for upward in self._upward:
            upward.close()
        self.store.close()


@contextmanager
def answering(hq: Headquarters) -> Iterator[str]:
    """Headquarters' desk behind a socket of its own."""
    known = {identity.link.public: identity.public for identity in (HUB, GATEWAY)}
    failures: list[BaseException] = []
    server = CallServer("tcp://127.0.0.1:*", HQ.link, known.get, hq.desk.handlers, failed=failures.append)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            hq.now += 0.01
            server.step(0.02)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.address
    finally:
        over.set()
        thread.join()
        server.close()
    assert not failures, failures


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_commands, "POLL_S", 0.2)
    monkeypatch.setattr(hub_commands, "now_us", lambda: 1000 * S)


def test_a_hub_fetches_keeps_gives_and_tells(hq: Headquarters, tmp_path: Path) -> None:
    with answering(hq) as address:
        hub = Hub(tmp_path / "hub", address)
        assert hub.ask(GATEWAY, Ask()).commands == ()
        sent = hq.send()
        hub.fetcher.step()
        hub.fetcher.step()
        assert hq.queue.get(1).stage is Stage.AT_HUB
        hub.close()  # and starts again
        hub = Hub(tmp_path / "hub", address)
        assert hub.ask(GATEWAY, Ask()).commands == (sent.signed,)
        assert hub.ask(OTHER, Ask()).commands == ()
        for stage in (Stage.DELIVERED, Stage.EXECUTING, Stage.ENDED):
            hub.ask(GATEWAY, Ask(told=((sent.command.nonce, stage),)))
            hub.fetcher.step()
            hub.fetcher.step()
            assert hq.queue.get(1).stage is stage
        # headquarters brings it again (it lost what it was told): it is not given again
        hub.store.put(sent.command, sent.signed)
        hub.desk._given.clear()
        assert hub.ask(GATEWAY, Ask()).commands == ()
        assert hub.store.counts() == {"ended": 1}
        hub.close()


def test_a_gateway_cannot_tell_of_another_ones_commands(hq: Headquarters, tmp_path: Path) -> None:
    with answering(hq) as address:
        hub = Hub(tmp_path / "hub", address)
        sent = hq.send()
        hub.store.put(sent.command, sent.signed)
        hub.ask(OTHER, Ask(told=((sent.command.nonce, Stage.ENDED),)))
        assert hub.ask(GATEWAY, Ask()).commands == (sent.signed,)
        hub.close()


def test_while_headquarters_is_dark_a_hub_gives_what_it_has(hq: Headquarters, tmp_path: Path) -> None:
    with answering(hq) as address:
        hub = Hub(tmp_path / "hub", address)
        hub.ask(GATEWAY, Ask())
        hq.send()
        hub.fetcher.step()
    for upward in hub._upward:
        upward._timeout_s = 0.1
    hub.fetcher._upward.call = lambda *_: (_ for _ in ()).throw(PeerError("dark"))  # type: ignore[method-assign]
    hub.fetcher.step()
    assert numbers(hub.ask(GATEWAY, Ask())) == [1]
    assert hub.waited == [0.0, hub_commands.RETRY_S]
    assert [json.loads(line)["event"] for line in hub.log.getvalue().splitlines()] == ["commands-unreachable"]
    hub.close()


def test_a_hub_that_stops_reproaches_headquarters_with_nothing(hq: Headquarters, tmp_path: Path) -> None:
    with answering(hq) as address:
        hub = Hub(tmp_path / "hub", address)
        hub.fetcher.step()
    hub.fetcher._upward.call = lambda *_: (_ for _ in ()).throw(PeerError("given up"))  # type: ignore[method-assign]
    hub.fetcher._wait = lambda seconds: True
    hub.fetcher.step()
    assert hub.log.getvalue() == ""
    hub.close()


def test_what_headquarters_did_not_sign_a_hub_does_not_keep(hq: Headquarters, tmp_path: Path) -> None:
    with answering(hq) as address:
        hub = Hub(tmp_path / "hub", address)
        hub.fetcher._keep(hq.send().signed[:-1] + b"\x00")
        assert hub.store.counts() == {} and "command-wrong" in hub.log.getvalue()
        hub.close()


def test_a_hub_that_is_full_leaves_commands_at_headquarters(
    hq: Headquarters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_limits, "COMMANDS_MAX", 1)
    with answering(hq) as address:
        hub = Hub(tmp_path / "hub", address)
        hub.ask(GATEWAY, Ask())
        hq.send(), hq.send()
        hub.fetcher.step()
        hub.fetcher.step()
        assert [hq.queue.get(number).stage for number in (1, 2)] == [Stage.AT_HUB, Stage.QUEUED]
        hub.close()


def test_expired_commands_and_gateways_that_went_are_forgotten(hq: Headquarters, tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    store = CommandStore(tmp_path / "hub")
    sent = hq.send(life_s=10)
    store.put(sent.command, sent.signed)
    store.saw("unit-1", hq.now_us)
    store.sweep(hq.now_us + 9 * S)
    assert store.counts() == {"at-hub": 1} and store.gateways == {"unit-1"}
    assert store.due("unit-1", hq.now_us + 10 * S) == []
    store.sweep(hq.now_us + (hub_limits.GATEWAY_KEPT_S + 1) * S)
    assert store.counts() == {} and store.gateways == frozenset()
    store.close()


def test_the_time_and_files_go_through_a_hub(hq: Headquarters, tmp_path: Path) -> None:
    with answering(hq) as address:
        hub = Hub(tmp_path / "hub", address)
        waiting = hub.desk.time(caller(GATEWAY), b"n" * 16)
        assert isinstance(waiting, Later) and waiting.check() is None
        hub.errands.step()
        answer = waiting.check()
        assert isinstance(answer, bytes)
        assert open_record(SignedTime, answer, VerifyKey(KEY.public)).nonce == b"n" * 16
        data = b"logs" * 40_000
        sha256 = hashlib.sha256(data).digest()
        for offset in range(0, len(data), limits.BLOB_PIECE_BYTES):
            piece = data[offset : offset + limits.BLOB_PIECE_BYTES]
            hub.desk.blob(caller(GATEWAY), Piece("unit-1", sha256, len(data), offset, piece).fields())
        hub.errands.step()
        found = hq.blobs.find("unit-1", sha256)
        assert found is not None and found.read_bytes() == data
        assert hub.blobs.find("unit-1", sha256) is None, "it is up there"
        with pytest.raises(CallRefusedError):
            hub.desk.blob(caller(GATEWAY), Piece("unit-2", sha256, 4, 0, b"logs").fields())
        hub.close()


def test_a_hub_without_headquarters_has_no_time(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    store = CommandStore(tmp_path / "hub")
    desk = HubDesk(store, Blobs(tmp_path / "f"), None)
    with pytest.raises(CallRefusedError, match="no-headquarters"):
        desk.time(caller(GATEWAY), b"n" * 16)
    with pytest.raises(CallRefusedError):
        desk.commands(caller(HUB), Ask().fields())
    store.close()
