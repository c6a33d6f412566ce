"""A headless Chromium, driven through ChromeDriver's own protocol (W3C WebDriver)."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.peers.foreign import MissingPeerError, free_port

START_S = 30.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--hide-scrollbars", "--window-size=1280,2300",
)  # fmt: skip
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key of an element in the protocol (W3C WebDriver, 11)."""

TAB, ENTER = "\ue004", "\ue007"
"""Keys in the protocol (17.4.2)."""


class Browser:
    """One browser with an empty profile, ended with its context."""

    def __init__(self) -> None:
        driver, browser = shutil.which("chromedriver"), shutil.which("chromium")
        if driver is None or browser is None:
            raise MissingPeerError("expected chromium and chromedriver; run: make peers")
        self._profile = tempfile.mkdtemp()
        self._base = f"http://127.0.0.1:{(port := free_port())}"
        self._process = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + START_S
        while not self._answers():
            assert time.monotonic() < end, "chromedriver does not answer"
            time.sleep(0.1)
        options = {"args": [*FLAGS, f"--user-data-dir={self._profile}"], "binary": browser}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        }
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{made['sessionId']}"

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call("DELETE", self._session)
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, address: str) -> None:
        """Load a page."""
        self._ask("POST", "/url", {"url": address})

    def script(self, body: str, *arguments: object) -> Any:
        """What a function with this body returns in the page."""
        return self._ask("POST", "/execute/sync", {"script": body, "args": list(arguments)})

    def text(self, selector: str) -> str:
        """What an element shows."""
        found: str = self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
        return found

    def focus(self, selector: str) -> None:
        """Put the focus on an element."""
        self.script("document.querySelector(arguments[0]).focus()", selector)

    def keys(self, text: str) -> None:
        """Type into what has the focus."""
        element = self._ask("GET", "/element/active")[ELEMENT]
        self._ask("POST", f"/element/{element}/value", {"text": text})

    def wait(self, what: str, so: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Wait until something is so."""
        end = time.monotonic() + timeout_s
        while not so():
            assert time.monotonic() < end, f"waited in vain for {what}:\n{self.text('body')[:2000]}"
            time.sleep(0.1)

    def prefer(self, scheme: str, media: str = "") -> None:
        """Prefer `light` or `dark` pages; with media `print` show what goes on paper."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        command = {"cmd": "Emulation.setEmulatedMedia", "params": {"media": media, "features": features}}
        self._ask("POST", "/goog/cdp/execute", command)

    def printed(self) -> bytes:
        """The page as a PDF file, A4."""
        command = {"cmd": "Page.printToPDF", "params": {"paperWidth": 8.27, "paperHeight": 11.69}}
        return base64.b64decode(self._ask("POST", "/goog/cdp/execute", command)["data"])

    def unguarded(self, script: str) -> None:
        """Run a script before those of every page, and take no notice of pages' own policies."""
        for name, params in (
            ("Page.setBypassCSP", {"enabled": True}),
            ("Page.addScriptToEvaluateOnNewDocument", {"source": script}),
        ):
            self._ask("POST", "/goog/cdp/execute", {"cmd": name, "params": params})

    def size(self, width: int, height: int) -> None:
        """Be so many pixels wide and high; below 600 as a phone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        command = {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}
        self._ask("POST", "/goog/cdp/execute", command)

    def before_pages(self, script: str) -> None:
        """Run a script in every page from now on, before those of the page."""
        command = {"cmd": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": script}}
        self._ask("POST", "/goog/cdp/execute", command)

    def forget_cache(self) -> None:
        """Fetch everything anew."""
        self._ask("POST", "/goog/cdp/execute", {"cmd": "Network.clearBrowserCache", "params": {}})

    def address(self) -> str:
        """Of the page that is shown."""
        found: str = self._ask("GET", "/url")
        return found

    def cookie(self, name: str, value: str) -> None:
        """Have a cookie of the site that is shown."""
        self._ask("POST", "/cookie", {"cookie": {"name": name, "value": value, "path": "/"}})

    def forget_cookies(self) -> None:
        """Have none of the site that is shown."""
        self._call("DELETE", self._session + "/cookie")

    def chord(self, modifier: str, key: str) -> None:
        """Press a key while another is held."""
        keys = [("keyDown", modifier), ("keyDown", key), ("keyUp", key), ("keyUp", modifier)]
        actions = [{"type": kind, "value": value} for kind, value in keys]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def picture(self, file: Path) -> None:
        """Write what is to be seen to a PNG file."""
        file.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def requested(self) -> set[str]:
        """Hosts that were asked for anything since the last call."""
        hosts = set()
        for entry in self._ask("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = urlsplit(message["params"]["request"]["url"])
                if url.scheme not in ("data", "about", "chrome"):
                    hosts.add(url.netloc)
        return hosts

    def complaints(self) -> list[str]:
        """Errors and warnings of the page since the last call."""
        entries = self._ask("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def _answers(self) -> bool:
        try:
            return bool(self._call("GET", "/status")["ready"])
        except OSError:
            return False

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        return self._call(method, self._session + path, body)

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._base + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()[:1000]}") from error
