"""The audit: nothing can be changed or removed unseen."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from headquarters import audit
from headquarters.audit import export, limits, trail
from headquarters.audit.store import Audit, Filter
from headquarters.db.base import now_us
from headquarters.db.engine import open_database, reading, writing
from headquarters.errors import ConflictError, DeniedError
from headquarters.metadata import open_metadata
from headquarters.tenancy.principal import Principal
from protocols.errors import InputError, StoreError
from protocols.identity import SigningKey
from tests.stores.people_parts import NOW_US, ROOT

KEY = SigningKey(bytes(range(32)))
ANNA = Principal("7", "anna", "user", "plant-a", frozenset())
DAY_US = 86_400_000_000


def fill(engine: Engine, count: int, at_us: int | None = None) -> None:
    for number in range(count):
        with writing(engine) as session:
            detail = {"number": number, "阀": "开"}
            audit.record(session, ANNA, "users.disable", f"ben-{number}", detail=detail, at_us=at_us)


def tamper(engine: Engine, *statements: str) -> None:
    """What somebody does who holds the database itself: triggers go first."""
    with engine.execution_options(catchment_write=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("set local session_replication_role = replica"))
        else:
            for name in ("entries_no_update", "entries_no_delete", "seals_no_delete"):
                connection.execute(text(f"drop trigger audit_{name}"))
        for statement in statements:
            connection.execute(text(statement))


def faults(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return trail.verify(session, [KEY.public]).faults


def test_an_untouched_chain_has_no_fault(engine: Engine) -> None:
    fill(engine, 5)
    with writing(engine) as session:
        assert trail.seal_head(session, KEY)
        assert not trail.seal_head(session, KEY), "nothing new to sign"
    with reading(engine) as session:
        report = trail.verify(session, [KEY.public])
    assert (report.entries, report.seals, report.faults) == (5, 1, [])


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_entries set target = 'eve' where seq = 1",
        "delete from audit_entries where seq = 2",
        "delete from audit_entries",
        "insert into audit_entries select 1, time_us, tenant, actor_kind, actor_id, actor_name, action,"
        " target, outcome, detail, previous, hash from audit_entries where seq = 2",
        "update audit_seals set seq = 0",
        "delete from audit_seals",
    ],
)
def test_the_database_itself_refuses_to_change_the_audit(engine: Engine, statement: str) -> None:
    fill(engine, 2)
    with writing(engine) as session:
        trail.seal_head(session, KEY)
    with pytest.raises((ConflictError, StoreError), match="audit"), writing(engine) as session:
        session.execute(text(statement))
    assert faults(engine) == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("update audit_entries set target = 'ben-X' where seq = 3", "entry 3: its content was altered"),
        ("update audit_entries set time_us = time_us + 1 where seq = 3", "entry 3: its content was altered"),
        ("update audit_entries set detail = '{}' where seq = 1", "entry 1: its content was altered"),
        ("update audit_entries set hash = {flipped} where seq = 3", "entry 3: its hash was altered"),
        (
            "update audit_entries set previous = {flipped} where seq = 3",
            "entry 3: its hash of the entry before it was altered",
        ),
        ("delete from audit_entries where seq = 3", "entry 4: expected entry 3 here"),
        ("update audit_entries set outcome = 'denied' where seq = 5", "entry 5: its content or its hash"),
    ],
)
def test_one_altered_byte_is_located(engine: Engine, statement: str, found: str) -> None:
    fill(engine, 5)
    with reading(engine) as session:
        third = list(Audit(session).walk())[2]
    old = third.previous if "previous" in statement else third.hash
    flipped = bytes([old[0] ^ 1]) + old[1:]
    literal = f"'\\x{flipped.hex()}'" if engine.dialect.name == "postgresql" else f"x'{flipped.hex()}'"
    tamper(engine, statement.replace("{flipped}", literal))
    assert [fault[: len(found)] for fault in faults(engine)] == [found]


def test_any_byte_of_any_entry_in_the_file_is_found(tmp_path: Path) -> None:
    file = tmp_path / "metadata.db"
    engine = open_metadata(tmp_path, None)
    fill(engine, 5)
    engine.dispose()
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("pragma journal_mode = delete")
    right, found = file.read_bytes(), 0
    as_written = _rows(file)
    begin = right.index(b"users.disableben-4done") - 60
    end = right.index(b"users.disableben-0done") + 200
    for at in range(begin, end, 5):
        damaged = bytearray(right)
        damaged[at] ^= 0x80 if at % 2 else 0x01
        file.write_bytes(bytes(damaged))
        if (rows := _rows(file)) is not None and rows != as_written:
            engine = open_database(f"sqlite:///{file}")
            told = faults(engine)
            engine.dispose()
            assert any(fault.startswith("entry ") for fault in told), at
            found += 1
    assert found > 100


def _rows(file: Path) -> object:
    """The entries as they lie in the file, not in an index; `None` where SQLite itself refuses."""
    with closing(sqlite3.connect(file)) as raw:
        raw.text_factory = bytes
        try:
            return raw.execute("select * from audit_entries not indexed").fetchall()
        except sqlite3.DatabaseError:
            return None


def test_a_file_of_the_audit_is_what_was_exported_byte_for_byte(engine: Engine, tmp_path: Path) -> None:
    fill(engine, 3)
    file = tmp_path / "audit.jsonl"
    with writing(engine) as session:
        trail.seal_head(session, KEY)
        assert export.write(session, file) == 3
    assert export.verify_file(file, [KEY.public]).faults == []
    right = file.read_bytes()
    for at in range(0, len(right), 3):
        damaged = bytearray(right)
        damaged[at] ^= 0x20 if at % 2 else 0x01  # of letters, the case
        file.write_bytes(bytes(damaged))
        assert _refused(file), at


def _refused(file: Path) -> bool:
    try:
        return bool(export.verify_file(file, [KEY.public]).faults)
    except InputError as error:
        return "line " in str(error)


def test_what_is_damaged_is_shown_all_the_same(engine: Engine) -> None:
    fill(engine, 2)
    tamper(engine, "update audit_entries set detail = '{\"half' where seq = 1")
    with reading(engine) as session:
        rows = [export.row_of(entry) for entry in Audit(session).page(Filter())]
    assert [row["detail"] for row in rows] == [{"number": 1, "阀": "开"}, {"damaged": '{"half'}]


def test_a_chain_that_is_written_anew_contradicts_its_seal(engine: Engine) -> None:
    fill(engine, 3)
    with writing(engine) as session:
        trail.seal_head(session, KEY)
    tamper(
        engine,
        "delete from audit_entries",
        "update audit_head set seq = 0, hash = base_hash",
    )
    fill(engine, 3)
    assert faults(engine) == ["seal of entry 3: the chain has another entry there; it was written anew"]


def test_an_end_that_is_cut_off_contradicts_its_seal(engine: Engine) -> None:
    fill(engine, 3)
    with writing(engine) as session:
        trail.seal_head(session, KEY)
        second = list(Audit(session).walk())[1]
    tamper(engine, "delete from audit_entries where seq = 3")
    with engine.execution_options(catchment_write=True).begin() as connection:
        connection.execute(text("update audit_head set seq = 2, hash = :hash"), {"hash": second.hash})
    assert faults(engine) == ["seal of entry 3: the chain ends at entry 2; its end was cut off"]


def test_a_beginning_that_is_cut_off_contradicts_its_seal(engine: Engine) -> None:
    fill(engine, 3)
    with writing(engine) as session:
        trail.seal_head(session, KEY)
        first = next(Audit(session).walk())
    tamper(engine, "delete from audit_entries where seq = 1")
    with engine.execution_options(catchment_write=True).begin() as connection:
        values = {"hash": first.hash}
        connection.execute(text("update audit_head set base_seq = 1, base_hash = :hash"), values)
    assert [fault for fault in faults(engine) if "its beginning was cut off" in fault]


def test_a_seal_of_another_key_is_not_believed(engine: Engine) -> None:
    fill(engine, 1)
    with writing(engine) as session:
        trail.seal_head(session, SigningKey(bytes(32)))
    assert faults(engine) == ["seal of entry 1: signed by a key that is not headquarters'"]


def test_what_is_old_enough_is_removed_and_the_chain_still_holds(engine: Engine) -> None:
    fill(engine, 3, now_us() - 200 * DAY_US)
    fill(engine, 2)
    with writing(engine) as session:
        trail.seal_head(session, KEY)
    with writing(engine) as session:
        assert trail.prune(session, KEY, 190) == 3
    with writing(engine) as session:
        assert trail.prune(session, KEY, 190) == 0
    with reading(engine) as session:
        report = trail.verify(session, [KEY.public])
        actions = [entry.content.action for entry in Audit(session).walk()]
    assert report.faults == []
    assert actions == ["users.disable", "users.disable", "audit.prune"]


def test_nothing_is_removed_before_half_a_year(engine: Engine) -> None:
    fill(engine, 1, now_us() - 170 * DAY_US)
    with pytest.raises(InputError, match="180 days or more"), writing(engine) as session:
        trail.prune(session, KEY, 179)
    with writing(engine) as session:
        assert trail.prune(session, KEY, limits.RETENTION_DAYS_MIN) == 0
    later = now_us() + 20 * DAY_US  # a clock that was set forward deceives us, not the database
    with pytest.raises((ConflictError, StoreError), match="180 days"), writing(engine) as session:
        trail.prune(session, KEY, limits.RETENTION_DAYS_MIN, later)
    assert faults(engine) == []


def test_a_change_that_fails_leaves_no_entry(engine: Engine) -> None:
    def fails() -> None:
        with writing(engine) as session:
            audit.record(session, ANNA, "users.add", "ben")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    with reading(engine) as session:
        assert Audit(session).head().seq == 0


def test_denied_accesses_are_recorded_where_they_were_denied(engine: Engine) -> None:
    trail.record_denied(engine, ANNA, DeniedError("anna", "users:write", "plant-b"), "/api/v1/users\0")
    with reading(engine) as session:
        entry = Audit(session).page(Filter(outcome="denied"))[0].content
    assert (entry.tenant, entry.action, entry.target) == ("plant-b", "users:write", "/api/v1/users\ufffd")


def test_entries_are_found_by_what_is_wanted(engine: Engine) -> None:
    fill(engine, 4, NOW_US)
    with writing(engine) as session:
        audit.record(session, ROOT, "roles.give", "ben", at_us=NOW_US + 1)
    wanted = {
        Filter(): [5, 4, 3, 2, 1],
        Filter(tenant="group"): [5],
        Filter(actor="anna"): [4, 3, 2, 1],
        Filter(action="users."): [4, 3, 2, 1],
        Filter(action="users"): [],
        Filter(action="roles.give"): [5],
        Filter(target="ben-2"): [3],
        Filter(from_us=NOW_US + 1): [5],
        Filter(to_us=NOW_US + 1): [4, 3, 2, 1],
    }
    with reading(engine) as session:
        store = Audit(session)
        for each, seqs in wanted.items():
            assert [entry.content.seq for entry in store.page(each)] == seqs, each
        assert [entry.content.seq for entry in store.page(Filter(), before=4, rows_max=2)] == [3, 2]


def test_many_at_once_make_one_chain(engine: Engine) -> None:
    threads = [threading.Thread(target=fill, args=(engine, 5)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as session:
        report = trail.verify(session)
    assert (report.entries, report.faults) == (20, [])
