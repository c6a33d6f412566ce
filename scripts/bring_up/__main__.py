"""Brings a bare machine into service, and a ring of them through a bad firmware; all data is in the lake.

python -m scripts.bring_up           # with progress
python -m scripts.bring_up --json    # the last line is one array of rows, as benchmarks print
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from protocols.package import archive
from scripts.bring_up.bad import kind_of
from scripts.bring_up.group import LOOK_S, PUBLISHER, Group, serve_plant
from scripts.bring_up.machine import Machine, build_image
from scripts.bring_up.ring import CONFIRM_S, Account, Ring, bad_image
from scripts.bring_up.ring import DEVICE as RING_DEVICE
from scripts.bring_up.ring import SCAN_CLASS as RING_SCAN_CLASS
from scripts.demo.processes import Children, DemoError, wait_for
from scripts.plant.catalogue import PlantPoint
from scripts.plant.layout import Protocol, write_point_table
from scripts.plant.sources import source_of
from scripts.wheels import environment_wheels

GATEWAY, SITE, DEVICE, SCAN_CLASS = "unit-1", "works", "plant", "normal"
POINTS, ANSWERS = 40, 5
WHEELS, BAD_IMAGE = "wheels", "bad.cfw"
ARRIVE_S = 120.0
"""Longest wait for what was sent down to run, and for what it gives to come up."""

CONFIG = """\
[scan.{scan}]
period_s = 1.0

[device.{device}]
driver = "modbus-tcp"
host = "{host}"
port = {port}

[buffer]
flush_s = 1.0
"""

WANTED = """\
[config]
target = "{config}"

[points]
target = "{points}"

[app.half]
target = "{app}"
needs = ["config", "points"]
[app.half.instance.main]
inputs = {{x = "{point}"}}
"""

MANIFEST = f"""\
[app]
id = "half"
version = "1.0.0"
class = "operations"
publisher = "{PUBLISHER}"
period_s = 1.0
title = {{en = "Half of it", zh = "一半"}}
summary = {{en = "Half of a value.", zh = "数值的一半。"}}

[permissions]
read = ["x"]

[[program]]
file = "programs/half.st"
"""

PROGRAM = """\
PROGRAM half
VAR_INPUT x : LREAL; END_VAR
VAR_OUTPUT y : LREAL; END_VAR
y := 0.5 * x;
END_PROGRAM
"""


class Course:
    """The steps, and how long each took."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step; its time becomes a row."""
        begun = time.monotonic()
        click.echo(f"{name} ...", err=True, nl=False)
        yield
        seconds = time.monotonic() - begun
        click.echo(f" {seconds:.1f} s", err=True)
        self.note(name, round(seconds, 1), "s")

    def note(
        self, name: str, value: float, unit: str, goal: str | None = None, meets: bool | None = None
    ) -> None:
        """A row, as benchmarks print them."""
        row = {"name": name, "value": value, "unit": unit, "against": None, "ratio": None}
        self.rows.append({**row, "goal": goal, "meets": meets})

    def compare(self, name: str, value: float, unit: str, most: float, limit: str) -> None:
        """A row of something that may be as much as a limit and no more."""
        self.note(name, value, unit, "<= 1", value <= most)
        self.rows[-1] |= {"against": f"{limit}: {most:g} {unit}", "ratio": round(value / most, 3)}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one JSON array in the last line.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Leave everything here.")
@click.option(
    "--ring", "gateways", type=click.IntRange(4, 99), default=10, show_default=True,
    help="Gateways that the bad firmware is rolled out to.",
)  # fmt: skip
def main(as_json: bool, keep: Path | None, gateways: int) -> None:
    """Bring machines into service and let a bad firmware fail; exit code 1 when something is wrong."""
    course = Course()
    root = Path(tempfile.mkdtemp(prefix="bring-up-")) if keep is None else keep
    root.mkdir(parents=True, exist_ok=True)
    try:
        with Children(root / "logs") as children:
            bring_up(root, children, course, gateways)
    except DemoError as error:
        raise click.ClickException(f"{error}\nlogs are in {root / 'logs'}") from error
    else:
        if keep is None:
            shutil.rmtree(root)
    wrong = [row["name"] for row in course.rows if row["meets"] is False]
    if as_json:
        click.echo(json.dumps(course.rows))
    if wrong:
        raise click.ClickException(f"not as it must be: {', '.join(wrong)}")


def bring_up(root: Path, children: Children, course: Course, gateways: int) -> None:
    """From wheels to rows in the lake, and through a bad firmware.

    Raises:
        DemoError: A step did not end well.
    """
    machine, group = Machine(root / "machine", children), Group(root, children)
    _make(root, machine, group, course)
    ring = Ring(group, machine, root / "ring", gateways, children)
    _bring_into_service(root, machine, group, ring, children, course)
    with course.step("a bad firmware is rolled out, and all return"):
        rollout = ring.roll_out(group.publish("firmware", root / BAD_IMAGE), root / "published")
    _tell_rollout(course, ring, rollout)
    untouched = machine.slots().given_up is None and rollout["members"][GATEWAY]["course"] == "waiting"
    course.note("gateways of the next ring changed", float(not untouched), "gateways", "0", untouched)
    with course.step("all stop"):
        machines = (machine, *ring.machines.values())
        for each in machines:
            each.ask_to_stop()
        for each in machines:
            each.end()
    with course.step("what was collected arrives"):
        sealed = {GATEWAY: machine.sealed(), **ring.sealed()}
        wait_for("what was collected", lambda: _is_there(group.rows(), sealed), ARRIVE_S, every_s=LOOK_S)
    rows = group.rows()[GATEWAY]
    course.note("samples sent", sealed[GATEWAY], "samples")
    difference = abs(rows - sealed[GATEWAY])
    course.note("samples lost or doubled", difference, "samples", "0", difference == 0)
    _tell_account(course, ring.account(POINTS))
    group.stop()
    with course.step("verify"):
        group.hq("verify")


def _make(root: Path, machine: Machine, group: Group, course: Course) -> None:
    """Build the image, write it to a bare machine, and make headquarters and a hub."""
    with course.step("build the image"):
        environment_wheels(root / WHEELS, "edge")
        image = build_image(root / WHEELS, root / "edge.cfw")
    with course.step("build it again"):
        again = build_image(root / WHEELS, root / "again.cfw")
    same = image.read_bytes() == again.read_bytes()
    course.note("images that differ", float(not same), "images", "0", same)
    with (
        course.step("write it to a bare machine; beside it headquarters, key ceremony, hub"),
        ThreadPoolExecutor(1) as beside,
    ):
        written = beside.submit(machine.write, image)
        group.start()
        written.result()


def _bring_into_service(
    root: Path, machine: Machine, group: Group, ring: Ring, children: Children, course: Course
) -> None:
    """Enrol and boot the machine and have it managed; the ring comes into service meanwhile."""
    with course.step("enrol through the hub"):
        token = group.invite(GATEWAY, "--site", SITE, "--via", "hub")
        machine.enroll(token, wait=False)
        group.hq("gateways", "approve", GATEWAY)
        machine.enroll(token, wait=True)
        machine.configure("\n[updates]\npoll_s = 1\n")
    with course.step("boot"):
        machine.boot()
        machine.wait()
    with course.step("configuration, points and an app reach it; beside it the ring enrols and boots"):
        plant = serve_plant(root / "plant", POINTS, children)
        _send_down(root, group, plant)
        ring.begin_to_enroll()
        bad_image(root / WHEELS, root / BAD_IMAGE)
        ring.enroll()
        _write_points(root / "ring.csv", RING_DEVICE, RING_SCAN_CLASS)
        ring.boot(root / "ring.csv", plant["port"])
        active = {"active"}
        wait_for("all items", lambda: set(group.items(GATEWAY).values()) == active, ARRIVE_S, every_s=LOOK_S)
    with course.step("data in the lake"):
        wait_for("what the app worked out", lambda: _answers(group) >= ANSWERS, ARRIVE_S, every_s=LOOK_S)
        first = dict.fromkeys(ring.machines, 1)
        wait_for("samples of the ring", lambda: _is_there(group.rows(), first), ARRIVE_S, every_s=LOOK_S)


def _is_there(rows: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
    """Whether the lake has as many samples of each gateway."""
    return all(rows.get(name, 0) >= count for name, count in wanted.items())


def _tell_rollout(course: Course, ring: Ring, rollout: Mapping[str, Any]) -> None:
    gateways = len(ring.machines)
    course.note("ring", gateways, "gateways")
    for kind, count in sorted(Counter(kind_of(name) for name in ring.machines).items()):
        course.note(f"of these, the bad firmware {kind} at", count, "gateways")
    returned, told = ring.returned(), ring.told()
    course.note("returned by themselves", returned, "gateways", str(gateways), returned == gateways)
    again = ring.collect_again()
    course.note("collect again after it", again, "gateways", str(gateways), again == gateways)
    course.note("told headquarters what was wrong", told, "gateways", str(gateways), told == gateways)
    members = [rollout["members"][name] for name in ring.machines]
    failed = sum(member["failed"] and member["course"] == "returned" for member in members)
    course.note("failed and returned in the roll-out", failed, "gateways", str(gateways), failed == gateways)
    halted = rollout["phase"] == "halted"
    course.note("roll-outs halted", float(halted), "roll-outs", "1", halted)
    if halted:
        at = {line["event"]: datetime.fromisoformat(line["time"]) for line in reversed(rollout["log"])}
        seconds = (at["halted"] - at["started"]).total_seconds()
        course.note("from its start until it halted", round(seconds, 1), "s")


def _tell_account(course: Course, account: Account) -> None:
    course.note("samples of the ring", account.samples, "samples")
    course.note("samples of the ring lost", account.lost, "samples", "0", account.lost == 0)
    course.note("samples of the ring doubled", account.doubled, "samples", "0", account.doubled == 0)
    course.compare("longest gap", account.silence_s, "s", CONFIRM_S, "confirm window")
    undeclared = account.undeclared
    course.note("scan instants neither collected nor declared", undeclared, "instants", "0", undeclared == 0)


def _send_down(root: Path, group: Group, plant: Any) -> None:
    """Publish configuration, point table and app, and desire them."""
    folder = root / "published"
    folder.mkdir()
    config = folder / "works-1.toml"
    text = CONFIG.format(scan=SCAN_CLASS, device=DEVICE, host=plant["host"], port=plant["port"])
    config.write_text(text, encoding="utf-8")
    points = folder / f"{GATEWAY}-1.csv"
    served = _write_points(points, DEVICE, SCAN_CLASS)
    package = folder / "half-1.0.0.capp"
    package.write_bytes(archive.pack({"app.toml": MANIFEST.encode(), "programs/half.st": PROGRAM.encode()}))
    number = next(point.name for point in served if point.kind.value == "f32")
    wanted = root / "wanted.toml"
    targets = {
        "config": group.publish("config", config),
        "points": group.publish("config", points),
        "app": group.publish("app", package),
    }
    wanted.write_text(WANTED.format(**targets, point=number), encoding="utf-8")
    group.hq("desired", "set", GATEWAY, "--file", str(wanted))


def _write_points(file: Path, device: str, scan_class: str) -> Sequence[PlantPoint]:
    """Write the table of all points that the plant serves, and return them."""
    source = source_of(Protocol.MODBUS, POINTS, 0, False, None, False)
    write_point_table(file, source.points, Protocol.MODBUS, device, scan_class)
    return source.points


def _answers(group: Group) -> int:
    joined = "samples JOIN series USING (series)"
    [row] = group.query(f"SELECT count(*) AS rows FROM {joined} WHERE name = 'half.main.y'")
    return int(row["rows"])


if __name__ == "__main__":
    main()
