"""The far side of a one-way isolator: what becomes of files that land, in whatever order and state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hub.landing import REJECTED, Landing
from hub.store import Store
from protocols import limits
from protocols.batch import Stream, bury, header_hash
from protocols.container import (
    Container,
    file_name,
    pack,
    seal,
)
from protocols.exporter import File, write_file
from protocols.session import Offer, messages
from protocols.session.receiver import KeyBook
from tests.chains import GATEWAY_KEY, HUB_KEY, ChainOfBatches
from tests.hub_parts import DATA, KEYS, accept, data_chain, memory


class LandingSide:
    """A landing directory and the store behind it, and files made for it by hand."""

    def __init__(self, directory: Path, store: Store | None = None) -> None:
        self.store = store or Store(memory())
        self.owners = {GATEWAY_KEY.key_id: "gw"}
        keys = KeyBook(KEYS.get, self.owners.get)
        self.landing = Landing(directory / "in", directory / "done", "hub", HUB_KEY, self.store, keys)
        self.directory = directory / "in"
        self.done = directory / "done"
        self.number = 0
        self.key = GATEWAY_KEY

    def put(
        self, chain: ChainOfBatches, start: int, end: int, oldest: int = 0, number: int | None = None
    ) -> None:
        number = self.number if number is None else number
        self.number = number + 1
        (offers,) = messages.offers([Offer(chain.chain, oldest, len(chain.batches), chain.head)])
        frames = (offers, *map(messages.batch, chain.batches[start:end]))
        data = seal(pack(Container("gw", number, 0, frames)), self.key)
        write_file(self.directory, File(file_name("gw", number), number, data))

    def look(self) -> list[str]:
        self.landing.look()
        return [finding.event for finding in self.landing.findings()]

    @property
    def next(self) -> int | None:
        mark = self.store.mark(DATA)
        return None if mark is None else mark[0]


@pytest.fixture
def side(tmp_path: Path) -> LandingSide:
    return LandingSide(tmp_path)


class TestLanding:
    def test_files_become_stored_batches_and_are_moved_away(self, side: LandingSide) -> None:
        chain = data_chain(6)
        side.put(chain, 0, 4)
        side.put(chain, 4, 6)
        assert side.look() == []
        assert side.store.mark(DATA) == (6, chain.head)
        assert len(list(side.done.iterdir())) == 2 and side.landing.waiting == 0

    def test_files_are_deleted_when_nobody_wants_them(self, tmp_path: Path) -> None:
        side = LandingSide(tmp_path)
        side.landing._done = None
        side.put(data_chain(2), 0, 2)
        side.look()
        assert list(side.directory.glob("*.cmf")) == [] and list(side.done.iterdir()) == []

    def test_repeats_are_dropped_without_a_word(self, side: LandingSide) -> None:
        chain = data_chain(4)
        for _ in range(3):
            side.put(chain, 0, 4)
            assert side.look() == []
        assert (side.landing.stored, side.landing.repeats) == (4, 8)

    def test_a_batch_waits_for_its_forerunner(self, side: LandingSide) -> None:
        chain = data_chain(6)
        side.put(chain, 0, 2)
        side.look()
        side.put(chain, 4, 6)
        assert side.look() == [] and side.next == 2 and side.landing.waiting == 1
        side.put(chain, 2, 4)
        assert side.look() == [] and side.next == 6 and side.landing.waiting == 0

    def test_waiting_files_are_found_again_after_a_restart(self, tmp_path: Path) -> None:
        chain = data_chain(6)
        side = LandingSide(tmp_path)
        side.put(chain, 3, 6)
        side.look()
        assert side.next is None
        again = LandingSide(tmp_path, side.store)
        again.put(chain, 0, 3, number=9)
        again.look()
        assert again.store.mark(DATA) == (6, chain.head)

    def test_what_will_never_come_is_a_hole_that_is_reported(self, side: LandingSide) -> None:
        chain = data_chain(10)
        side.put(chain, 0, 2)
        side.put(chain, 6, 8, oldest=0)
        side.look()
        assert side.next == 2
        side.put(chain, 9, 10, oldest=5)
        assert side.look() == [] and side.next == 2  # 5 may still come
        side.put(chain, 8, 9, oldest=6)
        assert side.look() == ["never-came"]
        assert side.store.mark(DATA) == (10, chain.head)
        assert [tuple(hole) for hole in side.store.chains.holes(DATA)] == [(2, 6)]

    def test_a_chain_never_seen_begins_where_nothing_older_can_come(self, side: LandingSide) -> None:
        chain = data_chain(10)
        side.put(chain, 6, 8, oldest=5)
        assert side.look() == [] and side.next is None
        side.put(chain, 8, 9, oldest=6)
        side.look()
        assert side.next == 9

    def test_missing_files_are_reported_and_late_ones_taken(self, side: LandingSide) -> None:
        chain = data_chain(6)
        side.put(chain, 0, 2, number=3)
        side.put(chain, 4, 6, number=6)
        assert side.look() == ["files-missing"]
        assert side.landing.missing() == {"gw": 2}
        side.put(chain, 2, 4, number=4)
        assert side.look() == []
        assert side.landing.missing() == {"gw": 1} and side.next == 6

    def test_what_is_no_file_of_ours_is_set_aside(self, side: LandingSide) -> None:
        (side.directory / file_name("gw", 1)).write_bytes(b"hello")
        side.put(data_chain(1), 0, 1)
        (side.directory / file_name("gw", 0)).rename(side.directory / file_name("gw", 5))
        with (side.directory / file_name("gw", 7)).open("wb") as stream:
            stream.truncate(limits.CONTAINER_BYTES_MAX + 1)
        assert side.look() == ["file-rejected"] * 3
        assert len(list((side.directory / REJECTED).iterdir())) == 3

    def test_files_that_are_still_being_written_are_left_alone(self, side: LandingSide) -> None:
        (side.directory / f".{file_name('gw', 1)}.part").write_bytes(b"hal")
        (side.directory / "notes.txt").write_text("not ours")
        assert side.look() == []
        assert len(list(side.directory.iterdir())) == 3

    def test_a_batch_with_a_wrong_signature_is_refused_and_a_right_copy_taken(
        self, side: LandingSide
    ) -> None:
        good, bad = data_chain(3), data_chain(3)
        bad.batches[1] = bad.batches[1]._replace(signature=bytes(64))
        side.put(bad, 0, 3)
        assert side.look() == ["file-batch-refused"]
        assert side.next == 1
        side.put(good, 1, 3)
        side.look()
        assert side.store.mark(DATA) == (3, good.head)
        assert [path.name for path in (side.directory / REJECTED).iterdir()] == [file_name("gw", 0)]

    def test_files_wait_until_their_key_is_allowed(self, side: LandingSide) -> None:
        side.owners.clear()
        side.put(data_chain(3), 0, 3)
        assert side.look() == ["file-key"] and side.landing.waiting == 1
        assert side.look() == [], "it is said once"
        side.owners[GATEWAY_KEY.key_id] = "gw"
        side.landing.keys_changed()
        side.look()
        assert side.next == 3 and side.landing.waiting == 0

    def test_a_file_that_its_sender_did_not_sign_is_believed_nothing(self, side: LandingSide) -> None:
        chain = data_chain(6)
        side.put(chain, 0, 2, oldest=6)
        [path] = side.directory.glob("*.cmf")
        path.write_bytes(path.read_bytes()[:-64] + bytes(64))
        assert side.look() == ["file-rejected"]
        side.put(chain, 3, 6)
        side.look()
        assert side.next is None, "nobody said that the first three will never come"

    def test_a_file_that_takes_the_place_of_one_that_waits_is_read_in_its_place(
        self, side: LandingSide
    ) -> None:
        chain = data_chain(6)
        side.put(chain, 3, 6, number=1)
        side.look()
        assert side.next is None and side.landing.waiting == 1
        side.put(chain, 2, 4, number=1)
        side.put(chain, 0, 2, number=0)
        assert "file-replaced" in side.look()
        side.look()
        assert side.next == 4

    def test_while_files_are_missing_what_later_ones_say_never_comes_may_still_come(
        self, tmp_path: Path
    ) -> None:
        side = LandingSide(tmp_path)
        side.landing._hole_wait_s = 100.0
        chain = data_chain(9)
        side.put(chain, 6, 9, oldest=6, number=3)
        side.landing.look(1000.0)
        assert side.next is None, "what comes before may be in files 0 to 2"
        side.put(chain, 0, 3, number=0)
        side.put(chain, 3, 6, number=1)
        side.landing.look(1050.0)
        assert side.store.mark(DATA) == (9, chain.head)

    def test_after_long_enough_they_are_given_up_and_what_comes_still_is_set_aside(
        self, tmp_path: Path
    ) -> None:
        side = LandingSide(tmp_path)
        side.landing._hole_wait_s = 100.0
        chain = data_chain(9)
        side.put(chain, 0, 3, number=0)
        side.put(chain, 6, 9, oldest=6, number=2)
        side.landing.look(1000.0)
        side.landing.look(1099.0)
        assert side.next == 3
        side.landing.look(1100.0)
        assert side.next == 9
        side.landing.findings()
        side.put(chain, 3, 6, number=1)
        side.landing.look(1101.0)
        assert [finding.event for finding in side.landing.findings()] == ["came-too-late"] * 3
        assert [path.name for path in (side.directory / REJECTED).iterdir()] == [file_name("gw", 1)]

    def test_what_is_no_regular_file_is_set_aside_and_the_rest_taken(self, side: LandingSide) -> None:
        (side.directory / file_name("gw", 7)).mkdir()
        os.mkfifo(side.directory / file_name("gw", 8))
        (side.directory / file_name("gw", 9)).symlink_to("/etc/hostname")
        side.put(data_chain(3), 0, 3)
        assert side.look() == ["file-rejected"] * 3
        assert side.next == 3
        assert len(list((side.directory / REJECTED).iterdir())) == 3

    def test_a_gateway_speaks_for_itself_and_a_hub_for_all(self, tmp_path: Path) -> None:
        for relays, found in ((False, ["file-rejected"]), (True, [])):
            side = LandingSide(tmp_path / str(relays))
            side.landing._relays = lambda sender, relays=relays: relays  # type: ignore[misc]
            side.owners[GATEWAY_KEY.key_id] = "gw"
            chain = ChainOfBatches("another", Stream.DATA, 1).grow([b"x"])
            side.put(chain, 0, 0, oldest=1)
            assert side.look() == found

    def test_an_allowed_key_speaks_for_its_own_name_only(self, side: LandingSide) -> None:
        side.owners[GATEWAY_KEY.key_id] = "another"
        side.put(data_chain(3), 0, 3)
        assert side.look() == ["file-key"]

    def test_another_history_is_left_to_people(self, side: LandingSide) -> None:
        chain = data_chain(4)
        side.store.append(accept(chain.batches))
        other = chain.fork(2, [b"x", b"y", b"z"])
        side.put(other, 3, 5)
        assert side.look() == ["fork"]
        side.put(other, 4, 5)
        side.look()
        assert side.store.mark(DATA) == (4, chain.head)
        assert len(list((side.directory / REJECTED).iterdir())) == 2

    def test_a_fork_that_shows_only_in_the_link_is_found_as_well(self, side: LandingSide) -> None:
        chain = data_chain(4)
        side.store.append(accept(chain.batches))
        other = chain.fork(2, [b"x", b"y", b"z"])
        side.put(other, 4, 5)
        assert side.look() == ["file-batch-refused", "fork"]
        assert side.store.mark(DATA) == (4, chain.head)

    def test_tombstones_travel_too(self, side: LandingSide) -> None:
        chain = data_chain(3)
        chain.batches[1] = bury(chain.batches[1].header, chain.batches[1].signature, GATEWAY_KEY)
        side.put(chain, 0, 3)
        side.look()
        row = side.store.chains.get(DATA)
        assert row is not None and row.tombstones == 1 and row.next == 3

    def test_only_so_many_files_are_taken_at_a_time(self, side: LandingSide) -> None:
        chain = data_chain(6)
        for seq in range(6):
            side.put(chain, seq, seq + 1)
        assert side.landing.look(files_max=4) == 4
        assert side.next == 4
        assert side.landing.look(files_max=4) == 2
        assert side.next == 6

    def test_a_batch_that_came_over_a_link_meanwhile_waits_no_longer(self, side: LandingSide) -> None:
        chain = data_chain(6)
        side.put(chain, 3, 5)
        side.look()
        side.store.append(accept(chain.batches[:4]))
        side.put(chain, 5, 6)
        side.look()
        assert side.store.mark(DATA) == (6, chain.head) and side.landing.waiting == 0

    def test_links_store_first_and_are_told_of_what_was_stored(self, tmp_path: Path) -> None:
        told: list[object] = []
        store = Store(memory())
        landing = Landing(
            tmp_path,
            None,
            "hub",
            HUB_KEY,
            store,
            KeyBook(KEYS.get, {GATEWAY_KEY.key_id: "gw"}.get),
            before_append=lambda: told.append("first"),
            after_append=told.append,
        )
        chain = data_chain(1)
        (offers,) = messages.offers([Offer(DATA, 0, 1, chain.head)])
        packed = pack(Container("gw", 0, 0, (offers, messages.batch(chain.batches[0]))))
        data = seal(packed, GATEWAY_KEY)
        write_file(tmp_path, File(file_name("gw", 0), 0, data))
        landing.look()
        assert told == ["first", DATA]
        assert store.header_hash(DATA, 0) == header_hash(chain.batches[0].header)
