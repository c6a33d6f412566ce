"""Reading and writing points on command: through a driver's own loop, in two steps, within grants."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from edge_runtime.commands.fieldwork import EndedError, FieldWork
from edge_runtime.commands.journal import Journal
from edge_runtime.commands.judge import Why
from edge_runtime.commands.outcome import Outcome, RefusedError, events
from edge_runtime.commands.pointwork import SELECT_LIFE_US, PointWork
from edge_runtime.config import WriteGrant
from edge_runtime.devicewrites import DeviceWrites
from protocols.daemon import EventLog
from protocols.field.base import FieldType, Group
from protocols.points import Point
from protocols.records import Command
from protocols.samples import SampleBlock, ValueType
from tests.unit.fake_driver import FakeDriver

S = 1_000_000
FLOW = Point(1, "FLOW", "plc", "1", FieldType.F64, "fast", unit="t/h")
SP = Point(2, "SP", "words", "2", FieldType.INT16, "fast", scale=0.1)
OWNED = Point(3, "OWNED", "plc", "3", FieldType.F64, "fast")
DEAD = Point(4, "DEAD", "dead", "1", FieldType.F64, "fast")


class Words(FakeDriver):
    """A device of whole numbers, all of them 417."""

    async def read(self, group: Group, instant_us: int) -> list[SampleBlock]:
        ids = [point.id for point in group.points]
        return [SampleBlock.make(ValueType.I64, ids, [instant_us] * len(ids), [417] * len(ids))]


class Field:
    """Drivers in a loop of their own, as in the gateway."""

    def __init__(self) -> None:
        self.now_us = 1000 * S
        self.drivers = {"plc": FakeDriver(), "words": Words(), "dead": FakeDriver(before=self._never)}
        self.devices = DeviceWrites(self.drivers, EventLog(stream=None))
        self.work = FieldWork(self.drivers, self.devices, lambda: self.now_us)
        self.journal = Journal(sqlite3.connect(":memory:", check_same_thread=False))
        self.journal.prepare()
        grants = {name: WriteGrant(name, 0.0, 100.0) for name in ("SP", "OWNED")}
        points = {point.name: point for point in (FLOW, SP, OWNED, DEAD)}
        self.points = PointWork(points, grants, {3: "pump"}, self.work, self.journal, lambda: self.now_us)
        self._number = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    async def _never(self, instant_us: int) -> None:
        await asyncio.sleep(3600)

    def start(self) -> None:
        async def begin() -> None:
            self.devices.start(self.work.wrote)
            self.work.start()

        self._thread.start()
        asyncio.run_coroutine_threadsafe(begin(), self._loop).result()

    def stop(self) -> None:
        self.work.stop()
        asyncio.run_coroutine_threadsafe(self.devices.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def command(self, verb: str, requester: str = "li", **arguments: Any) -> Command:
        self._number += 1
        return Command(
            self._number,
            self._number.to_bytes(16),
            "unit-1",
            self.now_us,
            self.now_us + S,
            requester,
            verb,
            arguments,
        )

    def give(self, verb: str, **arguments: Any) -> tuple[Command, Outcome]:
        """Carry one out, with the journal as the executor keeps it."""
        command = self.command(verb, **arguments)
        self.journal.take(command)
        outcome = self.points.acts[verb](command)
        self.journal.end(command.nonce, events(command, outcome, self.now_us), self.now_us)
        return command, outcome


@pytest.fixture
def field() -> Iterator[Field]:
    made = Field()
    made.start()
    yield made
    made.stop()


def test_points_are_read_fresh_scaled_and_one_by_one(field: Field) -> None:
    _, outcome = field.give("read", points=("FLOW", "SP", "FLOW"))
    assert [(part.source, part.value) for part in outcome.parts] == [("FLOW", 1000.0), ("SP", 41.7)]
    assert outcome.parts[0].text.endswith("t/h") and outcome.detail == {"points": 2, "bad": 0}


@pytest.mark.parametrize("points", [(), "FLOW", ("FLOW",) * 101, (7,), ("FLO",)])
def test_reading_takes_names_of_points(field: Field, points: Any) -> None:
    with pytest.raises(RefusedError) as refused:
        field.points.read(field.command("read", points=points))
    assert refused.value.why is Why.ARGUMENTS


def test_a_silent_device_costs_its_own_points_and_a_bounded_wait(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_runtime.commands.fieldwork.READ_S", 0.1)
    _, outcome = field.give("read", points=("DEAD", "FLOW"))
    dead, flow = outcome.parts
    assert (outcome.outcome, dead.value, dead.quality, flow.quality) == ("done", None, 2, 0)
    _, outcome = field.give("read", points=("DEAD",))
    assert outcome.outcome == "failed"


def test_a_write_takes_two_steps_and_the_first_one_writes_nothing(field: Field) -> None:
    select, selected = field.give("select", point="SP", value=42.04)
    assert selected.outcome == "selected" and field.drivers["words"].written == []
    assert (selected.detail["becomes"], selected.detail["raw"], selected.detail["high"]) == (42.0, 420, 100.0)
    _, written = field.give("write", point="SP", value=42.04, selected=select.nonce.hex())
    assert written.outcome == "done" and field.drivers["words"].written == [(2, 420)]
    assert [part.value for part in written.parts] == [42.0]
    with pytest.raises(RefusedError) as refused:  # a selection serves once
        field.give("write", point="SP", value=42.04, selected=select.nonce.hex())
    assert refused.value.why is Why.NOT_SELECTED and len(field.drivers["words"].written) == 1


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"value": 43.0}, Why.NOT_SELECTED),
        ({"selected": "00"}, Why.NOT_SELECTED),
        ({"selected": "rubbish"}, Why.NOT_SELECTED),
        ({"selected": 7}, Why.NOT_SELECTED),
        ({"requester": "wang"}, Why.NOT_SELECTED),
        ({"value": 100.1}, Why.NOT_GRANTED),
        ({"value": -0.1}, Why.NOT_GRANTED),
        ({"value": "42"}, Why.ARGUMENTS),
        ({"point": "FLOW"}, Why.NOT_GRANTED),
        ({"point": "OWNED"}, Why.NOT_GRANTED),
        ({"point": "NONE"}, Why.ARGUMENTS),
    ],
)
def test_what_was_not_selected_or_granted_is_not_written(
    field: Field, changed: dict[str, Any], why: Why
) -> None:
    select, _ = field.give("select", point="SP", value=42.0)
    given = {"point": "SP", "value": 42.0, "selected": select.nonce.hex(), **changed}
    with pytest.raises(RefusedError) as refused:
        field.points.write(field.command("write", **given))
    assert refused.value.why is why and field.drivers["words"].written == []


def test_a_selection_serves_for_five_minutes(field: Field) -> None:
    select, _ = field.give("select", point="SP", value=42.0)
    field.now_us += SELECT_LIFE_US + 1
    with pytest.raises(RefusedError, match="last 5 minutes"):
        field.give("write", point="SP", value=42.0, selected=select.nonce.hex())


def test_a_command_that_read_selects_nothing(field: Field) -> None:
    read, _ = field.give("read", points=("SP",))
    with pytest.raises(RefusedError, match="selected first"):
        field.give("write", point="SP", value=42.0, selected=read.nonce.hex())


def test_a_device_that_refuses_makes_the_write_fail(field: Field) -> None:
    field.drivers["words"].refuses = "read-only"
    select, _ = field.give("select", point="SP", value=42.0)
    _, outcome = field.give("write", point="SP", value=42.0, selected=select.nonce.hex())
    assert outcome.outcome == "failed" and "read-only" in outcome.text


def test_of_a_write_that_nobody_answers_nobody_says_that_it_failed(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(field.devices, "put", lambda order: None)
    monkeypatch.setattr("edge_runtime.commands.fieldwork.WRITE_S", 0.05)
    select, _ = field.give("select", point="SP", value=42.0)
    _, outcome = field.give("write", point="SP", value=42.0, selected=select.nonce.hex())
    assert outcome.outcome == "unknown"


def test_at_the_end_nobody_waits_any_longer() -> None:
    field = Field()
    field.start()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            field.work.read([DEAD])
        except EndedError as error:
            ended.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not field.work._reading:
        pass
    field.stop()
    waiting.join(5)
    assert not waiting.is_alive() and len(ended) == 1
    with pytest.raises(EndedError):
        field.work.read([replace(FLOW)])
