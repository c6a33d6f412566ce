"""A first-time user of the demo: the printed link, then live trends, an alarm, the topology and a query."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.peers.browser import ENTER, Browser

pytestmark = pytest.mark.timeout(300)

VISIT_S = 120.0
"""What a user may need from the link to the last of it."""

START_S = 90.0
PASSWORD = "Nine-quiet-rivers-7"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What `demo.json` says of a demo that runs; afterwards it stops in order, and finds nothing lost."""
    command = [
        sys.executable,
        "-m",
        "scripts.demo",
        "--pace",
        "10",
        "--json",
        "--keep",
        str(tmp_path / "demo"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            found, end = tmp_path / "demo" / "demo.json", time.monotonic() + START_S
            while not found.exists():
                assert process.poll() is None and time.monotonic() < end, "the demo does not start"
                time.sleep(0.2)
            yield json.loads(found.read_text(encoding="utf-8"))
            process.send_signal(signal.SIGINT)
            told, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
            assert json.loads(told.splitlines()[-1])["lost"] == 0
            assert "sign in once by:" in errors
        finally:
            process.kill()


def test_within_two_minutes_of_the_printed_link_everything_is_seen(demo: dict[str, Any]) -> None:
    began, portal = time.monotonic(), demo["portal_url"]
    with Browser() as browser:
        browser.open(demo["sign_in_link"])
        press(browser, "form .button")
        browser.wait("one's account", lambda: "/account" in browser.address())
        for name in ("new", "again"):
            browser.focus(f"input[name={name}]")
            browser.keys(PASSWORD)
        browser.keys(ENTER)
        browser.wait("the password to be set", lambda: "first=" not in browser.address())

        browser.open(f"{portal}/alarms")
        browser.wait("an alarm", lambda: any("unacknowledged" in each for each in cells(browser)), 60)
        browser.open(f"{portal}/topology")
        browser.wait("the hub and its gateways", lambda: "gw-modbus" in browser.text("#page"))
        assert "gw-opcua" in browser.text("#page")

        browser.open(f"{portal}/points?q=10LBA*")
        press(browser, 'a[href*="/trend?series="]')
        browser.wait("a chart", lambda: browser.script("return !!document.querySelector('.uplot canvas')"))
        first = latest(browser)
        browser.wait("the value to move", lambda: latest(browser) not in ("", "–", first))

        browser.open(f"{portal}/sql?sql=SELECT+count(*)+AS+n+FROM+samples")
        browser.wait("the editor", lambda: browser.script("return !!document.querySelector('.cm-content')"))
        press(browser, "#run")
        browser.wait("a result", lambda: browser.text("#rows tbody td") not in ("", "0"), 60)
        assert time.monotonic() - began < VISIT_S
        assert browser.requested() == {urlsplit(portal).netloc}
        assert browser.complaints() == []


def press(browser: Browser, selector: str) -> None:
    """Click on the first such element, once it is there."""
    browser.wait(selector, lambda: browser.script("return !!document.querySelector(arguments[0])", selector))
    browser.script("document.querySelector(arguments[0]).click()", selector)


def cells(browser: Browser) -> list[str]:
    """What the cells of the page's tables show."""
    found: list[str] = browser.script(
        "return [...document.querySelectorAll('#page td')].map(cell => cell.innerText.trim())"
    )
    return found


def latest(browser: Browser) -> str:
    """The latest value that the trend's table shows."""
    return next(iter(cells(browser)[2:]), "")
