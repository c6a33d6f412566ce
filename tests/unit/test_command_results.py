"""What headquarters believes about commands: the gateway's own chain, and nobody else's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge_runtime.commands.judge import Why
from edge_runtime.commands.outcome import DONE, Outcome, Part, events, refused
from headquarters.cli import main
from headquarters.commands.queue import CommandQueue, Draft, Queued
from headquarters.commands.results import Results
from protocols.batch import Stream
from protocols.identity import Identity, SigningKey
from protocols.records import EventType
from tests.lake_parts import SECOND, T0, HandGateway, Headquarters

KEY = SigningKey(b"q" * 32)


@pytest.fixture
def gateways() -> tuple[HandGateway, HandGateway]:
    return HandGateway("unit-1"), HandGateway("unit-2")


@pytest.fixture
def headquarters(tmp_path: Path, gateways: tuple[HandGateway, HandGateway]) -> Headquarters:
    made = Headquarters(tmp_path / "hq", *gateways)
    made.take(*(gateway.open(Stream.EVENT) for gateway in gateways))
    return made


def send(headquarters: Headquarters, gateway: str = "unit-1") -> Queued:
    queue = CommandQueue(headquarters.settings.data)
    return queue.add(Draft(gateway, "read", {"points": ("A",)}, "li@hq", 3600.0), KEY, T0)


def outcome_of(headquarters: Headquarters, queued: Queued) -> Any:
    results = Results(headquarters.settings.lake)
    try:
        return results.of([queued])[queued.command.number]
    finally:
        results.close()


def test_parts_outcome_and_repetitions_are_told_apart(
    headquarters: Headquarters, gateways: tuple[HandGateway, HandGateway]
) -> None:
    queued = send(headquarters)
    assert outcome_of(headquarters, queued).last is None
    done = Outcome(DONE, "1 points read", {"points": 1}, [Part("read", "A", "2 bar", 2.0)])
    headquarters.take(gateways[0].events(*events(queued.command, done, T0 + SECOND)))
    again = refused(Why.REPLAYED, "it came before and is done")
    headquarters.take(gateways[0].events(*events(queued.command, again, T0 + 2 * SECOND)))
    found = outcome_of(headquarters, queued)
    assert (found.last.transition, found.last.text) == ("done", "1 points read")
    assert [(told.source, told.value) for told in found.before] == [("A", 2.0)]
    assert [told.detail["why"] for told in found.later] == ["replayed"]


def test_another_gateways_word_on_a_command_counts_for_nothing(
    headquarters: Headquarters, gateways: tuple[HandGateway, HandGateway]
) -> None:
    queued = send(headquarters)
    lie = events(queued.command, Outcome(DONE, "written, be sure"), T0 + SECOND)
    headquarters.take(gateways[1].events(*lie))
    assert outcome_of(headquarters, queued).last is None


def test_an_app_that_tells_of_a_command_does_not_make_it_done(
    headquarters: Headquarters, gateways: tuple[HandGateway, HandGateway]
) -> None:
    queued = send(headquarters)
    [lie] = events(queued.command, Outcome(DONE, "done"), T0 + SECOND)
    headquarters.take(gateways[0].events(replace(lie, type=EventType.EVENT)))
    assert outcome_of(headquarters, queued).last is None


class TestCommandLine:
    def run(self, headquarters: Headquarters, *arguments: str) -> Any:
        home = ("--home", str(headquarters.home))
        return CliRunner().invoke(main, ["command", arguments[0], *home, *arguments[1:]])

    @pytest.fixture(autouse=True)
    def keys(self, headquarters: Headquarters) -> None:
        if not (headquarters.home / "keys").exists():
            Identity.create(headquarters.home, "headquarters", "headquarters")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("unit-9", "read", "A"), "did you mean 'unit-"),
            (("unit-1", "read"), "names of points"),
            (("unit-1", "ack"), "names of alarms"),
            (("unit-1", "shelve", "gas/*"), "why"),
            (("unit-1", "write", "A"), "POINT=VALUE"),
            (("unit-1", "write", "A=high"), "a number"),
            (("unit-1", "write", "A=1", "--confirm", "77"), "command list"),
            (("unit-1", "restart", "now"), "no further words"),
            (("unit-1", "read", "A", "--expires", "soon"), "30min"),
            (("unit-1", "read", "A", "--expires", "8d"), "7 days"),
        ],
    )
    def test_wrong_words_are_explained_and_nothing_is_queued(
        self, headquarters: Headquarters, words: tuple[str, ...], said: str
    ) -> None:
        done = self.run(headquarters, "send", *words, "--wait", "0")
        assert done.exit_code in (2, 3) and said in done.output, done.output
        assert CommandQueue(headquarters.settings.data).latest("", 10) == []

    def test_a_command_is_followed_to_its_outcome(
        self, headquarters: Headquarters, gateways: tuple[HandGateway, HandGateway]
    ) -> None:
        sent = self.run(headquarters, "send", "unit-1", "read", "A", "--wait", "0", "--operator", "li")
        assert sent.exit_code == 3 and "no result yet" in sent.output
        queued = CommandQueue(headquarters.settings.data).get(1)
        assert queued.command.requester.startswith("li@")
        failed = Outcome("failed", "no answer")
        at_us = queued.command.issued_us
        headquarters.take(gateways[0].events(*events(queued.command, failed, at_us)))
        shown = self.run(headquarters, "show", "1")
        assert shown.exit_code == 0 and "failed: no answer" in shown.output
        [row] = json.loads(self.run(headquarters, "list", "--json").output)
        assert (row["outcome"], row["good"], row["stage"]) == ("failed", False, "queued")
        assert "failed" in self.run(headquarters, "list").output
        fetched = self.run(headquarters, "fetch", "1", "--wait", "0")
        assert fetched.exit_code == 2 and "fetches something" in fetched.output

    def test_one_that_nobody_has_is_called_off_here(self, headquarters: Headquarters) -> None:
        self.run(headquarters, "send", "unit-1", "read", "A", "--wait", "0")
        done = self.run(headquarters, "cancel", "1")
        assert done.exit_code == 0 and "nobody had it" in done.output
        assert len(CommandQueue(headquarters.settings.data).latest("", 10)) == 1
