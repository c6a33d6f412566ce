"""Headquarters at work on a real link: intake, failures of the disk, receipts, latest values."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from headquarters import custody, latest
from headquarters.config import load
from headquarters.ingest.rows import SampleChunk, chunk
from headquarters.intake import Pace
from headquarters.lake.deltalog import LOG
from headquarters.lake.samples import Partition, partitioned
from headquarters.latest import Directory, LatestValues, answer
from headquarters.main import run
from headquarters.status import Latency
from protocols.batch import Batch, Chain, Kind, header_hash
from protocols.calls import CallClient, CallRefusedError
from protocols.daemon import Stop, read_status
from protocols.errors import DeviceError, StoreError
from protocols.identity import Identity, VerifyKey
from protocols.link import SenderLink
from protocols.records import Mark
from protocols.samples import SampleBlock, ValueType
from protocols.session import Accepted, Offer, SenderEvent
from protocols.session.events import Receipted, Refused, Stored
from tests.lake_parts import SECOND, T0, HandGateway, Headquarters, scan

PATIENCE_S = 30.0


class Outbox:
    """One chain held in memory."""

    def __init__(self, accepted: list[Accepted], oldest: int = 0) -> None:
        self.batches: list[Batch] = [item.batch for item in accepted]
        self.chain = accepted[0].chain
        self.oldest = oldest
        self.generation = 1

    def offers(self) -> list[Offer]:
        head = header_hash(self.batches[-1].header)
        return [Offer(self.chain, self.oldest, len(self.batches), head)]

    def read(self, chain: Chain, seq: int, batches_max: int, bytes_max: int) -> list[Batch]:
        return self.batches[seq : seq + batches_max]


class Running:
    """Headquarters in a thread, and a hub's sender to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.stop = Stop()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.settings = load(home)
        self.until(lambda: self.status().get("stopped") is False)

    def status(self) -> dict[str, object]:
        return read_status(self.settings.status) or {}

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.failure is None, self.failure
            assert time.monotonic() < end, self.status()
            threading.Event().wait(0.02)

    def finish(self) -> None:
        self.stop.ask()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            run(self.home, self.stop)
        except BaseException as failure:
            self.failure = failure


@pytest.fixture
def hub() -> HandGateway:
    hub = HandGateway("hub-north")
    hub.identity = Identity.generate("hub-north", "hub")
    return hub


@pytest.fixture
def home(tmp_path: Path, gateway: HandGateway, hub: HandGateway) -> Path:
    home = tmp_path / ("long-" * 15) / "hq"
    Headquarters(home, gateway, hub)
    config = home / "headquarters.toml"
    config.write_text(config.read_text().replace("commit_interval_s = 1.0", "commit_interval_s = 0.05"))
    config.write_text(config.read_text().replace("hole_wait_s = 3600", "hole_wait_s = 0"))
    return home


@pytest.fixture
def running(home: Path) -> Iterator[Running]:
    running = Running(home)
    yield running
    running.finish()


def send(
    running: Running, hub: HandGateway, outbox: Outbox, done: Callable[[list[SenderEvent]], bool]
) -> list[SenderEvent]:
    """Send what an outbox holds until the events say that it is done."""
    identity = Identity.load(running.home)
    key = VerifyKey(identity.public.signing)
    address = str(running.status()["address"]).replace("[::ffff:127.0.0.1]", "127.0.0.1")
    link = SenderLink(address, identity.public.link, hub.identity, outbox, headquarters=key, receiver=key)
    events: list[SenderEvent] = []
    end = time.monotonic() + PATIENCE_S
    try:
        while not done(events):
            assert time.monotonic() < end, events
            events += link.step(0.02)
    finally:
        link.close()
    return events


def receipted(next_: int, mark: Mark = Mark.HEADQUARTERS) -> Callable[[list[SenderEvent]], bool]:
    return lambda events: any(
        isinstance(event, Receipted) and event.receipt.next >= next_ and event.receipt.mark is mark
        for event in events
    )


def test_headquarters_opens_the_call_sockets_that_its_configuration_names(
    home: Path, gateway: HandGateway
) -> None:
    text = (home / "headquarters.toml").read_text()
    sockets = 'service = "tcp://127.0.0.1:0"\nenrolment = "tcp://127.0.0.1:0"\nbind = '
    (home / "headquarters.toml").write_text(text.replace("bind = ", sockets, 1))
    running = Running(home)
    calls = running.status()["calls"]
    assert isinstance(calls, dict)
    link = Identity.load(home).link.public
    for socket in ("service", "enrolment"):
        with (
            CallClient(calls[socket]["address"], link, gateway.identity.link) as client,
            pytest.raises(CallRefusedError, match="unknown-verb"),
        ):
            client.call("nonsense")
    running.finish()


def test_batches_become_durable_and_are_receipted(
    running: Running, gateway: HandGateway, hub: HandGateway
) -> None:
    outbox = Outbox([gateway.open(), gateway.data(scan(0)), gateway.data(scan(1))])
    events = send(running, hub, outbox, receipted(3))
    assert max(event.next for event in events if isinstance(event, Stored)) == 3
    log = json.loads(
        sorted((running.settings.lake / "samples" / LOG).glob("*.json"))[-1].read_text().splitlines()[1]
    )
    assert log["txn"] == {"appId": "unit-1/data/1", "version": 2}
    running.until(lambda: running.status()["rows"] == 6)
    again = send(running, hub, outbox, receipted(3))
    assert not [event for event in again if isinstance(event, Refused)]


def test_a_poison_batch_is_refused_and_what_follows_is_taken(
    running: Running, gateway: HandGateway, hub: HandGateway
) -> None:
    outbox = Outbox([gateway.batch(Kind.DATA, b"poison", n=1), gateway.data(scan(0))])
    events = send(running, hub, outbox, receipted(2))
    [refused] = [event for event in events if isinstance(event, Refused)]
    assert refused.refusal.seq == 0
    assert (running.settings.quarantine / "unit-1-data-1-0.payload").read_bytes() == b"poison"


def test_a_hole_nobody_fills_is_given_up_and_declared(
    running: Running, gateway: HandGateway, hub: HandGateway
) -> None:
    batches = [gateway.data(scan(second)) for second in range(4)]
    send(running, hub, Outbox(batches, oldest=2), receipted(4))
    running.finish()
    lake = Headquarters(running.home).lake
    [gap] = lake.gaps.read(lake.gaps.log.files(), ["seq_from", "seq_to", "declared_by"]).to_pylist()
    assert gap == {"seq_from": 0, "seq_to": 2, "declared_by": "headquarters"}


def test_a_failing_disk_is_survived_and_nothing_is_lost_or_doubled(
    running: Running, gateway: HandGateway, hub: HandGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([OSError(28, "No space left on device")])

    def failing(rows: Sequence[SampleChunk]) -> Iterator[tuple[Partition, list[SampleChunk]]]:
        error = next(failures, None)
        if error is not None:
            raise error
        return partitioned(rows)

    monkeypatch.setattr("headquarters.lake.tables.partitioned", failing)
    outbox = Outbox([gateway.data(scan(0)), gateway.data(scan(1))])
    send(running, hub, outbox, receipted(2))
    running.until(lambda: running.status()["failures"] == 1)
    running.finish()
    lake = Headquarters(running.home).lake
    assert sum(file.rows for file in lake.samples.log.files()) == 6
    assert sum(file.rows for file in lake.ledger.log.files()) == 2


def test_what_is_backed_up_is_receipted_as_such(
    running: Running, gateway: HandGateway, hub: HandGateway
) -> None:
    outbox = Outbox([gateway.data(scan(0))])
    send(running, hub, outbox, receipted(1))
    positions = custody.snapshot_of(running.settings.lake)
    custody.confirm(running.settings.custody, positions, "now")
    events = send(running, hub, outbox, receipted(1, Mark.BACKED_UP))
    assert {event.receipt.next for event in events if isinstance(event, Receipted)} == {1}


def test_a_backup_of_another_lake_confirms_nothing(
    running: Running, gateway: HandGateway, hub: HandGateway
) -> None:
    outbox = Outbox([gateway.data(scan(0))])
    send(running, hub, outbox, receipted(1))
    other = {gateway.chain(): custody.Position(1, bytes(32))}
    custody.confirm(running.settings.custody, other, "now")
    events = send(running, hub, outbox, receipted(1))
    assert {event.receipt.mark for event in events if isinstance(event, Receipted)} == {Mark.HEADQUARTERS}


def test_latest_values_are_answered_on_a_socket_however_long_the_path(
    running: Running, gateway: HandGateway, hub: HandGateway
) -> None:
    assert len(str(running.settings.data)) > 107
    send(running, hub, Outbox([gateway.data(scan(0), scan(5)), gateway.data(scan(3))]), receipted(2))
    [row] = latest.ask(running.settings.data, ["unit-1/2"])
    assert (row["value"], row["time_us"]) == (20.5 + 2 + 5 / 8, T0 + 5 * SECOND)
    assert len(latest.ask(running.settings.data, [])) == 3


def test_a_second_process_on_the_same_home_is_refused(running: Running) -> None:
    with pytest.raises(StoreError, match="stop the other"):
        run(running.settings.home, Stop())


def test_nobody_answers_where_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="catchment-hq run"):
        latest.ask(tmp_path, [])


@pytest.mark.parametrize("request_", [b"", b"[]", b'{"names": "all"}', b'{"names": [1]}'])
def test_a_wrong_question_is_answered_with_what_is_wrong(request_: bytes) -> None:
    assert "error" in json.loads(answer(request_, Directory(), LatestValues()))


def test_latest_takes_the_newest_and_forgets_old_text() -> None:
    values = LatestValues()

    def update(*rows: tuple[int, float | str]) -> None:
        for at, value in rows:
            kind = ValueType.TEXT if isinstance(value, str) else ValueType.F64
            block = SampleBlock.make(kind, [1], [at], [value])
            values.update([chunk(block, np.array([5]), np.array([1]), 1, 0)])

    update((10, 1.5), (9, 2.5))
    assert values.get(5) == latest.Latest(5, 10, 1.5, None, 0)
    update((11, "stopped"))
    assert values.get(5) == latest.Latest(5, 11, None, "stopped", 0)
    assert values.get(4) is None
    assert values.get(10**6) is None


def test_latest_is_by_time_whatever_the_order_of_rows() -> None:
    values = LatestValues()
    times, readings = [7, 3, 7, 5, 9, 8], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    block = SampleBlock.make(ValueType.F64, [1, 1, 1, 1, 2, 2], times, readings)
    values.update([chunk(block, np.array([6, 5]), np.array([4, 2]), 1, 0)])
    assert values.get(6) == latest.Latest(6, 7, 3.0, None, 0)
    assert values.get(5) == latest.Latest(5, 9, 5.0, None, 0)


def test_a_commit_follows_each_burst() -> None:
    """Six batches come within the first 60 ms of every second."""
    pace = Pace(1.0)
    committed = []
    staged = 0
    for tick in range(500):
        staged += tick % 100 < 6
        if pace.due(staged, tick / 100):
            committed.append(tick)
            pace.committed(tick / 100)
            staged = 0
    assert len(committed) == 5
    assert all(6 <= tick % 100 < 15 for tick in committed)


def test_the_interval_decides_when_batches_come_all_the_time() -> None:
    pace = Pace(1.0)
    committed = []
    staged = 0
    for tick in range(1000):
        staged += 1
        if pace.due(staged, tick / 100):
            committed.append(tick / 100)
            pace.committed(tick / 100)
            staged = 0
    assert 8 <= len(committed) <= 10


def test_latency_is_counted_by_rows() -> None:
    latency = Latency()
    times = [T0] * 10 + [T0 + 900_000] * 990
    block = SampleBlock.make(ValueType.F64, [1] * 1000, times, [0.0] * 1000)
    latency.add([chunk(block, np.array([1]), np.array([1000]), 1, 0)], T0 + SECOND, now=0.0)
    found = latency.describe()
    assert found["lake_latency_p50_s"] == pytest.approx(0.1, abs=0.002)
    assert found["lake_latency_p99_s"] == pytest.approx(0.1, abs=0.002)
    latency.add([], T0, now=1000.0)
    assert latency.describe()["lake_latency_p50_s"] is None
    assert latency.describe()["lake_latency_overall_p99_s"] == pytest.approx(0.1, abs=0.002)
