"""The gateway's service: trials are judged by what the session does, reports go out when there is news."""

from __future__ import annotations

import io
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import home as homes
from edge_runtime.configread import load
from edge_runtime.desired import service as services
from edge_runtime.desired.firmware import NoSlots
from edge_runtime.desired.service import DesiredService
from protocols.daemon import EventLog
from protocols.desired import Document, Item, ItemKind, WriteRange
from protocols.identity import Identity
from protocols.records import EventRecord
from tests.desired.parts import Shelf

CONFIG = b"""
[scan.fast]
period_s = 2
[scan.slow]
period_s = 10
[device.plc1]
driver = "modbus-tcp"
host = "192.0.2.1"
"""


class Session:
    """A session as the service sees it."""

    def __init__(self) -> None:
        self.connected = True
        self.apps: list[dict[str, Any]] = []
        self.samples = 0
        self.anew: list[str] = []
        self.told: list[EventRecord] = []

    @property
    def status(self) -> dict[str, Any]:
        return {
            "uplink": {"connected": self.connected},
            "tasks": [{"samples": self.samples, "overruns": 0}],
            "ledger": {"dropped": {}},
            "apps": self.apps,
        }

    def begin_anew(self, why: str) -> None:
        self.anew.append(why)

    def tell(self, record: EventRecord) -> None:
        self.told.append(record)


class Bench:
    """A service whose clock and thread are the test's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = folder / "gw"
        homes.create(self.home, "unit-1", "")
        self.shelf = Shelf(folder / "shelf")
        self.now_s = 1000.0
        monkeypatch.setattr("edge_runtime.desired.service.time.monotonic", lambda: self.now_s)
        monkeypatch.setattr(services, "_check", lambda home, changes: [])
        self.log = io.StringIO()
        self.session = Session()
        config, identity = load(self.home), Identity.load(self.home)
        self.service = DesiredService(
            config, identity, lambda *_: self.shelf, NoSlots(), EventLog(stream=self.log)
        )
        self.service.began(self.session, config, identity)

    def desire(self, *items: tuple[ItemKind, str, bytes]) -> None:
        version = 1 if self.shelf.document is None else self.shelf.document.version + 1
        made = []
        for kind, path, data in items:
            length, sha256 = self.shelf.put(data)
            made.append(Item(kind, "a", "1", path, length, sha256))
        self.shelf.document = Document("unit-1", version, tuple(made))

    def look(self, seconds: float = 0.0) -> None:
        """What the thread does, some seconds later."""
        self.now_s += seconds
        self.service._watch()
        self.service._turn()
        self.service._report()

    def restart(self) -> None:
        """The session that was asked for begins."""
        assert self.session.anew
        self.service.ended()
        self.session = Session()
        self.service.began(self.session, load(self.home), Identity.load(self.home))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_a_change_is_confirmed_when_the_session_has_run_and_reached_its_upstream(bench: Bench) -> None:
    bench.desire((ItemKind.CONFIG, "config/a-1.toml", CONFIG))
    bench.look()
    assert bench.session.anew == ["desired state"]
    bench.restart()
    bench.session.connected = False
    bench.look(services.CONFIRM_S + 1)
    assert bench.service.status()["trial"], "it has not reached what it reached before"
    bench.session.connected = True
    bench.look(1)
    assert not bench.service.status()["trial"]
    assert bench.service.status()["items"][0]["state"] == "active"


def test_a_configuration_that_cuts_the_gateway_off_undoes_itself(bench: Bench) -> None:
    before = (bench.home / "gateway.toml").read_bytes()
    bench.desire((ItemKind.CONFIG, "config/a-1.toml", CONFIG))
    bench.look()
    bench.restart()
    bench.session.connected = False
    bench.look(services.REACH_S - 1)
    assert (bench.home / "gateway.toml").read_bytes() != before
    bench.look(2)
    assert (bench.home / "gateway.toml").read_bytes() == before
    assert bench.session.anew == ["what was desired does not run"]
    bench.restart()
    bench.look(1)
    item = bench.service.status()["items"][0]
    assert item["state"] == "failed" and "no upstream was reached" in item["why"]
    assert not bench.session.anew, "it is not tried again"


def test_an_app_that_fails_in_its_first_scans_goes_back(bench: Bench) -> None:
    bench.session.connected = False
    length, sha256 = bench.shelf.put(b"app")
    from protocols.desired import AppSettings

    path = "apps/own/gas-1.0.0.capp"
    app = Item(ItemKind.APP, "gas", "1.0.0", path, length, sha256, app=AppSettings())
    bench.shelf.document = Document("unit-1", 1, (app,))
    bench.look()
    bench.service.ended()
    config, identity = load(bench.home), Identity.load(bench.home)
    bench.session = Session()
    bench.session.apps = [{"app": "gas", "state": "failed", "why": "division", "missed": 0, "models": []}]
    bench.service.began(bench.session, config, identity)
    bench.look(1)
    assert not (bench.home / "apps" / "gas.toml").exists()
    bench.session.apps = []
    bench.restart()
    bench.look(1)
    assert bench.service.status()["items"][0]["why"] == "the app failed: division"


def test_reports_go_out_with_news_and_now_and_then(bench: Bench) -> None:
    bench.look()
    first = bench.service.take_report()
    assert first is not None and first.document == 0 and first.items == ()
    assert first.program == version("catchment")
    bench.look(5)
    assert bench.service.take_report() is None
    bench.session.samples = 500
    bench.look(services.REPORT_S)
    second = bench.service.take_report()
    assert second is not None and (second.health.samples, second.health.window_s) == (500, 65)
    assert second.health.due == round(65 * 3.1), "three points a second, one in ten"
    bench.session.connected = False
    bench.look(services.REPORT_S + 1)
    assert bench.service.take_report() is None, "what waits in the chain is never thinned"
    bench.look(services.REPORT_ALONE_S)
    assert bench.service.take_report() is not None
    bench.shelf.document = Document("unit-9", 1)
    bench.look(1)
    refused = bench.service.take_report()
    assert refused is not None and "expected the document of unit-1" in refused.why
    assert [event.transition for event in bench.session.told] == ["refused"]
    bench.look(1)
    assert len(bench.session.told) == 1, "it is told once"


def test_a_report_that_could_not_be_written_goes_later_unless_there_is_a_newer_one(bench: Bench) -> None:
    bench.look()
    report = bench.service.take_report()
    assert report is not None
    bench.service.put_back(report)
    assert bench.service.take_report() is report


def test_other_grants_of_commands_begin_a_session_and_the_same_ones_do_not(bench: Bench) -> None:
    writes = {"SP-7": WriteRange(20.0, 60.0)}
    bench.shelf.document = Document("unit-1", 1, (), writes)
    bench.look()
    assert bench.session.anew == ["desired state"]
    bench.restart()
    bench.shelf.document = Document("unit-1", 2, (), writes)
    bench.look(61)
    assert not bench.session.anew
    bench.shelf.document = Document("unit-1", 3)
    bench.look(61)
    assert bench.session.anew == ["desired state"], "what was taken away is gone at once"
