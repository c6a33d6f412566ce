"""`catchment-hq users`, `tenants`, `audit`, `db`: what whoever sits at the machine does."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headquarters.accounts.password import Hasher
from headquarters.accounts.sealing import Sealer
from headquarters.accounts.signin import SignIn
from headquarters.accounts.terms import Terms
from headquarters.auditkeeper import AuditThread
from headquarters.cli import main
from headquarters.config import CONFIG, load
from headquarters.metadata import open_metadata
from protocols.daemon import EventLog, Stop
from protocols.identity import Identity


def invoke(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--home", str(home)])


def done(home: Path, *arguments: str) -> str:
    result = invoke(home, *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def told(home: Path, *arguments: str) -> Any:
    return json.loads(done(home, *arguments, "--json"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    done(tmp_path / "hq", "init", "--id", "headquarters")
    return tmp_path / "hq"


def test_init_prints_a_link_by_which_the_first_administrator_signs_in_once(tmp_path: Path) -> None:
    home = tmp_path / "hq"
    made = told(home, "init", "--id", "headquarters", "--admin", "chief", "--url", "https://hq.example/")
    match = re.fullmatch(r"https://hq\.example/sign-in/link/([\w-]{43})", made["sign_in_link"])
    assert match is not None
    engine = open_metadata(home / "data", None)
    try:
        door = SignIn(engine, Terms(), Hasher(1, 8, 1), Sealer(bytes(32)))
        assert door.by_link(match[1]).by == "link"
        assert door.whose_link(match[1]) is None
    finally:
        engine.dispose()
    (chief,) = told(home, "users", "list")
    assert (chief["login"], chief["state"]) == ("chief", "no password yet")
    assert chief["roles"] == ["system-administrator", "viewer"]
    for path in (home / "data").iterdir():
        assert path.is_dir() or match[1].encode() not in path.read_bytes(), f"the link is in {path.name}"


def test_users_and_groups(home: Path) -> None:
    made = told(home, "users", "add", "anna", "--name", "Anna Li", "--role", "operator")
    assert made["sign_in_link"].startswith("http://127.0.0.1:8600/sign-in/link/")
    text = (home / CONFIG).read_text()
    (home / CONFIG).write_text(text + '\n[web]\nbind = "10.0.0.7:8443"\n')
    link = told(home, "users", "link", "anna")["sign_in_link"]
    assert link.startswith("http://10.0.0.7:8443/sign-in/link/")
    assert link[-43:] != made["sign_in_link"][-43:]
    (home / CONFIG).write_text(text + '\n[web]\npublic_url = "https://hq.example"\n')
    assert told(home, "users", "link", "anna")["sign_in_link"].startswith("https://hq.example/sign-in/link/")
    done(home, "users", "group", "add", "shift-a")
    done(home, "users", "group", "join", "shift-a", "anna")
    assert "engineer" in done(home, "users", "group", "roles", "shift-a", "--give", "engineer")
    assert told(home, "users", "roles", "anna", "--take", "operator")["roles"] == ["engineer"]
    assert told(home, "users", "group", "list") == [
        {"tenant": "group", "group": "shift-a", "members": ["anna"], "roles": ["engineer"]}
    ]
    done(home, "users", "disable", "anna")
    assert "DISABLED" in done(home, "users", "list")
    done(home, "users", "enable", "anna")
    done(home, "users", "unlock", "anna")
    done(home, "users", "drop-second-factor", "anna")
    done(home, "users", "group", "leave", "shift-a", "anna")
    done(home, "users", "group", "roles", "shift-a", "--take", "engineer")
    done(home, "users", "group", "remove", "shift-a")
    refused = invoke(home, "users", "roles", "admin", "--give", "audit-administrator")
    assert refused.exit_code == 2 and "three people" in refused.output
    missing = invoke(home, "users", "disable", "eve")
    assert missing.exit_code == 2 and "catchment-hq users list" in missing.output


def test_tenants(home: Path) -> None:
    done(home, "tenants", "add", "plant-a", "--name", "Plant A")
    done(home, "tenants", "own", "plant-a", "north", "south")
    grant = told(home, "tenants", "grant", "plant-a", "east", "--points", "10*", "--expires", "30d")
    done(home, "tenants", "quota", "plant-a", "queries", "5")
    done(home, "tenants", "rename", "plant-a", "Works A")
    _, tenant = told(home, "tenants", "list")
    assert (tenant["name"], tenant["sites"], tenant["quotas"]) == (
        "Works A",
        ["north", "south"],
        {"queries": 5},
    )
    assert [each["id"] for each in tenant["grants"]] == [grant["id"]]
    assert "sees 10* of east until" in done(home, "tenants", "list")
    done(home, "tenants", "take-back", grant["id"])
    done(home, "tenants", "disown", "south")
    done(home, "tenants", "quota", "plant-a", "queries", "none")
    done(home, "tenants", "disable", "plant-a")
    _, tenant = told(home, "tenants", "list")
    assert (tenant["sites"], tenant["grants"], tenant["quotas"]) == (["north"], [], {})
    assert tenant["disabled"]
    done(home, "tenants", "enable", "plant-a")
    for arguments, expected in (
        (("quota", "plant-a", "queries", "many"), "a number, or none"),
        (("quota", "plant-a", "coffee", "5"), "one of storage"),
        (("own", "plant-z", "north"), "catchment-hq tenants list"),
        (("grant", "plant-a", "east", "--expires", "soon"), "a duration"),
    ):
        refused = invoke(home, "tenants", *arguments)
        assert refused.exit_code == 2 and expected in refused.output


def test_no_further_gateway_is_invited_over_a_quota_of_storage(home: Path) -> None:
    done(home, "tenants", "add", "plant-a")
    done(home, "tenants", "own", "plant-a", "north")
    done(home, "tenants", "quota", "plant-a", "storage", "0")
    asked = ("gateways", "invite", "--id", "unit-1", "--address", "tcp://hq:7502")
    refused = invoke(home, *asked, "--site", "north")
    assert refused.exit_code == 1 and "quota of 0 storage" in refused.output
    done(home, *asked, "--site", "south")
    done(home, "tenants", "quota", "plant-a", "storage", "none")
    done(home, *asked, "--site", "north")


def test_the_audit_is_sealed_exported_and_a_changed_byte_found_in_either(home: Path, tmp_path: Path) -> None:
    config = load(home)
    AuditThread(config, Identity.load(home).signing, Stop(), EventLog("error")).look()
    done(home, "users", "add", "anna")
    assert told(home, "audit", "verify") == {"entries": 6, "seals": 1, "faults": []}
    actions = [row["action"] for row in told(home, "audit", "list", "--action", "users.", "--since", "1h")]
    assert actions == ["users.link", "users.add", "users.link", "users.add"]
    file = tmp_path / "audit.jsonl"
    assert "wrote 7 entries" in done(home, "audit", "export", str(file))
    assert told(home, "audit", "verify", "--file", str(file))["seals"] == 2
    file.write_text(file.read_text().replace('"target": "anna"', '"target": "eve!"', 1))
    result = invoke(home, "audit", "verify", "--file", str(file))
    assert result.exit_code == 1
    assert "FAULT entry 5: its content was altered" in result.output
    file.write_text("{}\n")
    assert invoke(home, "audit", "verify", "--file", str(file)).exit_code == 2
    database = home / "data" / "metadata.db"
    engine = open_metadata(home / "data", None)
    with engine.connect() as connection:
        connection.exec_driver_sql("rollback")
        connection.exec_driver_sql("pragma wal_checkpoint(truncate)")
    engine.dispose()
    raw = database.read_bytes()
    at = raw.index(b"users.linkanna")
    database.write_bytes(raw[:at] + b"X" + raw[at + 1 :])
    result = invoke(home, "audit", "verify")
    assert result.exit_code == 1
    assert re.search(r"FAULT entry [56]: its content", result.output)
    assert "removed 0 entries" in done(home, "audit", "prune")


def test_a_store_that_is_an_older_copy_lacks_the_seal_that_is_kept_beside_it(
    home: Path, tmp_path: Path
) -> None:
    config, key = load(home), Identity.load(home).signing
    file = tmp_path / "hq.log"
    log = EventLog("info", file=file)
    keeper = AuditThread(config, key, Stop(), log)
    keeper.look()
    with closing(sqlite3.connect(home / "data" / "metadata.db")) as store:
        with closing(sqlite3.connect(tmp_path / "older.db")) as older:
            store.backup(older)
        done(home, "users", "add", "eve")
        keeper.look()
        assert told(home, "audit", "verify")["faults"] == []
        with closing(sqlite3.connect(tmp_path / "older.db")) as older:
            older.backup(store)
    result = invoke(home, "audit", "verify")
    assert result.exit_code == 1
    assert "FAULT seal of entry 6: it was signed here, and the store has it not" in result.output
    keeper.look()
    log.close()
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == ["audit-seal-lost"]
    assert told(home, "audit", "verify")["faults"] == []
    assert [row["action"] for row in told(home, "audit", "list", "--lines", "1")] == ["audit.lost"]
    config.audit_seal.write_text("[]")
    assert "expected the last seal of the audit" in invoke(home, "audit", "verify").output


def test_seals_that_are_taken_out_with_what_they_signed_are_missed(home: Path) -> None:
    AuditThread(load(home), Identity.load(home).signing, Stop(), EventLog("error")).look()
    with closing(sqlite3.connect(home / "data" / "metadata.db")) as store, store:
        for name in ("entries_no_delete", "seals_no_delete"):
            store.execute(f"drop trigger audit_{name}")
        store.execute("delete from audit_seals")
        store.execute("delete from audit_entries where seq > 2")
        store.execute("update audit_head set (seq, hash) = (select 2, hash from audit_entries where seq = 2)")
    result = invoke(home, "audit", "verify")
    assert result.exit_code == 1 and "seals were taken out of it" in result.output


def test_the_database_is_brought_up_to_date_and_another_url_is_said_wrong(home: Path) -> None:
    assert "At " in done(home, "db", "upgrade")
    assert told(home, "db", "current")["database"] == "sqlite"
    (home / CONFIG).write_text(
        (home / CONFIG).read_text() + '\n[metadata]\nurl = "mysql://root:hunter2@db/x"\n'
    )
    refused = invoke(home, "db", "current")
    assert refused.exit_code == 2 and "postgresql+pg8000" in refused.output
    assert "hunter2" not in refused.output


def test_an_unreachable_metadata_store_is_told_of_once_and_stops_nothing(home: Path, tmp_path: Path) -> None:
    text = f'\n[metadata]\nurl = "postgresql+pg8000://x@/x?unix_sock={tmp_path}/none"\n'
    (home / CONFIG).write_text((home / CONFIG).read_text() + text)
    file = tmp_path / "hq.log"
    log = EventLog("info", file=file)
    thread = AuditThread(load(home), Identity.load(home).signing, Stop(), log)
    thread.look()
    thread.look()
    log.close()
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == ["audit-not-sealed"]
