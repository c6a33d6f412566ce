"""The gateway's way out through a one-way isolator: its configuration, its files, what leaves when."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest

from edge_runtime.config import ExportConfig
from edge_runtime.configread import load
from edge_runtime.export import RETRY_S, Export
from protocols.batch import Header, Stream
from protocols.container import parse, unseal
from protocols.daemon import EventLog
from protocols.errors import InputError
from protocols.identity import Identity
from protocols.records import Mark
from tests.gateway_home import GATEWAY_TOML, make_home
from tests.unit.edge_buffers import GATEWAY, World

EXPORT = '[export]\ndirectory = "out"\n'
ALONE = GATEWAY_TOML[: GATEWAY_TOML.index("[[upstream]]")]


def problems(tmp_path: Path, toml: str) -> list[str]:
    with pytest.raises(InputError) as raised:
        load(make_home(tmp_path, toml))
    return [f"{problem.place}: {problem.expected}" for problem in raised.value.problems]


class TestConfiguration:
    def test_an_export_takes_the_place_of_upstreams(self, tmp_path: Path) -> None:
        config = load(make_home(tmp_path, ALONE + EXPORT))
        assert config.export == ExportConfig(tmp_path / "out", (60.0, 600.0))
        assert config.buffer.trim is Mark.HUB, "no receipt comes back"
        assert not config.warnings

    def test_repeats_may_be_left_out(self, tmp_path: Path) -> None:
        config = load(make_home(tmp_path, ALONE + EXPORT + "repeat_s = 0\nlast_repeat_s = 30\n"))
        assert config.export is not None and config.export.repeat_after_s == (30.0,)

    def test_what_cannot_be_meant_is_refused(self, tmp_path: Path) -> None:
        assert "either [export] or [[upstream]]" in problems(tmp_path, GATEWAY_TOML + EXPORT)[0]
        late = problems(tmp_path, ALONE + EXPORT + "last_repeat_s = 30\n")
        assert late == ["line 29, [export] last_repeat_s: at least repeat_s, which is 60"]
        trim = ALONE.replace("flush_s = 1.0", 'trim = "headquarters"')
        assert "no receipt comes back" in problems(tmp_path, trim + EXPORT)[0]
        assert "directory" in problems(tmp_path, ALONE + "[export]\n")[0]


class Side:
    """An export over a buffer in memory, and a clock to wait with."""

    def __init__(self, directory: Path, repeat_after_s: tuple[float, ...] = ()) -> None:
        self.world = World(trim=Mark.HUB)
        self.directory = directory
        self.config = ExportConfig(directory, repeat_after_s)
        self.now = 1000.0
        self.log = StringIO()
        self.start()

    def start(self) -> None:
        """As after a start of the process."""
        public = Identity.generate("gw1", "gateway").public
        identity = Identity(public, GATEWAY, Identity.generate("gw1", "gateway").link)
        self.export = Export(
            self.config,
            identity,
            self.world.boot(),
            EventLog("error", stream=self.log),
            self.world.clock.now_us,
            monotonic=lambda: self.now,
            sleep=self.wait,
        )

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            before = self.now
            self.export.step()
            self.now = max(self.now, before + 0.01)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    def sent(self) -> list[int]:
        """Sequences of all data batches in all files."""
        return [
            header.seq
            for name in self.files()
            for batch in parse(unseal((self.directory / name).read_bytes())[0]).batches()
            if (header := Header.parse(batch.header)).stream is Stream.DATA
        ]


def test_batches_become_files_and_leave_the_buffer(tmp_path: Path) -> None:
    side = Side(tmp_path)
    side.world.append(3)
    side.run(2.0)
    assert side.files() == ["gw1-000000000000.cmf"]
    assert side.sent() == [0, 1, 2, 3]
    assert side.world.buffer.settled


def test_a_batch_leaves_only_after_its_last_repeat(tmp_path: Path) -> None:
    side = Side(tmp_path, (10.0, 20.0))
    side.run(1.0)
    side.world.append(1)
    side.run(15.0)
    assert side.sent().count(1) == 2 and not side.world.buffer.settled
    side.run(10.0)
    assert side.sent().count(1) == 3 and side.world.buffer.settled


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    side = Side(tmp_path)
    side.run(1.0)
    side.start()
    side.world.append(1)
    side.run(1.0)
    assert side.files() == [f"gw1-{number:012d}.cmf" for number in range(2)]


def test_a_directory_that_cannot_be_written_is_said_once_and_tried_again(tmp_path: Path) -> None:
    side = Side(tmp_path / "out")
    side.world.append(2)
    side.run(3 * RETRY_S)
    assert not side.export.status.connected and "cannot write" in side.export.status.last_error
    assert side.log.getvalue().count("file-not-written") == 1
    side.directory.mkdir()
    side.run(RETRY_S + 1)
    assert side.export.status.connected and side.world.buffer.settled
    assert side.export.status.batches_sent == len(side.sent()) + 1, "the meta chain's opening is another"


def test_at_a_stop_what_is_there_is_written(tmp_path: Path) -> None:
    side = Side(tmp_path)
    side.run(1.0)
    side.world.append(2)
    side.export.close()
    assert side.world.buffer.settled
