"""What becomes of batches, over tables in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from headquarters.ingest.cycle import Ingest
from headquarters.ingest.marks import LakeMarks
from headquarters.ingest.rows import DeclaredBy, Status, lake_values
from protocols import crash
from protocols.batch import Kind, Stream, header_hash
from protocols.records import Gap, GapCause, PointDefinition, RefusalReason
from protocols.samples import BAD_TIMEOUT, SampleBlock, ValueType
from protocols.session import Accepted
from tests.lake_parts import NOW, SECOND, T0, HandGateway, scan
from tests.simulation.tables import MemoryArchive, MemoryTables

STEPS = ("hq:after-archive", "hq:after-ledger", "hq:after-series", "hq:after-gaps", "hq:after-events")


class Crash(Exception):  # noqa: N818
    pass


@pytest.fixture(autouse=True)
def _no_crash_left() -> Iterator[None]:
    before = crash.install(None)
    yield
    crash.install(before)


def begin(tables: MemoryTables, archive: MemoryArchive) -> Ingest:
    return Ingest(tables, archive, lambda gateway: "plant-a")


def test_samples_are_bound_to_series_and_carry_their_batch(gateway: HandGateway) -> None:
    tables, archive = MemoryTables(), MemoryArchive()
    ingest = begin(tables, archive)
    cycle = ingest.prepare([gateway.open(), gateway.data(scan(0), scan(1))], NOW)
    ingest.commit(cycle)
    [rows] = tables.samples.rows
    assert rows.series.tolist() == [1, 1, 2, 2, 3, 3]
    assert rows.batch == 2
    assert [row.batch for row in tables.ledger.rows] == [1, 2]
    assert [row.status for row in tables.ledger.rows] == [Status.STORED, Status.STORED]
    assert archive.payloads[1] == cycle.accepted[1].batch.payload


def test_data_before_its_point_table_is_taken_in_and_named_when_the_table_comes(gateway: HandGateway) -> None:
    tables = MemoryTables()
    ingest = begin(tables, MemoryArchive())
    ingest.commit(ingest.prepare([gateway.data(scan(0, points=[7]))], NOW))
    assert [(row.series, row.name, row.provisional) for row in tables.series.rows] == [(1, "unit-1/7", True)]
    ingest.commit(
        ingest.prepare([gateway.meta([PointDefinition(7, "10LBA10CT001", ValueType.F64, "Cel")])], NOW)
    )
    latest = tables.series.rows[-1]
    assert (latest.series, latest.name, latest.unit, latest.provisional) == (1, "10LBA10CT001", "Cel", False)


def test_a_point_of_another_type_is_another_series(gateway: HandGateway) -> None:
    tables = MemoryTables()
    ingest = begin(tables, MemoryArchive())
    counter = SampleBlock.make(ValueType.I64, [7], [T0], [3])
    ingest.commit(ingest.prepare([gateway.data(scan(0, points=[7]), counter)], NOW))
    assert [(row.series, row.point, row.type) for row in tables.series.rows] == [(1, 7, "f64"), (2, 7, "i64")]


def test_a_table_that_comes_late_does_not_undo_a_newer_one(gateway: HandGateway) -> None:
    tables = MemoryTables()
    ingest = begin(tables, MemoryArchive())
    newer = gateway.meta([PointDefinition(7, "new", ValueType.F64)], at=T0 + SECOND)
    older = gateway.meta([PointDefinition(7, "old", ValueType.F64)], at=T0)
    ingest.commit(ingest.prepare([newer, older], NOW))
    assert [row.name for row in tables.series.rows] == ["new"]


def test_large_integers_keep_their_digits() -> None:
    value, text = lake_values(ValueType.I64, np.array([5, 2**53, 2**53 + 1, -(2**63)]))
    assert value is not None
    assert value.tolist() == [5.0, 2.0**53, 2.0**53, -(2.0**63)]
    assert text is not None
    assert text.tolist() == [None, None, "9007199254740993", "-9223372036854775808"]


def test_gaps_and_statements_become_rows(gateway: HandGateway) -> None:
    tables = MemoryTables()
    ingest = begin(tables, MemoryArchive())
    gap = Gap(GapCause.PROCESS_DOWN, T0, T0 + SECOND, points=(1, 2))
    ingest.commit(ingest.prepare([gateway.gaps(gap), gateway.statement([(2, 1, 5, 10)], sealed=10)], NOW))
    [row] = tables.gaps.rows
    assert (row.gap, row.declared_by) == (gap, DeclaredBy.GATEWAY)
    [event] = tables.events.rows
    assert event.kind == "statement"
    assert '"sealed": 10' in event.detail


def test_a_batch_that_cannot_be_read_is_refused_and_declared_and_the_chain_goes_on(
    gateway: HandGateway,
) -> None:
    tables, archive = MemoryTables(), MemoryArchive()
    ingest = begin(tables, archive)
    poison = gateway.batch(Kind.DATA, b"not a payload", n=3, times=(T0, T0 + SECOND))
    after = gateway.data(scan(2))
    cycle = ingest.prepare([poison, after], NOW)
    ingest.commit(cycle)
    [refused] = cycle.refused
    assert (refused.reason, refused.accepted) == (RefusalReason.PAYLOAD, poison)
    assert [row.status for row in tables.ledger.rows] == [Status.REFUSED, Status.STORED]
    assert archive.quarantined[(poison.chain, 0)] == b"not a payload"
    [row] = tables.gaps.rows
    assert (row.gap.cause, row.gap.samples, row.declared_by) == (GapCause.REFUSED, 3, DeclaredBy.HEADQUARTERS)
    assert tables.samples.mark(gateway.chain()) == 1


@pytest.mark.parametrize(
    ("n", "times"), [(4, (T0, T0)), (3, (T0 - 9 * SECOND, T0 - SECOND)), (3, (T0 + SECOND, T0 + SECOND))]
)
def test_a_payload_that_is_not_what_its_header_says_is_refused(
    gateway: HandGateway, n: int, times: tuple[int, int]
) -> None:
    good = gateway.data(scan(0)).batch.payload
    lying = gateway.batch(Kind.DATA, good, n=n, times=times, flags=1)
    cycle = begin(MemoryTables(), MemoryArchive()).prepare([lying], NOW)
    assert "as the header says" in cycle.refused[0].text
    assert not cycle.samples


def test_a_batch_with_a_thousand_dates_is_refused(gateway: HandGateway) -> None:
    days = [T0 + day * 86_400 * SECOND for day in range(1000)]
    block = SampleBlock.make(ValueType.F64, [1] * 1000, days, [0.0] * 1000)
    cycle = begin(MemoryTables(), MemoryArchive()).prepare([gateway.data(block)], NOW)
    assert "dates in a batch" in cycle.refused[0].text


def test_a_tombstone_leaves_a_ledger_row_and_no_samples(gateway: HandGateway) -> None:
    tables, archive = MemoryTables(), MemoryArchive()
    ingest = begin(tables, archive)
    ingest.commit(ingest.prepare([gateway.tombstone(gateway.data(scan(0)))], NOW))
    assert [row.status for row in tables.ledger.rows] == [Status.TOMBSTONE]
    assert not tables.samples.rows
    assert not archive.payloads


def test_a_hole_that_was_given_up_is_declared_in_our_name(gateway: HandGateway) -> None:
    tables = MemoryTables()
    ingest = begin(tables, MemoryArchive())
    first, _, _, last = [gateway.data(scan(second)) for second in range(4)]
    ingest.commit(ingest.prepare([first], NOW))
    ingest.commit(ingest.prepare([last._replace(hole_from=1)], NOW))
    [row] = tables.gaps.rows
    assert (row.gap.cause, row.gap.seq_from, row.gap.seq_to) == (GapCause.TRIMMED, 1, 3)
    assert (row.gap.t_from_us, row.gap.t_to_us) == (T0 + 1, T0 + 3 * SECOND)
    assert row.declared_by is DeclaredBy.HEADQUARTERS


def test_a_hole_at_the_beginning_of_a_chain_begins_when_its_epoch_was_opened(
    gateway: HandGateway,
) -> None:
    tables, epoch = MemoryTables(), (T0 // 1000 - 500) << 16 | 7
    batches = [gateway.data(scan(second), epoch=epoch) for second in range(3)]
    ingest = begin(tables, MemoryArchive())
    ingest.commit(ingest.prepare([batches[2]._replace(hole_from=0)], NOW))
    [row] = tables.gaps.rows
    assert (row.gap.seq_from, row.gap.seq_to) == (0, 2)
    assert (row.gap.t_from_us, row.gap.t_to_us) == (T0 - SECOND // 2, T0 + 2 * SECOND)


@pytest.mark.parametrize("step", [*STEPS, "hq:after-samples"])
def test_a_crash_between_any_two_tables_is_finished_from_the_archive(gateway: HandGateway, step: str) -> None:
    tables, archive = MemoryTables(), MemoryArchive()
    batches = everything(gateway)
    crashed = crash_at(step, tables, archive, batches)
    recovered = begin(tables, archive).recover(NOW)
    assert recovered == (0 if crashed in ("hq:after-archive", "hq:after-samples") else len(batches))
    ingest = begin(tables, archive)
    durable = tables.samples.mark(gateway.chain())
    ingest.commit(ingest.prepare(batches if durable is None else [], NOW))
    assert_whole(tables, batches)


@pytest.mark.parametrize("step", STEPS[1:])
def test_without_an_archive_the_sender_finishes_it_with_the_same_numbers(
    gateway: HandGateway, step: str
) -> None:
    tables = MemoryTables()
    batches = everything(gateway)
    crash_at(step, tables, MemoryArchive(), batches)
    numbers = [row.batch for row in tables.ledger.rows]
    ingest = begin(tables, MemoryArchive())
    assert ingest.recover(NOW) == 0
    ingest.commit(ingest.prepare(batches, NOW))
    assert [row.batch for row in tables.ledger.rows] == numbers
    assert_whole(tables, batches)


def test_a_payload_that_rotted_in_the_archive_is_asked_for_again(gateway: HandGateway) -> None:
    tables, archive = MemoryTables(), MemoryArchive()
    batches = everything(gateway)
    crash_at("hq:after-ledger", tables, archive, batches)
    rotten = archive.payloads[-1]
    archive.payloads[-1] = rotten[:-1] + bytes([rotten[-1] ^ 1])
    ingest = begin(tables, archive)
    assert ingest.recover(NOW) == len(batches) - 1
    assert tables.samples.mark(gateway.chain()) == 1
    ingest.commit(ingest.prepare(batches[-1:], NOW))
    assert_whole(tables, batches)


def test_a_fork_in_place_of_what_only_the_ledger_has_is_refused(gateway: HandGateway) -> None:
    tables = MemoryTables()
    crash_at("hq:after-ledger", tables, MemoryArchive(), [gateway.data(scan(0))])
    restored = HandGateway()
    restored.identity = gateway.identity
    other, behind = restored.data(scan(5)), restored.data(scan(6))
    cycle = begin(tables, MemoryArchive()).prepare([other, behind], NOW)
    assert [refused.reason for refused in cycle.refused] == [RefusalReason.FORK]
    assert cycle.accepted == [other]
    assert cycle.forked == {gateway.chain()}
    assert cycle.gaps[0].gap.seq_to == 1


def test_marks_tell_the_receiver_where_each_chain_stands(gateway: HandGateway) -> None:
    tables = MemoryTables()
    ingest = begin(tables, MemoryArchive())
    marks = LakeMarks(tables)
    assert marks.mark(gateway.chain()) is None
    cycle = ingest.prepare([gateway.data(scan(0)), gateway.data(scan(1))], NOW)
    ingest.commit(cycle)
    marks.committed(cycle)
    head = header_hash(cycle.accepted[1].batch.header)
    assert marks.mark(gateway.chain()) == (2, head)
    assert marks.header_hash(gateway.chain(), 0) == header_hash(cycle.accepted[0].batch.header)
    assert marks.header_hash(gateway.chain(), 9) is None
    assert marks.asked() == {gateway.chain()}
    assert marks.asked() == set()


def test_bad_samples_are_rows_like_any_other(gateway: HandGateway) -> None:
    bad = SampleBlock.bad(ValueType.F32, np.array([4], np.uint32), T0, BAD_TIMEOUT)
    cycle = begin(MemoryTables(), MemoryArchive()).prepare([gateway.data(bad)], NOW)
    [chunk] = cycle.samples
    assert chunk.quality.tolist() == [BAD_TIMEOUT]
    assert chunk.value is not None
    assert np.isnan(chunk.value).all()


def everything(gateway: HandGateway) -> list[Accepted]:
    """A batch of every kind."""
    return [
        gateway.open(Stream.META),
        gateway.meta([PointDefinition(1, "flow", ValueType.F64)]),
        gateway.gaps(Gap(GapCause.OVERRUN, T0, T0 + 1)),
        gateway.open(),
        gateway.data(scan(0)),
        gateway.data(scan(1)),
    ]


def crash_at(step: str, tables: MemoryTables, archive: MemoryArchive, batches: list[Accepted]) -> str:
    ingest = begin(tables, archive)
    cycle = ingest.prepare(batches, NOW)

    def die(name: str) -> None:
        if name == step:
            raise Crash(name)

    crash.install(die)
    try:
        ingest.commit(cycle)
        return ""
    except Crash as crashed:
        return str(crashed)
    finally:
        crash.install(None)


def assert_whole(tables: MemoryTables, batches: list[Accepted]) -> None:
    """Every batch is in every table that it concerns, once."""
    assert len(tables.ledger.rows) == len(batches)
    assert sum(map(len, tables.samples.rows)) == 6
    assert [len(table.rows) for table in (tables.gaps, tables.events)] == [1, 2]
    assert {row.name for row in tables.series.rows if not row.provisional} == {"flow"}
    for accepted in batches:
        mark = tables.samples.mark(accepted.chain)
        assert mark is not None
        assert mark >= accepted.header.seq
