"""A whole gateway in one process: real threads, a real disk, a device that always answers."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import main
from edge_runtime.buffer import Buffer, Store
from edge_runtime.config import BufferConfig, DeviceConfig, GatewayConfig, ScanClass
from edge_runtime.session import BUFFER, Session
from edge_runtime.writer import Writer
from protocols import columns
from protocols.batch import Clock, ClockState, Header, Kind, Stream
from protocols.daemon import EventLog, Stop, alone
from protocols.errors import StoreDamagedError, StoreError
from protocols.field import registry
from protocols.field.base import FieldType
from protocols.identity import Identity
from protocols.points import Point, Report
from protocols.records import Gap, GapCause, Opening, OpenReason, Statement, inflate, parse_gaps
from tests.unit.fake_driver import FakeDriver

MS = 1000
POINTS = 5


class Gateway:
    """A home directory, and what a gateway left in it."""

    def __init__(self, home: Path, flush_s: float, report: Report = Report.ALWAYS) -> None:
        home.mkdir(exist_ok=True)
        self.identity = Identity.create(home, "gw1", "gateway")
        self.config = GatewayConfig(
            home,
            "gw1",
            "site",
            {"fast": ScanClass("fast", 100 * MS)},
            {"plc": DeviceConfig("plc", "fake", {})},
            tuple(
                Point(id, f"P{id}", "plc", str(id), FieldType.F64, "fast", report=report, deadband=5.0)
                for id in range(1, POINTS + 1)
            ),
            buffer=BufferConfig(flush_s=flush_s),
        )
        self.config.data.mkdir()
        self.log = io.StringIO()

    def run(self, seconds: float, during: Callable[[], None] = lambda: None) -> int:
        """Run for so long, then stop in order."""
        stop = Stop()

        def wait() -> None:
            time.sleep(seconds / 2)
            during()
            time.sleep(seconds / 2)
            stop.ask()

        waiting = threading.Thread(target=wait)
        waiting.start()
        code = main.live(self.config, self.identity, EventLog(stream=self.log), stop)
        waiting.join()
        return code

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]

    def status(self) -> dict[str, object]:
        status: dict[str, object] = json.loads((self.config.data / "status.json").read_text())
        return status

    def batches(self) -> list[tuple[Header, bytes]]:
        """Headers and payloads of all that is held."""
        store = Store.open(self.config.data / BUFFER)
        buffer = Buffer(store, "gw1", self.identity.signing, headquarters=None, clock=NoClock())
        found = []
        for offer in sorted(buffer.offers(), key=lambda offer: offer.chain):
            for batch in buffer.read(offer.chain, offer.oldest, 1 << 20, 1 << 40):
                header = Header.parse(batch.header)
                found.append((header, inflate_if_record(header, batch.payload)))
        assert buffer.counts().unaccounted == 0
        store.close()
        return found

    def instants(self) -> list[int]:
        """Instants of the first point, in units of the period."""
        times = [
            int(t)
            for header, payload in self.batches()
            if header.kind is Kind.DATA
            for block in columns.decode(payload)
            for p, t in zip(block.point, block.time, strict=True)
            if p == 1
        ]
        assert all(t % (100 * MS) == 0 for t in times)
        return [t // (100 * MS) for t in sorted(times)]

    def gaps(self) -> list[Gap]:
        """Gaps, but for the overruns of a busy machine."""
        return [gap for gap in self.all_gaps() if gap.cause is not GapCause.OVERRUN]

    def all_gaps(self) -> list[Gap]:
        return [
            gap
            for header, payload in self.batches()
            if header.kind is Kind.GAP
            for gap in parse_gaps(payload)
        ]

    def accounted(self) -> list[int]:
        """Instants that have a sample of the first point, or lie in a gap; each once."""
        missed = [
            instant
            for gap in self.all_gaps()
            for instant in range(gap.t_from_us // (100 * MS), gap.t_to_us // (100 * MS))
        ]
        return sorted(self.instants() + missed)


class NoClock:
    def now_us(self) -> int:
        raise AssertionError("looking makes no record")

    def stamp(self) -> Clock:
        return Clock(bytes(16), 0, ClockState.UNSYNCHRONISED, 0)


def inflate_if_record(header: Header, payload: bytes) -> bytes:
    return payload if header.kind is Kind.DATA else inflate(payload, bool(header.flags))


@pytest.fixture(autouse=True)
def _fake_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "create", lambda name, settings, context: FakeDriver())


@pytest.mark.parametrize("flush_s", [0.3, 10.0])
def test_a_clean_stop_leaves_every_instant_sealed_and_a_closed_ledger(tmp_path: Path, flush_s: float) -> None:
    gateway = Gateway(tmp_path / "home", flush_s)
    assert gateway.run(1.5) == 0
    instants, accounted = gateway.instants(), gateway.accounted()
    assert accounted == list(range(accounted[0], instants[-1] + 1))
    assert len(accounted) >= 12
    last, payload = [(h, p) for h, p in gateway.batches() if h.stream is Stream.META][-1]
    assert last.kind is Kind.STATEMENT
    statement = Statement.parse(payload)
    assert statement.collected == statement.sealed == POINTS * len(instants)
    assert gateway.gaps() == []
    assert gateway.status()["state"] == "stopped"
    assert gateway.events() == ["gateway-ready", "gateway-stopping", "gateway-stopped"]


def test_a_second_run_goes_on_in_the_same_chain_and_declares_what_lies_between(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "home", 0.2)
    gateway.run(0.8)
    before = gateway.instants()
    time.sleep(0.5)  # the gateway is down
    gateway.run(0.8)
    after = [instant for instant in gateway.instants() if instant > before[-1]]
    gaps = gateway.gaps()
    assert [gap.cause for gap in gaps] == [GapCause.PROCESS_DOWN], gaps
    [gap] = gaps
    assert (gap.t_from_us, gap.t_to_us) == ((before[-1] + 1) * 100 * MS, after[0] * 100 * MS)
    assert gap.samples == POINTS * (after[0] - before[-1] - 1)
    assert len({header.chain for header, _ in gateway.batches()}) == 2
    assert gateway.accounted() == list(range(before[0], after[-1] + 1))


def test_a_clean_stop_leaves_nothing_in_a_swinging_door(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "home", 0.2, Report.SWINGING_DOOR)
    gateway.run(1.5)
    instants = gateway.instants()
    assert len(instants) == 2, "a straight line has a beginning and an end"
    [statement] = [Statement.parse(p) for h, p in gateway.batches() if h.kind is Kind.STATEMENT][-1:]
    times = [instant * 100 * MS for instant in instants]
    between = [gap for gap in gateway.all_gaps() if times[0] <= gap.t_from_us < times[1]]
    missed = sum(gap.samples or 0 for gap in between)
    assert statement.collected == POINTS * (instants[1] - instants[0] + 1) - missed
    assert statement.thinned == statement.collected - 2 * POINTS


def test_a_buffer_that_turns_out_to_be_damaged_is_replaced_while_the_process_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(tmp_path / "home", 0.2)
    step, steps = Writer.step, []

    def damaged_once(writer: Writer, *, last: bool = False) -> None:
        steps.append(writer)
        if len(steps) == 3:
            raise StoreDamagedError("expected a readable buffer, got rubbish")
        step(writer, last=last)

    monkeypatch.setattr(Writer, "step", damaged_once)
    assert gateway.run(2.0) == 0
    assert gateway.events().count("buffer-set-aside") == 1
    assert len(list(gateway.config.data.glob("buffer.db.damaged-*"))) >= 1
    openings = [Opening.parse(payload) for header, payload in gateway.batches() if header.kind is Kind.OPEN]
    assert [o.reason for o in openings].count(OpenReason.STORE_LOST) == 2
    [gap] = [gap for gap in gateway.gaps() if gap.cause is GapCause.STORE_DAMAGED]
    times = [instant * 100 * MS for instant in gateway.instants()]
    assert times[0] < gap.t_from_us, "what was stored before is still here"
    assert not any(gap.t_from_us <= time < gap.t_to_us for time in times)
    missing = set(range(times[0], times[-1], 100 * MS)) - set(times)
    gaps = gateway.all_gaps()
    assert all(any(gap.t_from_us <= time < gap.t_to_us for gap in gaps) for time in missing)


def test_a_file_that_is_rubbish_at_the_start_does_not_keep_the_gateway_from_starting(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "home", 0.2)
    (gateway.config.data / BUFFER).write_bytes(b"rubbish" * 10_000)
    assert gateway.run(0.8) == 0
    assert gateway.events()[0] == "buffer-set-aside"
    assert gateway.instants()


def test_a_bug_in_a_thread_ends_the_gateway_with_a_fault_and_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(writer: Writer, *, last: bool = False) -> None:
        raise AssertionError("never so")

    monkeypatch.setattr(Writer, "step", fail)
    gateway = Gateway(tmp_path / "home", 0.2)
    assert gateway.run(0.6) == 1
    assert "gateway-bug" in gateway.events()
    assert "never so" in gateway.log.getvalue()


def test_a_second_gateway_in_the_same_home_is_refused(tmp_path: Path) -> None:
    with (
        alone(tmp_path),
        pytest.raises(StoreError, match="another process"),
        alone(tmp_path),
    ):
        raise AssertionError("two gateways")


def test_the_status_says_how_it_goes_while_it_runs(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "home", 0.2)
    seen: list[dict[str, object]] = []
    gateway.run(3.0, lambda: seen.append(gateway.status()))
    [status] = seen
    assert status["state"] == "running"
    assert status["ledger"]["unaccounted"] == 0  # type: ignore[index]
    assert status["tasks"][0]["served"] > 0  # type: ignore[index]
    assert status["memory_bytes"] > 10_000_000  # type: ignore[operator]


def test_a_session_that_is_asked_to_begin_anew_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(tmp_path / "gw", flush_s=0.5)
    sessions: list[Session] = []

    class Watched(Session):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            sessions.append(self)

    monkeypatch.setattr(main, "Session", Watched)
    monkeypatch.setattr(main, "load", lambda home: gateway.config)
    assert gateway.run(2.0, lambda: sessions[0].begin_anew("new keys")) == 0
    assert len(sessions) == 2
    assert gateway.events().count("gateway-stopped") == 2
    instants, accounted = gateway.instants(), gateway.accounted()
    assert set(range(instants[0], instants[-1] + 1)) <= set(accounted), "the time in between is declared"
    assert GapCause.PROCESS_DOWN in {gap.cause for gap in gateway.gaps()}


def test_a_session_does_not_begin_on_a_home_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(tmp_path / "gw", flush_s=0.5)
    sessions: list[Session] = []

    class Watched(Session):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            sessions.append(self)

    monkeypatch.setattr(main, "Session", Watched)
    assert gateway.run(1.0, lambda: sessions[0].begin_anew("no gateway.toml there")) == 0
    assert gateway.events().count("home-wrong") == 1 and len(sessions) == 2
