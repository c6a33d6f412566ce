"""A verification finds every kind of doctoring, at its exact place, and nothing in a sound lake."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headquarters.ingest.rows import Status
from headquarters.lake import files
from headquarters.lake.tables import LakeTable
from headquarters.verify import Report, Verification
from protocols.batch import SIGNATURE_BYTES, Kind, Stream, bury, seal
from protocols.identity import Identity
from protocols.records import Gap, GapCause, HubStatement, PointDefinition
from protocols.samples import SampleBlock, ValueType
from tests.lake_parts import SECOND, T0, HandGateway, Headquarters, quota_gap, scan


@pytest.fixture
def headquarters(tmp_path: Path, gateway: HandGateway) -> Headquarters:
    """A lake with something of everything."""
    headquarters = Headquarters(tmp_path / "hq", gateway)
    headquarters.take(
        gateway.open(Stream.META),
        gateway.meta([PointDefinition(1, "10LBA10CT001", ValueType.F64, "Cel")]),
        gateway.gaps(Gap(GapCause.OVERRUN, T0, T0 + SECOND, points=(1,))),
        gateway.open(),
    )
    texts = SampleBlock.make(ValueType.TEXT, [8, 8], [T0, T0 + 1], ["on", "off"])
    large = SampleBlock.make(ValueType.I64, [9], [T0], [2**60 + 1], source_time=[T0 - 7])
    headquarters.take(gateway.data(scan(0), texts, large), gateway.data(scan(1)))
    headquarters.take(gateway.data(scan(2)))
    return headquarters


def verify(headquarters: Headquarters, quick: bool = False) -> Report:
    return Verification(headquarters.settings).run(quick)


def doctor(table: LakeTable, change: Callable[[pa.Table], pa.Table]) -> None:
    """Replace the rows of a table by others, with a commit that looks like any merge."""
    old = table.log.files()
    rows = change(table.read(old, None))
    new = files.write(table.table, table.folder, old[0].partition, "m1", rows, table.clock_ms())
    table.log.commit([new], table.clock_ms(), removes=old, data_change=False)


@pytest.mark.parametrize("detail", ("{}", "[]", "not json", '{"time": 1, "thinned": "x"}', '{"hub": 7}'))
def test_a_changed_statement_or_opening_is_a_fault_and_no_crash(
    headquarters: Headquarters, gateway: HandGateway, detail: str
) -> None:
    headquarters.take(gateway.statement([(2, 1, 4, 13)], sealed=13))

    def changed(rows: pa.Table) -> pa.Table:
        at = rows.column_names.index("detail")
        return rows.set_column(at, "detail", pa.array([detail] * len(rows)))

    doctor(headquarters.lake.events, changed)
    kinds = {fault.kind for fault in verify(headquarters).faults}
    assert "events" in kinds and "rows" in kinds


@pytest.mark.parametrize(("bound", "most"), (("WINDOW_BATCHES_MAX", 2), ("WINDOW_ROWS_MAX", 4)))
def test_a_ledger_of_many_windows_is_compared_whole(
    headquarters: Headquarters, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    whole = verify(headquarters)
    monkeypatch.setattr(f"headquarters.limits.{bound}", most)
    report = verify(headquarters)
    assert not report.faults
    assert report.counts == whole.counts and report.counts["payloads"] == 7


def replace_row(table: pa.Table, row: int, **values: Any) -> pa.Table:
    """One row with other values."""
    rows = table.to_pylist()
    rows[row].update(values)
    return pa.Table.from_pylist(rows, schema=table.schema)


def row_of(table: LakeTable, **values: Any) -> int:
    """The number of the row that has these values."""
    rows = table.read(table.log.files(), None).to_pylist()
    [number] = [
        at for at, row in enumerate(rows) if all(row[name] == value for name, value in values.items())
    ]
    return number


def kinds(report: Report) -> set[str]:
    return {fault.kind for fault in report.faults}


def test_a_sound_lake_has_no_fault(headquarters: Headquarters) -> None:
    report = verify(headquarters)
    assert report.faults == []
    assert report.counts["batches"] == report.counts["payloads"] == 7
    assert report.counts["rows"] == 12
    assert report.counts["chains"] == 3
    assert "everything agrees" in list(report.lines())


def test_a_lake_that_was_merged_and_rewritten_is_as_sound(headquarters: Headquarters) -> None:
    for table in (headquarters.lake.samples, headquarters.lake.ledger):
        doctor(table, lambda rows: rows)
    assert verify(headquarters).faults == []


@pytest.mark.parametrize("time", [2**63 - 1, -(2**63) + 1, 2**62, -(2**62), 253_402_300_800_000_000])
def test_a_clock_beside_itself_is_no_fault(tmp_path: Path, gateway: HandGateway, time: int) -> None:
    headquarters = Headquarters(tmp_path / "other", gateway)
    headquarters.take(gateway.data(SampleBlock.make(ValueType.F64, [1], [time], [1.0])))
    assert verify(headquarters).faults == []


def test_a_deleted_row_is_found(headquarters: Headquarters) -> None:
    doctor(headquarters.lake.samples, lambda rows: rows.slice(1))
    report = verify(headquarters)
    assert kinds(report) == {"rows"}
    assert report.faults[0].place == "unit-1/data/1 sequence 1 (batch 5)"
    assert "expected 6 rows in samples, got 5" in report.faults[0].text
    assert "no row in the lake" in report.faults[1].text


@pytest.mark.parametrize(
    "change", [{"value": 99.0}, {"value": None}, {"quality": 1}, {"text": "x"}, {"series": 2}, {"batch": 6}]
)
def test_a_changed_sample_is_found(headquarters: Headquarters, change: dict[str, Any]) -> None:
    row = row_of(headquarters.lake.samples, series=1, value=21.5)
    doctor(headquarters.lake.samples, lambda rows: replace_row(rows, row, **change))
    report = verify(headquarters)
    assert kinds(report) == {"rows"}
    assert "sequence 1 (batch 5)" in report.faults[0].place


def test_a_changed_sign_of_zero_is_found(tmp_path: Path, gateway: HandGateway) -> None:
    headquarters = Headquarters(tmp_path / "other", gateway)
    headquarters.take(gateway.data(SampleBlock.make(ValueType.F64, [1], [T0], [-0.0])))
    doctor(headquarters.lake.samples, lambda rows: replace_row(rows, 0, value=0.0))
    assert "-0.0 (quality 0x0) in the payload, 0.0" in verify(headquarters).faults[0].text


def test_a_doubled_row_is_found_even_without_the_archive(headquarters: Headquarters) -> None:
    doctor(headquarters.lake.samples, lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]))
    assert "expected 6 rows in samples, got 7" in verify(headquarters, quick=True).faults[0].text


def test_rows_of_a_batch_that_never_was_are_found(headquarters: Headquarters) -> None:
    doctor(headquarters.lake.samples, lambda rows: replace_row(rows, 0, batch=4711))
    assert any("batch 4711" in fault.place for fault in verify(headquarters).faults)


def test_an_altered_header_is_found(headquarters: Headquarters) -> None:
    ledger = headquarters.lake.ledger
    row = row_of(ledger, stream="data", seq=1)
    header = bytearray(ledger.read(ledger.log.files(), ["header"]).column("header")[row].as_py())
    header[-1] ^= 1
    doctor(ledger, lambda rows: replace_row(rows, row, header=bytes(header)))
    report = verify(headquarters)
    assert {"signature", "chain"} <= kinds(report)
    assert {fault.place for fault in report.faults} >= {
        "unit-1/data/1 sequence 1 (batch 5)",
        "unit-1/data/1 sequence 2 (batch 6)",
    }


def test_a_column_that_says_other_than_the_header_is_found(headquarters: Headquarters) -> None:
    row = row_of(headquarters.lake.ledger, stream="data", seq=2)
    doctor(headquarters.lake.ledger, lambda rows: replace_row(rows, row, samples=4))
    report = verify(headquarters, quick=True)
    assert "expected samples 3 as signed, got 4" in str(report.faults[0])


def test_a_batch_signed_by_another_key_is_found(headquarters: Headquarters, gateway: HandGateway) -> None:
    row = row_of(headquarters.lake.ledger, stream="data", seq=3)
    found = headquarters.lake.ledger.find(gateway.chain(), 3)
    assert found is not None
    stranger = Identity.generate("unit-1", "gateway")
    forged = seal(found.fields, b"", stranger.signing)
    change = {"header": forged.header, "signature": forged.signature}
    doctor(headquarters.lake.ledger, lambda rows: replace_row(rows, row, **change))
    assert "key" in kinds(verify(headquarters, quick=True))


def test_a_swapped_payload_is_found(headquarters: Headquarters, gateway: HandGateway) -> None:
    row = headquarters.lake.ledger.find(gateway.chain(), 2)
    assert row is not None
    segment = headquarters.settings.archive / row.segment
    content = bytearray(segment.read_bytes())
    content[row.offset + 5] ^= 1
    segment.write_bytes(content)
    [fault] = verify(headquarters).faults
    assert (fault.kind, fault.place) == ("payload", "unit-1/data/1 sequence 2 (batch 6)")
    assert row.segment in fault.text


def test_a_payload_that_is_gone_before_its_time_is_found(headquarters: Headquarters) -> None:
    shutil.rmtree(headquarters.settings.archive)
    report = verify(headquarters)
    assert kinds(report) == {"archive"}
    assert report.counts["payloads no longer archived"] == 7


def test_a_removed_batch_is_a_hole(headquarters: Headquarters, gateway: HandGateway) -> None:
    doctor(headquarters.lake.ledger, lambda rows: without(rows, seq=2))
    report = verify(headquarters)
    assert "hole" in kinds(report)
    assert any("sequences 2 to 2 are missing" in fault.text for fault in report.faults)


def test_a_removed_tail_is_found_by_the_marks(headquarters: Headquarters) -> None:
    doctor(headquarters.lake.ledger, lambda rows: without(rows, seq=3))
    report = verify(headquarters, quick=True)
    assert "tail" in kinds(report)
    assert any(fault.place == "unit-1/data/1 from sequence 3" for fault in report.faults)


def test_a_removed_chain_is_found_by_the_marks(headquarters: Headquarters) -> None:
    doctor(headquarters.lake.ledger, lambda rows: rows.filter(pc.field("stream") != "event"))
    assert any(fault.place == "unit-1/event/1" for fault in verify(headquarters, quick=True).faults)


def test_a_forged_tombstone_is_found(headquarters: Headquarters, gateway: HandGateway) -> None:
    row = row_of(headquarters.lake.ledger, stream="data", seq=2)
    found = headquarters.lake.ledger.find(gateway.chain(), 2)
    assert found is not None
    forger = Identity.generate("unit-1", "gateway")
    forged = bury(found.header, found.signature[:SIGNATURE_BYTES], forger.signing)
    change = {"signature": forged.signature, "status": Status.TOMBSTONE.value}
    doctor(headquarters.lake.ledger, lambda rows: replace_row(rows, row, **change))
    report = verify(headquarters, quick=True)
    assert {"signature", "gap", "rows"} <= kinds(report)
    assert any("the tombstone's signature does not hold" in fault.text for fault in report.faults)


def test_a_batch_called_a_tombstone_without_a_second_signature_is_found(headquarters: Headquarters) -> None:
    row = row_of(headquarters.lake.ledger, stream="data", seq=2)
    doctor(headquarters.lake.ledger, lambda rows: replace_row(rows, row, status="tombstone"))
    assert "status" in kinds(verify(headquarters, quick=True))


def test_a_gap_that_was_made_up_or_removed_is_found(headquarters: Headquarters) -> None:
    doctor(headquarters.lake.gaps, lambda rows: replace_row(rows, 0, detail="nothing to see"))
    report = verify(headquarters)
    assert "make" in report.faults[0].text
    assert report.faults[0].place == "unit-1/event/1 sequence 0 (batch 3)"


def test_declared_tombstones_and_refusals_are_no_faults(tmp_path: Path, gateway: HandGateway) -> None:
    headquarters = Headquarters(tmp_path / "other", gateway)
    buried = gateway.data(scan(0))
    poison = gateway.batch(Kind.DATA, b"poison", n=2)
    headquarters.take(
        gateway.tombstone(buried), poison, gateway.gaps(quota_gap(buried)), gateway.data(scan(1))
    )
    assert verify(headquarters).faults == []


def test_a_hole_that_was_declared_is_no_fault(tmp_path: Path, gateway: HandGateway) -> None:
    headquarters = Headquarters(tmp_path / "other", gateway)
    first, _, _, last = [gateway.data(scan(second)) for second in range(4)]
    headquarters.take(first)
    headquarters.take(last._replace(hole_from=1))
    report = verify(headquarters)
    assert report.faults == []
    assert report.counts["declared holes"] == 1


def test_a_gateway_that_states_more_than_it_sent_is_waited_for(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.statement([(2, 1, 6, 20)], sealed=20))
    report = verify(headquarters)
    assert report.faults == []
    assert report.waiting == {"unit-1/data/1": 2}


def test_a_gateway_that_states_other_numbers_is_found(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.statement([(2, 1, 4, 13)], sealed=13))
    [fault] = verify(headquarters).faults
    assert fault.kind == "statement"
    assert "states 13 samples, the ledger has 12" in fault.text


def test_an_epoch_whose_tail_its_gateway_let_go_is_found(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.open(epoch=2, follows=1, next_=9))
    headquarters.take(gateway.statement([(2, 2, 1, 0)]))
    [fault] = verify(headquarters).faults
    assert (fault.kind, fault.place) == ("tail", "unit-1/data/1")
    assert "sequences 4 to 8 are missing" in fault.text


def hub_statement(hub: HandGateway, *rows: tuple[Any, ...]) -> Any:
    return hub.batch(Kind.STATEMENT, HubStatement(T0, tuple(rows)).pack(), stream=Stream.META)


def test_a_hub_that_agrees_is_no_fault_and_one_that_let_go_too_early_is(
    tmp_path: Path, gateway: HandGateway
) -> None:
    hub = HandGateway("hub-north")
    hub.identity = Identity.generate("hub-north", "hub")
    headquarters = Headquarters(tmp_path / "other", gateway, hub)
    headquarters.take(gateway.data(scan(0)), gateway.data(scan(1)))
    headquarters.take(hub_statement(hub, ("unit-1", 2, 1, 0, 2, 2, 6, 0, 0)))
    report = verify(headquarters)
    assert report.faults == []
    assert report.counts["chains that agree"] == 1
    headquarters.take(hub_statement(hub, ("unit-1", 2, 1, 0, 5, 5, 15, 0, 4)))
    [fault] = verify(headquarters).faults
    assert "hub hub-north let go of sequences below 4" in fault.text


def test_keys_that_were_replaced_still_prove_what_they_signed(tmp_path: Path, gateway: HandGateway) -> None:
    headquarters = Headquarters(tmp_path / "other", gateway)
    headquarters.take(gateway.data(scan(0)))
    Headquarters(tmp_path / "other", HandGateway())
    assert verify(headquarters).faults == []


def test_a_commit_under_way_is_left_alone(headquarters: Headquarters, gateway: HandGateway) -> None:
    """The ledger is ahead of the samples, as it is in the middle of every commit."""
    cycle = headquarters.ingest.prepare([gateway.data(scan(3))], headquarters.now_us)
    headquarters.lake.ledger.append(cycle.ledger, cycle.marks)
    report = verify(headquarters)
    assert report.faults == []
    assert report.notes == ["batches from 8 on are still being committed"]


def without(rows: pa.Table, seq: int) -> pa.Table:
    return rows.filter((pc.field("stream") != "data") | (pc.field("seq") != seq))
