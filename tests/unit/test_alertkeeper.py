"""Alerts where there is no web process: begun late, tried again, ended with headquarters."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from headquarters import alertkeeper
from headquarters.alertkeeper import AlertThread
from headquarters.cli import main
from headquarters.config import HeadquartersConfig, load
from protocols.daemon import EventLog, Stop

WAIT_S = 60.0


class Heard(io.StringIO):
    """A log that tells when something was written of an event."""

    def __init__(self, *events: str) -> None:
        super().__init__()
        self._seen = {event: threading.Event() for event in events}

    def write(self, text: str) -> int:
        for event, seen in self._seen.items():
            if f'"{event}"' in text:
                seen.set()
        return super().write(text)

    def wait(self, event: str) -> None:
        assert self._seen[event].wait(WAIT_S), f"expected {event}, got {self.getvalue()}"


@pytest.fixture
def config(tmp_path: Path) -> HeadquartersConfig:
    home = tmp_path / "hq"
    made = CliRunner().invoke(main, ["init", "--home", str(home), "--id", "hq"])
    assert made.exit_code == 0, made.output
    rule = ("--metric", "catchment_group_gateway_silent_seconds", "--absence")
    added = CliRunner().invoke(main, ["alerts", "add", "nobody-there", "--home", str(home), *rule])
    assert added.exit_code == 0, added.output
    found = load(home)
    return replace(found, alerts={**found.alerts, "interval_s": 0.01})


def test_a_store_that_cannot_be_opened_is_tried_again(
    config: HeadquartersConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alertkeeper, "FIRST_S", 0.0)
    stop, log = Stop(), Heard("alerts-failed", "alert-fires")
    allowed = config.home / "allow.toml"
    allowed.write_text("no list")
    thread = AlertThread(config, stop, EventLog(stream=log))
    thread.start()
    log.wait("alerts-failed")
    allowed.write_text("")
    log.wait("alert-fires")
    stop.ask()
    thread.join(WAIT_S)
    assert not thread.is_alive() and "nobody-there" in log.getvalue()


def test_headquarters_that_stops_before_the_first_look_opens_nothing(config: HeadquartersConfig) -> None:
    stop, log = Stop(), Heard()
    stop.ask()
    thread = AlertThread(config, stop, EventLog(stream=log))
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive() and not (config.data / "alerts.lock").exists() and not log.getvalue()
