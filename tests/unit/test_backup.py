"""Backups of headquarters: what is sent, what is kept, and that a restored one is the same."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headquarters import config
from headquarters.backup import lake as backup_lake
from headquarters.backup.drill import drill
from headquarters.backup.tier import HeadquartersTier, positions_of, take
from headquarters.cli import main
from headquarters.custody import parse as parse_custody
from headquarters.lake.deltalog import LOG
from headquarters.verify import Verification
from protocols.backup.manifest import METADATA, Manifest
from protocols.backup.meter import Meter
from protocols.backup.repository import Repository
from protocols.backup.restore import restore
from protocols.backup.retention import Keep, chosen, prune
from protocols.backup.run import Done, run
from protocols.backup.sealed import DamagedError
from protocols.backup.settings import BackupSettings
from protocols.backup.snapshot import HomeSnapshot
from protocols.backup.store import FolderStore
from protocols.batch import Stream
from protocols.errors import InputError, StoreError
from protocols.records import PointDefinition
from protocols.samples import ValueType
from tests.backup_parts import DAY_US, MemoryStore, add_run, begin, sources
from tests.lake_parts import HandGateway, Headquarters, rows_of, scan

METER = Meter()


@pytest.fixture
def headquarters(tmp_path: Path, gateway: HandGateway) -> Headquarters:
    headquarters = Headquarters(tmp_path / "hq", gateway)
    definitions = [PointDefinition(1, "给水流量", ValueType.F64, "t/h")]
    headquarters.take(gateway.open(Stream.META), gateway.meta(definitions), gateway.open())
    headquarters.take(gateway.data(scan(0), scan(1)))
    return headquarters


def back_up(
    headquarters: Headquarters, repository: Repository, *, full: bool = False, metadata: bool = False
) -> Done:
    node = HeadquartersTier().node(headquarters.home, BackupSettings())
    return run(
        repository,
        node.identity,
        node.data,
        node.take,
        full=full,
        metadata_only=metadata,
        meter=METER,
        finished=node.finished,
        clean=node.clean,
    )


def faults(home: Path) -> list[str]:
    return [str(fault) for fault in Verification(config.load(home)).run().faults]


def files_below(folder: Path) -> dict[str, bytes]:
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).as_posix().startswith("data/backup/")
    }
    found.pop("data/custody.json", None)  # a run changes it when it is over
    return found


# -- runs ----------------------------------------------------------------------------------


def test_a_restored_home_is_the_same_byte_for_byte_and_verifies(
    headquarters: Headquarters, tmp_path: Path
) -> None:
    repository = begin(MemoryStore())
    before = files_below(headquarters.home)
    back_up(headquarters, repository)
    target = tmp_path / "new"
    found = restore(repository, target, METER)
    assert files_below(target) == before
    assert found.files == len(before) and faults(target) == []
    assert (target / "keys/signing.key").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".*"))


def test_a_second_run_sends_only_what_is_new_and_reads_no_file_of_the_lake_again(
    headquarters: Headquarters, gateway: HandGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    repository = begin(store)
    first = back_up(headquarters, repository)
    puts = store.puts
    again = back_up(headquarters, repository)
    # The custody file that the first run wrote is new, and the list itself.
    assert store.puts - puts == 2
    assert again.manifest.written < 500 < first.manifest.written
    headquarters.take(gateway.data(scan(2)))
    opened: list[str] = []
    plain = Path.open

    def noted(self: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(self.name)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", noted)
    third = back_up(headquarters, repository)
    parquet = [entry for entry in third.manifest.entries if entry.path.endswith(".parquet")]
    assert len(parquet) > 4
    assert len([name for name in opened if name.endswith(".parquet")]) == 2  # samples and ledger


def test_a_full_run_relies_on_nothing_and_heals_what_was_damaged(headquarters: Headquarters) -> None:
    store = MemoryStore()
    repository = begin(store)
    back_up(headquarters, repository)
    for name in list(store.objects):
        if name.startswith("objects/"):
            store.objects[name] = b"damaged"
    with pytest.raises(DamagedError, match="objects/"):
        drill(repository, headquarters.home, METER)
    back_up(headquarters, repository, full=True)
    assert drill(repository, headquarters.home, METER).faults == []


class Breaking(MemoryStore):
    """Takes a number of objects, then fails."""

    left = 1 << 30

    def put(self, name: str, data: bytes) -> None:
        if self.left <= 0:
            raise StoreError("the line went dark")
        self.left -= 1
        super().put(name, data)


def test_a_run_that_failed_left_no_run_and_the_next_one_sends_the_rest_only(tmp_path: Path) -> None:
    store = Breaking()
    repository = begin(store)
    kept = sources(tmp_path, {f"file-{number}": bytes([number]) * 70_000 for number in range(40)})
    store.left = 25
    with pytest.raises(StoreError, match="the line went dark"):
        add_run(repository, "1", kept)
    assert repository.ids() == []
    sent = store.puts
    assert sent >= 20
    store.left = 1 << 30
    add_run(repository, "1", kept)
    assert store.puts - sent == 40 + 1 - (sent - 1)  # the description was one of them


def test_a_file_that_became_shorter_ends_the_run(tmp_path: Path) -> None:
    kept = sources(tmp_path, {"a": b"1234"})
    (tmp_path / "a").write_bytes(b"1")
    with pytest.raises(StoreError, match="expected 4 bytes, it became shorter"):
        add_run(begin(MemoryStore()), "1", kept)


def test_what_is_appended_during_a_run_is_not_in_it(tmp_path: Path) -> None:
    repository = begin(MemoryStore())
    kept = sources(tmp_path, {"segment": b"1234"})
    with (tmp_path / "segment").open("ab") as file:
        file.write(b"5678")
    [entry] = add_run(repository, "1", kept).entries
    assert entry.size == 4 and repository.piece(entry.pieces[0]) == b"1234"


# -- beside a running headquarters -----------------------------------------------------------


def test_files_that_are_merged_away_during_a_run_are_in_it(
    headquarters: Headquarters, gateway: HandGateway, tmp_path: Path
) -> None:
    repository = begin(MemoryStore())
    rows = rows_of(headquarters.lake.samples)
    node = HeadquartersTier().node(headquarters.home, BackupSettings())

    def and_then_vacuum(folder: Path, metadata_only: bool):  # type: ignore[no-untyped-def]
        taken = node.take(folder, metadata_only)
        for path in headquarters.settings.lake.glob("samples/date=*/*/*.parquet"):
            path.unlink()
        shutil.rmtree(headquarters.settings.archive / "2026-09-21")
        return taken

    run(
        repository,
        node.identity,
        node.data,
        and_then_vacuum,
        full=False,
        metadata_only=False,
        meter=METER,
        clean=node.clean,
    )
    restore(repository, tmp_path / "new", METER)
    assert faults(tmp_path / "new") == []
    assert rows_of(Headquarters(tmp_path / "new").lake.samples) == rows
    assert not list(headquarters.home.rglob(backup_lake.PINNED))


@pytest.mark.parametrize("table", backup_lake.ORDER)
def test_commits_between_any_two_tables_leave_a_lake_that_a_start_can_finish(
    headquarters: Headquarters,
    gateway: HandGateway,
    tmp_path: Path,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pin_table = backup_lake.PinnedLake._pin_table

    def with_a_commit(self: backup_lake.PinnedLake, lake: Path, name: str, since: int | None) -> None:
        pin_table(self, lake, name, since)
        if name == table:
            headquarters.take(gateway.data(scan(2)))

    monkeypatch.setattr(backup_lake.PinnedLake, "_pin_table", with_a_commit)
    repository = begin(MemoryStore())
    done = back_up(headquarters, repository)
    marks = positions_of(done.manifest.facts)
    restore(repository, tmp_path / "new", METER)
    restored = Headquarters(tmp_path / "new")
    assert faults(tmp_path / "new") == []
    # What is confirmed as backed up is there: never more.
    assert all(restored.lake.samples.mark(chain) >= place.next - 1 for chain, place in marks.items())  # type: ignore[operator]
    assert rows_of(restored.lake.samples) in (
        rows_of(headquarters.lake.samples),
        rows_of(headquarters.lake.samples)[:-3],
        [
            row
            for row in rows_of(headquarters.lake.samples)
            if row[1] < max(r[1] for r in rows_of(headquarters.lake.samples))
        ],
    )


def test_a_log_is_kept_from_its_checkpoint_on(
    headquarters: Headquarters, gateway: HandGateway, tmp_path: Path
) -> None:
    samples = headquarters.lake.samples
    samples.log.checkpoint(headquarters.clock_ms())
    headquarters.take(gateway.data(scan(2)))
    (headquarters.settings.lake / "rollup.json").write_text(
        json.dumps({"version": samples.log.version - 1, "dirty": []})
    )
    repository = begin(MemoryStore())
    done = back_up(headquarters, repository)
    log = [entry.path for entry in done.manifest.entries if entry.path.startswith(f"samples/{LOG}/")]
    assert sorted(Path(path).name.partition(".")[2] for path in log) == ["", "checkpoint.parquet", "json"]
    restore(repository, tmp_path / "new", METER)
    assert faults(tmp_path / "new") == []
    assert rows_of(Headquarters(tmp_path / "new").lake.samples) == rows_of(samples)


def test_a_table_that_lacks_a_file_is_no_backup(headquarters: Headquarters) -> None:
    next(iter(headquarters.settings.lake.glob("samples/date=*/*/*.parquet"))).unlink()
    with pytest.raises(StoreError, match="which the table samples names"):
        back_up(headquarters, begin(MemoryStore()))
    assert not list(headquarters.home.rglob(backup_lake.PINNED))


def test_a_store_is_copied_with_what_is_in_its_log_and_without_what_is_not_committed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with closing(sqlite3.connect(home / "some.db", isolation_level=None)) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.execute("create table t(a)")
        writer.execute("insert into t values(1)")
        writer.execute("begin immediate")
        writer.execute("insert into t values(2)")
        [source] = HomeSnapshot(home, tmp_path / "copy", []).take()
        writer.execute("commit")
    with closing(sqlite3.connect(source.file)) as copy:
        assert copy.execute("select a from t").fetchall() == [(1,)]


def test_what_lies_elsewhere_behind_a_link_is_kept_as_if_it_lay_here(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    home.mkdir()
    (elsewhere / "deep/signing.key").write_text("secret")
    (elsewhere / "headquarters.toml").write_text("[a]")
    (home / "keys").symlink_to(elsewhere / "deep")
    (home / "headquarters.toml").symlink_to(elsewhere / "headquarters.toml")
    (home / "loop").symlink_to(home)
    (home / "nowhere").symlink_to(tmp_path / "gone")
    taken = HomeSnapshot(home, tmp_path / "copy", []).take()
    assert {source.path: source.file.read_text() for source in taken} == {
        "headquarters.toml": "[a]",
        "keys/signing.key": "secret",
    }


def test_a_name_that_is_no_text_comes_back(headquarters: Headquarters, tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff\xfe note")
    (headquarters.home / odd).write_text("kept")
    repository = begin(MemoryStore())
    back_up(headquarters, repository)
    restore(repository, tmp_path / "new", METER)
    assert (tmp_path / "new" / odd).read_text() == "kept"


def test_runs_stay_in_order_where_the_clock_was_set_back(headquarters: Headquarters) -> None:
    repository = begin(MemoryStore())
    first = back_up(headquarters, repository).manifest
    late = replace(first, id="20991231T235959.999Z-00000000")
    repository.put_manifest(
        late, HeadquartersTier().node(headquarters.home, BackupSettings()).identity.signing
    )
    newest = back_up(headquarters, repository).manifest
    assert repository.ids() == [first.id, late.id, newest.id] and newest.previous == late.id


def test_a_run_on_a_damaged_one_is_refused_with_the_remedy(
    headquarters: Headquarters, tmp_path: Path
) -> None:
    store = MemoryStore()
    repository = begin(store)
    first = back_up(headquarters, repository).manifest
    right = store.objects[first.name]
    back_up(headquarters, repository)
    store.objects[repository.manifest(repository.ids()[-1]).name] = right
    with pytest.raises(DamagedError, match="run it with --full"):
        back_up(headquarters, repository)
    with pytest.raises(DamagedError, match="an older run is chosen by --id"):
        restore(repository, tmp_path / "new", METER)
    restore(repository, tmp_path / "new", METER, id=first.id)
    back_up(headquarters, repository, full=True)
    back_up(headquarters, repository)


# -- custody -----------------------------------------------------------------------------------


def test_a_complete_run_confirms_its_marks_and_one_of_metadata_none(headquarters: Headquarters) -> None:
    repository = begin(MemoryStore())
    back_up(headquarters, repository, metadata=True)
    assert not headquarters.settings.custody.exists()
    done = back_up(headquarters, repository)
    confirmed = parse_custody(headquarters.settings.custody)
    assert {chain: place.next for chain, place in confirmed.items()} == {
        chain: seq + 1 for chain, seq in headquarters.lake.ledger.chains().items()
    }
    assert done.notes == [f"confirmed {len(confirmed)} chains as backed up"]


# -- restoring ---------------------------------------------------------------------------------


def test_nothing_is_restored_of_a_damaged_backup(headquarters: Headquarters, tmp_path: Path) -> None:
    store = MemoryStore()
    repository = begin(store)
    back_up(headquarters, repository)
    name = next(name for name in store.objects if name.startswith("objects/"))
    store.objects[name] = store.objects[name][:-1] + bytes([store.objects[name][-1] ^ 1])
    with pytest.raises(DamagedError, match=name):
        restore(repository, tmp_path / "new", METER)
    assert [path.name for path in tmp_path.iterdir()] == ["hq"]


def test_what_a_kill_left_of_a_restore_or_a_run_is_in_nobodys_way(
    headquarters: Headquarters, tmp_path: Path
) -> None:
    repository = begin(MemoryStore())
    for left in (
        tmp_path / ".new.restoring/data/lake",
        headquarters.settings.lake / ".pinned/samples/_delta_log",
    ):
        left.mkdir(parents=True)
        (left / "00000000000000000000.json").write_text("half")
    (headquarters.settings.data / "backup/snapshot/keys").mkdir(parents=True)
    (headquarters.settings.data / "backup/snapshot/keys/signing.key").write_text("an old one")
    back_up(headquarters, repository)
    restore(repository, tmp_path / "new", METER)
    assert faults(tmp_path / "new") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hq", "new"]


def test_a_place_in_use_is_left_alone(headquarters: Headquarters, tmp_path: Path) -> None:
    repository = begin(MemoryStore())
    back_up(headquarters, repository)
    with pytest.raises(InputError, match="not empty"):
        restore(repository, headquarters.home, METER)
    (tmp_path / "empty").mkdir()
    restore(repository, tmp_path / "empty", METER)
    assert faults(tmp_path / "empty") == []


def test_metadata_is_restored_as_of_any_of_its_runs(headquarters: Headquarters, tmp_path: Path) -> None:
    repository = begin(MemoryStore())
    note = headquarters.home / "data/note.txt"
    times = {}
    for number, is_metadata in enumerate((False, True, True)):
        note.write_text(str(number))
        times[number] = back_up(headquarters, repository, metadata=is_metadata).manifest
    assert times[1].kind == METADATA and times[1].parts() == {"home"}
    for number, manifest in times.items():
        target = tmp_path / f"new-{number}"
        found = restore(repository, target, METER, at_us=manifest.time_us)
        assert (target / "data/note.txt").read_text() == str(number)
        assert found.complete.id == times[0].id and faults(target) == []
    with pytest.raises(InputError, match="not later than asked for"):
        restore(repository, tmp_path / "none", METER, at_us=times[0].time_us - 1)


def test_a_lake_outside_the_home_comes_back_outside(headquarters: Headquarters, tmp_path: Path) -> None:
    text = (headquarters.home / config.CONFIG).read_text()
    apart = tmp_path / "apart"
    shutil.move(headquarters.settings.lake, apart)
    (headquarters.home / config.CONFIG).write_text(text.replace('"data/lake"', f'"{apart}"'))
    repository = begin(MemoryStore())
    back_up(headquarters, repository)
    assert drill(repository, headquarters.home, METER).faults == []
    with pytest.raises(InputError, match="not empty"):
        restore(repository, tmp_path / "new", METER)
    shutil.rmtree(apart)
    restore(repository, tmp_path / "new", METER)
    assert faults(tmp_path / "new") == [] and (apart / "samples").is_dir()


def test_a_list_that_names_a_path_outside_is_refused(tmp_path: Path) -> None:
    kept = [replace(each, path="../out") for each in sources(tmp_path, {"in": b"1"})]
    with pytest.raises(DamagedError, match="expected a path inside its folder"):
        add_run(begin(MemoryStore()), "1", kept)


# -- drills ------------------------------------------------------------------------------------


def test_a_drill_tells_what_came_since_and_leaves_nothing_behind(
    headquarters: Headquarters, gateway: HandGateway
) -> None:
    repository = begin(MemoryStore())
    back_up(headquarters, repository)
    headquarters.take(gateway.data(scan(2)))
    before = files_below(headquarters.home)
    found = drill(repository, headquarters.home, METER).to_json()
    assert files_below(headquarters.home) == before
    assert found["rows_since"] == 3 and found["rows"]["samples"] == {"expected": 6, "found": 6}
    assert 0 < found["rpo_s"] < 60 and found["rto_s"] >= found["restore_s"] + found["verify_s"]


def test_a_drill_finds_a_run_whose_rows_are_not_those_it_says(headquarters: Headquarters) -> None:
    repository = begin(MemoryStore())
    node = HeadquartersTier().node(headquarters.home, BackupSettings())

    def with_wrong_rows(folder: Path, metadata_only: bool):  # type: ignore[no-untyped-def]
        taken = take(headquarters.settings, folder, metadata_only)
        taken.facts["tables"]["samples"]["rows"] += 1
        return taken

    options = {"full": False, "metadata_only": False, "meter": METER}
    run(repository, node.identity, node.data, with_wrong_rows, **options)  # type: ignore[arg-type]
    assert drill(repository, headquarters.home, METER).faults == ["samples: expected 7 rows, got 6"]


# -- retention -----------------------------------------------------------------------------------


def manifest(day: float, kind: str = "complete") -> Manifest:
    time_us = round(day * DAY_US)
    return Manifest(f"{time_us:020d}", kind, False, time_us, time_us, "hq", "headquarters", "", 0, ())


@pytest.mark.parametrize(
    ("keep", "stays"),
    (
        (Keep(last=2, daily=0, monthly=0), (59.5, 60.0)),
        (Keep(last=1, daily=3, monthly=0), (58.5, 59.5, 60.0)),
        (Keep(last=0, daily=0, monthly=2), (58.5, 60.0)),
        (Keep(last=0, daily=0, monthly=0), (60.0,)),
    ),
)
def test_kept_are_the_newest_and_the_newest_of_days_and_months(keep: Keep, stays: tuple[float, ...]) -> None:
    # Day 59 is the first of March 1970.
    days = (0.0, 31.2, 58.0, 58.5, 59.0, 59.5, 60.0)
    kept = chosen(map(manifest, days), keep, 60 * DAY_US)
    assert kept == {manifest(day).id for day in stays}


def test_runs_of_metadata_are_kept_for_some_days() -> None:
    all_ = [manifest(day, METADATA) for day in (50.0, 55.0, 59.9)] + [manifest(1.0)]
    kept = chosen(all_, Keep(metadata_days=6), 60 * DAY_US)
    assert kept == {manifest(day).id for day in (55.0, 59.9, 1.0)}


def test_pruning_removes_what_no_run_needs_and_nothing_else(tmp_path: Path) -> None:
    repository = Repository.create(
        FolderStore(tmp_path / "b"), "headquarters", "headquarters", "", tmp_path / "k"
    )
    first = add_run(repository, "1", sources(tmp_path / "1", {"a": b"a" * 70_000, "b": b"b" * 70_000}))
    add_run(repository, "2", sources(tmp_path / "2", {"a": b"a" * 70_000}), time_us=DAY_US, before=first)
    (tmp_path / "b/objects/.part-cut").write_bytes(b"half")
    keep = Keep(last=1, daily=0, monthly=0)
    assert prune(repository, keep, DAY_US, dry_run=True).objects == 1
    assert repository.ids() == ["1", "2"]
    assert prune(repository, keep, DAY_US).removed == ("1",)
    assert repository.ids() == ["2"] and len(repository.held()) == 1
    assert not (tmp_path / "b/objects/.part-cut").exists()


def test_nothing_is_pruned_while_a_run_cannot_be_read(tmp_path: Path) -> None:
    store = MemoryStore()
    repository = begin(store)
    add_run(repository, "1", sources(tmp_path, {"a": b"a"}))
    add_run(repository, "2", sources(tmp_path, {"a": b"b"}), time_us=DAY_US)
    store.objects["manifests/1"] = b"damaged"
    with pytest.raises(DamagedError, match="manifests/1"):
        prune(repository, Keep(last=1, daily=0, monthly=0), DAY_US)
    assert len(repository.held()) == 2


# -- the commands ----------------------------------------------------------------------------------


class Typed:
    """Commands about one home, as an operator types them."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: str, **environment: str) -> Result:
        command = ["backup", arguments[0], "--home", str(self.home), *arguments[1:]]
        return CliRunner().invoke(main, command, env=environment)


@pytest.fixture
def typed(headquarters: Headquarters) -> Typed:
    with (headquarters.home / config.CONFIG).open("a") as file:
        file.write('\n[backup]\nplace = "../b"\nkey_file = "../backup.key"\n')
    return Typed(headquarters.home)


def test_an_operators_round_with_the_settings_of_the_home(
    typed: Typed, headquarters: Headquarters, tmp_path: Path
) -> None:
    (headquarters.home / "root.key").write_text("the root's key")
    made = typed("init")
    assert made.exit_code == 0 and "elsewhere: without it nobody can restore" in made.output
    assert (tmp_path / "backup.key").stat().st_mode & 0o077 == 0
    ran = typed("run")
    assert ran.exit_code == 0 and "root.key is in no backup" in ran.output
    lines = [json.loads(line) for line in typed("run", "--json").output.splitlines()]
    assert lines[0]["event"] == "progress" and lines[0]["remaining_s"] == 0.0
    assert lines[-1]["event"] == "done" and lines[-1]["rows"]["samples"] == 6
    listed = [json.loads(line) for line in typed("list", "--json").output.splitlines()]
    assert [row["kind"] for row in listed] == ["complete", "complete"]
    assert "0 faults" in typed("verify", "--identity", str(headquarters.home / "identity.toml")).output
    assert "every hash, row count and signature holds" in typed("drill").output
    shutil.rmtree(headquarters.home)
    place = ["--place", str(tmp_path / "b"), "--key-file", str(tmp_path / "backup.key")]
    restored = typed("restore", *place, "--to", str(tmp_path / "new"))
    assert restored.exit_code == 0, restored.output
    assert not (tmp_path / "new/root.key").exists()
    assert faults(tmp_path / "new") == []


def test_a_backup_inside_the_home_is_not_backed_up_itself(
    headquarters: Headquarters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(headquarters.home)
    typed = Typed(Path())
    place = ("--place", "b", "--key-file", "b.key")
    typed("init", *place)
    files = [json.loads(typed("run", *place, "--json").output.splitlines()[-1])["files"] for _ in range(3)]
    assert files[1] == files[2]
    assert typed("restore", *place, "--to", str(tmp_path / "new")).exit_code == 0
    assert not (tmp_path / "new/b").exists() and not (tmp_path / "new/b.key").exists()


def test_damage_is_told_with_its_object_and_its_files(typed: Typed, tmp_path: Path) -> None:
    typed("init")
    typed("run")
    path = max((tmp_path / "b/objects").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = typed("verify")
    assert found.exit_code == 1
    assert f"FAULT objects/{path.parent.name}/{path.name}: bytes 0 to " in found.output
    assert "it holds archive/" in found.output
    assert typed("restore", "--to", str(tmp_path / "new")).exit_code == 4
    assert not (tmp_path / "new").exists()


def test_a_run_that_somebody_removed_is_missed(typed: Typed, tmp_path: Path) -> None:
    typed("init")
    typed("run")
    [last] = (tmp_path / "b/manifests").iterdir()
    last.unlink()
    found = typed("verify")
    assert found.exit_code == 1 and f"FAULT manifests/{last.name}: it is not there" in found.output


def test_what_another_node_signed_does_not_count(typed: Typed, tmp_path: Path) -> None:
    typed("init")
    typed("run")
    other = Headquarters(tmp_path / "other")
    found = typed("verify", "--identity", str(other.home / "identity.toml"))
    assert found.exit_code == 1 and "which is no key of this node" in found.output


def test_the_backup_of_another_node_is_left_alone(typed: Typed, tmp_path: Path) -> None:
    typed("init")
    home = tmp_path / "hub-like"
    shutil.copytree(typed.home, home)
    for name in ("identity.toml", config.CONFIG):
        text = (home / name).read_text().replace('"headquarters"', '"another"', 1)
        (home / name).write_text(text)
    found = Typed(home)("run")
    assert found.exit_code == 2 and "the backup of headquarters 'headquarters'" in found.output


def test_a_passphrase_opens_and_another_one_does_not(
    headquarters: Headquarters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protocols.backup.keys.PASSPHRASE_COST", 1024)
    typed = Typed(headquarters.home)
    place = ("--place", str(tmp_path / "b"))
    right = {"CATCHMENT_BACKUP_PASSPHRASE": "correct horse"}
    assert typed("init", *place, "--passphrase").exit_code == 2
    assert typed("init", *place, "--passphrase", **right).exit_code == 0
    assert typed("run", *place, **right).exit_code == 0
    assert typed("verify", *place, **right).exit_code == 0
    wrong = typed("verify", *place, CATCHMENT_BACKUP_PASSPHRASE="battery staple")
    assert wrong.exit_code == 2 and "one that does not open it" in wrong.output
    assert "CATCHMENT_BACKUP_PASSPHRASE" in typed("verify", *place).output


@pytest.mark.parametrize(
    ("change", "said"),
    (
        (lambda key: key.unlink(), "the key file that backup init wrote"),
        (lambda key: key.write_text("nonsense"), "got 'something else'"),
        (lambda key: key.chmod(0o644), "chmod 600"),
        (lambda key: key.write_text(f"catchment-backup-key-1 {'0' * 32} {'1' * 64}\n"), "the key of backup"),
    ),
    ids=("gone", "nonsense", "open to all", "of another backup"),
)
def test_a_wrong_key_file_is_told(
    typed: Typed, tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    typed("init")
    change(tmp_path / "backup.key")
    found = typed("run")
    assert found.exit_code == 2 and said in found.output


@pytest.mark.parametrize(
    ("place", "said"),
    (
        ((), "place in [backup]"),
        (("--place", "s3://key:secret@bucket/x"), "without credentials"),
        (("--place", "https://bucket/x"), "s3://BUCKET/PREFIX"),
        (("--place", "nowhere"), "make one with: backup init"),
    ),
)
def test_a_place_that_is_none_is_told(headquarters: Headquarters, place: tuple[str, ...], said: str) -> None:
    found = Typed(headquarters.home)("verify", *place)
    assert found.exit_code == 2 and said in found.output and "secret" not in found.output


def test_two_runs_at_a_time_are_one_too_many(typed: Typed, headquarters: Headquarters) -> None:
    from protocols.backup.run import working

    typed("init")
    with working(headquarters.settings.data):
        found = typed("run")
    assert found.exit_code == 4 and "another process runs there" in found.output


def test_an_object_store_that_does_not_answer_is_told_without_a_traceback(
    headquarters: Headquarters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protocols.backup.objectstore.ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    place = ("--place", "s3://plant/hq", "--endpoint", "http://127.0.0.1:9")
    done = Typed(headquarters.home)("init", *place, "--key-file", str(tmp_path / "k"))
    assert done.exit_code == 4 and "expected an object store that answers" in done.output
