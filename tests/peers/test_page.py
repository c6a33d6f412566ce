"""The status page of a real gateway in a real browser."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime import main, pointids
from edge_runtime.apps.install import Wanted, install
from edge_runtime.config import PageConfig
from edge_runtime.page import passwords
from protocols.daemon import EventLog, Stop
from protocols.field import registry
from protocols.package import archive
from tests.app_parts import manifest
from tests.faults.test_gateway import Gateway
from tests.peers.browser import ENTER, TAB, Browser
from tests.unit.fake_driver import FakeDriver

PROGRAM = """
PROGRAM watch
VAR_INPUT x : LREAL; END_VAR
VAR guard : HIGH_ALARM; steam : HIGH_ALARM; END_VAR
guard(IN := x, LIMIT := -1.0, ON_DELAY := T#0ms, PRIORITY := 1, TEXT := 'CH4 <b>high</b> & rising');
steam(IN := x, LIMIT := -1.0, ON_DELAY := T#0ms, PRIORITY := 3, TEXT := '主蒸汽温度高');
END_PROGRAM
""".encode()


@contextmanager
def shown(tmp_path: Path, password: str = "") -> Iterator[str]:
    """A gateway with two alarms, and the address of its page."""
    gateway = Gateway(tmp_path / "gw", flush_s=0.5)
    ids = pointids.PointIds()
    for point in gateway.config.points:
        ids.claim(point.id, point.name, point.value_type)
    pointids.save(gateway.config.home, ids)
    package = archive.pack({"app.toml": manifest("watch", events=True), "programs/watch.st": PROGRAM})
    install(gateway.config, package, "watch.capp", Wanted(instance="hall-1", inputs={"x": "P1"}))
    gateway.config = replace(gateway.config, page=PageConfig("127.0.0.1", 0, password))
    stop, log = Stop(), EventLog(stream=gateway.log, keep=500)
    thread = threading.Thread(target=lambda: main.live(gateway.config, gateway.identity, log, stop))
    thread.start()
    try:
        end = time.monotonic() + 20
        while "page-open" not in gateway.log.getvalue():
            assert time.monotonic() < end, gateway.log.getvalue()
            time.sleep(0.05)
        lines = map(json.loads, gateway.log.getvalue().splitlines())
        yield next(line["address"] for line in lines if line["event"] == "page-open")
    finally:
        stop.ask()
        thread.join()


@pytest.fixture(autouse=True)
def fake_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "create", lambda name, settings, context: FakeDriver())


def test_alarms_are_acknowledged_and_shelved_from_the_keyboard(tmp_path: Path) -> None:
    with shown(tmp_path) as address, Browser() as browser:
        browser.open(address)
        browser.wait("two alarms", lambda: browser.text("#alarms").count("hall-1/") == 2)
        assert "CH4 <b>high</b> & rising" in browser.text("#alarms")
        browser.picture(tmp_path / "light.png")
        # without a name nothing is sent: the browser itself asks for it
        browser.focus('button[formaction="/alarms/acknowledge"]')
        browser.keys(ENTER)
        assert browser.script("return document.activeElement.name") == "operator"
        browser.keys("李 Lei")
        browser.focus('button[formaction="/alarms/acknowledge"]')
        browser.keys(ENTER)
        browser.wait("what was done", lambda: "acknowledged" in browser.text(".said"))
        browser.wait("the state", lambda: "acknowledged" in browser.text("#alarms td:nth-child(2)"))
        assert browser.script("return document.querySelector('[name=operator]').value") == "李 Lei"
        # shelving needs a reason, which the server asks for
        browser.focus('button[formaction="/alarms/shelve"]')
        browser.keys(ENTER)
        browser.wait("a refusal", lambda: "say why" in browser.text(".said"))
        browser.focus("[name=comment]")
        browser.keys("sensor ordered" + TAB)
        assert browser.script("return document.activeElement.name") == "for_s"
        browser.focus('button[formaction="/alarms/shelve"]')
        browser.keys(ENTER)
        browser.wait("a shelved alarm", lambda: "shelved until" in browser.text("#alarms"))
        assert browser.requested() == {address.split("/")[2]}, "nobody else was asked for anything"
        assert browser.complaints() == []


def test_the_page_speaks_chinese_in_the_dark_and_renews_itself_without_losing_the_focus(
    tmp_path: Path,
) -> None:
    with shown(tmp_path) as address, Browser() as browser:
        browser.prefer("dark")
        browser.open(f"{address}?lang=zh")
        browser.wait("alarms", lambda: "未确认" in browser.text("#alarms"))
        assert browser.text("#health h2") == "运行状况"
        assert browser.script("return getComputedStyle(document.body).backgroundColor") == "rgb(17, 22, 26)"
        browser.picture(tmp_path / "dark.png")
        browser.focus('button[formaction="/alarms/shelve"]')
        before = browser.text(".stamp")
        browser.wait("a renewal", lambda: browser.text(".stamp") != before)
        assert browser.script("return document.activeElement.formAction").endswith("/alarms/shelve")
        assert browser.complaints() == []


def test_where_a_password_is_set_nothing_is_shown_before_it_was_given(tmp_path: Path) -> None:
    with shown(tmp_path, passwords.make("steam")) as address, Browser() as browser:
        browser.open(address)
        assert "hall-1" not in browser.text("body")
        browser.focus("#password")
        browser.keys("water" + ENTER)
        browser.wait("a refusal", lambda: "wrong" in browser.text(".said"))
        browser.focus("#password")
        browser.keys("steam" + ENTER)
        browser.wait("the alarms", lambda: "hall-1/" in browser.text("#alarms"))
