"""Events from a program's mouth to the lake: queue, signed batch, headquarters; once each, whatever dies."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime import limits
from edge_runtime.alarms.manager import AlarmManager
from edge_runtime.alarms.store import AlarmStore
from edge_runtime.clock import GatewayClock
from edge_runtime.events import EventQueue, EventWriter
from edge_runtime.intake import Intake
from edge_runtime.writer import Rules, Writer
from protocols import crash
from protocols.batch import Batch, Header, Kind, Stream, check_payload, check_signature
from protocols.errors import StoreFullError
from protocols.identity import VerifyKey
from protocols.records import EventRecord, EventType, inflate, parse_events
from protocols.session import Accepted
from tests.lake_parts import HandGateway, Headquarters
from tests.unit.edge_buffers import GATEWAY, T0, PowerCutError, World, crash_at


def event(number: int) -> EventRecord:
    return EventRecord(T0 + number, EventType.EVENT, "gas", text=f"event {number}", number=number)


@pytest.fixture(autouse=True)
def _no_crash_left() -> Iterator[None]:
    yield
    crash.install(None)


def batches(world: World) -> list[Batch]:
    """Every batch of kind EVENT, each checked against the gateway's key."""
    if not any(offer.chain.stream is Stream.EVENT for offer in world.buffer.offers()):
        return []
    held = world.held(world.chain(Stream.EVENT))
    found = [batch for batch in held if Header.parse(batch.header).kind is Kind.EVENT]
    for batch in found:
        check_signature(batch, VerifyKey(GATEWAY.public))
        check_payload(Header.parse(batch.header), batch)
    return found


def events(world: World) -> list[EventRecord]:
    return [event for batch in batches(world) for event in parse_events(inflate(batch.payload, True))]


def test_an_event_put_into_the_intake_is_a_row_at_headquarters(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    world = World()
    intake = Intake(1000)
    clock = GatewayClock(bytes(16), wall=world.clock.now_us, monotonic=lambda: 0, synchronised=lambda: True)
    writer = Writer(world.buffer, intake, clock, bytes(32), Rules(1.0, 1000), lambda: 0.0)
    connection = sqlite3.connect(":memory:")
    store = AlarmStore(connection)
    store.prepare()
    manager = AlarmManager(store, intake.events.put)
    manager.raise_("gas", "hall-1", "ch4.high", "CH4 too high", 1, 20.5, 0, T0 + 5)
    manager.tell(EventRecord(T0 + 7, EventType.EVENT, "gas", text="pump started"))
    writer.step()
    [batch] = batches(world)
    header = Header.parse(batch.header)
    assert (header.stream, header.n, header.t_min_us, header.t_max_us) == (Stream.EVENT, 0, T0 + 5, T0 + 7)
    for held in world.held(world.chain(Stream.EVENT)):
        fields = Header.parse(held.header)
        headquarters.take(Accepted(fields.chain, fields, held))
    lake = headquarters.lake.events
    rows = [row for row in lake.read(lake.log.files(), None).to_pylist() if row["kind"] == "event"]
    shown = [(row["type"], row["source"], row["text"], row["transition"], row["priority"]) for row in rows]
    assert shown == [
        ("alarm", "ch4.high", "CH4 too high", "raised", 1),
        ("event", "", "pump started", "", None),
    ]
    world.check()


def test_a_flood_is_cut_into_batches_in_one_commit() -> None:
    world, queue = World(), EventQueue()
    flood = [event(number) for number in range(1, 10_001)]
    assert queue.put(flood) == 10_000
    commits = world.buffer.generation
    EventWriter(world.buffer, queue, world.clock.now_us).step()
    assert world.buffer.generation == commits + 1
    assert len(batches(world)) == 3
    assert events(world) == flood
    assert world.buffer.events_noted == 10_000
    world.check()


def test_at_the_bound_the_newest_are_dropped_counted_and_declared() -> None:
    world, queue = World(), EventQueue(events_max=3)
    writer = EventWriter(world.buffer, queue, world.clock.now_us)
    assert queue.put([event(number) for number in (1, 2)]) == 2
    assert queue.put([event(number) for number in (3, 4, 5)]) == 1
    assert queue.dropped == 2
    writer.step()
    *kept, lost = events(world)
    assert kept == [event(1), event(2), event(3)]
    assert (lost.transition, lost.value) == ("lost", 2.0)
    assert dict(lost.detail) == {"from_us": T0 + 4, "to_us": T0 + 5}
    queue.put([event(6)])
    writer.step()
    assert events(world)[-1] == event(6), "and it is declared once"


def test_without_room_events_wait_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    world, queue = World(), EventQueue(events_max=2)
    writer = EventWriter(world.buffer, queue, world.clock.now_us)

    def full(*_: object, **__: object) -> None:
        raise StoreFullError("no room")

    with monkeypatch.context() as disk:
        disk.setattr(world.buffer, "append", full)
        for number in (1, 2, 3):
            queue.put([event(number)])
            with pytest.raises(StoreFullError):
                writer.step()
            writer.drop()
    writer.step()
    *kept, lost = events(world)
    assert kept == [event(2), event(3)]
    assert lost.value == 1.0
    assert queue.dropped == 1


def test_nothing_to_tell_makes_no_batch_and_no_chain() -> None:
    world = World()
    EventWriter(world.buffer, EventQueue(), world.clock.now_us).step()
    assert not batches(world)
    assert world.buffer.events_noted is None


@pytest.mark.parametrize("seed", range(40))
def test_each_journalled_event_is_in_one_batch_whenever_the_process_is_killed(seed: int) -> None:
    """Both files outlive the process; it dies at any commit of either, and begins anew."""
    chance = random.Random(seed)
    world, journal = World(seed=seed), sqlite3.connect(":memory:")
    told = 0
    for _ in range(12):
        crash.install(
            crash_at(
                f"edge:{chance.choice(['before', 'after'])}-commit", chance.randint(1, 6), PowerCutError()
            )
        )
        try:
            store = AlarmStore(journal)
            store.prepare()
            world.boot()
            queue = EventQueue()
            writer = EventWriter(world.buffer, queue, world.clock.now_us)
            manager = AlarmManager(store, queue.put, world.buffer.events_noted or 0)
            manager.send_again(world.buffer.events_noted or 0)
            for _ in range(6):
                told += 1
                manager.tell(EventRecord(T0 + told, EventType.EVENT, "gas", text=str(told)))
                if chance.random() < 0.5:
                    writer.step()
        except PowerCutError:
            continue
    crash.install(None)
    store = AlarmStore(journal)
    world.boot()
    queue = EventQueue()
    AlarmManager(store, queue.put).send_again(world.buffer.events_noted or 0)
    EventWriter(world.buffer, queue, world.clock.now_us).step()
    assert events(world) == list(store.journal())
    numbers = [found.number for found in events(world)]
    assert numbers == list(range(1, len(numbers) + 1))
    world.check()


def test_the_bound_of_what_waits_is_more_than_a_batch() -> None:
    assert EventQueue().events_max == limits.EVENTS_WAITING_MAX


def test_the_note_of_what_is_in_batches_never_falls() -> None:
    world = World()
    for number, noted in ((0, 0), (7, 7), (3, 7), (8, 8)):
        world.buffer.note_events(number)
        assert world.buffer.events_noted == noted


def test_the_alarms_file_is_another_than_the_buffer(tmp_path: Path) -> None:
    store = AlarmStore.open(tmp_path / "alarms.db")
    assert {name for (name,) in store.rows("select name from sqlite_schema where type = 'table'")} == {
        "alarms",
        "journal",
    }
    store.close()
