"""Supervisors as real processes: firmware that fails in every way returns by itself.

Most programs are tiny ones with a fault built in; the last tests run a real gateway and a real hub
from images of their own wheels, started as a machine would start them.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import slots
from edge_runtime.buffer import Store
from edge_runtime.cli import invoke
from edge_runtime.session import BUFFER
from edge_runtime.slots import unpack
from hub.cli import main as hub_cli
from protocols.batch import Header, Kind
from protocols.records import GapCause, inflate, parse_events, parse_gaps
from scripts.plant.layout import write_point_table
from scripts.wheels import REPOSITORY
from tests.faults.river import DEVICE, GATEWAY_TOML, SCAN_CLASS, START_S, Pace, River, free_address
from tests.slot_parts import compile_quickly, demo_image, demo_root, environment_image, quick_disk

CONFIRM_S = 8.0

STEADY = f"""\
[supervisor]
confirm_s = {CONFIRM_S}
patience_s = 3
stop_s = 1
pause_first_s = 0.1
pause_longest_s = 0.4

[health]
start_s = 4
stale_s = 1
window_s = 1
memory_mb = 150
"""

QUICK = STEADY.replace(f"confirm_s = {CONFIRM_S}", "confirm_s = 3.1").replace("stale_s = 1", "stale_s = 4")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with quick_disk(tmp_path) as folder:
        yield folder


class Supervised:
    """A machine's root with a supervisor that a test may kill and start again."""

    def __init__(self, root: Path, command: tuple[str, ...] = ()) -> None:
        self.root = root
        own = (sys.executable, "-c", "from edge_runtime.cli import main; main()")
        self.command = command or (*own, "supervise", "--root", str(root))
        self.log = root / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Supervised:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command, cwd=REPOSITORY, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        assert self._process.wait(40) == 0, self.log.read_text()[-3000:]

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def wait(self, what: str, so: Callable[[], bool], timeout_s: float = 40.0) -> None:
        end = time.monotonic() + timeout_s
        while not so():
            assert self._process is not None and self._process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, f"{what}: {self.log.read_text()[-3000:]}"
            time.sleep(0.05)

    def events(self, name: str) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [each for each in found if each["event"] == name]

    def spooled(self) -> list[tuple[str, str]]:
        folder = self.root / "home" / "firmware-events"
        found = [json.loads(path.read_text()) for path in sorted(folder.iterdir())]
        return [(each["what"], each["firmware"]) for each in found]

    def status(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.root / "slots" / "supervisor.json").read_text())
        except FileNotFoundError:
            return {}
        assert self._process is not None
        return found if found["pid"] == self._process.pid else {}

    def healthy(self) -> bool:
        status = self.status()
        return status.get("slot") is not None and not status["fault"]

    def runs(self, slot: str) -> bool:
        return self.healthy() and self.status()["slot"] == slot

    def lives(self, data: str = "data") -> list[dict[str, Any]]:
        """Every start of the tiny program."""
        text = (self.root / "home" / data / "runs.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def decided(self) -> bool:
        return slots.state(self.root).trial is None

    def gap_s(self) -> float:
        """The longest time in which nothing was collected."""
        times = [float(line) for line in (self.root / "home" / "data" / "samples").read_text().split()]
        return max(after - before for before, after in pairwise(times))


FAULTS = {
    "crash": "ended by itself: exit code 7",
    "late-crash": "ended by itself: SIGABRT",
    "hang": "says nothing new of itself",
    "deaf": "says nothing new of itself",
    "nothing": "collects 0.0/s",
    "memory": "MB of memory, more than 150",
    "loses": "loses 50%",
    "late": "is 5,000 ms late",
    "unlinked": "has not reached where it sends",
    "supervisor": "its supervisor does not start",
}
"""What a firmware does wrong, and what is said of it."""


def test_every_machine_returns_from_a_bad_firmware_by_itself_within_the_confirm_window(disk: Path) -> None:
    good = demo_image(disk, "1.0.0")
    images = {fault: demo_image(disk / fault, "1.1.0", fault) for fault in FAULTS}
    machines = {fault: Supervised(demo_root(disk / fault, good, STEADY)) for fault in FAULTS}
    with ExitStack() as stack:
        for machine in machines.values():
            stack.enter_context(machine)
        for machine in machines.values():
            machine.wait("its program to run", machine.healthy)
        for fault, machine in machines.items():
            slots.install(machine.root, images[fault])
        for machine in machines.values():
            machine.wait("a decision", machine.decided)
        for machine in machines.values():
            machine.wait("the good program", partial(machine.runs, "a"))
        time.sleep(0.5)
    for fault, machine in machines.items():
        state = slots.state(machine.root)
        assert state.good == "a" and state.given_up is not None, fault
        assert FAULTS[fault] in state.given_up.why, fault
        assert machine.gap_s() < CONFIRM_S, fault
        assert machine.spooled()[-1] == ("given-up", "catchment-edge-1.1.0"), fault
        assert machine.events("firmware-given-up") or machine.events("firmware-failed"), fault
        assert not (machine.root / "home" / "data" / "doubled").exists(), fault


def test_a_good_firmware_is_confirmed_and_the_way_back_is_a_trial_as_well(disk: Path) -> None:
    machine = Supervised(demo_root(disk, demo_image(disk, "1.0.0"), QUICK))
    with machine:
        machine.wait("its program to run", machine.healthy)
        slots.install(machine.root, demo_image(disk, "1.1.0"))
        machine.wait("a decision", machine.decided)
        assert slots.state(machine.root).good == "b"
        assert invoke(["slots", "return", "--root", str(machine.root)]) == 0
        machine.wait("a decision", machine.decided)
        assert slots.state(machine.root).good == "a"
    assert [what for what, _ in machine.spooled()] == ["begun", "confirmed"] * 2
    lives = machine.lives()
    assert len(lives) == 3
    for life, slot in zip(lives, "aba", strict=True):
        own = str(machine.root / "slots" / slot / "lib")
        assert life["path"][-1] == own
        assert not [entry for entry in life["path"] if "site-packages" in entry or str(REPOSITORY) == entry]


@pytest.mark.parametrize("back", [True, False])
def test_data_goes_forward_to_a_new_format_and_back_when_the_firmware_is_given_up(
    disk: Path, back: bool
) -> None:
    machine = Supervised(demo_root(disk, demo_image(disk, "1.0.0"), STEADY))
    home = machine.root / "home"
    with machine:
        machine.wait("its program to run", machine.healthy)
        slots.install(machine.root, demo_image(disk, "2.0.0", "late-crash", format=2, oldest=1, back=back))
        machine.wait("a decision", machine.decided)
        machine.wait("the good program", lambda: machine.runs("a"))
    assert (home / "data" / "format").read_text() == "1"
    assert not (home / "data.keep").exists()
    set_aside = home / "data.tried"
    assert set_aside.exists() is not back
    formats = [life["format"] for life in machine.lives("data" if back else "data.tried")]
    assert {1, 2} <= set(formats), "what was written in the new format is still there"
    assert slots.state(machine.root).move is None


def test_a_supervisor_killed_at_any_moment_never_leaves_two_programs_nor_none(disk: Path) -> None:
    chance = random.Random(5)
    root = demo_root(disk, demo_image(disk, "1.0.0"), QUICK)
    images = [demo_image(disk, f"1.{number}.0") for number in (1, 2)]
    with Supervised(root) as machine:
        machine.wait("its program to run", machine.healthy)
        for turn in range(14):
            if turn in (2, 8):
                slots.install(root, images[turn // 8])
            time.sleep(chance.uniform(0.05, 0.9))
            program = machine.status().get("program_pid")
            machine.kill()
            end = time.monotonic() + 5
            while program is not None and _runs(program, root):
                assert time.monotonic() < end, "the program outlived its supervisor"
                time.sleep(0.02)
            machine.__enter__()
        machine.wait("its program to run", machine.healthy)
        trial = slots.state(root).trial
        assert trial is None or trial.tries_left == 3, "nobody saw the firmware fail"
    assert not (root / "home" / "data" / "doubled").exists()


def _runs(pid: int, root: Path) -> bool:
    try:
        return str(root) in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_a_second_supervisor_on_the_same_root_is_refused(disk: Path) -> None:
    with Supervised(demo_root(disk, demo_image(disk, "1.0.0"), STEADY)) as machine:
        machine.wait("its program to run", machine.healthy)
        second = subprocess.run(machine.command, cwd=REPOSITORY, capture_output=True, check=False)
        assert second.returncode == 4 and b"held by another process" in second.stderr


def test_a_damaged_state_is_made_anew_from_what_is_in_the_slots(disk: Path) -> None:
    root = demo_root(disk, demo_image(disk, "1.0.0"), STEADY)
    (root / "slots" / "state").write_text("{")
    with Supervised(root) as machine:
        machine.wait("its program to run", machine.healthy)
    assert slots.state(root).of("a").version == "1.0.0"
    assert machine.events("slots-rebuilt")


def test_a_slot_that_was_changed_after_its_installation_is_given_up_before_a_try(disk: Path) -> None:
    root = demo_root(disk, demo_image(disk, "1.0.0"), STEADY)
    slots.install(root, demo_image(disk, "1.1.0"))
    changed = root / "slots" / "b" / "lib" / "edge_runtime" / "cli.py"
    changed.write_text(changed.read_text() + "# changed\n")
    with Supervised(root) as machine:
        machine.wait("a decision", machine.decided)
        machine.wait("the good program", partial(machine.runs, "a"))
    gone = slots.state(root).given_up
    assert gone is not None and "cli.py is not as it was installed" in gone.why
    assert [what for what, _ in machine.spooled()] == ["given-up"], "it was never tried"


def test_the_watchdog_is_fed_while_it_runs_and_disarmed_at_a_clean_stop(disk: Path) -> None:
    root = demo_root(disk, demo_image(disk, "1.0.0"), STEADY)
    device = disk / "watchdog"
    device.touch()
    machine = Supervised(root)
    machine.command = (*machine.command, "--watchdog", str(device))
    with machine:
        machine.wait("its program to run", machine.healthy)
        machine.wait("food", lambda: device.stat().st_size >= 2)
    food = device.read_bytes()
    assert food.endswith(b"V") and set(food[:-1]) == {0}


# -- the real programs -------------------------------------------------------------------------------


@pytest.fixture
def _compiled_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling some thousand files takes longer than all the rest."""
    monkeypatch.setattr(unpack, "compile_slot", compile_quickly)


REAL = """\
[supervisor]
confirm_s = 6
patience_s = 5.9
stop_s = 15
pause_first_s = 0.1

[health]
start_s = 30
window_s = 3
"""


def boot(root: Path) -> Supervised:
    """A machine that is started as the service manager starts it."""
    return Supervised(root, (sys.executable, "-I", "-S", "-B", str(root / "boot.py")))


@pytest.mark.usefixtures("_compiled_quickly")
def test_a_real_gateway_is_upgraded_and_returns_and_its_chains_tell_of_it(disk: Path) -> None:
    broken = b'"""A release that nobody tried."""\n\nraise SystemExit(7)\n'
    root = demo_root(disk, environment_image(disk, "edge", "1.0.0"), REAL)
    with River(disk / "river", Pace(0.2, 0.4)) as river:
        plant = river.plant()
        with boot(root) as machine:
            machine.wait("the plant", (plant.directory / "address.json").exists, START_S)
            _make_gateway(root / "home", plant)
            machine.wait("the gateway to run", machine.healthy, 60)
            program = machine.status()["program_pid"]
            _nothing_from_outside(program, root)
            slots.install(root, environment_image(disk, "edge", "1.1.0"))
            machine.wait("a decision", machine.decided, 60)
            assert slots.state(root).good == "b", slots.state(root)
            slots.install(root, environment_image(disk, "edge", "1.2.0", {"edge_runtime/main.py": broken}))
            machine.wait("a decision", machine.decided, 60)
            machine.wait(
                "the good program", lambda: machine.healthy() and machine.status()["slot"] == "b", 60
            )
            time.sleep(2.0)
    state = slots.state(root)
    assert state.good == "b" and state.given_up is not None and "exit code 7" in state.given_up.why
    gaps, told = _records(root / "home" / "data" / BUFFER)
    assert GapCause.PROCESS_DOWN in gaps
    assert {"begun", "confirmed", "failed", "given-up"} <= set(told)
    status = json.loads((root / "home" / "data" / "status.json").read_text())
    assert status["ledger"]["unaccounted"] == 0 and status["state"] == "stopped"


def _make_gateway(home: Path, plant: Any) -> None:
    assert invoke(["init", "--home", str(home), "--id", "gw1", "--site", "works"]) == 0
    where = plant.address
    driver = f'driver = "modbus-tcp"\nhost = "{where["host"]}"\nport = {where["port"]}'
    text = GATEWAY_TOML.format(
        name="gw1",
        scan_class=SCAN_CLASS,
        period_s=0.2,
        device=DEVICE,
        driver=driver,
        flush_s=0.4,
        buffer="",
        uplink="",
    )
    write_point_table(home / "points.csv", plant.source.points, plant.protocol, DEVICE, SCAN_CLASS)
    (home / "gateway.toml").write_text(text, encoding="utf-8")


def _nothing_from_outside(pid: int, root: Path) -> None:
    """No library of the program comes from packages beside the slot."""
    mapped = {line.split()[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()}
    packages = {path for path in mapped if "site-packages" in path or path.startswith(str(REPOSITORY))}
    assert not packages
    assert any(path.startswith(str(root / "slots" / "a" / "lib")) for path in mapped), "numpy's library"


def _records(buffer: Path) -> tuple[set[GapCause], list[str]]:
    store = Store.open(buffer)
    gaps: set[GapCause] = set()
    told: list[str] = []
    for header_bytes, payload in store.rows(
        "select header, payload from batches where payload is not null order by id"
    ):
        header = Header.parse(header_bytes)
        if header.kind is Kind.GAP:
            gaps |= {gap.cause for gap in parse_gaps(inflate(payload, bool(header.flags)))}
        if header.kind is Kind.EVENT:
            events = parse_events(inflate(payload, bool(header.flags)))
            told += [event.transition for event in events if event.source == "firmware"]
    store.close()
    return gaps, told


@pytest.mark.usefixtures("_compiled_quickly")
def test_a_real_hub_runs_from_its_slot_and_its_health_is_read(disk: Path) -> None:
    root = demo_root(disk, environment_image(disk, "hub", "1.0.0"), REAL)
    hub_cli(
        ["init", "--home", str(root / "home"), "--id", "hub1", "--bind", free_address()],
        standalone_mode=False,
    )
    with boot(root) as machine:
        machine.wait("the hub to run", machine.healthy, 60)
        _nothing_from_outside(machine.status()["program_pid"], root)
    assert machine.events("supervisor-started")[0]["tier"] == "hub"
    assert machine.events("hub-stopped")
