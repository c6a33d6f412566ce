"""Brings a bare machine into service and shows that its data is in the lake.

python -m scripts.bring_up           # with progress
python -m scripts.bring_up --json    # the last line is one array of rows, as benchmarks print
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from protocols.package import archive
from scripts.bring_up.group import PUBLISHER, Group, serve_plant
from scripts.bring_up.machine import Machine, build_image
from scripts.demo.processes import Children, DemoError, wait_for
from scripts.plant.layout import Protocol, write_point_table
from scripts.plant.sources import source_of
from scripts.wheels import environment_wheels

GATEWAY, SITE, DEVICE, SCAN_CLASS = "unit-1", "works", "plant", "normal"
POINTS, ANSWERS = 40, 5
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


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one JSON array in the last line.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Leave everything here.")
def main(as_json: bool, keep: Path | None) -> None:
    """Bring a bare machine into service; exit code 1 when something is not as it must be."""
    course = Course()
    root = Path(tempfile.mkdtemp(prefix="bring-up-")) if keep is None else keep
    root.mkdir(parents=True, exist_ok=True)
    try:
        with Children(root / "logs") as children:
            bring_up(root, children, course)
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


def bring_up(root: Path, children: Children, course: Course) -> None:
    """From wheels to rows in the lake.

    Raises:
        DemoError: A step did not end well.
    """
    machine = Machine(root / "machine", children)
    with course.step("build the image"):
        environment_wheels(root / "wheels", "edge")
        image = build_image(root / "wheels", root / "edge.cfw")
    with course.step("build it again"):
        again = build_image(root / "wheels", root / "again.cfw")
    same = image.read_bytes() == again.read_bytes()
    course.note("images that differ", float(not same), "images", "0", same)
    with course.step("write it to a bare machine"):
        machine.write(image)
    with course.step("headquarters, key ceremony, hub"):
        group = Group(root, children)
        group.start()
    with course.step("enrol through the hub"):
        token = group.invite(GATEWAY, "--site", SITE, "--via", "hub")
        machine.enroll(token, wait=False)
        group.hq("gateways", "approve", GATEWAY)
        machine.enroll(token, wait=True)
    with course.step("boot"):
        machine.boot()
    with course.step("configuration, points and an app reach it"):
        _send_down(root, group, serve_plant(root / "plant", POINTS, children))
        wait_for("all items to be active", lambda: set(group.items(GATEWAY).values()) == {"active"}, ARRIVE_S)
    with course.step("data in the lake"):
        wait_for("what the app worked out", lambda: _answers(group) >= ANSWERS, ARRIVE_S)
    machine.stop()
    wait_for("what was collected to arrive", lambda: _rows(group) >= _sealed(machine), ARRIVE_S)
    sealed, rows = _sealed(machine), _rows(group)
    course.note("samples sent", sealed, "samples")
    course.note("samples lost or doubled", abs(rows - sealed), "samples", "0", rows == sealed)
    group.stop()


def _send_down(root: Path, group: Group, plant: Any) -> None:
    """Publish configuration, point table and app, and desire them."""
    folder = root / "published"
    folder.mkdir()
    config = folder / "works-1.toml"
    text = CONFIG.format(scan=SCAN_CLASS, device=DEVICE, host=plant["host"], port=plant["port"])
    config.write_text(text, encoding="utf-8")
    points = folder / f"{GATEWAY}-1.csv"
    source = source_of(Protocol.MODBUS, POINTS, 0, False, None, False)
    write_point_table(points, source.points, Protocol.MODBUS, DEVICE, SCAN_CLASS)
    package = folder / "half-1.0.0.capp"
    package.write_bytes(archive.pack({"app.toml": MANIFEST.encode(), "programs/half.st": PROGRAM.encode()}))
    number = next(point.name for point in source.points if point.kind.value == "f32")
    wanted = root / "wanted.toml"
    targets = {
        "config": group.publish("config", config),
        "points": group.publish("config", points),
        "app": group.publish("app", package),
    }
    wanted.write_text(WANTED.format(**targets, point=number), encoding="utf-8")
    group.hq("desired", "set", GATEWAY, "--file", str(wanted))


def _answers(group: Group) -> int:
    joined = "samples JOIN series USING (series)"
    [row] = group.query(f"SELECT count(*) AS rows FROM {joined} WHERE name = 'half.main.y'")
    return int(row["rows"])


def _rows(group: Group) -> int:
    [row] = group.query("SELECT count(*) AS rows FROM samples")
    return int(row["rows"])


def _sealed(machine: Machine) -> int:
    """Samples that the gateway put into batches: what it collected, but for what deadbands left out."""
    return int(machine.status()["ledger"]["sealed"])


if __name__ == "__main__":
    main()
