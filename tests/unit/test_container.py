"""Files for one-way isolators: their bytes, and their making."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from protocols import limits
from protocols.batch import Header, Stream
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
from tests.chains import GATEWAY_KEY, ChainOfBatches, MemoryOutbox
from tests.hub_parts import DATA, data_chain

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
