"""Asking for commands, and for the time where nobody keeps the clock; alarms on command."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.commands import link
from edge_runtime.commands.alarmwork import alarm_acts
from edge_runtime.commands.hqtime import Clocks, HeadquartersTime
from edge_runtime.commands.judge import PROOF_LIFE_US, Span, Why
from edge_runtime.commands.link import CommandLink
from edge_runtime.commands.outbox import Outbox
from protocols.batch import Clock, ClockState
from protocols.calls import CallTimeoutError
from protocols.commandcalls import COMMANDS, TIME, WAIT_MAX_S, Answer, Ask, Stage
from protocols.daemon import EventLog
from protocols.identity import SigningKey, VerifyKey
from protocols.records import SignedTime, sign_record
from tests.unit.command_parts import KEY, START_US, Desk, S, signed


class Upstream:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.give: list[bytes] = []
        self.asked: list[Ask] = []
        self.times = 0
        self.time: Callable[[bytes], object] = lambda nonce: sign_record(SignedTime(nonce, START_US), KEY)
        self.dark = False

    def call(self, verb: str, argument: object = None, timeout_s: float | None = None) -> Any:
        if self.dark:
            raise CallTimeoutError("no answer")
        if verb == TIME:
            self.times += 1
            assert isinstance(argument, bytes)
            return self.time(argument)
        assert verb == COMMANDS
        self.asked.append(Ask.parse(argument))
        given, self.give = tuple(self.give), []
        return Answer(given).fields()


class World:
    """A link over a desk, with clocks in the hand."""

    def __init__(self, directory: Path, state: ClockState = ClockState.UNSYNCHRONISED) -> None:
        self.state = state
        self.monotonic_us = 0
        self.desk = Desk(directory)
        clocks = Clocks(
            lambda: Clock(bytes(16), self.monotonic_us, self.state, 0),
            lambda: self.desk.now_us,
            lambda: self.monotonic_us,
        )
        self.time = HeadquartersTime(clocks, VerifyKey(KEY.public))
        self.desk.executor._time_now = self.time.now
        self.up = Upstream()
        self.outbox = Outbox(directory, "unit-1")
        self.log = io.StringIO()
        self.waited: list[float] = []
        self.link = CommandLink(
            self.up,
            self.desk.executor,
            self.desk.journal,
            self.outbox,
            self.time,
            EventLog(stream=self.log),
            self.waited.append,
        )

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]


def test_a_command_that_comes_is_told_at_each_stage_and_calls_are_short_meanwhile(tmp_path: Path) -> None:
    world = World(tmp_path, ClockState.SYNCHRONISED)
    world.up.give = [signed()]
    world.link.step()
    world.link.step()
    world.link.step()
    world.desk.step()
    world.link.step()
    world.link.step()
    nonce = (1).to_bytes(16)
    assert [(ask.wait_s, ask.told) for ask in world.up.asked] == [
        (WAIT_MAX_S, ()),
        (0.0, ((nonce, Stage.DELIVERED),)),
        (link.BUSY_S, ()),
        (0.0, ((nonce, Stage.ENDED),)),
        (WAIT_MAX_S, ()),
    ]
    assert world.up.times == 0 and world.link.status.clock == "own"
    world.desk.close()


def test_what_an_upstream_that_does_not_answer_was_not_told_is_told_again(tmp_path: Path) -> None:
    world = World(tmp_path, ClockState.HOLDOVER)
    world.up.give = [signed()]
    world.link.step()
    world.up.dark = True
    world.link.step()
    world.link.step()
    world.up.dark = False
    world.link.step()
    assert world.up.asked[-1].told == (((1).to_bytes(16), Stage.DELIVERED),)
    assert world.events() == ["commands-reached", "commands-unreachable", "commands-reached"]
    assert world.waited == [0.0, link.RETRY_S] * 2
    world.desk.close()


def test_a_question_that_was_given_up_at_the_end_is_no_fault_of_the_upstream(tmp_path: Path) -> None:
    world = World(tmp_path, ClockState.HOLDOVER)
    world.link.step()
    world.up.dark = True
    world.link._wait = lambda seconds: True
    world.link.step()
    assert world.events() == ["commands-reached"]
    assert world.link.status.reached
    world.desk.close()


class TestTime:
    def test_without_a_clock_the_time_is_asked_for_and_counts_for_an_hour(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.link.step()
        assert (world.up.times, world.link.status.clock) == (1, "headquarters")
        world.monotonic_us += 60 * S
        world.link.step()
        assert world.up.times == 1 and world.time.now() == Span(START_US + 60 * S, START_US + 60 * S)
        world.monotonic_us += PROOF_LIFE_US // 2
        world.link.step()
        assert world.up.times == 2
        world.desk.close()

    @pytest.mark.parametrize(
        "answer",
        [
            lambda nonce: sign_record(SignedTime(b"o" * 16, START_US), KEY),  # an old one
            lambda nonce: sign_record(SignedTime(nonce, START_US), SigningKey(b"x" * 32)),
            lambda nonce: b"rubbish",
            lambda nonce: START_US,
        ],
    )
    def test_a_time_that_headquarters_did_not_sign_for_this_question_is_none(
        self, answer: Callable[[bytes], object], tmp_path: Path
    ) -> None:
        world = World(tmp_path)
        world.up.time, world.up.give = answer, [signed()]
        world.link.step()
        assert world.up.asked == [], "without the time no command is fetched"
        assert (world.link.status.clock, world.link.status.reached) == ("unknown", False)
        world.desk.executor.take(signed())
        assert world.desk.whys() == [Why.CLOCK_UNKNOWN]
        world.desk.close()

    def test_a_kept_back_answer_makes_commands_expire_earlier(self, tmp_path: Path) -> None:
        world = World(tmp_path)

        def slowly(nonce: bytes) -> object:
            answer = sign_record(SignedTime(nonce, START_US + 3590 * S), KEY)
            world.monotonic_us += 20 * S
            return answer

        world.up.time, world.up.give = slowly, [signed()]
        world.link.step()
        assert world.desk.whys() == [Why.EXPIRED]
        world.desk.close()


class TestAlarms:
    def desk(self, directory: Path) -> Desk:
        desk = Desk(directory)
        desk.executor._acts = {**desk.executor._acts, **alarm_acts(desk.manager, lambda: desk.now_us)}
        desk.manager.raise_("gas", "hall-1", "high", "CH4", 1, 20.5, 0, desk.now_us)
        return desk

    def test_an_alarm_is_acknowledged_in_the_name_of_the_requester(self, tmp_path: Path) -> None:
        desk = self.desk(tmp_path)
        desk.executor.take(signed("alarms.acknowledge", arguments={"alarms": ("gas/*",), "comment": "seen"}))
        desk.step()
        [alarm] = desk.manager.alarms().values()
        assert (str(alarm.condition.state), alarm.operator, alarm.comment) == (
            "acknowledged",
            "li@hq",
            "seen",
        )
        part, outcome = desk.told()
        assert (part.source, part.transition, outcome.transition) == ("gas/hall-1/high", "handled", "done")
        desk.close()

    def test_shelving_ends_when_it_was_said_to(self, tmp_path: Path) -> None:
        desk = self.desk(tmp_path)
        arguments = {"alarms": ("gas/hall-1/high",), "comment": "sensor", "for_s": 60.0}
        desk.executor.take(signed("alarms.shelve", arguments=arguments))
        desk.step()
        [alarm] = desk.manager.alarms().values()
        assert alarm.condition.shelved_until_us == desk.now_us + 60 * S
        desk.close()

    @pytest.mark.parametrize(
        ("arguments", "outcome"),
        [
            ({"alarms": ("none/*",)}, "failed"),
            ({"alarms": ()}, "refused"),
            ({}, "refused"),
            ({"alarms": "gas/*"}, "refused"),
            ({"alarms": (7,)}, "refused"),
        ],
    )
    def test_what_finds_no_alarm_says_so(
        self, arguments: dict[str, Any], outcome: str, tmp_path: Path
    ) -> None:
        desk = self.desk(tmp_path)
        desk.executor.take(signed("alarms.acknowledge", arguments=arguments))
        desk.step()
        assert desk.told()[-1].transition == outcome
        desk.close()
