"""Files for one-way isolators: their bytes, their making, and what the landing side does with them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.landing import REJECTED, Landing
from hub.store import Store
from protocols import limits
from protocols.batch import Header, Stream, bury, header_hash
from protocols.container import (
    MAGIC,
    Container,
    file_name,
    pack,
    packed_size,
    parse,
    parse_file_name,
    seal,
    unseal,
)
from protocols.errors import IntegrityError, LimitError, MalformedError, StoreError
from protocols.exporter import HEARTBEAT_S, Exporter, File, write_file
from protocols.session import Offer, messages
from protocols.session.events import Stored
from protocols.session.receiver import KeyBook
from tests.chains import GATEWAY_KEY, HUB_KEY, ChainOfBatches, MemoryOutbox
from tests.hub_parts import DATA, KEYS, accept, data_chain, memory

DOCUMENT = Path(__file__).parents[2] / "docs" / "wire-container.md"


def small_container() -> Container:
    chain = data_chain(2)
    (offers,) = messages.offers([Offer(chain.chain, 0, 2, chain.head)])
    return Container("gw", 7, 1_700_000_000_000_000, (offers, *map(messages.batch, chain.batches)))


def hashed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def read(file: File | None) -> Container:
    assert file is not None
    return parse(unseal(file.data)[0])


class TestFormat:
    def test_what_is_packed_is_read_again(self) -> None:
        packed = pack(small_container())
        parsed = parse(packed)
        assert parsed == small_container()
        assert list(parsed.batches()) == data_chain(2).batches
        assert list(parsed.offers()) == [Offer(DATA, 0, 2, data_chain(2).head)]

    def test_the_document_prints_this_very_file(self) -> None:
        printed = re.search(r"```\n([0-9a-f\n]+)```", DOCUMENT.read_text(encoding="utf-8"))
        assert printed is not None
        assert bytes.fromhex(printed[1].replace("\n", "")) == seal(pack(small_container()), GATEWAY_KEY)

    def test_the_size_of_a_message_is_known_before_it_is_packed(self) -> None:
        empty = Container("gw", 0, 0, ())
        for frames in small_container().messages:
            assert len(pack(empty._replace(messages=(frames,)))) - len(pack(empty)) == packed_size(frames)

    @pytest.mark.parametrize("cut", range(0, len(pack(small_container())), 7))
    def test_a_file_that_was_cut_short_is_refused(self, cut: int) -> None:
        with pytest.raises((IntegrityError, MalformedError)):
            parse(pack(small_container())[:cut])

    def test_what_is_too_short_for_a_seal_is_refused(self) -> None:
        with pytest.raises(IntegrityError):
            unseal(bytes(100))

    def test_a_file_with_trailing_bytes_is_refused(self) -> None:
        with pytest.raises(IntegrityError):
            parse(pack(small_container()) + b"\0")

    @pytest.mark.parametrize(
        ("change", "error"),
        (
            (lambda body: b"PK" + body[2:], MalformedError),
            (lambda body: body[:8] + b"\x00\x02" + body[10:], MalformedError),
            (lambda body: body[:10] + b"\x00\x01" + body[12:], MalformedError),
            (lambda body: body[:12] + b"\xff" * 8 + body[20:], MalformedError),
            (lambda body: body[:28] + b"\xff" * 4 + body[32:], LimitError),
            (lambda body: body[:28] + b"\x00\x00\x00\x04" + body[32:], MalformedError),
            (lambda body: body[:28] + b"\x00\x00\x00\x02" + body[32:], MalformedError),
            (lambda body: body[:32] + b"\xff" + body[33:], MalformedError),
            (lambda body: body[:33] + b"/" + body[34:], MalformedError),
            (lambda body: body[:35] + b"X" + body[36:], MalformedError),
            (lambda body: body[:36] + b"\xff\xff\xff\xff" + body[40:], MalformedError),
        ),
    )
    def test_a_file_with_a_right_hash_over_wrong_bytes_is_refused(
        self, change: Callable[[bytes], bytes], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            parse(hashed(change(pack(small_container())[:-32])))

    def test_a_file_beyond_the_limit_is_refused_by_its_length(self) -> None:
        with pytest.raises(LimitError):
            parse(MAGIC + bytes(limits.CONTAINER_BYTES_MAX))

    def test_an_oversized_payload_is_refused_when_it_is_looked_at(self) -> None:
        frames = [b"D", b"h", bytes(limits.PAYLOAD_BYTES_MAX + 1), b"s"]
        with pytest.raises(LimitError):
            list(parse(pack(Container("gw", 0, 0, (frames,)))).batches())

    @pytest.mark.parametrize(
        "name",
        (
            "gw.cmf",
            "gw-1.cmf",
            "gw-000000000001.cm",
            "Gw-000000000001.cmf",
            "-000000000001.cmf",
            "gw-0000000000001.cmf",
        ),
    )
    def test_other_names_are_not_names_of_files(self, name: str) -> None:
        assert parse_file_name(name) is None

    def test_names_sort_by_number(self) -> None:
        assert file_name("gw", 9) < file_name("gw", 10) < file_name("gw", 10**11)
        assert parse_file_name(file_name("gw-2", 10**13)) == ("gw-2", 10**13)


def sent(file: File | None) -> list[int]:
    return [Header.parse(batch.header).seq for batch in read(file).batches()]


def exporter(outbox: MemoryOutbox, **options: object) -> Exporter:
    return Exporter("gw", GATEWAY_KEY, outbox, first_number=0, repeat_after_s=(10.0, 100.0), **options)  # type: ignore[arg-type]


class TestExporter:
    def test_each_batch_goes_out_at_once_and_again_after_each_delay(self) -> None:
        chain = data_chain(3)
        out = exporter(MemoryOutbox(chain))
        assert sent(out.next_file(0.0, 0)) == [0, 1, 2]
        assert out.written(0.0) == []
        chain.grow([b"3"])
        assert sent(out.next_file(5.0, 0)) == [3]
        assert out.written(5.0) == []
        assert out.next_file(9.0, 0) is None
        assert sent(out.next_file(10.0, 0)) == [0, 1, 2]
        out.written(10.0)
        assert sent(out.next_file(15.0, 0)) == [3]
        out.written(15.0)
        assert sent(out.next_file(100.0, 0)) == [0, 1, 2]
        assert out.written(100.0) == [Stored(DATA, 3)]
        assert sent(out.next_file(106.0, 0)) == [3]
        assert out.written(106.0) == [Stored(DATA, 4)]

    def test_a_file_that_was_not_written_is_made_again_under_its_number(self) -> None:
        out = exporter(MemoryOutbox(data_chain(2)))
        first, second = out.next_file(0.0, 5), out.next_file(0.0, 5)
        assert first == second and first is not None and first.number == 0
        out.written(0.0)
        assert out.number == 1

    def test_an_offer_says_what_may_still_come(self) -> None:
        chain = data_chain(3)
        out = exporter(MemoryOutbox(chain))
        oldest = []
        for now in (0.0, 10.0, 100.0, 160.0):
            file = out.next_file(now, 0)
            assert file is not None
            oldest += [offer.oldest for offer in read(file).offers()]
            out.written(now)
        assert oldest == [0, 0, 0, 3]

    def test_a_file_is_made_now_and_then_when_nothing_is_due(self) -> None:
        out = Exporter("gw", GATEWAY_KEY, MemoryOutbox(), first_number=3, repeat_after_s=())
        assert sent(out.next_file(0.0, 0)) == []
        out.written(0.0)
        assert out.next_file(HEARTBEAT_S - 1, 0) is None
        assert sent(out.next_file(HEARTBEAT_S, 0)) == []

    def test_files_are_bounded_and_events_go_first(self) -> None:
        data = data_chain(5)
        event = ChainOfBatches("gw", Stream.EVENT, 1).grow([b"e0", b"e1"])
        out = exporter(MemoryOutbox(data, event), batches_max=4)
        file = out.next_file(0.0, 0)
        assert file is not None
        kinds = [messages.parse_offers(f)[0].chain.stream for f in read(file).messages if f[0] == b"O"]
        assert len(kinds) == 1 and sent(file) == [0, 1, 0, 1]
        out.written(0.0)
        assert sent(out.next_file(0.0, 0)) == [2, 3, 4]

    def test_large_payloads_take_files_of_their_own(self) -> None:
        chain = ChainOfBatches().grow([bytes(12 << 20)] * 3)
        most = (16 << 20) + 4096
        out = Exporter(
            "gw", GATEWAY_KEY, MemoryOutbox(chain), first_number=0, repeat_after_s=(), bytes_max=most
        )
        for seq in range(3):
            file = out.next_file(0.0, 0)
            assert sent(file) == [seq] and file is not None and len(file.data) <= most
            assert out.written(0.0) == [Stored(chain.chain, seq + 1)]

    def test_after_a_file_that_may_not_have_been_written_its_number_is_not_used_again(self) -> None:
        out = exporter(MemoryOutbox(data_chain(2)))
        assert sent(out.next_file(0.0, 0)) == [0, 1]
        out.give_up()
        file = out.next_file(1.0, 0)
        assert sent(file) == [0, 1] and file is not None and file.number == 1

    def test_what_the_outbox_let_go_of_is_not_waited_for(self) -> None:
        chain = data_chain(6)
        outbox = MemoryOutbox(chain)
        out = exporter(outbox)
        out.next_file(0.0, 0)
        out.written(0.0)
        chain.oldest = 5
        chain.grow([b"6"])
        assert sent(out.next_file(20.0, 0)) == [6, 5]
        out.written(20.0)
        outbox.chains.clear()
        assert sent(out.next_file(200.0, 0)) == []

    def test_very_many_steps_are_remembered_in_few(self) -> None:
        chain = data_chain(1)
        out = exporter(MemoryOutbox(chain))
        for step in range(3000):
            now = step * 0.01
            chain.grow([b"x"])
            assert out.next_file(now, 0) is not None
            out.written(now)
        assert len(out._chains[DATA].history) <= 520


class TestWriting:
    def test_a_file_appears_at_once_and_whole(self, tmp_path: Path) -> None:
        path = write_file(tmp_path, File(file_name("gw", 1), 1, b"content"))
        assert path.read_bytes() == b"content"
        assert [entry.name for entry in tmp_path.iterdir()] == [file_name("gw", 1)]

    def test_a_directory_that_is_not_there_is_reported(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="cannot write"):
            write_file(tmp_path / "absent", File("x.cmf", 1, b""))


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
