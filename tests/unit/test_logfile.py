"""Log files end by size, by age and by number, also over restarts, and never end the node."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from protocols.daemon import EventLog
from protocols.logfile import DAY_S, LogConfig, LogFile, lines_of


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def opened(path: Path, clock: Clock, size: int = 1 << 20, days: float = 1.0, files: int = 3) -> EventLog:
    return EventLog(
        stream=None, file=path, file_bytes_max=size, file_age_s=days * DAY_S, files_max=files, clock=clock
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def events(path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in lines_of(path)]


def test_a_file_is_closed_at_its_size_and_so_many_are_kept(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "logs" / "hub.log"
    log = opened(path, clock, size=300)
    for number in range(40):
        log.info("stored", number=number)
    log.close()
    assert names(path.parent) == ["hub.log", "hub.log.1", "hub.log.2", "hub.log.3"]
    assert all(file.stat().st_size <= 300 for file in path.parent.iterdir())
    numbers = [json.loads(line)["number"] for line in lines_of(path)]
    assert numbers == list(range(numbers[0], 40))


def test_a_file_is_closed_at_its_age_which_a_restart_does_not_change(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "hub.log"
    log = opened(path, clock)
    log.info("one")
    log.close()
    clock.now += 0.6 * DAY_S
    log = opened(path, clock)
    log.info("two")
    assert names(tmp_path) == ["hub.log"]
    clock.now += 0.4 * DAY_S
    log.info("three")
    log.info("four")
    log.close()
    assert names(tmp_path) == ["hub.log", "hub.log.1"]
    assert events(path) == ["one", "two", "three", "four"]
    assert len(path.read_text().splitlines()) == 2


def test_closed_files_that_are_too_old_are_removed(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "hub.log"
    log = opened(path, clock)
    for number in range(4):
        log.info("stored", number=number)
        for file in tmp_path.iterdir():
            if file.name == "hub.log":
                os.utime(file, (clock.now, clock.now))
        clock.now += 1.5 * DAY_S
    log.close()
    assert names(tmp_path) == ["hub.log", "hub.log.1"]


def test_without_an_age_size_alone_counts(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "hub.log"
    log = opened(path, clock, days=0)
    log.info("one")
    clock.now += 1000 * DAY_S
    log.info("two")
    log.close()
    assert names(tmp_path) == ["hub.log"]


@pytest.mark.parametrize("begin", ["", "no json\n", '{"time": 5}\n', '{"time": "soon"}\n', "[]\n"])
def test_whatever_a_file_begins_with_it_is_written_on(tmp_path: Path, begin: str) -> None:
    path = tmp_path / "hub.log"
    path.write_text(begin)
    os.utime(path, (1_790_000_000, 1_790_000_000))
    log = opened(path, Clock())
    log.info("one")
    log.close()
    assert path.read_text().startswith(begin)
    assert json.loads(path.read_text().splitlines()[-1])["event"] == "one"


def test_a_file_that_cannot_be_written_loses_lines_and_raises_nothing(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "hub.log"
    log = opened(path, Clock(), size=60)
    log.info("one")
    path.unlink()
    path.parent.rmdir()
    path.parent.touch()  # no folder any longer: the next file cannot be made
    log.info("two")
    log.info("three")
    log.close()


def test_the_settings_make_the_log_of_a_process(tmp_path: Path) -> None:
    values = {"level": "warning", "directory": "logs", "file_mb": 2, "file_days": 0, "files_max": 7}
    config = LogConfig.of(tmp_path, values)
    assert config == LogConfig("warning", tmp_path / "logs", 2 << 20, 0.0, 7)
    log = EventLog.of(config, "web.log", keep=1)
    log.info("not shown")
    log.error("shown")
    log.close()
    assert events(tmp_path / "logs" / "web.log") == ["shown"]
    assert LogConfig.of(tmp_path, {**values, "directory": None}).file("web.log") is None


def test_files_beyond_the_known_ones_are_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "hub.log"
    (tmp_path / "hub.log.old").write_text("mine\n")
    handler = LogFile(path, 10, 0, 1, Clock())
    handler.close()
    assert lines_of(path) == []
