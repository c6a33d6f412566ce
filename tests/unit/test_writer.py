"""Storing what was collected: journal and batches, and what happens when there is no room."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edge_runtime.buffer import Buffer, Progress
from edge_runtime.clock import GatewayClock
from edge_runtime.intake import Delivery, Intake, join_adjacent
from edge_runtime.writer import Rules, Writer, split
from protocols import columns, crash
from protocols.batch import Header, Kind, Stream
from protocols.records import Correction, Gap, GapCause
from protocols.samples import SampleBlock, ValueType
from tests.unit.edge_buffers import T0, PowerCutError, S, World, crash_at

HASH = b"t" * 32


class Bench:
    """A writer with its intake, on a disk that outlives both."""

    def __init__(self, flush_s: float = 1.0, batch_samples_max: int = 1000, samples_max: int = 4000) -> None:
        self.world = World()
        self.rules = Rules(flush_s, batch_samples_max)
        self.samples_max = samples_max
        self.seconds = 0.0
        self.synchronised = True
        self.instant = 0
        self.boots = 0
        self.boot()

    def boot(self) -> None:
        self.boots += 1
        self.world.boot()
        self.intake = Intake(self.samples_max)
        clock = GatewayClock(
            self.boots.to_bytes(16, "big"),
            wall=self.world.clock.now_us,
            monotonic=lambda: round(self.seconds * S),
            synchronised=lambda: self.synchronised,
        )
        self.writer = Writer(self.buffer, self.intake, clock, HASH, self.rules, lambda: self.seconds)

    @property
    def buffer(self) -> Buffer:
        return self.world.buffer

    def collect(self, n: int = 10, *, thinned: int = 0, gaps: tuple[Gap, ...] = ()) -> None:
        """One instant of one task."""
        self.instant += 1
        at = T0 + self.instant * S
        block = SampleBlock.make(ValueType.F64, range(1, n + 1), [at] * n, [0.5] * n)
        points = tuple(range(1, n + 1))
        self.intake.put(Delivery("plc/fast", at, at, (block,), thinned, gaps, points))

    def second(self, *, last: bool = False) -> None:
        self.seconds += 1.0
        self.world.clock.us += S
        self.writer.step(last=last)

    def data(self) -> list[Header]:
        """Headers of all data batches."""
        headers = self.world.headers(self.world.chain())
        return [header for header in headers if header.kind is Kind.DATA]


@pytest.fixture(autouse=True)
def _no_crash_left() -> Iterator[None]:
    yield
    crash.install(None)


def test_with_a_short_flush_every_step_seals_what_came() -> None:
    bench = Bench(flush_s=1.0)
    for _ in range(5):
        bench.collect(10, thinned=3)
        bench.second()
    assert [header.n for header in bench.data()] == [10] * 5
    assert {header.table_hash for header in bench.data()} == {HASH}
    counts = bench.buffer.counts()
    assert (counts.collected, counts.thinned, counts.sealed, counts.unaccounted) == (65, 15, 50, 0)
    assert bench.buffer.progress() == {"plc/fast": Progress(T0 + 5 * S, T0 + 5 * S)}
    bench.world.check()


def test_with_a_long_flush_samples_are_journalled_each_second_and_cut_when_it_is_over() -> None:
    bench = Bench(flush_s=10.0)
    for second in range(1, 31):
        bench.collect()
        bench.second()
        assert bench.buffer.counts().collected == 10 * second, "durable within the second"
    assert [header.n for header in bench.data()] == [100, 100, 100]
    assert bench.buffer.counts().unaccounted == 0
    bench.world.check()


def test_a_batch_is_cut_early_when_it_has_enough_samples() -> None:
    bench = Bench(flush_s=10.0, batch_samples_max=35)
    for _ in range(8):
        bench.collect()
        bench.second()
    assert [header.n for header in bench.data()] == [40, 40]


def test_more_samples_than_a_batch_may_have_go_into_several() -> None:
    bench = Bench(flush_s=10.0, batch_samples_max=100)
    bench.collect(30)
    bench.second()
    bench.collect(250)
    bench.second()
    assert [header.n for header in bench.data()] == [30, 100, 100, 50], "in the order of time"
    assert bench.buffer.counts().unaccounted == 0


def test_the_last_step_cuts_what_is_open() -> None:
    bench = Bench(flush_s=10.0)
    bench.collect()
    bench.second(last=True)
    assert [header.n for header in bench.data()] == [10]


def test_what_was_journalled_before_a_kill_becomes_a_batch_at_the_next_start() -> None:
    bench = Bench(flush_s=10.0)
    for _ in range(4):
        bench.collect()
        bench.second()
    crash.install(crash_at("edge:before-commit", 1, PowerCutError()))
    bench.collect()
    with pytest.raises(PowerCutError):
        bench.second()
    crash.install(None)
    bench.boot()
    assert bench.writer.recover() == 40
    assert [(header.n, header.t_min_us, header.t_max_us) for header in bench.data()] == [
        (40, T0 + S, T0 + 4 * S)
    ]
    assert bench.writer.recover() == 0
    assert bench.buffer.counts().unaccounted == 0
    assert bench.buffer.progress()["plc/fast"].instant_us == T0 + 4 * S
    bench.world.check()


def test_what_an_images_journal_holds_is_not_delivered_a_second_time() -> None:
    bench = Bench(flush_s=10.0)
    bench.writer.recover()
    for _ in range(14):
        bench.collect()
        bench.second()
    bench.boot()  # as from an image; the life that went on delivered these samples and later ones
    assert bench.writer.recover() == 40
    old = bench.world.chain()
    assert bench.buffer.on_forked(old, 2) is not None
    assert len(bench.world.samples()) == 100
    counts = bench.buffer.counts()
    assert (counts.sealed, dict(counts.dropped), counts.unaccounted) == (100, {"delivered-before": 40}, 0)
    bench.world.check()


def test_gaps_are_declared_with_the_samples_that_follow_them() -> None:
    bench = Bench()
    gap = Gap(GapCause.OVERRUN, T0, T0 + S, (1, 2), 2)
    bench.collect(gaps=(gap,))
    bench.second()
    assert bench.world.gaps() == [gap]


def test_adjacent_gaps_of_one_kind_are_one() -> None:
    def gap(first: int, end: int, cause: GapCause = GapCause.OVERRUN, points: tuple[int, ...] = (1,)) -> Gap:
        return Gap(cause, first, end, points, end - first)

    joined = join_adjacent(
        [gap(0, 2), gap(2, 5), gap(0, 1, points=(2,)), gap(6, 7), gap(7, 8, GapCause.QUOTA)]
    )
    assert sorted(joined, key=lambda g: (g.points or (), g.t_from_us)) == [
        gap(0, 5), gap(6, 7), gap(7, 8, GapCause.QUOTA), gap(0, 1, points=(2,)),
    ]  # fmt: skip


def test_what_the_intake_could_not_take_is_counted_and_declared() -> None:
    bench = Bench(samples_max=25)
    for _ in range(5):
        bench.collect(10)
    bench.second()
    assert bench.intake.overflows == 3
    [gap] = bench.world.gaps()
    assert (gap.cause, gap.t_from_us, gap.t_to_us, gap.samples) == (
        GapCause.OVERFLOW, T0 + 3 * S, T0 + 5 * S + 1, 30,
    )  # fmt: skip
    counts = bench.buffer.counts()
    assert (counts.collected, counts.sealed, dict(counts.dropped)) == (50, 20, {"overflow": 30})
    assert counts.unaccounted == 0


# -- no room ------------------------------------------------------------------------------------------


def fill(bench: Bench) -> None:
    """From now on the disk has no room."""
    [(pages,)] = bench.world.disk.execute("pragma page_count")
    [(free,)] = bench.world.disk.execute("pragma freelist_count")
    bench.world.disk.execute(f"pragma max_page_count = {pages - free}")


def empty(bench: Bench) -> None:
    bench.world.disk.execute("pragma max_page_count = 1000000")


def until_full(bench: Bench) -> None:
    fill(bench)
    for _ in range(200):
        bench.collect(40)
        bench.second()
        if bench.writer.trouble:
            return
    raise AssertionError("expected the disk to become full")


def test_a_full_disk_for_a_short_time_costs_nothing() -> None:
    bench = Bench()
    until_full(bench)
    for _ in range(3):
        bench.collect(40)
        bench.second()
    assert "room on the disk" in bench.writer.trouble
    empty(bench)
    bench.collect(40)
    bench.second()
    assert bench.writer.trouble == ""
    counts = bench.buffer.counts()
    assert counts.collected == counts.sealed == 40 * bench.instant
    assert bench.world.gaps() == []
    bench.world.check()


def test_a_full_disk_for_long_costs_the_oldest_and_says_so() -> None:
    bench = Bench(samples_max=400)
    until_full(bench)
    stored = bench.buffer.counts().sealed // 40
    for _ in range(20):
        bench.collect(40)
        bench.second()
    empty(bench)
    bench.second()
    counts = bench.buffer.counts()
    assert counts.collected == 40 * bench.instant
    assert counts.unaccounted == 0
    lost = counts.dropped["disk-full"] // 40
    [gap] = bench.world.gaps()
    assert gap.cause is GapCause.DISK_FULL
    assert gap.t_from_us == T0 + (stored + 1) * S
    assert gap.t_to_us == T0 + (stored + lost) * S + 1
    assert bench.data()[-1].t_max_us == T0 + bench.instant * S
    bench.world.check()


def test_a_full_disk_keeps_so_many_deliveries_even_if_nothing_is_in_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge_runtime.limits.DELIVERIES_MAX", 5)
    bench = Bench()
    until_full(bench)
    for _ in range(20):
        bench.collect(0, thinned=7)
        bench.second()
    assert len(bench.writer._waiting) == 5
    empty(bench)
    bench.second()
    counts = bench.buffer.counts()
    assert counts.thinned == 20 * 7 and counts.unaccounted == 0
    bench.world.check()


def test_a_correction_waits_for_room() -> None:
    bench = Bench()
    bench.synchronised = False
    bench.second()
    bench.world.clock.us += 60 * S
    bench.second()
    until_full(bench)
    bench.synchronised = True
    for _ in range(3):
        bench.second()
    assert bench.writer.trouble
    empty(bench)
    bench.second()
    headers = bench.world.headers(bench.world.chain(Stream.META))
    assert [header.kind for header in headers].count(Kind.CORRECTION) == 1


def test_a_full_disk_holds_up_a_cut_and_loses_nothing_of_the_journal() -> None:
    bench = Bench(flush_s=10.0)
    for _ in range(5):
        bench.collect(40)
        bench.second()
    until_full(bench)
    empty(bench)
    for _ in range(12):
        bench.collect(40)
        bench.second()
    bench.second(last=True)
    counts = bench.buffer.counts()
    assert counts.collected == counts.sealed == 40 * bench.instant
    bench.world.check()


# -- the rest ------------------------------------------------------------------------------------------


def test_a_correction_is_sent_when_the_clock_becomes_right() -> None:
    bench = Bench()
    bench.synchronised = False
    bench.collect()
    bench.second()
    bench.world.clock.us += 60 * S
    bench.second()
    bench.synchronised = True
    bench.second()
    [batch] = [
        batch
        for batch in bench.world.held(bench.world.chain(Stream.META))
        if Header.parse(batch.header).kind is Kind.CORRECTION
    ]
    assert Correction.parse(batch.payload) == Correction(bytes(15) + b"\x01", 0, 2 * S, 60 * S)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
def test_splitting_keeps_every_sample_in_its_order(most: int) -> None:
    blocks = [
        SampleBlock.make(ValueType.F64, range(4), [T0] * 4, range(4), source_time=range(4)),
        SampleBlock.make(ValueType.TEXT, [9], [T0], ["on"]),
    ]
    parts = list(split(blocks, most))
    assert all(sum(len(block) for block in part) <= most for part in parts)
    points = np.concatenate([block.point for part in parts for block in part])
    assert points.tolist() == [0, 1, 2, 3, 9]
    decoded = [block for part in parts for block in columns.decode(columns.encode(part))]
    assert sum(len(block) for block in decoded) == 5
