"""Calls on real sockets: who may call, what comes back, and that nothing a caller does ends the server."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from protocols import limits
from protocols.calls import (
    CallClient,
    Caller,
    CallRefusedError,
    CallServer,
    CallThreads,
    CallTimeoutError,
    Later,
    ServiceAddress,
    Upward,
    messages,
)
from protocols.calls.upward import RETURN_S
from protocols.daemon import EventLog
from protocols.errors import InputError, LimitError, MalformedError
from protocols.identity import AllowList, Identity

HUB = Identity.generate("hub", "hub")
GATEWAY = Identity.generate("gw", "gateway")
STRANGER = Identity.generate("other", "gateway")


class Bell:
    """Something that a caller may wait for."""

    def __init__(self) -> None:
        self.rung: str | None = None

    def wait(self, caller: Caller, argument: Any) -> Later:
        return Later(lambda: self.rung, within_s=float(argument), otherwise="nothing")


def who(caller: Caller, argument: Any) -> object:
    return [caller.identity.id if caller.identity else "", caller.link]


def refuse(caller: Caller, argument: Any) -> object:
    raise CallRefusedError("not-now", f"expected patience, got {argument!r}")


def fail(caller: Caller, argument: Any) -> object:
    raise RuntimeError("a bug")


class Served:
    def __init__(self, *allowed: Identity, **options: Any) -> None:
        self.bell = Bell()
        self.failures: list[BaseException] = []
        self.allow = AllowList(identity.public for identity in allowed)
        handlers = {
            "echo": lambda caller, argument: argument,
            "who": who,
            "refuse": refuse,
            "fail": fail,
            "wait": self.bell.wait,
            "large": lambda caller, argument: bytes(argument),
        }
        self.server = CallServer(
            "tcp://127.0.0.1:*",
            HUB.link,
            lambda link: self.allow.by_link(link),  # noqa: PLW0108 - the list is replaced
            handlers,
            failed=self.failures.append,
            **options,
        )
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self.stop.is_set():
            self.server.step(0.02)

    @contextmanager
    def running(self) -> Iterator[Served]:
        self._thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            self._thread.join()
            self.server.close()

    def client(self, identity: Identity = GATEWAY, timeout_s: float = 5.0) -> CallClient:
        return CallClient(self.server.address, HUB.link.public, identity.link, timeout_s=timeout_s)


def test_a_call_is_answered_and_knows_who_asks() -> None:
    with Served(GATEWAY).running() as served, served.client() as client:
        assert client.call("echo", {"a": [1, b"\x00", "文"]}) == {"a": (1, b"\x00", "文")}
        assert client.call("who") == ("gw", GATEWAY.link.public)


def test_a_stranger_is_refused_at_the_door() -> None:
    with Served(GATEWAY).running() as served, served.client(STRANGER, 0.5) as client:
        with pytest.raises(CallTimeoutError, match=r"did not answer 'who' within 0\.5 s"):
            client.call("who")
        assert served.server.refused_keys >= 1


def test_an_open_door_lets_strangers_in_as_nobody() -> None:
    with Served(GATEWAY, open_to_all=True).running() as served, served.client(STRANGER) as client:
        assert client.call("who") == ("", STRANGER.link.public)


def test_a_key_that_is_taken_off_the_list_gets_no_further_answer() -> None:
    with Served(GATEWAY).running() as served, served.client(timeout_s=0.5) as client:
        assert client.call("echo", 1) == 1
        served.allow = AllowList([])
        with pytest.raises(CallTimeoutError):
            client.call("echo", 2)


def test_a_refusal_says_why() -> None:
    with Served(GATEWAY).running() as served, served.client() as client:
        with pytest.raises(CallRefusedError, match="not-now: expected patience, got 3"):
            client.call("refuse", 3)
        with pytest.raises(CallRefusedError, match="unknown-verb"):
            client.call("nonsense")


def test_a_bug_in_a_handler_is_told_and_survived() -> None:
    with Served(GATEWAY).running() as served, served.client() as client:
        with pytest.raises(CallRefusedError, match="internal"):
            client.call("fail")
        assert [str(error) for error in served.failures] == ["a bug"]
        assert client.call("echo", 1) == 1


def test_an_answer_may_come_later() -> None:
    with Served(GATEWAY).running() as served, served.client() as client:
        threading.Timer(0.2, lambda: setattr(served.bell, "rung", "ding")).start()
        assert client.call("wait", 4.0) == "ding"


def test_a_wait_that_ends_answers_what_is_said_otherwise() -> None:
    with Served(GATEWAY).running() as served, served.client() as client:
        assert client.call("wait", 0.1) == "nothing"


def test_an_old_answer_never_passes_for_a_new_one() -> None:
    with Served(GATEWAY).running() as served, served.client() as client:
        with pytest.raises(CallTimeoutError):
            client.call("wait", 1.0, timeout_s=0.1)
        served.bell.rung = "late"
        assert client.call("echo", "new") == "new"


def test_a_wait_is_given_up_when_asked() -> None:
    asked = threading.Event()
    with Served(GATEWAY).running() as served:
        client = CallClient(served.server.address, HUB.link.public, GATEWAY.link, give_up=asked.is_set)
        threading.Timer(0.1, asked.set).start()
        begun = time.monotonic()
        with client, pytest.raises(CallTimeoutError):
            client.call("wait", 60.0, timeout_s=60.0)
        assert time.monotonic() - begun < 30


def test_what_is_too_large_is_refused_on_both_sides() -> None:
    with Served(GATEWAY).running() as served, served.client() as client:
        with pytest.raises(LimitError):
            client.call("echo", bytes(limits.CALL_BYTES_MAX + 1))
        with pytest.raises(CallRefusedError, match="too-large"):
            client.call("large", limits.ANSWER_BYTES_MAX + 1)
        assert len(client.call("large", limits.ANSWER_BYTES_MAX - 16)) == limits.ANSWER_BYTES_MAX - 16


def test_a_flood_is_refused_and_passes() -> None:
    now = [0.0]
    with (
        Served(GATEWAY, calls_per_s=10.0, clock=lambda: now[0]).running() as served,
        served.client() as client,
    ):
        for turn in range(10):
            assert client.call("echo", turn) == turn
        with pytest.raises(CallRefusedError, match="busy"):
            client.call("echo", 1)
        now[0] += 1.0
        assert client.call("echo", 2) == 2


def test_rubbish_is_survived() -> None:
    with Served(GATEWAY).running() as served:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        socket.curve_publickey, socket.curve_secretkey = GATEWAY.link.public, GATEWAY.link.secret
        socket.curve_serverkey = HUB.link.public
        socket.connect(served.server.address)
        for frames in (
            [b""],
            [b"x" * 8, b"echo"],
            [b"x" * 8, b"ECHO", b"\xc0"],
            [b"x" * 8, b"echo", b"\xc1"],
            [b"a"] * 9,
        ):
            socket.send_multipart(frames)
        with served.client() as client:
            assert client.call("echo", 1) == 1
        socket.close(0)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_parsing_raises_only_the_peers_errors(frames: list[bytes]) -> None:
    for parse in (messages.parse_call, messages.parse_answer):
        with suppress(MalformedError, LimitError):
            parse(frames)


def sockets_of_a_node(log: io.StringIO) -> CallThreads:
    allowed = AllowList([GATEWAY.public])
    return CallThreads("hub.toml", "[hub]", HUB.link, allowed.by_link, EventLog(stream=log))


def address_of(calls: CallThreads, name: str) -> str:
    described = calls.describe()[name]
    assert isinstance(described, dict)
    return str(described["address"])


def test_a_node_answers_known_keys_at_one_socket_and_any_key_at_the_other() -> None:
    log = io.StringIO()
    calls = sockets_of_a_node(log)
    calls.open_service("tcp://127.0.0.1:*", {"who": who, "fail": fail})
    calls.open_enrolment("tcp://127.0.0.1:*", {"who": who})
    calls.start()
    service, enrolment = address_of(calls, "service"), address_of(calls, "enrolment")
    with (
        CallClient(service, HUB.link.public, GATEWAY.link, timeout_s=5) as known,
        CallClient(enrolment, HUB.link.public, STRANGER.link, timeout_s=5) as stranger,
        CallClient(service, HUB.link.public, STRANGER.link, timeout_s=0.3) as refused,
    ):
        assert known.call("who") == ("gw", GATEWAY.link.public)
        assert stranger.call("who") == ("", STRANGER.link.public)
        with pytest.raises(CallTimeoutError):
            refused.call("who")
        with pytest.raises(CallRefusedError, match="internal"):
            known.call("fail")
    calls.close()
    assert "a bug" in log.getvalue()


def test_a_node_without_addresses_opens_nothing() -> None:
    calls = sockets_of_a_node(io.StringIO())
    calls.open_service(None, {"who": who})
    calls.open_enrolment(None, {"who": who})
    calls.start()
    assert calls.describe() == {}
    calls.close()


def test_an_address_in_use_is_the_operators_matter() -> None:
    first, second = sockets_of_a_node(io.StringIO()), sockets_of_a_node(io.StringIO())
    first.open_service("tcp://127.0.0.1:*", {})
    with pytest.raises(InputError, match=r"hub.toml: \[hub\] service: got 'tcp://.*127.0.0.1"):
        second.open_service(address_of(first, "service"), {})
    first.close()


def test_calls_go_to_the_next_upstream_when_one_is_silent_and_return_to_the_first() -> None:
    now = [0.0]
    with Served(GATEWAY).running() as first, Served(GATEWAY).running() as second:
        upstreams = [
            ServiceAddress(name, served.server.address, HUB.link.public)
            for name, served in (("first", first), ("second", second))
        ]
        with Upward(upstreams, GATEWAY.link, timeout_s=5.0, clock=lambda: now[0]) as upward:
            assert upward.call("echo", 1) == 1
            first.allow = AllowList([])
            with pytest.raises(CallTimeoutError):
                upward.call("echo", 2, timeout_s=0.2)
            assert upward.upstream.id == "second"
            assert upward.call("echo", 2) == 2
            first.allow = AllowList([GATEWAY.public])
            now[0] += RETURN_S + 1
            assert upward.call("echo", 3) == 3
            assert upward.upstream.id == "first"
