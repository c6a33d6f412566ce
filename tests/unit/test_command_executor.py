"""Each command once or not at all, each with one outcome, and every refusal told."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime import limits
from edge_runtime.commands.executor import Act
from edge_runtime.commands.judge import Span, Why
from edge_runtime.commands.outcome import DONE, Outcome, Part, RefusedError
from protocols import crash
from protocols.errors import DeviceError, StoreFullError
from protocols.identity import SigningKey
from protocols.records import Command
from tests.unit.command_parts import START_US, Desk, Kill, S, signed


def test_a_command_is_carried_out_once_however_often_it_comes(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for _ in range(3):
        desk.executor.take(signed())
        desk.step()
    assert len(desk.done) == 1
    [outcome] = desk.told()
    assert (outcome.transition, outcome.source, outcome.operator) == ("done", "count", "li@hq")
    assert outcome.detail["command"] == (1).to_bytes(16).hex()
    # once the way up knows that it is over, another delivery is a replay and is told
    desk.journal.said(desk.journal.unsaid())
    desk.executor.take(signed())
    desk.step()
    assert len(desk.done) == 1 and desk.whys() == [Why.REPLAYED]
    desk.close()


@pytest.mark.parametrize(
    ("why", "command", "time"),
    [
        (Why.SIGNATURE, signed(key=SigningKey(b"x" * 32)), START_US),
        (Why.SIGNATURE, signed()[:-1] + b"\x01", START_US),
        (Why.SIGNATURE, b"rubbish", START_US),
        (Why.TARGET, signed(target="unit-2"), START_US),
        (Why.EXPIRED, signed(), START_US + 3600 * S),
        (Why.CLOCK_WRONG, signed(), START_US - 3600 * S),
        (Why.CLOCK_UNKNOWN, signed(), None),
        (Why.UNKNOWN_VERB, signed("self-destruct"), START_US),
    ],
)
def test_what_is_refused_is_told_with_its_reason_and_not_carried_out(
    why: Why, command: bytes, time: int | None, tmp_path: Path
) -> None:
    desk = Desk(tmp_path)
    desk.time = None if time is None else Span(time, time)
    desk.executor.take(command)
    desk.step()
    assert desk.done == [] and desk.whys() == [why]
    desk.close()


def test_what_was_refused_stays_refused_when_its_time_comes(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.time = None
    desk.executor.take(signed())
    desk.time = Span(START_US, START_US)
    desk.executor.take(signed())
    desk.step()
    assert desk.done == []
    desk.close()


def test_of_a_flood_of_wrong_commands_few_are_told_and_the_others_counted(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(1, 200):
        desk.executor.take(signed(number=number, key=SigningKey(b"x" * 32)))
    assert len(desk.whys()) == limits.COMMAND_REFUSALS_PER_MIN
    desk.close()


def test_too_many_at_once_are_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(1, limits.COMMANDS_WAITING_MAX + 3):
        desk.executor.take(signed(number=number))
    desk.step()
    assert len(desk.done) == limits.COMMANDS_WAITING_MAX and desk.whys() == [Why.BUSY] * 2
    desk.close()


def test_one_that_waited_beyond_its_time_is_not_begun(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.executor.take(signed())
    desk.time = Span(START_US + 3600 * S, START_US + 3600 * S)
    desk.step()
    assert desk.done == [] and desk.whys() == [Why.EXPIRED]
    desk.close()


def fails(command: Command) -> Outcome:
    raise DeviceError("it does not answer")


def forbids(command: Command) -> Outcome:
    raise RefusedError(Why.NOT_GRANTED, "nothing grants it")


def breaks(command: Command) -> Outcome:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("act", "outcome", "text"),
    [
        (fails, "failed", "it does not answer"),
        (forbids, "refused", "nothing grants it"),
        (breaks, "unknown", "ZeroDivisionError: a fault of this program; the gateway's log says more"),
    ],
)
def test_an_act_that_fails_costs_its_command_only(act: Act, outcome: str, text: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path, {"try": act})
    desk.executor.take(signed("try", 1))
    desk.executor.take(signed("count", 2))
    desk.step()
    first, second = desk.told()
    assert (first.transition, first.text, second.transition) == (outcome, text, "done")
    assert len(desk.done) == 1
    desk.close()


def test_parts_are_told_before_the_outcome_and_what_follows_is_done_after_it(tmp_path: Path) -> None:
    seen: list[int] = []

    def act(command: Command) -> Outcome:
        parts = [Part("read", "A", "1 bar", 1.0), Part("read", "B", "2 bar", 2.0)]
        return Outcome(DONE, "read", parts=parts, then=lambda: seen.append(len(desk.told())))

    desk = Desk(tmp_path, {"read": act})
    desk.executor.take(signed("read"))
    desk.step()
    assert [record.source for record in desk.told()] == ["A", "B", "read"]
    assert seen == [3], "the outcome was on the disk by then"
    desk.close()


class TestCalledOff:
    def test_one_that_has_not_come_is_refused_when_it_does(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        assert desk.executor.call_off((1).to_bytes(16)).good
        desk.executor.take(signed())
        desk.step()
        assert desk.done == [] and desk.whys() == [Why.CANCELLED]
        desk.close()

    def test_one_that_waits_is_refused(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        desk.executor.take(signed())
        assert desk.executor.call_off((1).to_bytes(16)).good
        desk.step()
        assert desk.done == [] and desk.whys() == [Why.CANCELLED]
        desk.close()

    def test_for_one_that_is_over_it_is_too_late(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        desk.executor.take(signed())
        desk.step()
        assert desk.executor.call_off((1).to_bytes(16)).text == "too late: it is done"
        desk.close()


def test_a_command_given_here_is_carried_out_without_headquarters_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.time = None
    nonce = desk.executor.give_here("count", {}, "li")
    stepping = threading.Timer(0.05, desk.step)
    stepping.start()
    outcome = desk.executor.outcome_here(nonce, 10.0)
    stepping.join()
    assert outcome is not None and outcome.good
    [record] = desk.told()
    assert (record.operator, record.detail["number"]) == ("li", 0)
    with pytest.raises(RefusedError, match="count"):
        desk.executor.give_here("self-destruct", {}, "li")
    desk.close()


def test_while_the_disk_takes_no_events_outcomes_wait_and_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    real = desk.manager._write

    def full() -> None:
        raise StoreFullError("no room")

    monkeypatch.setattr(desk.manager, "_write", full)
    desk.executor.take(signed())
    desk.step()
    assert len(desk.done) == 1 and desk.told() == [] and len(desk.journal.untold()) == 1
    monkeypatch.setattr(desk.manager, "_write", real)
    desk.manager.step(desk.now_us)  # the disk has room again
    for _ in range(3):
        desk.executor._tell_at = 0.0
        desk.step()
    assert [record.transition for record in desk.told()] == ["done"] and desk.journal.untold() == []
    desk.close()


def live(directory: Path, effects: list[str]) -> None:
    """One life of the gateway: start, take what the hub gives again, carry out."""
    desk = Desk(directory, {"act": lambda command: _effect(command, effects)})
    try:
        desk.executor.recover()
        for number in (1, 2):
            desk.executor.take(signed("act", number))
            desk.executor.wake()
            # a kill is no exception that the step may swallow
            desk.executor.step()
        desk.journal.said(desk.journal.unsaid())
    finally:
        desk.close()


def _effect(command: Command, effects: list[str]) -> Outcome:
    crash.point("test:before-effect")
    effects.append(command.nonce.hex())
    crash.point("test:after-effect")
    return Outcome(DONE, "done", parts=[Part("read", "A", "1", 1.0)])


def test_killed_at_any_step_each_command_has_one_effect_at_most_and_exactly_one_outcome(
    tmp_path: Path,
) -> None:
    cuts: Counter[str] = Counter()
    for at in range(1, 1000):
        directory = tmp_path / str(at)
        directory.mkdir()
        effects: list[str] = []
        visits = 0

        def cut(name: str, at: int = at) -> None:
            nonlocal visits
            visits += 1
            if visits == at:
                cuts[name] += 1
                raise Kill

        before = crash.install(cut)
        try:
            live(directory, effects)
            killed = False
        except Kill:
            killed = True
        finally:
            crash.install(before)
        live(directory, effects)
        live(directory, effects)  # and the hub forgets again what it was told
        assert max(Counter(effects).values()) == 1, f"cut at visit {at}"
        desk = Desk(directory)
        outcomes = Counter(
            (record.detail["number"], record.transition)
            for record in desk.told()
            if record.source == "act" and record.detail.get("why") != Why.REPLAYED
        )
        desk.close()
        assert {number for number, _ in outcomes} == {1, 2} and max(outcomes.values()) == 1, (at, outcomes)
        assert sum(outcomes.values()) == 2, (at, outcomes)
        for number, outcome in outcomes:
            had_effect = number.to_bytes(16).hex() in effects  # type: ignore[union-attr]
            assert outcome == "unknown" or (outcome == "done" and had_effect), (at, outcomes)
        if not killed:
            break
    assert {"edge:command-begun", "edge:command-acted", "edge:command-ended", "edge:command-told"} <= set(
        cuts
    )
    assert {"test:before-effect", "test:after-effect", "edge:before-commit", "edge:after-commit"} <= set(cuts)
    assert sum(cuts.values()) > 20


def test_a_hub_that_gives_the_command_of_another_gateway_again_and_again_fills_nothing(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    for _ in range(100):
        desk.executor.take(signed(target="unit-2"))
        desk.journal.said(desk.journal.unsaid())
    assert len(desk.told()) <= 1 + limits.COMMAND_REFUSALS_PER_MIN
    desk.close()


def test_a_damaged_journal_of_commands_does_not_let_old_ones_run_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.executor.take(signed())
    desk.step()
    desk.close()
    (tmp_path / "commands.db").write_bytes(b"damaged" * 2000)
    again = Desk(tmp_path)
    again.executor.take(signed())
    again.step()
    assert again.done == [] and again.whys() == [Why.FORGOTTEN]
    later = replace(Command.parse(signed()[64:]), nonce=b"n" * 16)
    again.executor.take(signed(nonce=later.nonce, number=2, issued_us=again.now_us + S))
    again.step()
    assert len(again.done) == 1
    again.close()
