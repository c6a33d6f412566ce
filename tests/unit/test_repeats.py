"""Histories that branch, and samples that come on two branches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from headquarters import limits
from headquarters.ingest.repeats import Branches, Epoch
from headquarters.lake.deltalog import DataFile
from headquarters.lake.tables import LakeTable
from headquarters.verify import Report, Verification
from protocols.batch import Chain, Header, Stream
from protocols.samples import SampleBlock, ValueType
from tests.chains import make_header
from tests.lake_parts import SECOND, T0, HandGateway, Headquarters, rows_of, scan

HOUR_US = 3600 * SECOND


class PowerCutError(Exception):
    """The simulated end of the process."""


def chain(epoch: int) -> Chain:
    return Chain("gw", Stream.DATA, epoch)


def opened(epoch: int, follows: int | None, next_: int | None, at: int = 0) -> Epoch:
    return Epoch(chain(epoch), follows, next_, at)


def batch_of(time_us: int, gateway: str = "gw") -> Header:
    header = make_header(Chain(gateway, Stream.DATA, 9), 3, bytes(32))
    return header._replace(t_min_us=time_us, t_max_us=time_us)


class TestBranches:
    def test_a_line_of_epochs_is_no_branch(self) -> None:
        held = {chain(1): 4, chain(2): 9}
        branches = Branches([opened(1, None, None), opened(2, 1, 5, 10), opened(3, 2, 10, 20)], held.get)
        branches.grew(chain(3), 7)
        assert not branches.may_repeat(batch_of(0))

    def test_two_epochs_behind_one_are(self) -> None:
        branches = Branches([opened(1, None, None), opened(2, 1, 5, 10)], lambda chain: None)
        branches.opened(opened(3, 1, 7, 30))
        assert branches.may_repeat(batch_of(30)), "from before the later one was opened"
        assert not branches.may_repeat(batch_of(31))
        assert not branches.may_repeat(batch_of(0, "another"))

    def test_an_epoch_that_went_on_beyond_its_end_is(self) -> None:
        branches = Branches([opened(2, 1, 5, 10)], {chain(1): 5}.get)
        assert branches.may_repeat(batch_of(10))
        branches = Branches([opened(2, 1, 5, 10)], {chain(1): 4}.get)
        branches.grew(chain(1), 4)
        assert not branches.may_repeat(batch_of(10))
        branches.grew(chain(1), 5)
        assert branches.may_repeat(batch_of(10)) and not branches.may_repeat(batch_of(11))

    def test_the_same_opening_again_is_none(self) -> None:
        branches = Branches([opened(2, 1, 5, 10)], lambda chain: None)
        branches.opened(opened(2, 1, 5, 10))
        assert not branches.may_repeat(batch_of(0))

    def test_a_gateway_that_begins_anew_may_bring_what_it_saved(self) -> None:
        branches = Branches([opened(1, None, None, 0), opened(5, None, None, 50)], lambda chain: None)
        assert branches.may_repeat(batch_of(50)) and not branches.may_repeat(batch_of(51))

    def test_what_came_and_is_not_durable_yet_counts(self) -> None:
        branches = Branches([], lambda chain: None)
        branches.grew(chain(1), 5)
        branches.opened(opened(2, 1, 5, 10))
        assert branches.may_repeat(batch_of(10))

    def test_a_clock_far_ahead_has_no_later_batch_compared(self) -> None:
        assert Epoch.of(chain(2), 1, 5, 10**18, 1_000).time_us == 1_000 + limits.AHEAD_MAX_US
        assert Epoch.of(chain(2), 1, 5, 900, 1_000).time_us == 900


def expected(*seconds: int) -> list[tuple[int, int, float]]:
    return sorted(
        (point, T0 + second * SECOND, 20.5 + point + second / 8) for second in seconds for point in (1, 2, 3)
    )


def verified(headquarters: Headquarters) -> Report:
    return Verification(headquarters.settings).run()


def test_what_both_lives_of_a_gateway_bring_is_there_once(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    """The other life cut its journal in an epoch of its own; the restored one cuts less of it."""
    headquarters.take(gateway.open(), gateway.data(scan(0)))
    headquarters.take(gateway.open(epoch=2, follows=1, next_=2, at=T0 + HOUR_US))
    headquarters.take(gateway.data(scan(1), scan(2), scan(3), epoch=2))
    headquarters.take(gateway.open(epoch=3, follows=1, next_=2, at=T0 + 2 * HOUR_US))
    headquarters.take(gateway.data(scan(1), scan(2), epoch=3), gateway.data(scan(7), epoch=3))
    assert rows_of(headquarters.lake.samples) == expected(0, 1, 2, 3, 7)
    report = verified(headquarters)
    assert not report.faults, list(map(str, report.faults))
    assert report.counts["rows that came twice"] == 6


def test_in_whatever_order_they_come_and_in_one_commit_as_well(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.open(), gateway.data(scan(0)))
    headquarters.take(
        gateway.open(epoch=3, follows=1, next_=2, at=T0 + 2 * HOUR_US),
        gateway.data(scan(1), scan(2), epoch=3),
        gateway.open(epoch=2, follows=1, next_=2, at=T0 + HOUR_US),
        gateway.data(scan(1), scan(2), scan(3), epoch=2),
    )
    assert rows_of(headquarters.lake.samples) == expected(0, 1, 2, 3)
    assert not verified(headquarters).faults


def test_a_false_fork_whose_two_sides_come_at_once(headquarters: Headquarters, gateway: HandGateway) -> None:
    headquarters.take(
        gateway.open(),
        gateway.data(scan(0)),
        gateway.data(scan(1)),
        gateway.data(scan(2)),
        gateway.open(epoch=2, follows=1, next_=2, at=T0 + HOUR_US),
        gateway.data(scan(1), epoch=2),
        gateway.data(scan(2), scan(3), epoch=2),
    )
    assert rows_of(headquarters.lake.samples) == expected(0, 1, 2, 3)
    assert not verified(headquarters).faults


@pytest.mark.parametrize("point", ("hq:after-ledger", "hq:after-events"))
def test_a_crash_changes_nothing_of_what_is_left_out(
    headquarters: Headquarters, gateway: HandGateway, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    headquarters.take(gateway.open(), gateway.data(scan(0)))

    def die(name: str) -> None:
        if name == point:
            raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr("protocols.crash.point", die)
        with pytest.raises(PowerCutError):
            headquarters.take(
                gateway.open(epoch=3, follows=1, next_=2, at=T0 + 2 * HOUR_US),
                gateway.data(scan(1), scan(2), epoch=3),
                gateway.open(epoch=2, follows=1, next_=2, at=T0 + HOUR_US),
                gateway.data(scan(1), scan(2), scan(3), epoch=2),
            )
    headquarters.open()
    assert headquarters.recovered == 4
    assert rows_of(headquarters.lake.samples) == expected(0, 1, 2, 3)
    assert not verified(headquarters).faults


def test_comparing_opens_only_files_of_those_times(
    headquarters: Headquarters, gateway: HandGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    headquarters.take(gateway.open())
    for second in range(8):
        headquarters.take(gateway.data(scan(second)))
    headquarters.take(gateway.open(epoch=2, follows=1, next_=8, at=T0 + HOUR_US))
    opened_files: list[int] = []
    dataset = LakeTable.dataset

    def counting(self: LakeTable, chosen: Iterable[DataFile]) -> Any:
        chosen = list(chosen)
        opened_files.append(len(chosen))
        return dataset(self, chosen)

    monkeypatch.setattr(LakeTable, "dataset", counting)
    headquarters.take(gateway.data(scan(7), epoch=2))
    assert opened_files == [1]
    assert rows_of(headquarters.lake.samples) == expected(*range(8))


def test_a_branch_is_known_after_a_restart(headquarters: Headquarters, gateway: HandGateway) -> None:
    headquarters.take(gateway.open(), gateway.data(scan(0)), gateway.data(scan(1)))
    headquarters.take(gateway.open(epoch=2, follows=1, next_=2, at=T0 + HOUR_US))
    headquarters.open()
    headquarters.take(gateway.data(scan(1), epoch=2), gateway.data(scan(2), epoch=2))
    assert rows_of(headquarters.lake.samples) == expected(0, 1, 2)


def test_a_row_that_differs_in_anything_is_kept(headquarters: Headquarters, gateway: HandGateway) -> None:
    headquarters.take(gateway.open(), gateway.data(scan(0)), gateway.data(scan(1)))
    headquarters.take(gateway.open(epoch=2, follows=1, next_=2, at=T0 + HOUR_US))
    other = scan(1)
    sourced = SampleBlock.make(ValueType.F64, [7], [T0], [1.0], source_time=[T0 - 1])
    later = SampleBlock.make(ValueType.F64, [7], [T0], [1.0], source_time=[T0 - 2])
    headquarters.take(
        gateway.data(sourced, epoch=2), gateway.data(later, epoch=2), gateway.data(sourced, epoch=2)
    )
    assert len(rows_of(headquarters.lake.samples)) == 3 + 3 + 2
    texts = SampleBlock.make(ValueType.TEXT, [8, 8], [T0, T0 + 1], ["on", "off"])
    headquarters.take(gateway.data(SampleBlock(other.type, other.point, other.time, other.value + 1,
                                               other.quality), texts, epoch=2))  # fmt: skip
    assert len(rows_of(headquarters.lake.samples)) == 8 + 3 + 2
    again = SampleBlock.make(ValueType.TEXT, [8, 8], [T0, T0 + 1], ["on", "gone"])
    nans = SampleBlock.make(ValueType.F64, [9, 9], [T0, T0 + 1], [np.nan, -0.0])
    headquarters.take(gateway.data(again, nans, epoch=2), gateway.data(nans, epoch=2))
    assert len(rows_of(headquarters.lake.samples)) == 13 + 1 + 2
    assert not verified(headquarters).faults


def test_a_row_left_out_that_is_nowhere_else_is_found(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    headquarters.take(gateway.open(), gateway.data(scan(0)))
    headquarters.take(gateway.data(scan(1)))
    headquarters.take(gateway.open(epoch=2, follows=1, next_=2, at=T0 + HOUR_US))
    headquarters.take(gateway.data(scan(1), epoch=2))
    table = headquarters.lake.samples
    [only] = [file for file in table.log.files() if file.low["batch"] == file.high["batch"] == 3]
    table.log.commit([], table.clock_ms(), removes=[only])
    faults = [str(fault) for fault in verified(headquarters).faults]
    assert any("data/2" in fault and "3 rows in the payload, 0 in the lake" in fault for fault in faults)
