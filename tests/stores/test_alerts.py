"""Rules, silences, notifications and deliveries on both databases."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import pytest
from sqlalchemy import Engine

from headquarters.db.engine import reading, writing
from headquarters.operations.alerts.channels import ChannelError
from headquarters.operations.alerts.rules import DEFAULTS, Rule
from headquarters.operations.alerts.service import GIVE_UP_S, Alerts
from headquarters.operations.alerts.store import (
    KEPT_US,
    Delivery,
    Notification,
    Notifications,
    Rules,
    Silences,
)
from headquarters.operations.signals import Value
from protocols.daemon import EventLog
from protocols.errors import InputError

SILENT = "catchment_group_gateway_silent_seconds"
NOW = 1_790_000_000.0


class Channel:
    """Takes messages, or does not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.broken = False
        self.sent: list[list[tuple[str, str, bool]]] = []

    def send(self, deliveries: Sequence[Delivery], now: float) -> None:
        if self.broken:
            raise ChannelError("expected an answer, got none")
        told = [
            (each.notification.rule, each.notification.labels["gateway"], each.firing) for each in deliveries
        ]
        self.sent.append(told)


class World:
    """Alerts over values that a test sets."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.values: list[Value] = []
        self.channels = [Channel("email"), Channel("webhook")]
        self.log = io.StringIO()
        self.now = NOW
        with writing(engine) as session:
            Rules(session).put(Rule("silent", SILENT, above=100, summary="{gateway}: {value}"), 1)
        self.restart()

    def restart(self) -> None:
        self.alerts = Alerts(self.engine, lambda: self.values, self.channels, EventLog(stream=self.log))

    def step(self, after_s: float = 15.0, **silent_s: float) -> None:
        self.now += after_s
        self.values = [(SILENT, {"gateway": name, "site": "n"}, value) for name, value in silent_s.items()]
        self.alerts.step(self.now)

    def notifications(self) -> list[Notification]:
        with reading(self.engine) as session:
            return Notifications(session).page(None, 100)

    def sent(self) -> list[list[list[tuple[str, str, bool]]]]:
        found = [channel.sent for channel in self.channels]
        for channel in self.channels:
            channel.sent = []
        return found


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def test_rules_from_the_start_can_be_replaced_switched_off_and_had_back(engine: Engine) -> None:
    with writing(engine) as session:
        rules = Rules(session)
        assert {rule.name for rule in rules.all()} == {rule.name for rule in DEFAULTS}
        rules.put(Rule("lake-failing", "catchment_hq_failing", above=0, enabled=False), 1)
        rules.put(Rule("own", SILENT, above=5, labels={"site": "阿*"}), 1)
        rules.put(Rule("own", SILENT, above=6, labels={"site": "阿*"}), 2)
    with writing(engine) as session:
        found = {rule.name: rule for rule in Rules(session).all()}
        assert not found["lake-failing"].enabled
        assert (found["own"].above, found["own"].labels) == (6, {"site": "阿*"})
        assert Rules(session).remove("own")
        assert Rules(session).remove("lake-failing")
        assert not Rules(session).remove("lake-failing")
        assert Rules(session).all() == sorted(DEFAULTS, key=lambda rule: rule.name)
        with pytest.raises(InputError, match="metric"):
            Rules(session).put(Rule("own", "none", above=6), 1)


def test_what_fires_and_ends_is_told_once_by_every_channel_in_one_message(world: World) -> None:
    world.step(a=101, b=200, c=5)
    fired = [("silent", "a", True), ("silent", "b", True)]
    assert [[sorted(message) for message in sent] for sent in world.sent()] == [[fired], [fired]]
    world.restart()
    world.step(a=102, b=201)
    assert world.sent() == [[], []], "not again after a restart"
    world.step(a=1, b=216)
    assert world.sent() == [[[("silent", "a", False)]]] * 2
    by_gateway = {each.labels["gateway"]: each for each in world.notifications()}
    assert by_gateway["a"].summary == "a: 101"
    assert by_gateway["a"].resolved_us == round(1e6 * world.now)
    assert by_gateway["b"].resolved_us is None
    logged = [json.loads(line)["event"] for line in world.log.getvalue().splitlines()]
    assert logged == ["alert-fires", "alert-fires", "alert-ends"]


def test_a_silence_holds_messages_back_and_not_notifications(world: World) -> None:
    with writing(world.engine) as session:
        begins, ends = round(1e6 * NOW), round(1e6 * (NOW + 100))
        silence = Silences(session).add("sil*", {"gateway": "a"}, begins, ends, "works", "anna")
    world.step(a=101, b=101)
    assert world.sent() == [[[("silent", "b", True)]]] * 2
    assert len(world.notifications()) == 2
    world.step(b=116)  # a came back within the silence: nobody is told of either
    assert world.sent() == [[], []]
    world.step(a=101, b=130)
    world.step(100, a=201, b=230)
    assert world.sent() == [[[("silent", "a", True)]]] * 2, "the silence is over, and it still fires"
    with writing(world.engine) as session:
        assert Silences(session).open(round(1e6 * world.now)) == []
        assert Silences(session).open(begins) == [silence]
        assert not Silences(session).end(silence.id, round(1e6 * world.now))
        assert Silences(session).end(silence.id, begins)
        assert Silences(session).open(begins) == []


def test_a_channel_that_is_down_is_tried_again_with_pauses_and_given_up_after_a_day(world: World) -> None:
    mail, hook = world.channels
    mail.broken = True
    world.step(a=101)
    assert (mail.sent, len(hook.sent)) == ([], 1)
    world.step(9, a=110)
    mail.broken = False
    world.step(0.5, a=111)
    assert mail.sent == [], "ten seconds are not over"
    world.step(0.5, a=111)
    assert mail.sent == [[("silent", "a", True)]]
    assert len(hook.sent) == 1
    mail.broken = True
    world.step(1, a=1)
    tries = 0
    for _ in range(200):
        before = world.log.getvalue().count("alert-not-delivered")
        world.step(900, a=1)
        tries += world.log.getvalue().count("alert-not-delivered") - before
    assert 25 < tries < 45
    mail.broken = False
    world.step(GIVE_UP_S, a=1)
    assert len(mail.sent) == 1, "given up"


def test_pages_are_whole_and_the_old_is_forgotten(world: World) -> None:
    world.step(**{f"g{number}": 101.0 for number in range(7)})
    world.step()
    with reading(world.engine) as session:
        store = Notifications(session)
        found: list[Notification] = []
        while page := store.page((found[-1].fired_us, found[-1].id) if found else None, 3):
            found += page
    assert len({each.id for each in found}) == 7
    world.step(KEPT_US / 1e6 + 60, a=101)
    assert [each.labels["gateway"] for each in world.notifications()] == ["a"]
