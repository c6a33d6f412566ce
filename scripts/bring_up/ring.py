"""A ring of gateways that a bad firmware is rolled out to: each returns by itself, and nothing is lost.

Rules:
1. Every gateway is a machine of its own: its supervisor, its slots, its keys, enrolled through the hub.
2. The bad firmware is the product's own program with one fault more, published and rolled out as any
   other. Which fault a gateway meets follows from its name: crash, hang, no collection, memory.
3. What is said here of samples and gaps comes from the lake, and is held against each gateway's own ledger.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scripts.bring_up.account import Gap, silence_us, undeclared
from scripts.bring_up.bad import KINDS, kind_of
from scripts.bring_up.group import LOOK_S, Group, set_number
from scripts.bring_up.machine import Machine, build_image
from scripts.demo.processes import Child, Children, DemoError, finish, program, wait_for
from scripts.wheels import REPOSITORY, environment_wheels

SITE, ROLLOUT, VERSION, GOOD_SLOT = "works", "bad", "0.1.1", "a"

PERIOD_US = 500_000

CONFIRM_S = 45.0
"""The confirm window, to the patience as by default."""

DEVICE, SCAN_CLASS = "plc1", "fast"
"""What a new gateway's configuration calls its device and its scan class."""

UPDATES = """\

[updates]
poll_s = 1
budget_kb_per_s = 0
"""

SUPERVISOR = f"""\
[supervisor]
confirm_s = {CONFIRM_S}
patience_s = 18
tries = 2
stop_s = 15
pause_first_s = 0.2

[health]
start_s = 20
stale_s = 4
window_s = 4
memory_mb = 400
"""

PLAN = """\
name = "{name}"

[change.firmware]
target = "{target}"

[[ring]]
name = "ring"
gateways = {gateways}
soak_s = 60

[[ring]]
name = "the others"

[halt]
failures_max = {failures_max}
"""

ENROL_S, RETURN_S = 120.0, 300.0
"""Longest waits: for all to ask and be let in, and for the roll-out's end."""


class Account(NamedTuple):
    """The samples of a ring.

    Args:
        samples: That the gateways put into batches.
        lost: Of these, those that the lake has not; and what the gateways gave up, or cannot account for.
        doubled: Points and times of which the lake has more than one sample.
        silence_s: The longest time in which a gateway collected nothing.
        undeclared: Scan instants without a sample that lie in no declared gap.
    """

    samples: int
    lost: int
    doubled: int
    silence_s: float
    undeclared: int


def bad_image(wheels: Path, output: Path) -> Path:
    """The firmware that nobody tried: the program of `wheels`, with `bad` in it.

    Raises:
        DemoError: It cannot be built.
    """
    main = (REPOSITORY / "edge_runtime" / "main.py").read_text(encoding="utf-8")
    own = "    identity = Identity.load(config.home)\n"
    assert main.count(own) == 1, "expected one place in edge_runtime/main.py where a gateway begins"
    call = "    from edge_runtime import bad\n\n    bad.begin(config.id)\n"
    changed = {
        "edge_runtime/main.py": main.replace(own, call + own).encode(),
        "edge_runtime/bad.py": Path(__file__).with_name("bad.py").read_bytes(),
    }
    environment_wheels(wheels, "edge", changed)
    return build_image(wheels, output, "--version", VERSION)


class Ring:
    """The gateways of a ring.

    Args:
        group: Headquarters and hub.
        bare: A machine whose image is written and that is not in service; the ring's are copies of it.
        folder: Where they are made.
        gateways: How many.
        children: Ends them, whatever happens.
    """

    def __init__(self, group: Group, bare: Machine, folder: Path, gateways: int, children: Children) -> None:
        folder.mkdir()
        self._group = group
        self._children = children
        names = [f"ring-{number}" for number in range(1, gateways + 1)]
        self.machines = {name: bare.copy(folder / name) for name in names}
        self._asking: dict[str, Child] = {}
        self._returned_us = 0

    def begin_to_enroll(self) -> None:
        """Invite them, and let each ask through the hub."""
        invited = self._group.hq(
            "gateways", "invite", "--id", "ring-{}", "--count", str(len(self.machines)),
            "--site", SITE, "--via", "hub", "--json",
        )  # fmt: skip
        for row in invited:
            self._asking[row["id"]] = self.machines[row["id"]].begin_to_enroll(row["token"])

    def enroll(self) -> None:
        """Approve them once all have asked, and wait until each is let in.

        Raises:
            DemoError: One is not.
        """
        wait_for("the ring to ask", self._all_ask, ENROL_S, every_s=LOOK_S)
        self._group.hq("gateways", "approve", *self.machines)
        for name, child in self._asking.items():
            code = child.wait(ENROL_S)
            if code:
                raise DemoError(f"{name} was not let in (exit code {code}):\n{child.tail()}")

    def boot(self, points: Path, port: int) -> None:
        """Configure all as an engineer does, start them, and wait until each says something.

        Args:
            points: Their point table, of `DEVICE` and `SCAN_CLASS`.
            port: Of the Modbus server here.

        Raises:
            DemoError: One does not come up.
        """
        for machine in self.machines.values():
            machine.configure(UPDATES)
            config = machine.home / "gateway.toml"
            for name, number in (("port", port), ("period_s", PERIOD_US / 1e6), ("flush_s", 1)):
                set_number(config, name, number)
            shutil.copyfile(points, machine.home / "points.csv")
            (machine.root / "supervisor.toml").write_text(SUPERVISOR, encoding="utf-8")
            machine.boot()
        for machine in self.machines.values():
            machine.wait()

    def roll_out(self, target: str, folder: Path) -> Mapping[str, Any]:
        """Roll a firmware out to the ring and wait until the roll-out has ended and each runs the good one.

        Args:
            target: The firmware in the update repository.
            folder: For the plan.

        Returns:
            What `catchment-hq rollout watch` says of it.

        Raises:
            DemoError: It does not end, or a gateway does not return and collect again.
        """
        plan = folder / f"{ROLLOUT}.toml"
        names = json.dumps(list(self.machines))
        text = PLAN.format(name=ROLLOUT, target=target, gateways=names, failures_max=len(self.machines) - 1)
        plan.write_text(text, encoding="utf-8")
        self._group.hq("rollout", "plan", str(plan))
        self._group.hq("rollout", "start", ROLLOUT)
        watch = ["rollout", "watch", ROLLOUT, "--home", str(self._group.headquarters)]
        follow = self._children.start("rollout", [program("catchment-hq"), *watch, "--follow"])
        follow.wait(RETURN_S)
        wait_for("the good firmware everywhere", lambda: self.returned() == len(self.machines), RETURN_S)
        self._returned_us = time.time_ns() // 1000
        everybody = len(self.machines)
        wait_for("all to collect again", lambda: self.collect_again() == everybody, RETURN_S, every_s=LOOK_S)
        _, printed = finish([program("catchment-hq"), *watch, "--json"], (0, 1))
        found: Mapping[str, Any] = json.loads(printed)
        return found

    def returned(self) -> int:
        """How many gave the bad firmware up, and run the good one in health."""
        count = 0
        for machine in self.machines.values():
            held = machine.slots()
            gone = held.given_up
            count += (
                gone is not None
                and gone.firmware.version == VERSION
                and held.good == GOOD_SLOT
                and held.trial is None
                and machine.runs(GOOD_SLOT)
            )
        return count

    def collect_again(self) -> int:
        """How many have samples in the lake of after the moment when all were back on the good firmware."""
        found = self._group.query(
            "SELECT gateway FROM samples JOIN series USING (series) GROUP BY gateway "
            f"HAVING epoch_us(max(time)) > {self._returned_us}"
        )
        return len({row["gateway"] for row in found} & self.machines.keys())

    def told(self) -> int:
        """How many have told headquarters, in their signed chains, what was wrong with the bad firmware."""
        found = self._group.query(
            "SELECT gateway, text FROM events "
            "WHERE source = 'firmware' AND transition IN ('failed', 'given-up')"
        )
        said: dict[str, str] = defaultdict(str)
        for row in found:
            said[row["gateway"]] += row["text"]
        return sum(KINDS[kind_of(name)] in said[name] for name in self.machines)

    def sealed(self) -> Mapping[str, int]:
        """Samples that each put into batches, by its own ledger."""
        return {name: machine.sealed() for name, machine in self.machines.items()}

    def account(self, points: int) -> Account:
        """What the lake has of the ring, against what the gateways' own ledgers say.

        Args:
            points: That each gateway collects: an instant, or a gap, counts when it is of all.
        """
        sealed, rows = self.sealed(), self._group.rows()
        given_up = sum(machine.given_up() for machine in self.machines.values())
        twice = self._group.query(
            "SELECT count(*) AS rows FROM (SELECT series, time FROM samples GROUP BY ALL HAVING count(*) > 1)"
        )
        instants: dict[str, set[int]] = defaultdict(set)
        for row in self._group.query(
            "SELECT gateway, epoch_us(time) AS at FROM samples JOIN series USING (series) "
            f"GROUP BY ALL HAVING count(DISTINCT series) = {points}"
        ):
            instants[row["gateway"]].add(int(row["at"]))
        gaps: dict[str, list[Gap]] = defaultdict(list)
        for row in self._group.query(
            "SELECT gateway, epoch_us(t_from) AS since, epoch_us(t_to) AS until FROM gaps "
            f"WHERE len(points) = {points}"
        ):
            gaps[row["gateway"]].append(Gap(int(row["since"]), int(row["until"])))
        return Account(
            samples=sum(sealed.values()),
            lost=given_up + sum(max(0, count - rows.get(name, 0)) for name, count in sealed.items()),
            doubled=int(twice[0]["rows"]),
            silence_s=max(silence_us(instants[name]) for name in self.machines) / 1e6,
            undeclared=sum(len(undeclared(instants[name], gaps[name], PERIOD_US)) for name in self.machines),
        )

    def _all_ask(self) -> bool:
        asking = {row["id"] for row in self._group.hq("gateways", "list", "--json") if row["asks"]}
        return asking >= self.machines.keys()
