"""Backups of a hub: the same store again, which does not pass for a clone of itself."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hub import schema
from hub.backup import HubTier
from hub.cli import main
from hub.statement import OwnChain
from hub.store import Store
from protocols.backup.settings import BackupSettings
from protocols.identity import Identity
from protocols.records import Opening, OpenReason
from tests.hub_parts import DATA, accept, data_chain


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "hub"
    assert invoke("init", "--home", str(home), "--id", "hub", "--bind", "tcp://127.0.0.1:0").exit_code == 0
    (home / "data/mirror/targets").mkdir(parents=True)
    (home / "data/mirror/targets/firmware").write_bytes(b"fetched again")
    with closing(schema.connect(home / "data/hub.db")) as connection:
        store = Store(connection)
        store.append(accept(data_chain(3).batches))
        state(store, Identity.load(home))
    return home


def state(store: Store, identity: Identity, copied_in: int | None = None) -> OwnChain:
    """Have the hub state its ledger once."""
    own = OwnChain(store, identity, bytes(16), 7, copied_in)
    store.append(own.state(1_790_000_000_000_000, 0))
    own.stored()
    return own


def back_up(home: Path) -> tuple[str, ...]:
    where = ("--home", str(home), "--place", str(home.parent / "b"), "--key-file", str(home.parent / "k"))
    assert invoke("backup", "init", *where).exit_code == 0
    ran = invoke("backup", "run", *where)
    assert ran.exit_code == 0, ran.output
    return where


def test_a_restored_hub_holds_what_it_held_and_none_of_what_it_fetches_again(home: Path) -> None:
    where = back_up(home)
    assert invoke("backup", "verify", *where).exit_code == 0
    target = home.parent / "new"
    restored = invoke("backup", "restore", *where, "--to", str(target))
    assert restored.exit_code == 0, restored.output
    assert Identity.load(target).id == "hub"
    assert not (target / "data/mirror").exists() and not (target / "data/backup").exists()
    with closing(schema.connect(target / "data/hub.db")) as connection:
        row = Store(connection).chains.get(DATA)
        assert row is not None and (row.floor, row.next) == (0, 3)


def test_a_restored_hub_begins_a_new_epoch_of_its_own_chain_once(home: Path) -> None:
    where = back_up(home)
    target = home.parent / "new"
    invoke("backup", "restore", *where, "--to", str(target))
    identity = Identity.load(target)
    with closing(schema.connect(target / "data/hub.db")) as connection:
        store = Store(connection)
        before = {row.chain.epoch for row in store.chains if row.chain.gateway == "hub"}
        state(store, identity, schema.copied_in(connection))
        [opened] = {row.chain for row in store.chains if row.chain.gateway == "hub"} - {
            chain.chain for chain in store.chains if chain.chain.epoch in before
        }
        payload = connection.execute(
            "select payload from batches b join chains c on c.id = b.chain where epoch = ? and seq = 0",
            (opened.epoch,),
        ).fetchone()[0]
        assert Opening.parse(payload).reason is OpenReason.STORE_LOST
        count = len(list(store.chains))
        state(store, identity, schema.copied_in(connection))
        assert len(list(store.chains)) == count


def test_a_hub_that_was_not_restored_goes_on_in_its_epoch(home: Path) -> None:
    back_up(home)
    with closing(schema.connect(home / "data/hub.db")) as connection:
        store = Store(connection)
        assert schema.copied_in(connection) is None
        count = len(list(store.chains))
        state(store, Identity.load(home), schema.copied_in(connection))
        assert len(list(store.chains)) == count


def test_a_store_that_was_set_aside_is_not_in_the_way(home: Path) -> None:
    (home / "data/hub.db.damaged-20261126T000000").write_bytes(b"SQLite format 3\0 and no more")
    where = back_up(home)
    [run] = [json.loads(line) for line in invoke("backup", "list", *where, "--json").output.splitlines()]
    assert run["node"] == "hub"


def test_a_run_of_metadata_leaves_the_store_to_the_complete_one(home: Path) -> None:
    where = back_up(home)
    with closing(schema.connect(home / "data/hub.db")) as connection:
        Store(connection).append(accept(data_chain(4).batches[3:]))
    assert invoke("backup", "run", *where, "--metadata").exit_code == 0
    target = home.parent / "new"
    assert invoke("backup", "restore", *where, "--to", str(target)).exit_code == 0
    with closing(schema.connect(target / "data/hub.db")) as connection:
        row = Store(connection).chains.get(DATA)
        assert row is not None and row.next == 3


def test_a_hub_without_the_client_of_object_stores_is_told_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "protocols.backup.objectstore", raising=False)
    done = invoke("backup", "verify", "--home", str(home), "--place", "s3://key:secret@plant/hub")
    assert done.exit_code == 2 and "install catchment[s3]" in done.output and "secret" not in done.output


def test_the_settings_of_an_object_store_are_a_hubs_as_well(home: Path) -> None:
    with (home / "hub.toml").open("a", encoding="utf-8") as config:
        config.write(
            '\n[backup]\nplace = "s3://plant/hub"\nendpoint = "http://minio:9000"\nregion = "north"\n'
        )
    assert HubTier().settings(home) == BackupSettings("s3://plant/hub", None, "http://minio:9000", "north")
    assert HubTier().settings(home).own == []
