"""`catchment-hq alerts`, `capacity` and `versions` as somebody types them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headquarters.audit.store import Audit
from headquarters.cli import main
from headquarters.db.engine import reading, writing
from headquarters.desired.store import DesiredStore
from headquarters.metadata import open_metadata
from headquarters.operations.alerts.evaluator import Change
from headquarters.operations.alerts.rules import Rule
from headquarters.operations.alerts.store import Notifications
from headquarters.trust import allow
from protocols.identity import Identity
from protocols.records import HubReport, StoreUse

SILENT = "catchment_group_gateway_silent_seconds"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("hq") / "home"
    made = CliRunner().invoke(
        main, ["init", "--home", str(home), "--id", "hq", "--bind", "tcp://127.0.0.1:0"]
    )
    assert made.exit_code == 0, made.output
    return home


def said(home: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, [*words, "--home", str(home)])
    assert result.exit_code == code, result.output
    return result.output


def told(home: Path, *words: str, code: int = 0) -> Any:
    return json.loads(said(home, *words, "--json", code=code))


def test_rules_are_added_changed_and_removed_and_that_is_audited(home: Path) -> None:
    said(home, "alerts", "add", "pumps", "--metric", SILENT, "--above", "60", "--label", "gateway=pump-*")
    said(
        home, "alerts", "add", "pumps", "--metric", SILENT, "--above", "90", "--for", "5min", "--off",
        "--label", "gateway=pump-*",
    )  # fmt: skip
    said(home, "alerts", "add", "odd", "--metric", SILENT, "--anomaly", "--z", "5", "--window", "1d")
    rules = {rule["name"]: rule for rule in told(home, "alerts", "list", "--rules")}
    pumps = rules["pumps"]
    assert (pumps["above"], pumps["for_s"], pumps["enabled"]) == (90, 300, False)
    assert (rules["odd"]["kind"], rules["odd"]["window_s"]) == ("anomaly", 86_400)
    assert re.search(
        r"^pumps +threshold +\S+ +>90 +300.0 +warning +no$", said(home, "alerts", "list", "--rules"), re.M
    )
    said(home, "alerts", "remove", "odd")
    assert "expected a rule that was added" in said(home, "alerts", "remove", "odd", code=2)
    assert "a metric of catchment_hq" in said(
        home, "alerts", "add", "x", "--metric", "none", "--above", "1", code=2
    )
    assert "LABEL=PATTERN" in said(home, "alerts", "add", "x", "--metric", SILENT, "--label", "oops", code=2)
    engine = open_metadata(home / "data", None)
    with reading(engine) as session:
        actions = [entry.content.action for entry in Audit(session).walk()]
    engine.dispose()
    assert actions.count("alerts.put-rule") == 3
    assert actions.count("alerts.remove-rule") == 1


def test_silences_are_made_listed_and_ended(home: Path) -> None:
    made = told(
        home,
        "alerts",
        "silence",
        "--rule",
        "gateway-*",
        "--label",
        "site=n*",
        "--for",
        "2h",
        "--comment",
        "x",
    )
    assert made["ends_us"] - made["begins_us"] == 7_200_000_000
    assert [each["id"] for each in told(home, "alerts", "silences")] == [made["id"]]
    assert "site=n*" in said(home, "alerts", "silences")
    assert "how long, and why" in said(home, "alerts", "silence", "--for", "2h", code=2)
    said(home, "alerts", "silence", "--end", made["id"])
    assert told(home, "alerts", "silences") == []
    assert "an open silence" in said(home, "alerts", "silence", "--end", made["id"], code=2)


def test_what_fires_is_listed_and_a_critical_one_is_a_fault(home: Path) -> None:
    assert told(home, "alerts", "list") == []
    rule = Rule("dark", SILENT, above=1, severity="critical", summary="{gateway} is dark")
    engine = open_metadata(home / "data", None)
    labels = {"gateway": "unit-1", "site": "north"}
    with writing(engine) as session:
        Notifications(session).take([Change(rule, labels, True, 5.0, 1.0)], [], [], 1_000_000)
    [found] = told(home, "alerts", "list", code=1)
    assert (found["summary"], found["resolved_us"]) == ("unit-1 is dark", None)
    assert "unit-1 is dark" in said(home, "alerts", "list", code=1)
    with writing(engine) as session:
        Notifications(session).take([Change(rule, labels, False, None, 2.0)], [], [], 2_000_000)
    engine.dispose()
    said(home, "alerts", "list")


def test_a_test_message_says_which_channel_did_not_take_it(home: Path) -> None:
    assert told(home, "alerts", "test") == {}
    config = home / "headquarters.toml"
    before = config.read_text()
    config.write_text(before + "[alerts]\nwebhook_url = 'http://127.0.0.1:1/hook'\n")
    assert "expected 127.0.0.1 to take a post" in told(home, "alerts", "test", code=1)["webhook"]
    config.write_text(before)


def test_capacity_and_versions_are_what_is_known(home: Path) -> None:
    assert told(home, "capacity") == []
    status = {
        "what": "the disk", "used_bytes": 10**11, "limit_bytes": 2 * 10**11, "hours": 48,
        "per_day_bytes": 10**9, "full_in_days": [90.0, 100.0, None],
    }  # fmt: skip
    (home / "data" / "status.json").write_text(json.dumps({"capacity": status}))
    stores = (StoreUse("store", 10**9, 20 * 10**9, 5), StoreUse("mirror", 10**9, 4 * 10**9))
    text = json.dumps(HubReport("0.1.0", stores).fields())
    store = DesiredStore(home / "data")
    store.take_hub_reports([(name, 1, text) for name in ("hub-north", "unit-1", "stranger")], 2_000_000)
    store.close()
    for name, role in (("hub-north", "hub"), ("unit-1", "gateway")):
        allow(home, Identity.generate(name, role).public)
    assert said(home, "capacity").splitlines() == [
        "hq disk: 100.0 of 200.0 GB (50 %)",
        "  +1.00 GB a day, from 48 h",
        "  full in 100 days (95 %: 90 days to never)",
        "hub-north store: 1.0 of 20.0 GB (5 %)",
        "  5 h measured; a forecast needs 24",
        "hub-north mirror: 1.0 of 4.0 GB (25 %)",
    ]
    own, hub = told(home, "versions")
    assert (own["node"], own["what"], own["role"]) == ("hq", "program", "headquarters")
    assert (hub["node"], hub["what"], hub["version"]) == ("hub-north", "program", "0.1.0")
    assert (hub["role"], hub["reported_us"]) == ("hub", 2_000_000)
