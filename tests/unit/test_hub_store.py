"""What the hub keeps, and when it lets go of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub import limits, quarantine, schema
from hub.ledger import forget_finished, totals
from hub.outbox import Recent, UpstreamOutbox
from hub.store import Custody, Store
from protocols import crash
from protocols.batch import ZERO_HASH, Stream, header_hash
from protocols.errors import StoreDamagedError, StoreError, StoreFullError
from protocols.records import Mark, Refusal, RefusalReason
from protocols.session import Offer
from tests.chains import ChainOfBatches
from tests.hub_parts import DATA, KEYS, accept, data_chain, memory, receipt_for


class CrashError(Exception):
    """The power went."""


@pytest.fixture
def crash_at() -> Iterator[list[str]]:
    """Names of points at which to crash; filled by the test."""
    names: list[str] = []

    def hook(name: str) -> None:
        if name in names:
            raise CrashError(name)

    before = crash.install(hook)
    yield names
    crash.install(before)


def test_a_chain_never_seen_has_no_mark() -> None:
    assert Store(memory()).mark(DATA) is None


def test_a_stored_group_moves_the_mark_and_knows_every_header() -> None:
    store, chain = Store(memory()), data_chain(5)
    store.append(accept(chain.batches))
    assert store.mark(DATA) == (5, chain.head)
    hashes = [store.header_hash(DATA, seq) for seq in range(6)]
    assert hashes == [header_hash(batch.header) for batch in chain.batches] + [None]


def test_a_chain_may_begin_where_its_gateway_still_holds_it() -> None:
    store, chain = Store(memory()), data_chain(5)
    store.append(accept(chain.batches[3:]))
    assert store.mark(DATA) == (5, chain.head)
    assert UpstreamOutbox(store, "hq", store.connection, Recent()).offers() == [Offer(DATA, 3, 5, chain.head)]


def test_a_batch_out_of_order_is_a_bug_and_stores_nothing() -> None:
    store, chain = Store(memory()), data_chain(5)
    store.append(accept(chain.batches[:2]))
    with pytest.raises(AssertionError, match="expects 2, got 3"):
        store.append(accept(chain.batches[3:]))
    assert store.mark(DATA) == (2, header_hash(chain.batches[1].header))


@pytest.mark.parametrize(("point", "stored"), (("hub:before-commit", 0), ("hub:after-commit", 4)))
def test_a_crash_leaves_a_whole_group_or_none_of_it(
    tmp_path: Path, crash_at: list[str], point: str, stored: int
) -> None:
    chain = data_chain(4)
    connection = schema.connect(tmp_path / "hub.db")
    store = Store(connection)
    crash_at.append(point)
    with pytest.raises(CrashError):
        store.append(accept(chain.batches))
    connection.close()
    crash_at.clear()
    again = Store(schema.connect(tmp_path / "hub.db"))
    assert (again.mark(DATA) or (0, b""))[0] == stored
    again.append(accept(chain.batches[stored:]))
    assert again.mark(DATA) == (4, chain.head)
    again.connection.close()


def test_what_is_stored_outlives_the_process(tmp_path: Path) -> None:
    chain = data_chain(4)
    store = Store(schema.connect(tmp_path / "hub.db"))
    store.append(accept(chain.batches))
    store.receipted([receipt_for(chain, 2)])
    store.reached("side", DATA, 3)
    store.trim()
    row = store.chains.get(DATA)
    store.connection.close()
    again = Store(schema.connect(tmp_path / "hub.db"))
    assert again.chains.get(DATA) == row
    assert again.cursor("side", DATA) == 3
    assert again.receipts() == [receipt_for(chain, 2)]
    again.connection.close()


def test_an_outbox_reads_runs_within_its_bounds_from_memory_and_from_disk() -> None:
    store, chain = Store(memory()), data_chain(8)
    recent = Recent()
    store.listen(recent.add)
    store.append(accept(chain.batches))
    size = chain.batches[0].size
    for outbox in (
        UpstreamOutbox(store, "hq", store.connection, recent),
        UpstreamOutbox(store, "hq", store.connection, Recent()),
    ):
        assert outbox.read(DATA, 2, 3, 1 << 20) == chain.batches[2:5]
        assert outbox.read(DATA, 2, 100, 2 * size) == chain.batches[2:4]
        assert outbox.read(DATA, 7, 100, 1) == chain.batches[7:]
        assert outbox.read(DATA, 8, 100, 1 << 20) == []
        assert outbox.read(DATA._replace(epoch=9), 0, 1, 1) == []


def test_memory_of_what_was_just_stored_is_bounded_and_drops_the_oldest() -> None:
    store, chain = Store(memory()), data_chain(10)
    recent = Recent(bytes_max=3 * chain.batches[0].size)
    store.listen(recent.add)
    store.append(accept(chain.batches))
    row = store.chains.get(DATA)
    assert row is not None
    assert recent.run(row, 6, 10, 1 << 20) == []
    assert recent.run(row, 7, 10, 1 << 20) == chain.batches[7:]


def test_an_outbox_offers_what_is_held_and_the_current_epochs() -> None:
    store = Store(memory())
    old, new = data_chain(3, epoch=1), data_chain(2, epoch=2)
    outbox = UpstreamOutbox(store, "hq", store.connection, Recent())
    store.append(accept(old.batches))
    before = outbox.generation
    store.append(accept(new.batches))
    assert outbox.generation > before
    assert {offer.chain.epoch for offer in outbox.offers()} == {1, 2}
    store.receipted([receipt_for(old, 3), receipt_for(new, 2)])
    store.trim()
    assert outbox.offers() == [Offer(new.chain, 2, 2, new.head)]
    assert UpstreamOutbox(store, "hq", store.connection, Recent()).offers() == outbox.offers()


def test_an_epoch_that_was_all_safe_is_no_longer_offered_once_a_newer_one_comes() -> None:
    store = Store(memory())
    old, new = data_chain(3, epoch=1), data_chain(2, epoch=2)
    outbox = UpstreamOutbox(store, "hq", store.connection, Recent())
    store.append(accept(old.batches))
    store.receipted([receipt_for(old, 3)])
    store.trim()
    assert [offer.chain.epoch for offer in outbox.offers()] == [1]
    store.append(accept(new.batches))
    assert [offer.chain.epoch for offer in outbox.offers()] == [2]


class TestCustody:
    def test_a_receipt_lets_go_of_what_it_covers_and_nothing_else(self) -> None:
        store, chain = Store(memory()), data_chain(6)
        store.append(accept(chain.batches))
        assert store.receipted([receipt_for(chain, 4)]) == [Custody.ADVANCED]
        assert store.trim() == 4
        assert store.trim() == 0
        outbox = UpstreamOutbox(store, "hq", store.connection, Recent())
        assert outbox.read(DATA, 3, 10, 1 << 20) == []
        assert outbox.read(DATA, 4, 10, 1 << 20) == chain.batches[4:]

    def test_trimming_goes_in_bites_and_remembers_header_hashes_for_a_while(self) -> None:
        kept = limits.HASHES_PER_CHAIN_MAX
        store, chain = Store(memory()), data_chain(kept + 100)
        store.append(accept(chain.batches))
        store.receipted([receipt_for(chain, kept + 100)])
        bites = []
        while bite := store.trim(400):
            bites.append(bite)
        assert bites == [400, 400, kept + 100 - 800]
        assert store.header_hash(DATA, 99) is None
        for seq in (100, kept + 98, kept + 99):
            assert store.header_hash(DATA, seq) == header_hash(chain.batches[seq].header)

    def test_an_older_receipt_changes_nothing(self) -> None:
        store, chain = Store(memory()), data_chain(6)
        store.append(accept(chain.batches))
        store.receipted([receipt_for(chain, 4)])
        assert store.receipted([receipt_for(chain, 3)]) == [Custody.STALE]

    def test_a_receipt_for_another_history_lets_go_of_nothing(self) -> None:
        store, chain = Store(memory()), data_chain(6)
        store.append(accept(chain.batches))
        other = chain.fork(2, [b"x"] * 4)
        assert store.receipted([receipt_for(other, 5)]) == [Custody.CONFLICT]
        assert store.trim() == 0
        assert store.receipts() == []

    def test_a_receipt_beyond_what_is_held_counts_once_its_header_has_come(self) -> None:
        store, chain = Store(memory()), data_chain(6)
        store.append(accept(chain.batches[:3]))
        assert store.receipted([receipt_for(chain, 5)]) == [Custody.UNKNOWN]
        assert store.trim() == 0
        again = Store(store.connection)
        again.append(accept(chain.batches[3:]))
        assert again.trim() == 5
        assert Store(store.connection).mark(DATA) == (6, chain.head)

    def test_a_receipt_that_was_proven_just_before_a_crash_is_proven_again(self) -> None:
        store, chain = Store(memory()), data_chain(6)
        store.append(accept(chain.batches[:3]))
        store.receipted([receipt_for(chain, 5)])
        store.append(accept(chain.batches[3:]))
        again = Store(store.connection)
        assert again.trim() == 5

    def test_by_policy_batches_wait_for_their_backup(self) -> None:
        store, chain = Store(memory(), trim=Mark.BACKED_UP), data_chain(6)
        store.append(accept(chain.batches))
        store.receipted([receipt_for(chain, 6)])
        assert store.trim() == 0
        store.receipted([receipt_for(chain, 4, Mark.BACKED_UP)])
        assert store.trim() == 4

    def test_batches_wait_for_an_upstream_they_are_kept_for(self) -> None:
        store, chain = Store(memory(), keep_for=["platform"]), data_chain(6)
        store.append(accept(chain.batches))
        store.receipted([receipt_for(chain, 6)])
        assert store.trim() == 0
        store.reached("platform", DATA, 2)
        assert store.trim() == 2
        assert Store(store.connection, keep_for=["platform"]).cursor("platform", DATA) == 2

    def test_a_receipt_for_a_chain_that_is_not_held_is_only_passed_on(self) -> None:
        store = Store(memory())
        assert store.receipted([receipt_for(data_chain(3), 3)]) == [Custody.UNKNOWN]


class TestHoles:
    def test_what_the_gateway_no_longer_holds_is_a_hole_that_is_not_offered(self) -> None:
        store, chain = Store(memory()), data_chain(10)
        store.append(accept(chain.batches[:3]))
        store.append(accept(chain.batches[6:], hole_from=3))
        outbox = UpstreamOutbox(store, "hq", store.connection, Recent())
        assert store.mark(DATA) == (10, chain.head)
        assert outbox.offers() == [Offer(DATA, 0, 10, chain.head)]
        assert outbox.read(DATA, 1, 10, 1 << 20) == chain.batches[1:3]
        assert outbox.read(DATA, 3, 10, 1 << 20) == []
        assert outbox.read(DATA, 6, 10, 1 << 20) == chain.batches[6:]

    def test_an_upstream_that_has_all_before_a_hole_is_offered_what_comes_after_it(self) -> None:
        store, chain = Store(memory()), data_chain(10)
        store.append(accept(chain.batches[:3]))
        store.append(accept(chain.batches[6:], hole_from=3))
        store.reached("hq", DATA, 3)
        again = Store(store.connection)
        again.reached("hq", DATA, 3)
        outbox = UpstreamOutbox(again, "hq", again.connection, Recent())
        assert outbox.offers() == [Offer(DATA, 6, 10, chain.head)]

    def test_a_hole_where_nothing_is_held_any_more_is_none(self) -> None:
        store, chain = Store(memory()), data_chain(10)
        store.append(accept(chain.batches[:3]))
        store.receipted([receipt_for(chain, 3)])
        store.trim()
        store.append(accept(chain.batches[6:], hole_from=3))
        outbox = UpstreamOutbox(store, "hq", store.connection, Recent())
        assert outbox.offers() == [Offer(DATA, 6, 10, chain.head)]
        assert store.chains.holes(DATA) == ()


class TestQuarantine:
    def rotten(self) -> tuple[Store, ChainOfBatches]:
        store, chain = Store(memory()), data_chain(6)
        store.append(accept(chain.batches))
        store.connection.execute("update batches set payload = x'00' where seq = 4")
        return store, chain

    def test_a_copy_that_the_disk_changed_is_found_out(self) -> None:
        store, _ = self.rotten()
        assert quarantine.fault(store, DATA, 3, KEYS.get) is None
        assert "payload bytes" in (quarantine.fault(store, DATA, 4, KEYS.get) or "")
        store.connection.execute("update batches set header = zeroblob(20) where seq = 2")
        assert quarantine.fault(store, DATA, 2, KEYS.get) is not None
        store.connection.execute("update batches set signature = zeroblob(64) where seq = 1")
        assert "signature" in (quarantine.fault(store, DATA, 1, KEYS.get) or "")

    def test_rows_that_changed_places_are_found_out(self) -> None:
        store, _ = self.rotten()
        store.connection.execute("update batches set header = (select header from batches where seq = 1)")
        assert quarantine.fault(store, DATA, 0, KEYS.get) == "the header names another batch"

    def test_a_copy_is_not_called_damaged_when_its_key_was_taken_off_the_list(self) -> None:
        store, _ = self.rotten()
        assert quarantine.fault(store, DATA, 4, lambda key_id: None) is None

    def test_what_is_not_held_has_no_fault(self) -> None:
        store, _ = self.rotten()
        assert quarantine.fault(store, DATA, 6, KEYS.get) is None

    def test_setting_aside_lowers_the_mark_and_keeps_the_damaged_rows(self) -> None:
        store, chain = self.rotten()
        assert quarantine.set_aside(store, DATA, 4, "rot", 9) == 2
        assert store.mark(DATA) == (4, header_hash(chain.batches[3].header))
        assert quarantine.counts(store) == {"refusals": 0, "quarantined": 2}
        assert totals(store)["gw"].batches == 4
        again = Store(store.connection)
        again.append(accept(chain.batches[4:]))
        assert again.mark(DATA) == (6, chain.head)
        assert totals(again)["gw"].samples == 6

    def test_when_the_first_batch_of_all_is_damaged_the_chain_begins_again(self) -> None:
        store, chain = self.rotten()
        quarantine.set_aside(store, DATA, 0, "rot", 9)
        assert store.mark(DATA) == (0, b"")
        store.append(accept(chain.batches))
        assert store.mark(DATA) == (6, chain.head)

    def test_holes_above_the_damage_are_forgotten(self) -> None:
        store, chain = Store(memory()), data_chain(10)
        store.append(accept(chain.batches[:3]))
        store.append(accept(chain.batches[6:], hole_from=3))
        quarantine.set_aside(store, DATA, 1, "rot", 9)
        assert store.chains.holes(DATA) == ()
        assert Store(store.connection).chains.holes(DATA) == ()

    def test_only_the_newest_damaged_batches_and_refusals_are_remembered(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "QUARANTINE_BATCHES_MAX", 3)
        monkeypatch.setattr(limits, "REFUSALS_MAX", 2)
        store, _ = self.rotten()
        quarantine.set_aside(store, DATA, 0, "rot", 9)
        for seq in range(5):
            refusal = Refusal(DATA, seq, ZERO_HASH, RefusalReason.PAYLOAD, "poison", "hq")
            quarantine.remember(store, refusal, b"signed", 9)
        assert quarantine.counts(store) == {"refusals": 2, "quarantined": 3}


class TestLedger:
    def test_finished_epochs_are_forgotten_but_not_their_counts(self) -> None:
        store = Store(memory())
        for epoch in range(1, 6):
            chain = data_chain(2, epoch)
            store.append(accept(chain.batches))
            store.receipted([receipt_for(chain, 2)])
        store.reached("side", DATA, 2)
        store.trim()
        before = totals(store)
        assert forget_finished(store, epochs_max=1) == 3
        assert [row.chain.epoch for row in store.chains] == [4, 5]
        assert totals(store) == before
        assert totals(Store(store.connection)) == before
        assert before["gw"].batches == before["gw"].trimmed == before["gw"].samples == 10
        assert forget_finished(store, epochs_max=1) == 0

    def test_tombstones_are_counted_and_their_samples_are_not(self) -> None:
        store, chain = Store(memory()), data_chain(3)
        chain.bury(1)
        store.append(accept(chain.batches))
        account = totals(store)["gw"]
        assert (account.batches, account.samples, account.tombstones, account.held) == (3, 2, 1, 3)
        assert account.bytes == sum(batch.size for batch in chain.batches)

    def test_an_epoch_of_which_something_is_held_is_never_forgotten(self) -> None:
        store = Store(memory())
        for epoch in range(1, 4):
            store.append(accept(data_chain(1, epoch).batches))
        assert forget_finished(store, epochs_max=0) == 0


class TestDisk:
    def test_a_file_that_is_no_database_is_damaged_and_set_aside(self, tmp_path: Path) -> None:
        path = tmp_path / "hub.db"
        path.write_bytes(b"not a database, but long enough to look at" * 100)
        with pytest.raises(StoreDamagedError):
            Store(schema.connect(path))
        aside = schema.set_aside(path, "20260101")
        assert aside.read_bytes().startswith(b"not a database")
        Store(schema.connect(path)).connection.close()

    def test_a_damaged_page_is_found_after_a_run_that_did_not_end_cleanly(self, tmp_path: Path) -> None:
        path = tmp_path / "hub.db"
        store = Store(schema.connect(path))
        store.append(accept(data_chain(200).batches))
        assert schema.ended_cleanly(store.connection)
        schema.note_clean(store.connection, False)
        assert not schema.ended_cleanly(store.connection)
        store.connection.close()
        page = bytearray(path.read_bytes())
        size = schema.PAGE_BYTES
        page[9 * size : 10 * size] = b"\xff" * size
        path.write_bytes(page)
        connection = sqlite3.connect(path)
        with pytest.raises(StoreDamagedError):
            schema.check(connection)
        connection.close()

    def test_a_store_of_a_newer_version_is_not_touched(self, tmp_path: Path) -> None:
        connection = schema.connect(tmp_path / "hub.db")
        connection.execute("pragma user_version = 99")
        with pytest.raises(StoreError, match="expected a store of version 1"):
            Store(connection)
        connection.close()

    def test_a_full_disk_stores_nothing_and_says_so(self) -> None:
        store, chain = Store(memory()), data_chain(50)
        store.append(accept(chain.batches[:10]))
        pages = store.connection.execute("pragma page_count").fetchone()[0]
        store.connection.execute(f"pragma max_page_count = {pages}")
        with pytest.raises(StoreFullError, match="free disk space"):
            store.append(accept(chain.batches[10:]))
        assert store.mark(DATA) == (10, header_hash(chain.batches[9].header))
        store.connection.execute("pragma max_page_count = 10000")
        store.append(accept(chain.batches[10:]))
        assert store.mark(DATA) == (50, chain.head)

    def test_pages_that_trimming_freed_do_not_count(self) -> None:
        store, chain = Store(memory()), data_chain(500)
        store.append(accept(chain.batches))
        full = store.used_bytes()
        store.receipted([receipt_for(chain, 500)])
        store.trim()
        assert store.used_bytes() < full / 2


def test_streams_of_a_gateway_are_chains_of_their_own() -> None:
    store = Store(memory())
    for stream in Stream:
        store.append(accept(ChainOfBatches("gw", stream, 1).grow([b"x"]).batches))
    assert len(store.chains) == len(Stream)
