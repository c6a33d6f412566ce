"""A bare machine: an image written to its root, its supervisor, and the program in its slot."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_runtime.slots import SlotsState, state
from edge_runtime.slots.store import Root
from protocols.daemon import read_status
from scripts.demo.processes import Child, Children, DemoError, finish, program, run, wait_for

START_S = 120.0
"""Longest wait for a machine to collect: it checks its slot's files first."""

ISOLATED = (sys.executable, "-I", "-S", "-B")
"""As the service manager starts Python: nothing from outside the slot is on its path."""


def build_image(wheels: Path, output: Path, *options: str) -> Path:
    """Make a firmware image of wheels.

    Raises:
        DemoError: The wheels do not fit.
    """
    flash, to = program("catchment-flash"), ("--output", str(output))
    run([flash, "image", "build", "--wheels", str(wheels), "--tier", "edge", *to, *options])
    run([flash, "image", "verify", str(output)])
    return output


class Machine:
    """One machine.

    Args:
        root: Its root directory; nothing is there yet.
        children: Ends its supervisor, whatever happens.
    """

    def __init__(self, root: Path, children: Children) -> None:
        self.root = root
        self.home = root / "home"
        self._children = children
        self._supervisor: Child | None = None

    def write(self, image: Path) -> None:
        """Write an image to it, as to a card that is mounted."""
        run([program("catchment-flash"), "image", "write", str(image), "--to", str(self.root)])

    def copy(self, root: Path) -> Machine:
        """Another bare machine with the same bytes, as a card is copied before it is in service.

        Libraries are linked and not copied: nothing ever writes into a file of a slot.
        """
        library = str(self.root / "slots" / "a" / "lib")

        def take(source: str, target: str) -> None:
            (os.link if source.startswith(library) else shutil.copy2)(source, target)

        shutil.copytree(self.root, root, copy_function=take)
        return Machine(root, self._children)

    def enroll(self, token: str, *, wait: bool) -> None:
        """Ask to be let in, by the program in the slot.

        Args:
            token: What headquarters gave out.
            wait: Whether approval is there; else it is asked for.
        """
        finish([*self._enrolling(token), *([] if wait else ["--no-wait"])], (0,) if wait else (3,))

    def begin_to_enroll(self, token: str) -> Child:
        """The same as a process that waits for approval."""
        return self._children.start(f"{self.root.name}-enroll", self._enrolling(token))

    def configure(self, text: str) -> None:
        """Add to the configuration that enrolment made, as an engineer does."""
        with (self.home / "gateway.toml").open("a", encoding="utf-8") as config:
            config.write(text)

    def boot(self) -> None:
        """Start it as its service manager does.

        Raises:
            DemoError: It does not come up.
        """
        self._supervisor = self._children.add(self.root.name, [*ISOLATED, str(self.root / "boot.py")])
        self._supervisor.start()

    def wait(self) -> None:
        """Wait until the gateway says something.

        Raises:
            DemoError: It does not come up.
        """
        assert self._supervisor is not None
        wait_for("a status of the gateway", lambda: bool(self.status()), START_S, [self._supervisor])

    def status(self) -> Mapping[str, Any]:
        """What the gateway last said of itself; empty before it said anything."""
        try:
            text = (self.home / "data" / "status.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        status: Mapping[str, Any] = json.loads(text)
        return status

    def sealed(self) -> int:
        """Samples that the gateway put into batches: what it collected, but for what deadbands left out."""
        return int(self.status()["ledger"]["sealed"])

    def given_up(self) -> int:
        """Samples that its ledger says were dropped or buried, or that it cannot account for."""
        ledger = self.status()["ledger"]
        counts = [*ledger["dropped"].values(), *ledger["buried"].values(), abs(ledger["unaccounted"])]
        return sum(map(int, counts))

    def slots(self) -> SlotsState:
        """What its slots hold, what is tried, and what was given up."""
        return state(self.root)

    def runs(self, slot: str) -> bool:
        """Whether the supervisor runs a slot's program, and finds it healthy."""
        said = read_status(Root(self.root).status)
        return said is not None and said["slot"] == slot and not said["fault"]

    def ask_to_stop(self) -> None:
        """Ask its supervisor to stop, once: a second request ends a program at once."""
        assert self._supervisor is not None
        self._supervisor.ask_to_stop()

    def end(self) -> None:
        """Wait until all of it has stopped in order, as it was asked to.

        Raises:
            DemoError: It does not, or not in order.
        """
        assert self._supervisor is not None
        code = self._supervisor.wait(START_S)
        if code or self.status()["state"] != "stopped":
            raise DemoError(f"{self.root.name} did not stop in order (exit code {code})")

    def _enrolling(self, token: str) -> list[str]:
        launcher = str(self.root / "slots" / "a" / "run.py")
        return [*ISOLATED, launcher, "enroll", "--home", str(self.home), "--token", token]
