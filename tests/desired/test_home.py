"""A real home: its files, its check, and a start after a power cut."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edge_runtime import home as homes
from edge_runtime.config import CONFIG
from edge_runtime.configread import load
from edge_runtime.desired import ACCEPTED
from edge_runtime.desired.accepted import seal
from edge_runtime.desired.candidate import CANDIDATE, check_home
from edge_runtime.desired.changes import FOLDER, Changes
from edge_runtime.desired.disk import HomeDisk
from edge_runtime.desired.files import merged
from edge_runtime.desired.plan import Installed
from edge_runtime.desired.recovery import load_home
from edge_runtime.desired.state import State, Trial, Tried
from edge_runtime.desired.tomltext import dump
from protocols.desired import Document, WriteRange
from protocols.errors import InputError, StoreError
from protocols.field import registry
from protocols.identity import Identity, SigningKey
from protocols.keyfiles import STANDING


@pytest.fixture
def home(tmp_path: Path) -> Path:
    homes.create(tmp_path / "gw", "unit-1", "plant-a")
    return tmp_path / "gw"


def test_the_disk_does_what_it_says(tmp_path: Path) -> None:
    disk = HomeDisk(tmp_path)
    assert disk.read("a/b") is None and disk.sha256("a/b") is None and disk.names("a") == []
    disk.write("a/b", b"one", 0o600)
    assert disk.read("a/b") == b"one" and (tmp_path / "a/b").stat().st_mode & 0o777 == 0o600
    disk.link("a/b", "old/1")
    disk.write("a/c", b"two", 0o644)
    disk.rename("a/c", "a/b")
    assert (disk.read("a/b"), disk.read("old/1")) == (b"two", b"one")
    assert disk.names("a") == ["b"]
    disk.remove("a/b")
    disk.remove("a/b")
    disk.sync("a")
    disk.sync("nowhere")
    assert disk.names("a") == []
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="expected a disk with room"):
        disk.write("file/x", b"", 0o644)


def test_a_home_is_checked_as_it_would_be_and_stays_as_it_is(home: Path) -> None:
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert check_home(home, {}) == []
    wrong = b"name,device,address,type,scan_class\nX,plc9,coil:0,bool,fast\n"
    [problem] = check_home(home, {"points.csv": wrong})
    assert problem.file == "points.csv" and problem.value == "plc9"
    assert check_home(home, {"apps/x.toml": b"", "points.csv": None})
    assert not (home / CANDIDATE).exists()
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_a_check_does_not_finish_a_switch_of_keys(home: Path) -> None:
    ready = home / "keys" / "ready"
    ready.mkdir()
    (ready / "signing.key").write_text("torn")
    assert check_home(home, {"points.csv": (home / "points.csv").read_bytes()}) == []
    assert (ready / "signing.key").read_text() == "torn"


def test_a_check_that_dies_is_a_problem(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import os; os.kill(os.getpid(), 11)"
    monkeypatch.setattr("edge_runtime.desired.candidate.PROGRAM", program)
    [problem] = check_home(home, {})
    assert "exit code -11" in problem.value


def test_a_configuration_keeps_who_the_gateway_is(home: Path) -> None:
    own = (home / CONFIG).read_text()
    wanted = b'[scan.slow]\nperiod_s = 5\n[device.x]\ndriver = "modbus-tcp"\nhost = "h"\n'
    found = tomllib.loads(merged(wanted, own, "config/a-1.toml"))
    assert found["gateway"] == {"id": "unit-1", "site": "plant-a"} and set(found["scan"]) == {"slow"}
    assert found == tomllib.loads(wanted.decode()) | {"gateway": found["gateway"]}
    whole = b'[gateway]\nid = "other"\n'
    assert merged(whole, own, "x") == whole.decode(), "what it says itself counts"
    with pytest.raises(InputError, match=r"config/a-1.toml: line 1"):
        merged(b"[scan", own, "config/a-1.toml")


def test_toml_is_written_as_it_is_read() -> None:
    document = {
        "text": 'a "quoted" \\ text\twith 水',
        "numbers": [1, -2.5, 1e300],
        "empty": {},
        "table": {"inner": {"deep": {"x": True}}, "y": 1},
        "rows": [{"a": 1, "b": {"c": "d"}}, {"a": 2}],
        "key with spaces.and dots": {"x": "y"},
    }
    assert tomllib.loads(dump(document)) == document


def interrupted(home: Path, files: dict[str, bytes | None], state: State) -> None:
    """What a power cut leaves just behind the commit."""

    class Cut(HomeDisk):
        def rename(self, source: str, target: str) -> None:
            super().rename(source, target)
            if target.endswith("journal.json"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Changes(Cut(home)).apply(files, state)


def test_a_start_finishes_what_a_cut_interrupted(home: Path) -> None:
    config = (home / CONFIG).read_text().replace('"plant-a"', '"plant-b"').encode()
    state = State({"config": Installed("d", "1", {CONFIG: "x"})})
    interrupted(home, {CONFIG: config}, state)
    assert '"plant-a"' in (home / CONFIG).read_text()
    assert load_home(home).site == "plant-b"
    changes = Changes(HomeDisk(home))
    assert not changes.open() and changes.state == state
    assert {path.name for path in (home / FOLDER).iterdir()} == {"new", "state.json"}
    assert (home / CONFIG).stat().st_mode & 0o777 == 0o600


def test_a_start_gives_back_what_keeps_the_configuration_from_being_read(home: Path) -> None:
    changes = Changes(HomeDisk(home))
    changes.open()
    good = (home / CONFIG).read_bytes()
    kept = changes.keep_old({CONFIG: "1", "points.csv": "2"})
    tried = (
        Tried("config", "d1", None, {CONFIG: kept[CONFIG]}),
        Tried("points", "d2", None, {"points.csv": kept["points.csv"]}),
    )
    points = (home / "points.csv").read_bytes()
    changes.apply({CONFIG: b"[gateway\n", "points.csv": points + b"\n"}, State(trial=Trial(tried, False)))
    assert load_home(home).id == "unit-1"
    assert (home / CONFIG).read_bytes() == good
    changes.open()
    assert changes.state.failed["config"].digest == "d1" and "gateway" in changes.state.failed["config"].why
    assert [item.ref for item in changes.state.trial.items] == ["points"]  # type: ignore[union-attr]


def test_a_wrong_configuration_without_a_trial_is_the_operators(home: Path) -> None:
    (home / FOLDER).mkdir(parents=True)
    (home / CONFIG).write_text("[gateway]\n")
    with pytest.raises(InputError, match="gateway"):
        load_home(home)


SETPOINT = """
[[command_write]]
point = "{point}"
low = 0
high = 1
"""


class TestWritesOfCommands:
    """What stands in `gateway.toml` counts when the sealed document says the same."""

    @pytest.fixture
    def granting(self, home: Path) -> Path:
        config = load(home)
        kinds = {name: registry.driver_type(device.driver) for name, device in config.devices.items()}
        point = next(
            each for each in config.points if not kinds[each.device].writable(each.address, each.type)
        )
        self.point = point.name
        with (home / CONFIG).open("a") as file:
            file.write(SETPOINT.format(point=point.name))
        return home

    def accept(self, home: Path, writes: dict[str, WriteRange], signer: SigningKey | None = None) -> None:
        (home / ACCEPTED).parent.mkdir(parents=True, exist_ok=True)
        document = Document("unit-1", 3, (), writes)
        (home / ACCEPTED).write_bytes(seal(document, signer or Identity.load(home).signing))

    def granted(self, home: Path) -> list[str]:
        return [grant.point for grant in load(home).command_writes]

    def test_a_gateway_that_nobody_manages_takes_its_own(self, granting: Path) -> None:
        assert self.granted(granting) == [self.point]

    def test_one_that_enrolled_takes_none_before_headquarters_gives_it(self, granting: Path) -> None:
        (granting / STANDING).write_text("{}")
        assert self.granted(granting) == []
        [warning] = [each for each in load(granting).warnings if each.value == self.point]
        assert f"catchment-hq desired set unit-1 --write {self.point}=0:1" in warning.expected

    def test_the_same_range_counts_and_no_other(self, granting: Path) -> None:
        for low, high, counts in ((0.0, 1.0, True), (0.0, 2.0, False), (0.5, 1.0, False)):
            self.accept(granting, {self.point: WriteRange(low, high)})
            assert self.granted(granting) == ([self.point] if counts else [])
        self.accept(granting, {"another": WriteRange(0.0, 1.0)})
        assert self.granted(granting) == []

    def test_a_document_that_another_sealed_grants_nothing(self, granting: Path) -> None:
        other = Identity.generate("unit-1", "gateway").signing
        self.accept(granting, {self.point: WriteRange(0.0, 1.0)}, other)
        assert self.granted(granting) == []

    def test_what_the_configuration_does_not_say_is_not_granted_by_a_document(self, home: Path) -> None:
        self.accept(home, {"any": WriteRange(0.0, 1.0)})
        assert self.granted(home) == []
