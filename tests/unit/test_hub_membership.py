"""A hub among headquarters and gateways: what it passes on, what it hands out, whom it bars."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.forward import DARK_S, JOBS_MAX, WAIT_S, Forwarder
from hub.membership import OUT_OF_REACH, Membership
from protocols.calls import Caller, CallRefusedError, CallTimeoutError, Later
from protocols.daemon import EventLog
from protocols.directory import Part
from protocols.enrolment import Request, parse_answer, sign_enrolment
from protocols.held import HeldDirectory
from protocols.identity import Identity
from protocols.joining import accept
from protocols.renewal import Renewal
from tests.group_parts import NOW, DirectCalls, Group, via

GATEWAY = Identity.generate("unit-1", "gateway", "plant-a")


def wait_for(so: Callable[[], Any]) -> Any:
    end = time.monotonic() + 20.0
    while not (found := so()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


class Scripted:
    """Headquarters that answers as it is told."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked = 0

    def call(self, verb: str, argument: object = None, timeout_s: float | None = None) -> Any:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        pass


class TestForwarder:
    def forwarder(self, calls: Scripted, now: list[float]) -> Forwarder:
        return Forwarder(calls, clock=lambda: now[0])

    def finish(self, forwarder: Forwarder, later: Later) -> object:
        forwarder.start()
        try:
            return wait_for(later.check)
        finally:
            forwarder.close()

    def test_an_answer_comes_back(self) -> None:
        forwarder = self.forwarder(Scripted({"state": "granted"}), [0.0])
        heard: list[object] = []
        forwarder.passed = heard.append
        assert self.finish(forwarder, forwarder.ask("enrol", {}, "otherwise")) == {"state": "granted"}
        assert heard == [{"state": "granted"}]

    def test_a_refusal_comes_back(self) -> None:
        forwarder = self.forwarder(Scripted(CallRefusedError("used-token", "no")), [0.0])
        with pytest.raises(CallRefusedError, match="used-token"):
            self.finish(forwarder, forwarder.ask("enrol", {}, "otherwise"))

    def test_while_headquarters_is_dark_it_is_not_asked_by_everyone(self) -> None:
        calls = Scripted(CallTimeoutError("dark"), "light")
        now = [0.0]
        forwarder = self.forwarder(calls, now)
        jobs = [forwarder.ask("enrol", {}, "otherwise") for _ in range(5)]
        forwarder.start()
        assert [wait_for(job.check) for job in jobs] == ["otherwise"] * 5
        assert calls.asked == 1
        now[0] += DARK_S + 1
        later = forwarder.ask("enrol", {}, "otherwise")
        assert wait_for(later.check) == "light"
        forwarder.close()

    def test_what_nobody_waits_for_any_more_is_not_asked(self) -> None:
        calls, now = Scripted("late"), [0.0]
        forwarder = self.forwarder(calls, now)
        later = forwarder.ask("enrol", {}, "otherwise")
        now[0] += WAIT_S + 1
        assert self.finish(forwarder, later) == "otherwise" and calls.asked == 0

    def test_too_many_are_told_to_ask_again(self) -> None:
        forwarder = self.forwarder(Scripted("any"), [0.0])
        jobs = [forwarder.ask("enrol", {}, "otherwise") for _ in range(JOBS_MAX + 1)]
        assert jobs[-1].check() == "otherwise" and jobs[0].check() is None


class HubSide:
    """A hub's membership, with direct calls to a group."""

    def __init__(self, root: Path) -> None:
        self.group = Group(root / "hq")
        self.home = root / "hub"
        self.identity = Identity.create(self.home, "hub-1", "hub")
        (self.home / "hub.toml").write_text('[hub]\nid = "hub-1"\n')
        token = self.group.invite("hub-1", "", "hub")
        self.group.ask(token, self.identity, via_hub=False)
        self.group.office.approve("hub-1")
        grant = self.group.ask(token, self.identity, via_hub=False)
        assert grant is not None
        accept(self.home, grant, self.identity.public, "hub.toml", new_keys=False)
        self.calls = FromHub(self.group, self.identity)
        self.log = io.StringIO()
        self.forwarder = Forwarder(self.calls)
        self.held = HeldDirectory(self.home, self.home / "data", NOW)
        self.membership = Membership(
            "hub-1",
            self.held,
            Renewal(self.home),
            "hub.example",
            0.05,
            self.calls,
            self.forwarder,
            EventLog(stream=self.log),
            clock=lambda: self.group.now,
        )
        self.membership.listening({"data": "tcp://[::]:7500", "enrolment": "tcp://[::]:7502"})

    def refreshed(self) -> None:
        """Wait until the hub holds what headquarters would give it."""
        wait_for(lambda: self.held.version(Part.GATEWAYS) == self.group.publisher.version > 0)


class FromHub(DirectCalls):
    """The hub's own calls."""

    def __init__(self, group: Group, identity: Identity) -> None:
        super().__init__(group)
        self.identity = identity
        self.suspected: list[object] = []

    def call(self, verb: str, argument: object = None, timeout_s: float | None = None) -> Any:
        if self.dark:
            raise CallTimeoutError("nobody there")
        if verb == "directory":
            return self.group.publisher.directory(via(self.identity.public), argument)
        if verb == "suspect":
            self.suspected.append(argument)
            return True
        return getattr(self.group.desk, verb)(via(self.identity.public), argument)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubSide]:
    hub = HubSide(tmp_path)
    hub.membership.start()
    yield hub
    hub.membership.close()
    assert not [thread for thread in threading.enumerate() if thread.name in ("membership", "forward")]


def test_a_hub_takes_the_directory_and_tells_its_addresses(hub: HubSide) -> None:
    hub.refreshed()
    node = hub.group.registry.node("hub-1")
    assert node is not None
    assert node.addresses == {
        "data": "tcp://hub.example:7500",
        "service": "",
        "enrolment": "tcp://hub.example:7502",
    }


def test_a_gateway_that_is_let_in_is_on_the_list_after_a_refresh(hub: HubSide) -> None:
    hub.group.let_in(GATEWAY)
    wait_for(lambda: hub.membership.roster([]).by_link(GATEWAY.public.link))
    hub.group.office.revoke("unit-1", "stolen")
    wait_for(lambda: hub.membership.roster([GATEWAY.public]).by_link(GATEWAY.public.link) is None)


def test_what_is_held_goes_on_while_headquarters_is_dark_and_after_a_restart(hub: HubSide) -> None:
    hub.group.let_in(GATEWAY)
    wait_for(lambda: hub.membership.roster([]).by_link(GATEWAY.public.link))
    hub.calls.dark = True
    wait_for(lambda: "headquarters-out-of-reach" in hub.log.getvalue())
    again = HeldDirectory(hub.home, hub.home / "data", NOW)
    assert again.parts.keys() == {Part.STATIONS, Part.GATEWAYS}
    assert hub.membership.describe(hub.membership.roster([]))["headquarters_in_reach"] is False


def ask(hub: HubSide, caller: Caller, node: Identity = GATEWAY) -> object:
    token = hub.group.invite()
    request = Request(node.public, NOW, bytes(16), token.token_id)
    handler = hub.membership.enrolment_handlers()["enrol"]
    return handler(caller, sign_enrolment(request, token.key(), node.signing))


def test_a_request_is_passed_on_and_waits_while_headquarters_is_dark(hub: HubSide) -> None:
    caller = Caller(GATEWAY.public.link, None)
    later = ask(hub, caller)
    assert isinstance(later, Later)
    state, why, _ = parse_answer(wait_for(later.check))
    assert state.value == "pending" and "waits for approval" in why
    request = hub.group.registry.request("unit-1")
    assert request is not None and request.via == "hub-1"
    hub.calls.dark = True
    later = ask(hub, caller)
    assert isinstance(later, Later)
    assert parse_answer(wait_for(later.check))[1] == OUT_OF_REACH


def test_a_request_with_another_link_key_than_the_connections_is_refused(hub: HubSide) -> None:
    with pytest.raises(CallRefusedError, match="wrong-link"):
        ask(hub, Caller(Identity.generate("x", "gateway").public.link, None))


def test_a_node_renews_for_itself_only(hub: HubSide) -> None:
    other = Identity.generate("unit-2", "gateway").public
    handler = hub.membership.service_handlers()["renew"]
    from protocols.enrolment import sign_renewal

    argument = sign_renewal(
        Request(GATEWAY.public, NOW, bytes(16), serial=1), GATEWAY.signing, GATEWAY.signing
    )
    with pytest.raises(CallRefusedError, match="wrong-node"):
        handler(Caller(other.link, other), argument)


def test_a_clone_is_barred_at_once_and_reported_and_new_keys_are_not(hub: HubSide) -> None:
    hub.group.let_in(GATEWAY)
    wait_for(lambda: hub.membership.roster([]).by_link(GATEWAY.public.link))
    hub.calls.dark = True
    before = hub.membership.version
    hub.membership.bar(GATEWAY.public, "clone", "two live processes")
    roster = hub.membership.roster([])
    assert roster.by_link(GATEWAY.public.link) is None and hub.membership.version > before
    assert hub.membership.describe(roster)["quarantined"] == ["unit-1"]
    hub.calls.dark = False
    wait_for(lambda: hub.calls.suspected)
    assert hub.calls.suspected == [{"node": "unit-1", "what": "clone", "detail": "two live processes"}]
    new = Identity.generate("unit-1", "gateway", "plant-a")
    hub.group.let_in(new)
    wait_for(lambda: hub.membership.roster([]).by_link(new.public.link))


def test_a_node_of_the_list_by_hand_is_reported_and_not_barred(hub: HubSide) -> None:
    stranger = Identity.generate("unit-7", "gateway").public
    hub.membership.bar(stranger, "clone", "two live processes")
    assert hub.membership.roster([stranger]).by_link(stranger.link) == stranger


def test_gateways_get_the_stations_part(hub: HubSide) -> None:
    hub.refreshed()
    handler = hub.membership.service_handlers()["directory"]
    node = Caller(GATEWAY.public.link, GATEWAY.public)
    answer = handler(node, {"part": 0, "held": 0, "offset": 0})
    assert isinstance(answer, dict) and answer["piece"] == hub.held.sealed(Part.STATIONS)
    with pytest.raises(CallRefusedError, match="not-yours"):
        handler(node, {"part": 1, "held": 0, "offset": 0})


def test_a_hub_renews_its_own_certificate(hub: HubSide) -> None:
    hub.group.now += 300 * 86_400.0
    wait_for(lambda: hub.log.getvalue().count("certificate-renewed") >= 2)
    assert len(hub.group.registry.keys_of("hub-1")) == 2
